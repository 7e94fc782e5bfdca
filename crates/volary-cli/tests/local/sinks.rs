//! What standard output may be: a pipe whose reader goes, a full disk, a socket.

use crate::harness::{Bench, Ended, ended};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

/// Runs with standard output on the device that is always full.
fn onto_full(bench: &Bench, args: &[&str]) -> Ended {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    ended(bench.command(args).stdout(full).output().unwrap())
}

/// Runs with standard output on something whose other end reads so many bytes and goes.
fn onto_reader(
    bench: &Bench,
    args: &[&str],
    sink: impl Into<OwnedFd>,
    from: impl Read,
    bytes: usize,
) -> Ended {
    let child = bench.command(args).stdout(Stdio::from(sink.into())).spawn().unwrap();
    // The command that this process keeps would keep its end of the pipe, too; it is gone by now.
    let mut read = Vec::new();
    from.take(bytes as u64).read_to_end(&mut read).unwrap();
    ended(child.wait_with_output().unwrap())
}

fn error(ended: &Ended) -> Value {
    let line = ended.stderr.lines().last().unwrap_or_default();
    serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr))["error"]
        .clone()
}

#[test]
fn s11_an_export_that_was_not_taken_whole_says_how_much_was() {
    let bench = Bench::new();
    let image = bench.image("disk.img", 2);
    bench.ok(&["import", image.to_str().unwrap(), "web"]);
    let args = ["-o", "json", "export", "web", "-"];
    let size = 8 << 20;
    for read in [0, 1 << 20, size - 1000] {
        let (pipe, sink) = std::io::pipe().unwrap();
        let ended = onto_reader(&bench, &args, sink, pipe, read);
        let error = error(&ended);
        assert_eq!(ended.code, Some(1), "{read}: {}", ended.stderr);
        let taken = error["context"]["taken_bytes"].as_str().unwrap().parse::<usize>().unwrap();
        assert!(taken >= read && taken < size, "{read}: {error}");
        assert_eq!(error["context"]["size_bytes"], size.to_string());
    }
    let (other, sink) = UnixStream::pair().unwrap();
    assert_eq!(onto_reader(&bench, &args, sink, other, 1 << 20).code, Some(1));
    let full = onto_full(&bench, &args);
    assert_eq!((full.code, &error(&full)["context"]["taken_bytes"]), (Some(10), &"0".into()));
    // Who takes it all gets it all, also where it is read only at the end.
    let (pipe, sink) = std::io::pipe().unwrap();
    assert_eq!(onto_reader(&bench, &args, sink, pipe, size + 1).code, Some(0));
}

#[test]
fn a_listing_ends_well_when_its_reader_has_seen_enough() {
    let bench = Bench::new();
    for n in 0..50 {
        bench.ok(&["create", &format!("v{n}"), "--size", "1M"]);
    }
    for args in [&["ls"][..], &["ls", "-l"], &["-o", "json", "ls"], &["du"], &["status"], &["man"]] {
        let (pipe, sink) = std::io::pipe().unwrap();
        drop(pipe);
        let ended = ended(bench.command(args).stdout(sink).output().unwrap());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert_eq!(onto_full(&bench, args).code, Some(10), "{args:?}");
    }
    // An error is one all the same.
    let (pipe, sink) = std::io::pipe().unwrap();
    drop(pipe);
    let text = bench.path("text");
    std::fs::write(&text, "PK\x03\x04").unwrap();
    let inspected = bench.command(&["inspect", text.to_str().unwrap()]).stdout(sink).output().unwrap();
    assert_eq!(ended(inspected).code, Some(6));
}

#[test]
fn what_was_done_is_in_the_error_when_its_report_cannot_be_written() {
    let bench = Bench::new();
    let image = bench.image("disk.img", 1);
    let file = bench.path("out.raw");
    let (image, file) = (image.to_str().unwrap(), file.to_str().unwrap());
    for args in [
        &["import", image, "web"][..],
        &["create", "empty", "--size", "1M"],
        &["cp", "web", "copy"],
        &["snap", "create", "web@base", "--protect"],
        &["clone", "web@base", "child"],
        &["flatten", "child"],
        &["resize", "empty", "--size", "2M"],
        &["mv", "empty", "other"],
        &["export", "web", file],
        &["verify", "copy", "--record"],
        &["namespace", "create", "rbd/t1"],
        &["namespace", "rm", "rbd/t1"],
        &["pool", "create", "ssd"],
        &["lock", "add", "copy", "moving"],
        &["snap", "unprotect", "web@base"],
        &["snap", "rm", "web@base"],
        &["snap", "purge", "web"],
        &["rm", "child"],
        &["trash", "mv", "other", "--defer", "1h"],
        &["trash", "purge", "--all"],
        &["reap"],
        &["cleanup", "--match", "oth*"],
    ] {
        let ended = onto_full(&bench, &[&["-o", "json"], args].concat());
        let error = error(&ended);
        assert_eq!((ended.code, &error["kind"]), (Some(10), &"no_space".into()), "{args:?}: {error}");
        let report = error["context"]["report"].as_str().unwrap_or_else(|| panic!("{args:?}: {error}"));
        let report: Value = serde_json::from_str(report).unwrap();
        assert!(report.is_object() || report.is_array(), "{args:?}: {report}");
        if args[0] == "import" {
            let there = bench.json(&["info", "web"]);
            assert_eq!((&report["volume"], &report["id"]), (&"rbd/web".into(), &there["id"]));
        }
    }
    let ended = onto_full(&bench, &["import", image, "again"]);
    assert!(ended.code == Some(10) && ended.stderr.contains("rbd/again"), "{}", ended.stderr);
    // What would be done, was not.
    let ended = onto_full(&bench, &["-o", "json", "rm", "--dry-run", "web"]);
    assert!(ended.code == Some(10) && error(&ended)["context"]["report"].is_null(), "{}", ended.stderr);
    bench.ok(&["info", "web"]);
}
