//! The file layer under the objects: a seam, so that tests can drop what was not synced, as a power cut does.

use super::root::Root;
use crate::direct::DirectFile;
use rustix::fs::OFlags;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// One object's file; reading past its end gives zeros, as its holes do.
pub(super) trait ObjectFile: Send + Sync {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes a range read as zeros and frees what it can.
    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Makes what was written durable; the file's name needs [`Files::sync_dir`] besides.
    fn sync(&self) -> io::Result<()>;
    fn allocated_bytes(&self) -> io::Result<u64>;
}

/// What the engine does with files of objects and their directories; paths begin with the store's own.
pub(super) trait Files: Send + Sync {
    /// Makes an object that must not exist yet, for its owner's eyes only.
    fn create(&self, path: &Path) -> io::Result<Box<dyn ObjectFile>>;
    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn ObjectFile>>;
    /// Removes an object; one that is gone already is no error.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Hears of every transaction after its commit; failing stands for a commit of which nobody learned how it ended.
    fn committed(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of the system, below the store's directory.
pub(super) struct SystemFiles(pub(super) Arc<Root>);

impl Files for SystemFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn ObjectFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(Box::new(DirectFile::new(self.0.file(self.0.relative(path), flags)?.into())))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn ObjectFile>> {
        let flags = if write { OFlags::RDWR } else { OFlags::RDONLY };
        Ok(Box::new(DirectFile::new(self.0.file(self.0.relative(path), flags)?.into())))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.unlink(self.0.relative(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(self.0.relative(path))
    }
}

impl ObjectFile for DirectFile {
    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.file().read_at(buffer, offset) {
                Ok(0) => {
                    buffer.fill(0);
                    return Ok(());
                }
                Ok(n) => {
                    buffer = &mut buffer[n..];
                    offset += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags as Flags;
        match rustix::fs::fallocate(self.file(), Flags::PUNCH_HOLE | Flags::KEEP_SIZE, offset, len) {
            Err(rustix::io::Errno::OPNOTSUPP) => {}
            result => return Ok(result?),
        }
        // No holes on this file system: write the zeros, but nothing past the end, where it reads as zeros anyway.
        let end = offset.saturating_add(len).min(self.file().metadata()?.len());
        let zeros = vec![0; 64 << 10];
        let mut at = offset;
        while at < end {
            let n = (end - at).min(zeros.len() as u64);
            self.file().write_all_at(&zeros[..n as usize], at)?;
            at += n;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file().sync_data()
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.blocks().saturating_mul(512))
    }
}
