//! The audit trail in a file.

use crate::bench;
use crate::harness::signal;
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn s08_every_operation_that_matters_leaves_two_lines_whatever_is_logged_and_no_secret() {
    let bench = bench();
    let log = bench.path("audit.log");
    let run = |args: &[&str]| {
        let audited = ["-q", "--audit-log", log.to_str().unwrap()];
        bench.run(&[&audited[..], args].concat())
    };
    let image = bench.image("disk.raw", 1);
    let secret = bench.path("key=SECRETMARKER.raw");
    std::fs::copy(&image, &secret).unwrap();
    let web = bench.at("web");
    assert_eq!(run(&["import", secret.to_str().unwrap(), &web]).code, Some(0));
    assert_eq!(run(&["import", bench.path("missing").to_str().unwrap(), &bench.at("other")]).code, Some(3));
    assert_eq!(run(&["rm", &web]).code, Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("SECRETMARKER"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|of| (of["operation"].as_str().unwrap(), of["event"].as_str().unwrap(), of["outcome"].as_str()))
        .collect();
    assert_eq!(seen[0], ("import", "begins", None), "{text}");
    assert!(matches!(seen[1], ("import", "ends", Some(_))), "{text}");
    assert_eq!(seen[3], ("import", "ends", Some("not_found")), "{text}");
    assert_eq!(seen[4], ("remove", "begins", None), "{text}");
    assert_eq!(seen[5], ("remove", "ends", Some("removed")), "{text}");
    assert_eq!(seen.len(), 6, "{text}");
    for line in &lines {
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(
            line["uid"].is_u64()
                && line["pid"].is_u64()
                && line["details"].is_object() != line["error"].is_string(),
            "{line}"
        );
    }
    assert_eq!(lines[0]["subject"], bench.shown("web"));
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_command_that_cannot_keep_its_trail_does_nothing() {
    let bench = bench();
    let link = bench.path("link");
    std::os::unix::fs::symlink(bench.path("elsewhere"), &link).unwrap();
    let missing = bench.path("missing/audit.log");
    for (path, code) in [(&missing, 3), (&link, 1), (&bench.path(""), 1)] {
        let ended =
            bench.run(&["--audit-log", path.to_str().unwrap(), "create", "--size", "1M", &bench.at("web")]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("opening the audit log"), "{}", ended.stderr);
    }
    assert!(!bench.path("elsewhere").exists());
    bench.assert_empty();
}

fn events(log: &Path) -> Vec<(String, String)> {
    let lines = std::fs::read_to_string(log).unwrap_or_default();
    let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (word(&line, "operation"), word(&line, "event"))).collect()
}

fn pair(operation: &str) -> Vec<(String, String)> {
    ["begins", "ends"].map(|event| (operation.to_owned(), event.to_owned())).to_vec()
}

#[test]
fn the_trail_goes_on_in_a_new_file_when_the_old_one_is_rotated_away() {
    let bench = bench();
    let log = bench.path("audit.log");
    let due = |number: u32| {
        let volume = bench.at(&format!("volume-{number}"));
        bench.ok(&["create", "--size", "1M", &volume]);
        bench.ok(&["trash", "mv", "--defer", "0s", &volume]);
    };
    due(0);
    let args = ["agent", &bench.home, "--interval", "100ms", "--listen", "127.0.0.1:0", "-o", "json"];
    let mut agent = bench.start(&[&["--audit-log", log.to_str().unwrap()], &args[..]].concat());
    let mut rounds = BufReader::new(agent.stdout.take().unwrap()).lines();
    let mut until_purged = || {
        let began = Instant::now();
        let purged = |line: String| serde_json::from_str::<Value>(&line).unwrap()["purged"][0].is_object();
        while !purged(rounds.next().unwrap().unwrap()) {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing was purged");
        }
    };
    until_purged();
    assert_eq!(events(&log), pair("trash_purge"));
    // As a rotation of logs does it: one process writes on, and is told nothing.
    let rotated = bench.path("audit.log.1");
    std::fs::rename(&log, &rotated).unwrap();
    due(1);
    until_purged();
    assert_eq!((events(&rotated), events(&log)), (pair("trash_purge"), pair("trash_purge")));
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&log).unwrap();
    due(2);
    until_purged();
    assert_eq!(events(&log), pair("trash_purge"), "removed, it is made anew");
    signal(&agent, Signal::TERM);
    assert!(agent.wait().unwrap().success());
    bench.assert_empty();
}

/// A file that only grows, if this user may make one on this file system.
struct AppendOnly<'a>(&'a Path);

impl AppendOnly<'_> {
    fn set(&self, how: &str) -> bool {
        Command::new("chattr").arg(how).arg(self.0).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for AppendOnly<'_> {
    fn drop(&mut self) {
        self.set("-a");
    }
}

#[test]
fn the_trail_can_be_a_file_that_the_system_only_lets_grow() {
    let bench = bench();
    let log = bench.path("audit.log");
    std::fs::write(&log, "").unwrap();
    let append_only = AppendOnly(&log);
    if !append_only.set("+a") {
        return;
    }
    for volume in ["web", "db"].map(|name| bench.at(name)) {
        bench.ok(&["create", "--size", "1M", &volume]);
        bench.ok(&["--audit-log", log.to_str().unwrap(), "rm", &volume]);
    }
    assert_eq!(events(&log), [pair("remove"), pair("remove")].concat());
    assert!(std::fs::File::options().write(true).truncate(true).open(&log).is_err(), "it does only grow");
}
