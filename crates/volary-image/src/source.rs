//! Where bytes come from: an open file, or memory.

use crate::refusal::{ImageError, Reason, refused};
use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Random access to a source whose length does not change.
pub trait ReadAt: Send + Sync {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills the buffer from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the source ends first; whatever reading gives.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The next range at or after `offset` that may hold data; `None` when only a hole follows, or nothing.
    ///
    /// # Errors
    /// Whatever asking the file system gives.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>>;
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let len = ReadAt::len(self);
        Ok((offset < len).then_some(offset..len))
    }
}

/// An open regular file or block device. Everything is read through this one descriptor.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    path: PathBuf,
    len: u64,
    seeks_holes: bool,
}

/// What tells whether a file changed while it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Length in bytes.
    pub len: u64,
    /// Time of the last change of content, in nanoseconds.
    pub mtime_ns: i128,
    /// Time of the last change of content or attributes, in nanoseconds.
    pub ctime_ns: i128,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

const CHECK: &str = "source.file";
const UNOPENED: &str = "the source cannot be opened";

fn not_a_file(what: impl std::fmt::Display) -> ImageError {
    refused(Reason::NotAFile, CHECK, format_args!("{what}, not a regular file or block device"))
}

fn accept_type(kind: FileType) -> Result<(), ImageError> {
    match kind {
        FileType::RegularFile | FileType::BlockDevice => Ok(()),
        FileType::Symlink => Err(not_a_file("a symbolic link")),
        FileType::Directory => Err(not_a_file("a directory")),
        FileType::Fifo => Err(not_a_file("a FIFO")),
        FileType::Socket => Err(not_a_file("a socket")),
        _ => Err(not_a_file("a device")),
    }
}

fn failed(doing: &'static str) -> impl Fn(rustix::io::Errno) -> ImageError {
    move |errno| ImageError::Io { doing, source: errno.into() }
}

impl FileSource {
    /// Opens a path without following a final symbolic link and without ever blocking.
    ///
    /// # Errors
    /// Refused with `not_a_file` for links, FIFOs, sockets, directories, character devices and kernel file systems;
    /// `Io` when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        // Looked at before it is opened: merely opening some devices has effects.
        let seen = rustix::fs::lstat(path).map_err(failed(UNOPENED))?;
        accept_type(FileType::from_raw_mode(seen.st_mode))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP) => return Err(not_a_file("a symbolic link")),
            Err(errno) => return Err(failed(UNOPENED)(errno)),
        };
        Self::build(file, path.to_owned())
    }

    /// Takes a file that is open already, such as a spool.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn from_file(file: File) -> Result<Self, ImageError> {
        Self::build(file, PathBuf::from("-"))
    }

    fn build(file: File, path: PathBuf) -> Result<Self, ImageError> {
        let stat = rustix::fs::fstat(&file).map_err(failed("looking at the source"))?;
        accept_type(FileType::from_raw_mode(stat.st_mode))?;
        // procfs, sysfs, debugfs, tracefs, configfs, securityfs, cgroup 1 and 2: files without a stable content.
        const KERNEL: [u64; 8] = [
            0x9fa0,
            0x6265_6572,
            0x6462_6720,
            0x7472_6163,
            0x6265_6570,
            0x7363_6673,
            0x0027_e0eb,
            0x6367_7270,
        ];
        let system = rustix::fs::fstatfs(&file).map_err(failed("looking at the source's file system"))?;
        // The type of the field differs between architectures.
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
        if KERNEL.contains(&(system.f_type as u64 & 0xffff_ffff)) {
            return Err(not_a_file("a file made by the kernel"));
        }
        let len = length(&file).map_err(failed("measuring the source"))?;
        let seeks_holes = match rustix::fs::seek(&file, SeekFrom::Data(0)) {
            Ok(_) | Err(rustix::io::Errno::NXIO) => true,
            Err(_) => false,
        };
        Ok(Self { file, path, len, seeks_holes })
    }

    /// The path it was opened by; `-` for a descriptor.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file now; compare with an earlier one to see a change.
    ///
    /// # Errors
    /// Whatever `fstat` gives.
    pub fn fingerprint(&self) -> io::Result<Fingerprint> {
        use std::os::unix::fs::MetadataExt;
        let meta = self.file.metadata()?;
        let nanos = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Ok(Fingerprint {
            len: length(&self.file)?,
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
            device: meta.dev(),
            inode: meta.ino(),
        })
    }
}

/// A block device's length is not in its inode, seeking to the end tells both kinds.
fn length(file: &File) -> Result<u64, rustix::io::Errno> {
    rustix::fs::seek(file, SeekFrom::End(0))
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.len {
            return Ok(None);
        }
        if !self.seeks_holes {
            return Ok(Some(offset..self.len));
        }
        // The file position these move is used by nothing: all reading is positioned.
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) if start < self.len => start,
            Ok(_) | Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        Ok(Some(start..end.clamp(start + 1, self.len)))
    }
}
