//! A file that appears under its name complete and synced, or not at all.

use crate::{Error, ErrorKind, Result};
use rustix::fs::{Advice, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A file on its way, of mode 0600, in the directory it will appear in: unnamed where the file system can, else under
/// a random name. Dropped without [`commit`](OutputFile::commit) it is gone. Every call blocks.
pub(crate) struct OutputFile {
    directory: OwnedFd,
    name: OsString,
    force: bool,
    file: Arc<File>,
    temporary: Option<OsString>,
}

impl OutputFile {
    /// Begins the file of that path; `force` replaces a regular file, and nothing else.
    ///
    /// # Errors
    /// `AlreadyExists`; `Usage` for a path that names no file, or something that is not one.
    pub(crate) fn create(path: &Path, force: bool) -> Result<OutputFile> {
        let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::Usage, "the path names no file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(parent, flags, Mode::empty());
        let directory = opened.map_err(io("the directory of the file cannot be opened"))?;
        match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(io("looking for the file")(errno)),
            Ok(_) if !force => return Err(exists()),
            Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() => {}
            Ok(_) => {
                return Err(Error::new(ErrorKind::Usage, "the output path exists and is not a regular file")
                    .hint("only a regular file is replaced"));
            }
        }
        let (file, temporary) = open_temporary(&directory)?;
        Ok(OutputFile { directory, name: name.to_owned(), force, file: Arc::new(file.into()), temporary })
    }

    /// The file, to write at any offset.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Syncs the file, gives it its name, and syncs the directory.
    ///
    /// # Errors
    /// `AlreadyExists` when another came first; `NoSpace`.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.file.sync_all().map_err(|error| Error::io("syncing the file", error))?;
        if self.temporary.is_none() {
            // Without force the link itself decides; with it, only a name can be renamed over another.
            let name = if self.force { random_name()? } else { self.name.clone() };
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(rustix::fs::CWD, path, &self.directory, &name, AtFlags::SYMLINK_FOLLOW)
                .map_err(naming)?;
            self.temporary = self.force.then_some(name);
        }
        if let Some(temporary) = &self.temporary {
            let flags = if self.force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            rustix::fs::renameat_with(&self.directory, temporary, &self.directory, &self.name, flags)
                .map_err(naming)?;
            self.temporary = None;
        }
        rustix::fs::fsync(&self.directory).map_err(io("syncing the directory"))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary
            && let Err(errno) = rustix::fs::unlinkat(&self.directory, temporary, AtFlags::empty())
        {
            tracing::warn!(name = ?temporary, error = %errno, "a temporary file was left");
        }
    }
}

/// Has the kernel begin to write a part of a file to the disk, so that the sync at the end finds little left to do.
pub(crate) fn write_behind(file: &File, start: u64, len: u64) {
    // Linux takes this advice by writing back what is dirty; it lets go only of pages that were clean before.
    if let Err(errno) = rustix::fs::fadvise(file, start, NonZeroU64::new(len), Advice::DontNeed) {
        tracing::trace!(error = %errno, "the file is not written behind");
    }
}

fn open_temporary(directory: &OwnedFd) -> Result<(OwnedFd, Option<OsString>)> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    match rustix::fs::openat(directory, ".", flags | OFlags::TMPFILE, mode) {
        Ok(file) => Ok((file, None)),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
            let name = random_name()?;
            let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let file = rustix::fs::openat(directory, &name, flags, mode).map_err(io("making the file"))?;
            Ok((file, Some(name)))
        }
        Err(errno) => Err(io("making the file")(errno)),
    }
}

fn random_name() -> Result<OsString> {
    Ok(OsStr::new(&format!(".volary-export-{}", super::journal::random_hex()?)).to_owned())
}

fn io(doing: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::io(doing, errno.into())
}

fn naming(errno: Errno) -> Error {
    if errno == Errno::EXIST { exists() } else { io("naming the file")(errno) }
}

fn exists() -> Error {
    Error::new(ErrorKind::AlreadyExists, "the file exists").hint("--force replaces it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    fn names(directory: &Path) -> Vec<OsString> {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn s11_a_file_appears_by_its_commit_alone_and_replaces_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        let first = OutputFile::create(&path, false).unwrap();
        let late = OutputFile::create(&path, false).unwrap();
        first.file().write_all_at(b"first", 0).unwrap();
        assert!(!path.exists());
        first.commit().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(late.commit().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(OutputFile::create(&path, false).err().unwrap().kind(), ErrorKind::AlreadyExists);
        let forced = OutputFile::create(&path, true).unwrap();
        forced.file().write_all_at(b"second", 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        forced.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        drop(OutputFile::create(&dir.path().join("other"), false).unwrap());
        assert_eq!(names(dir.path()), ["disk.raw"]);
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        for path in [dir.path().join("link"), dir.path().join(".."), dir.path().to_owned()] {
            assert_eq!(OutputFile::create(&path, true).err().unwrap().kind(), ErrorKind::Usage);
        }
    }
}
