//! What Ctrl-C, SIGTERM, SIGKILL, a second command at once and a full disk leave behind: nothing.
#![allow(clippy::unwrap_used)]

mod harness;
use harness::{Bench, ended, signal};
use rustix::process::Signal;
use std::process::Stdio;

#[test]
fn s05_an_interrupt_in_mid_import_exits_130_and_leaves_nothing() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 96);
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = bench.start(&["import", image.to_str().unwrap(), "web"]);
        bench.wait_for_objects(&mut child);
        signal(&child, number);
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
        bench.assert_empty();
    }
}

#[test]
fn s01_a_killed_import_publishes_nothing_and_the_next_one_succeeds() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 64);
    let mut child = bench.start(&["import", image.to_str().unwrap(), "web"]);
    bench.wait_for_objects(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(bench.json(&["ls"]), serde_json::json!([]));
    let report = bench.json(&["import", image.to_str().unwrap(), "web"]);
    assert_eq!(report["verified"], true);
    assert_eq!(bench.json(&["verify", "web"])["match"], true);
}

#[test]
fn s01_of_two_imports_of_one_name_at_once_one_wins_and_the_other_exits_4() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 16);
    let args = ["import", image.to_str().unwrap(), "web"];
    let children = [bench.start(&args), bench.start(&args)];
    let mut codes = children.map(|child| ended(child.wait_with_output().unwrap()).code.unwrap());
    codes.sort_unstable();
    assert_eq!(codes, [0, 4]);
    assert_eq!(bench.json(&["ls"]).as_array().unwrap().len(), 1);
    assert_eq!(bench.json(&["trash", "ls"]), serde_json::json!([]));
    assert_eq!(bench.json(&["verify", "web"])["match"], true);
    assert_eq!(bench.objects(), 16, "the loser's data is gone");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let bench = Bench::new();
    for number in 0..3 {
        bench.ok(&["create", "--size", "1M", &format!("volume-{number}")]);
    }
    let image = bench.image("disk.raw", 4);
    bench.ok(&["import", image.to_str().unwrap(), "web"]);
    for args in [vec!["ls"], vec!["export", "web", "-"], vec!["-o", "json", "info", "web"]] {
        let mut child = bench.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

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

#[test]
fn s02_a_second_writer_exits_5_and_names_the_first_ones_process() {
    let bench = Bench::new();
    bench.ok(&["create", "--size", "8M", "web"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ctl = volary::Ctl::new();
    let url = volary::StoreUrl::local(&bench.store);
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let write = volary::engine::OpenOptions::write();
    let target = volary::Target::Name(volary::Name::new("web").unwrap());
    let volume =
        runtime.block_on(store.engine().open(&volary::Namespace::default(), &target, &write, &ctl)).unwrap();
    let pid = format!("process {}", std::process::id());
    for args in [
        &["resize", "web", "--size", "16M"][..],
        &["snap", "create", "web@s"],
        &["rm", "--wait", "1ms", "web"],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(5), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(&pid), "{args:?} does not name {pid}: {}", ended.stderr);
    }
    runtime.block_on(volume.close(&ctl)).unwrap();
    assert_eq!(bench.json(&["info", "web"])["size_bytes"], 8 << 20, "nothing was changed");
    bench.ok(&["rm", "web"]);
}
