//! A disk that fills up in mid-import.

use crate::harness::{Bench, ended, signal};
use rustix::process::Signal;

/// A file system of its own, small enough to fill.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(mebibytes: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={mebibytes}m,mode=0700");
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount(
            "tmpfs",
            dir.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            Some(&*options),
        )
        .unwrap();
        SmallDisk(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_exits_10_and_leaves_nothing() {
    let disk = SmallDisk::new(400);
    let bench = Bench::with_store(disk.0.path().join("store"));
    let image = bench.image("disk.raw", 104);
    // Refused before anything is made: the space is counted first.
    let refused = bench.run(&["import", image.to_str().unwrap(), "web"]);
    assert_eq!(refused.code, Some(10), "{}", refused.stderr);
    bench.assert_empty();
    // The disk fills up while the import runs: it is held when it has begun, and goes on when all is taken.
    let image = bench.image("disk.raw", 88);
    let mut child = bench.start(&["import", image.to_str().unwrap(), "web"]);
    bench.wait_for_objects(&mut child);
    signal(&child, Signal::STOP);
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![1; 400 << 20]).unwrap_err();
    signal(&child, Signal::CONT);
    let full = ended(child.wait_with_output().unwrap());
    std::fs::remove_file(filler).unwrap();
    assert_eq!(full.code, Some(10), "{}", full.stderr);
    bench.assert_empty();
}
