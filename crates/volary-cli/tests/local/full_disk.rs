//! A disk that is full: in mid-import, and before.

use crate::both::agent::{Agent, until};
use crate::harness::{Bench, ended, signal};
use crate::small_disk::{self, SmallDisk};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};

#[test]
fn a_full_disk_exits_10_and_leaves_nothing() {
    let disk = SmallDisk::new(400);
    let bench = Bench::with_store(disk.store());
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
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 400 << 20]).unwrap_err();
    signal(&child, Signal::CONT);
    let full = ended(child.wait_with_output().unwrap());
    std::fs::remove_file(filler).unwrap();
    assert_eq!(full.code, Some(10), "{}", full.stderr);
    bench.assert_empty();
}

#[test]
fn an_agent_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let disk = SmallDisk::new(64);
    let bench = Bench::with_store(disk.store());
    bench.ok(&["create", "web", "--size", "1G"]);
    disk.fill();
    let mut child = bench.start(&["agent", "--interval", "300ms", "--listen", "127.0.0.1:0", "-o", "json"]);
    let mut rounds = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut round = || serde_json::from_str::<serde_json::Value>(&rounds.next().unwrap().unwrap()).unwrap();
    let full = round();
    assert_eq!((&full["outcome"], &full["failed"][0]["error_kind"]), (&"partial".into(), &"no_space".into()));
    disk.empty();
    while round()["outcome"] != "done" {}
    signal(&child, Signal::TERM);
    assert_eq!(ended(child.wait_with_output().unwrap()).code, Some(0));
}

#[test]
fn an_agent_whose_audit_log_is_on_a_full_disk_counts_what_is_lost_and_goes_on_when_there_is_room() {
    let (disk, bench) = (SmallDisk::new(8), Bench::new());
    let log = disk.path().join("audit.log");
    std::fs::write(&log, "").unwrap();
    disk.fill();
    let agent = Agent::start(&bench, &["--audit-log", log.to_str().unwrap()]);
    let discard = |name: &str| {
        bench.ok(&["create", name, "--size", "1M"]);
        bench.ok(&["trash", "mv", "--defer", "0s", name]);
        until("its removal", || bench.json(&["trash", "ls"]) == serde_json::json!([]));
    };
    discard("one");
    let lost = |page: &str| {
        let count = page.lines().find_map(|line| line.strip_prefix("volary_audit_lines_lost_total "));
        count.map(|count| count.parse::<u32>().unwrap())
    };
    until("the count of both lines", || lost(&agent.page("/metrics")) >= Some(2));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    disk.empty();
    discard("two");
    until("its lines", || std::fs::read_to_string(&log).unwrap().matches("\"trash_purge\"").count() >= 2);
    let said = agent.stop();
    assert_eq!(said.matches("audit records are lost").count(), 1, "{said}");
}

/// A store with a volume that has a snapshot, one beside it, and an empty one.
fn kept(disk: &SmallDisk) -> Bench {
    let bench = Bench::with_store(disk.store());
    let image = bench.image("disk.raw", 2);
    let image = image.to_str().unwrap();
    bench.ok(&["import", image, "web"]);
    bench.ok(&["snap", "create", "web@s"]);
    bench.ok(&["import", image, "other"]);
    bench.ok(&["create", "empty", "--size", "1G"]);
    bench
}

/// All that only reads, without a word on standard error.
fn assert_read(bench: &Bench, round: usize) {
    let out = bench.path(&format!("out-{round}.raw"));
    let out = out.to_str().unwrap();
    let reads: [&[&str]; 9] = [
        &["ls"],
        &["ls", "-l"],
        &["info", "web"],
        &["export", "web", out],
        &["verify", "other"],
        &["snap", "ls", "web"],
        &["trash", "ls"],
        &["pending"],
        &["reap"],
    ];
    small_disk::assert_read(bench, &reads);
    // It tells what it looked at; the room that is kept is no finding.
    bench.ok(&["check", "--read"]);
    let same = std::fs::read(out).unwrap() == std::fs::read(bench.path("disk.raw")).unwrap();
    assert!(same, "other bytes were exported");
}

/// All that needs room, which changes nothing and names the remedy.
fn assert_refused(bench: &Bench) {
    let image = bench.path("disk.raw");
    let refused: [&[&str]; 6] = [
        &["create", "more", "--size", "1G"],
        &["import", image.to_str().unwrap(), "more"],
        &["snap", "create", "web@more"],
        &["cp", "web", "more"],
        &["mv", "other", "more"],
        &["meta", "set", "web", "a", "b"],
    ];
    small_disk::assert_refused(bench, &refused, "make room");
}

/// Whether the store keeps all the room for removals.
fn reserved(disk: &SmallDisk) -> bool {
    let room = disk.store().join("reserve/room").metadata().map_or(0, |file| file.len());
    room > 4 << 20 && disk.store().join("reserve/inode-15").exists()
}

#[test]
fn s01_on_a_full_disk_reading_goes_on_and_what_needs_room_changes_nothing() {
    let disk = SmallDisk::new(100);
    let bench = kept(&disk);
    assert!(reserved(&disk));
    disk.fill();
    for round in 0..3 {
        assert_read(&bench, round);
        assert_refused(&bench);
        assert!(reserved(&disk), "reading took of the room for removals");
    }
}

#[test]
fn s02_on_a_full_disk_removing_works_and_makes_room() {
    let disk = SmallDisk::new(100);
    let bench = kept(&disk);
    let empty: Vec<String> = (0..20).map(|number| format!("empty-{number}")).collect();
    for name in &empty {
        bench.ok(&["create", name, "--size", "1G"]);
    }
    disk.fill();
    // What frees nothing leaves the room for the next.
    for name in &empty {
        bench.ok(&["rm", name]);
    }
    assert_refused(&bench);
    bench.ok(&["snap", "rm", "web@s"]);
    bench.ok(&["snap", "ls", "web"]);
    assert_refused(&bench);
    bench.ok(&["rm", "other"]);
    bench.ok(&["rm", "--purge-snapshots", "web"]);
    let image = bench.path("disk.raw");
    bench.ok(&["import", image.to_str().unwrap(), "more"]);
    assert!(reserved(&disk), "the room is not taken again");
    bench.ok(&["verify", "more"]);
    disk.empty();
    disk.fill();
    bench.ok(&["rm", "more"]);
    bench.ok(&["rm", "empty"]);
    bench.assert_empty();
}

#[test]
fn s02_without_the_room_that_is_kept_reading_goes_on_and_removing_says_what_is_missing() {
    let disk = SmallDisk::new(100);
    let bench = kept(&disk);
    std::fs::remove_dir_all(disk.store().join("reserve")).unwrap();
    disk.fill();
    assert_read(&bench, 0);
    assert_refused(&bench);
    let ended = bench.run(&["rm", "web", "--purge-snapshots"]);
    assert_eq!(ended.code, Some(10), "{}", ended.stderr);
    assert_read(&bench, 1);
    disk.empty();
    bench.ok(&["ls"]);
    assert!(reserved(&disk), "the room is not taken again");
}

#[test]
fn s04_on_a_full_disk_a_reaper_settles_what_was_killed() {
    let disk = SmallDisk::new(200);
    let bench = Bench::with_store(disk.store());
    let image = bench.image("disk.raw", 32);
    let mut child = bench.start(&["import", image.to_str().unwrap(), "web"]);
    bench.wait_for_objects(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    disk.fill();
    assert_ne!(bench.json(&["pending"]), serde_json::json!([]));
    bench.ok(&["reap"]);
    assert_eq!(bench.json(&["pending"]), serde_json::json!([]));
    bench.assert_empty();
}

#[test]
fn s02_without_a_free_inode_reading_and_removing_go_on() {
    let disk = SmallDisk::new(100);
    let bench = kept(&disk);
    disk.take_inodes();
    for round in 0..2 {
        assert_read(&bench, round);
        let image = bench.path("disk.raw");
        small_disk::assert_refused(&bench, &[&["import", image.to_str().unwrap(), "more"]], "make room");
    }
    bench.ok(&["rm", "--purge-snapshots", "web"]);
    bench.ok(&["rm", "other"]);
    bench.ok(&["rm", "empty"]);
    bench.assert_empty();
}
