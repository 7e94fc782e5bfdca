//! A store on a file system that is mounted read-only: it is read as it is, with its log, and never written.

use crate::harness::{Bench, signal};
use crate::small_disk::{self, SmallDisk, View};
use rustix::process::Signal;
use std::path::Path;

fn with_volumes(disk: &SmallDisk) -> Bench {
    let bench = Bench::with_store(disk.store());
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", image.to_str().unwrap(), "web"]);
    bench.ok(&["snap", "create", "web@s"]);
    bench
}

/// An import that has begun to write, beside what is there.
fn importing(bench: &Bench, image: &Path) -> std::process::Child {
    let before = bench.objects();
    let mut child = bench.start(&["import", image.to_str().unwrap(), "large"]);
    while bench.objects() == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote");
        std::thread::yield_now();
    }
    child
}

/// Reads all there is, without a word on standard error.
fn assert_read(bench: &Bench, image: &Path) {
    let (head, snapshot) = (bench.path("head.raw"), bench.path("snapshot.raw"));
    let reads: [&[&str]; 9] = [
        &["ls"],
        &["ls", "-l"],
        &["info", "web"],
        &["export", "web", head.to_str().unwrap()],
        &["export", "web@s", snapshot.to_str().unwrap()],
        &["verify", "web"],
        &["snap", "ls", "web"],
        &["pending"],
        &["doctor"],
    ];
    small_disk::assert_read(bench, &reads);
    let image = std::fs::read(image).unwrap();
    assert!(std::fs::read(head).unwrap() == image && std::fs::read(snapshot).unwrap() == image);
}

fn assert_refused(bench: &Bench) {
    let image = bench.path("disk.raw");
    std::fs::write(&image, vec![1; 1 << 20]).unwrap();
    let refused: [&[&str]; 6] = [
        &["create", "more", "--size", "1G"],
        &["import", image.to_str().unwrap(), "more"],
        &["snap", "create", "web@more"],
        &["rm", "web", "--purge-snapshots"],
        &["mv", "web", "more"],
        &["meta", "set", "web", "a", "b"],
    ];
    small_disk::assert_refused(bench, &refused, "mount it writable");
}

#[test]
fn a_store_on_a_read_only_mount_is_read_and_not_written() {
    let disk = SmallDisk::new(100);
    let bench = with_volumes(&disk);
    disk.make_read_only();
    assert_read(&bench, &bench.path("disk.raw"));
    bench.ok(&["reap"]);
    bench.ok(&["check", "--read"]);
    assert_refused(&bench);
}

#[test]
fn s04_on_a_read_only_mount_what_is_in_the_log_alone_is_read_too() {
    let disk = SmallDisk::new(200);
    let bench = with_volumes(&disk);
    let image = bench.image("large.raw", 24);
    let mut child = importing(&bench, &image);
    child.kill().unwrap();
    child.wait().unwrap();
    let log = disk.store().join("store.db-wal").metadata().unwrap();
    assert!(log.len() > 0, "nothing was left in the log");
    disk.make_read_only();
    assert_read(&bench, &bench.path("disk.raw"));
    assert_eq!(bench.json(&["pending"]).as_array().unwrap().len(), 1);
    assert_refused(&bench);
}

#[test]
fn s13_through_a_read_only_mount_of_a_store_that_others_write_no_other_rows_are_read() {
    let disk = SmallDisk::new(200);
    let bench = with_volumes(&disk);
    let view = View::of(&disk.store());
    let reader = Bench::with_store(view.path().to_owned());
    // Beside a writer at work, whose rows are in the log and whose index of it is there.
    let image = bench.image("large.raw", 24);
    let mut child = importing(&bench, &image);
    signal(&child, Signal::STOP);
    assert_read(&reader, &bench.path("disk.raw"));
    assert_eq!(reader.json(&["pending"]).as_array().unwrap().len(), 1);
    assert_refused(&reader);
    signal(&child, Signal::CONT);
    assert!(child.wait().unwrap().success());
    // While processes come, write, empty the log and go: each listing is one of the states that there were.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..30 {
                bench.ok(&["create", &format!("v{number:02}"), "--size", "1M"]);
            }
        });
        let mut seen = 0;
        while seen < 30 {
            let over = writer.is_finished();
            let names = reader.json(&["ls"]);
            let of_writer =
                |entry: &&serde_json::Value| entry["volume"].as_str().unwrap().starts_with("rbd/v");
            let names: Vec<_> = names.as_array().unwrap().iter().filter(of_writer).cloned().collect();
            assert!(names.len() >= seen, "what was read before is gone");
            for (number, entry) in names.iter().enumerate() {
                assert_eq!(entry["volume"], format!("rbd/v{number:02}"));
            }
            seen = names.len();
            assert!(!over || seen == 30, "the last rows are not seen");
        }
    });
    reader.ok(&["verify", "large"]);
}

#[test]
fn a_store_without_its_log_is_refused_on_a_read_only_mount() {
    let disk = SmallDisk::new(100);
    let bench = with_volumes(&disk);
    for name in ["store.db-wal", "store.db-shm"] {
        std::fs::remove_file(disk.store().join(name)).unwrap();
    }
    disk.make_read_only();
    let ended = bench.run(&["ls"]);
    assert_eq!(ended.code, Some(10), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("log") && ended.stderr.contains("run `volary ls` once"),
        "{}",
        ended.stderr
    );
    // Where there is no store none is made.
    let none = Bench::with_store(disk.path().join("none")).run(&["ls"]);
    assert_eq!(none.code, Some(10), "{}", none.stderr);
}

#[test]
fn a_part_of_a_store_that_is_mounted_read_only_is_read_and_not_written() {
    let disk = SmallDisk::new(100);
    let bench = with_volumes(&disk);
    let objects = View::over(&disk.store().join("objects"));
    let image = bench.path("disk.raw");
    small_disk::assert_refused(&bench, &[&["import", image.to_str().unwrap(), "more"]], "mount it writable");
    bench.ok(&["verify", "web"]);
    drop(objects);
    bench.ok(&["import", image.to_str().unwrap(), "more"]);
}
