//! The file layer under the objects: a seam, so that tests can drop what was not synced, as a power cut does.

use super::root::Root;
use crate::direct::DirectFile;
use rustix::fs::OFlags;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// One object's file.
pub(super) trait ObjectFile: Send + Sync {
    /// Fills the buffer as far as the file goes, and says how far that was.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes a range read as zeros and frees what it can.
    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Lets it end here, which is not after where it ends now.
    fn cut_at(&self, length: u64) -> io::Result<()>;
    /// Makes what was written durable; the file's name needs [`Files::sync_dir`] besides.
    fn sync(&self) -> io::Result<()>;
    /// Where it ends.
    fn length(&self) -> io::Result<u64>;
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
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file().read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
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

    fn cut_at(&self, length: u64) -> io::Result<()> {
        self.file().set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file().sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.len())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.blocks().saturating_mul(512))
    }
}
