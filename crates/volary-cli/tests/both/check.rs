//! A check of a store that is well, busy, or rotten.

use crate::harness::Bench;
use serde_json::{Value, json};
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a check finds, by kind and place.
pub(crate) fn found(bench: &Bench, extra: &[&str]) -> (Option<i32>, Vec<(String, String)>, Value) {
    let ended = bench.run(&[&["check", "-o", "json", "--pause", "0ms", &bench.home], extra].concat());
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
    let text = |of: &Value| of.as_str().unwrap_or("-").to_owned();
    let rows = report["findings"].as_array().unwrap().iter();
    (ended.code, rows.map(|of| (text(&of["kind"]), text(&of["volume"]))).collect(), report)
}

/// A check finds nothing at all.
pub(crate) fn assert_clean(bench: &Bench) {
    let (code, rows, report) = found(bench, &[]);
    assert_eq!((code, rows), (Some(0), Vec::new()), "{report:#}");
}

/// A check finds nothing but objects of killed writers in `lost/`, which leave that with a later copy of the database.
pub(crate) fn assert_sound(bench: &Bench) {
    let (code, mut rows, report) = found(bench, &[]);
    let passing = |of: &Value| of["remedy"].as_str().unwrap().starts_with("nothing to do");
    let findings = report["findings"].as_array().unwrap().iter();
    let kept = findings.filter(|of| of["kind"] == "object_lost" && !passing(of)).count();
    rows.retain(|(kind, _)| kind != "object_lost");
    assert_eq!((code, rows, kept), (Some(0), Vec::new(), 0), "{report:#}");
}

#[test]
fn a_store_of_every_kind_of_volume_is_clean_read_or_not() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", "--snapshot", "s", "--protect", image.to_str().unwrap(), &bench.at("base")]);
    bench.ok(&["clone", &bench.at("base@s"), &bench.at("child")]);
    bench.ok(&["snap", "create", &bench.at("child@t")]);
    bench.ok(&["create", "--size", "0B", &bench.at("empty")]);
    bench.ok(&["create", "--size", "1G", &bench.at("gone")]);
    bench.ok(&["rm", "--defer", "7d", &bench.at("gone")]);
    assert_clean(&bench);
    let (code, rows, report) = found(&bench, &["--read"]);
    assert_eq!((code, rows), (Some(0), Vec::new()), "{report:#}");
    assert_eq!((&report["volumes"], &report["complete"]), (&json!(4), &json!(true)));
    assert!(report["verified"].as_u64().unwrap() >= 1 && report["read_bytes"].as_u64().unwrap() >= 8 << 20);
    let people = bench.run(&["check", &bench.home]);
    assert_eq!((people.code, people.stdout.as_str()), (Some(0), ""), "{}", people.stderr);
    assert!(people.stderr.contains("looked at 4 volumes"), "{}", people.stderr);
}

#[test]
fn s13_rot_of_a_snapshot_is_found_by_reading_and_not_without() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", "--snapshot", "s", image.to_str().unwrap(), &bench.at("web")]);
    bench.flip_a_byte();
    assert_clean(&bench);
    let (code, rows, report) = found(&bench, &["--read"]);
    assert_eq!(code, Some(7), "{report:#}");
    assert!(rows.contains(&("content_mismatch".into(), bench.shown("web@s"))), "{report:#}");
    assert!(rows.iter().all(|(_, volume)| volume.starts_with(&bench.shown("web"))), "{report:#}");
}

#[test]
fn what_is_made_renamed_moved_and_removed_meanwhile_is_no_finding() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    bench.ok(&["import", "--snapshot", "golden", "--protect", image.to_str().unwrap(), &bench.at("base")]);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let worker = |number: u32| {
            let (bench, ended, image) = (&bench, &ended, image.to_str().unwrap());
            move || {
                while !ended.load(Ordering::Relaxed) {
                    let [a, b] = ["a", "b"].map(|name| bench.at(&format!("{name}{number}")));
                    match number {
                        0 => bench.ok(&["import", image, &a]),
                        1 => bench.ok(&["clone", &bench.at("base@golden"), &a]),
                        _ => bench.ok(&["create", "--size", "64M", &a]),
                    };
                    bench.ok(&["mv", &a, &b]);
                    bench.ok(&["snap", "create", &format!("{b}@s")]);
                    bench.ok(&["snap", "rm", &format!("{b}@s")]);
                    let id = bench.json(&["rm", "--defer", "1h", &b])["id"].as_str().unwrap().to_owned();
                    bench.ok(&["trash", "restore", &bench.at(&format!("id:{id}")), &format!("c{number}")]);
                    bench.ok(&["rm", &bench.at(&format!("c{number}"))]);
                }
            }
        };
        let workers = [0, 1, 2].map(|number| scope.spawn(worker(number)));
        let check = || bench.run(&["check", "-o", "json", "--pause", "100ms", &bench.home]);
        let outcomes: Vec<_> = (0..15).map(|_| check()).collect();
        ended.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        for check in outcomes {
            assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
        }
    });
    assert_clean(&bench);
}

#[test]
fn a_record_that_is_none_is_told_and_forgotten() {
    let bench = crate::bench();
    bench.put_record("intent.nonsense", b"{}");
    let (code, rows, report) = found(&bench, &[]);
    assert_eq!((code, rows), (Some(7), vec![("record_invalid".into(), "-".into())]), "{report:#}");
    let remedy = report["findings"][0]["remedy"].as_str().unwrap().to_owned();
    let words: Vec<&str> = remedy.split_whitespace().skip(1).collect();
    bench.ok(&words);
    assert_clean(&bench);
}

#[test]
fn an_interrupted_check_reports_what_it_had_and_exits_130() {
    let bench = crate::bench();
    bench.put_record("intent.nonsense", b"{}");
    let mut check = bench.start(&["-vv", "check", "-o", "json", "--pause", "1h", &bench.home]);
    let mut log = std::io::BufReader::new(check.stderr.take().unwrap()).lines();
    // It has found something at the first look, and waits for the second.
    assert!(log.any(|line| line.unwrap().contains("a pause before the second look")));
    crate::harness::signal(&check, rustix::process::Signal::INT);
    let ended = crate::harness::ended(check.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130));
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["complete"], &report["findings"]), (&json!(false), &json!([])));
}
