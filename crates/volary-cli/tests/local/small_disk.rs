//! A file system of a test's own, which it fills or mounts read-only, and how commands end on it; whoever may not mount sees the test
//! fail.

use crate::harness::Bench;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use std::ffi::CString;
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = CString::new(format!("size={mebibytes}m,mode=0700")).unwrap();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), Some(&*options)).unwrap();
        SmallDisk(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Takes all the space, to the last page.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        for bytes in [1 << 20, 4096] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        assert_eq!(rustix::fs::statvfs(self.path()).unwrap().f_bfree, 0);
    }

    /// Gives back what [`fill`](SmallDisk::fill) took.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }

    /// Leaves no inode.
    pub(crate) fn take_inodes(&self) {
        let used = rustix::fs::statvfs(self.path()).unwrap();
        let options = CString::new(format!("nr_inodes={}", used.f_files - used.f_ffree)).unwrap();
        mount_remount(self.path(), MountFlags::empty(), &*options).unwrap();
        std::fs::write(self.path().join("one more"), "").unwrap_err();
    }

    pub(crate) fn make_read_only(&self) {
        mount_remount(self.path(), MountFlags::RDONLY, c"").unwrap();
        std::fs::write(self.path().join("one more"), "").unwrap_err();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

/// A second mount of a directory, through which nothing can be written.
pub(crate) struct View {
    path: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl View {
    /// At another place: the directory itself can be written as before.
    pub(crate) fn of(path: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        View::at(path, dir.path().to_owned(), Some(dir))
    }

    /// Over the directory itself.
    pub(crate) fn over(path: &Path) -> Self {
        View::at(path, path.to_owned(), None)
    }

    fn at(path: &Path, at: PathBuf, dir: Option<tempfile::TempDir>) -> Self {
        mount_bind(path, &at).unwrap();
        mount_remount(&at, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
        View { path: at, _dir: dir }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

/// Commands that only read: each ends well, without a word on standard error.
pub(crate) fn assert_read(bench: &Bench, reads: &[&[&str]]) {
    for args in reads {
        let ended = bench.run(args);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

/// Commands that write: each exits 10, names the remedy, and changes nothing.
pub(crate) fn assert_refused(bench: &Bench, writes: &[&[&str]], remedy: &str) {
    let before = bench.ok(&["ls"]);
    for args in writes {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(10), "{args:?}: {}", ended.stderr);
        let hint = ended.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
        assert!(hint.starts_with(&format!("hint: {remedy}")), "{args:?}: {}", ended.stderr);
    }
    assert_eq!(bench.ok(&["ls"]), before);
}
