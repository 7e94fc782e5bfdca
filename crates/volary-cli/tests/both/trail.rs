//! Every command that changes something is in the audit trail, with who ran it and how it came out; those that only look are not.

use crate::bench;
use crate::harness::{Bench, Ended};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Commands that change nothing in a store, or whose parts are listed on their own.
const ONLY_LOOK: &[&str] = &[
    "inspect",
    "ls",
    "info",
    "du",
    "children",
    "parent",
    "orphans",
    "status",
    "mons",
    "fsid",
    "doctor",
    "completions",
    "man",
    "snap ls",
    "trash ls",
    "pending ls",
    "pending show",
    "namespace ls",
    "pool ls",
    "pool info",
    "lock ls",
    "meta ls",
    "meta get",
];

/// Commands that change something, with the operation of the trail that is theirs.
const CHANGE: &[(&str, &str)] = &[
    ("import", "import"),
    ("export", "export"),
    ("verify", "verify_record"),
    ("cp", "copy"),
    ("create", "create"),
    ("resize", "resize"),
    ("mv", "rename"),
    ("rm", "remove"),
    ("clone", "clone"),
    ("flatten", "flatten"),
    ("snap create", "snapshot_create"),
    ("snap protect", "snapshot_protect"),
    ("snap unprotect", "snapshot_unprotect"),
    ("snap rename", "snapshot_rename"),
    ("snap rollback", "rollback"),
    ("snap rm", "snapshot_remove"),
    ("snap purge", "snapshot_purge"),
    ("trash mv", "trash_move"),
    ("trash restore", "trash_restore"),
    ("trash rm", "trash_remove"),
    ("trash purge", "trash_purge"),
    ("cleanup", "remove"),
    ("pending retry", "reap"),
    ("pending forget", "pending_forget"),
    ("reap", "reap"),
    ("namespace create", "namespace_create"),
    ("namespace rm", "namespace_remove"),
    ("pool create", "pool_create"),
    ("lock add", "lock_add"),
    ("lock rm", "lock_break"),
    ("meta set", "metadata_set"),
    ("meta rm", "metadata_remove"),
    // Of a finding: `local::check` and `both::check` run it.
    ("check", "check_repair"),
    // With --fence: `local::fence` and `ceph::fence` run it.
    ("why", "fence"),
    // What it does are operations of the others.
    ("agent", "trash_purge"),
];
/// Those of them that other tests run.
const ELSEWHERE: &[&str] = &["check", "why", "agent"];

/// Every command there is, as the help lists them, parts of commands by both words.
fn commands(bench: &Bench) -> BTreeSet<String> {
    let listed = |of: &[&str]| -> Vec<String> {
        let help = bench.ok(&[of, &["--help"]].concat());
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| line.starts_with("  "));
        lines
            .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned))
            .filter(|word| !word.is_empty() && word != "help")
            .collect()
    };
    let mut all = BTreeSet::new();
    for command in listed(&[]) {
        let parts = listed(&[&command]);
        all.extend(parts.iter().map(|part| format!("{command} {part}")));
        if parts.is_empty() {
            all.insert(command);
        }
    }
    all
}

struct Trail<'a> {
    bench: &'a Bench,
    log: PathBuf,
    seen: BTreeSet<&'static str>,
}

impl Trail<'_> {
    fn run(&self, args: &[&str]) -> (Ended, Vec<Value>) {
        std::fs::write(&self.log, "").unwrap();
        let ended = self.bench.run(&[&["--audit-log", self.log.to_str().unwrap()], args].concat());
        let text = std::fs::read_to_string(&self.log).unwrap();
        (ended, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Runs a command that changes something, and finds its two lines.
    fn change(&mut self, command: &'static str, args: &[&str]) {
        let operation = CHANGE.iter().find(|of| of.0 == command).unwrap().1;
        let (ended, lines) = self.run(&[&command.split(' ').collect::<Vec<_>>()[..], args].concat());
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
        let ours: Vec<&Value> = lines.iter().filter(|line| line["operation"] == operation).collect();
        let [begins, ends] = ours[..] else { panic!("{command}: {lines:#?}") };
        assert_eq!((&begins["event"], &ends["event"]), (&"begins".into(), &"ends".into()), "{command}");
        assert_eq!(begins["id"], ends["id"], "{command}");
        assert_eq!(begins["id"].as_str().unwrap().len(), 32, "{command}");
        assert!(ends["outcome"].is_string() && ends["seconds"].is_f64(), "{command}: {ends}");
        let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        for line in [begins, ends] {
            let who = (&line["uid"], &line["host"]);
            assert_eq!(who, (&rustix::process::getuid().as_raw().into(), &host.clone().into()), "{command}");
            assert!(
                line["pid"].is_u64() && line["user"].is_string() && line["subject"].is_string(),
                "{line}"
            );
        }
        self.seen.insert(command);
    }
}

#[test]
fn every_command_that_changes_something_is_in_the_trail_and_no_other() {
    let bench = bench();
    let mut trail = Trail { bench: &bench, log: bench.path("audit.log"), seen: BTreeSet::new() };
    let (image, file) = (bench.image("disk.raw", 2), bench.path("out.raw"));
    let (image, file) = (image.to_str().unwrap(), file.to_str().unwrap());
    let at = |name: &str| bench.at(name);
    trail.change("create", &["--size", "1M", &at("empty")]);
    trail.change("import", &[image, &at("web")]);
    trail.change("export", &[&at("web"), file]);
    trail.change("verify", &["--record", &at("web")]);
    trail.change("cp", &[&at("web"), &at("copy")]);
    trail.change("resize", &["--size", "2M", &at("empty")]);
    trail.change("mv", &[&at("empty"), &at("other")]);
    trail.change("snap create", &[&at("web@a")]);
    trail.change("snap rename", &[&at("web@a"), &at("web@base")]);
    trail.change("snap protect", &[&at("web@base")]);
    trail.change("clone", &[&at("web@base"), &at("child")]);
    trail.change("flatten", &[&at("child")]);
    trail.change("snap unprotect", &[&at("web@base")]);
    trail.change("snap rollback", &[&at("web@base")]);
    trail.change("snap rm", &[&at("web@base")]);
    bench.ok(&["snap", "create", &at("web@b")]);
    trail.change("snap purge", &[&at("web")]);
    trail.change("meta set", &[&at("web"), "owner", "me"]);
    trail.change("meta rm", &[&at("web"), "owner"]);
    trail.change("lock add", &[&at("web"), "moving"]);
    let client = bench.json(&["lock", "ls", &at("web")])[0]["client"].as_str().unwrap().to_owned();
    trail.change("lock rm", &[&at("web"), "moving", &client]);
    trail.change("rm", &[&at("child")]);
    trail.change("cleanup", &["--match", "oth*", &bench.home]);
    trail.change("trash mv", &["--defer", "1h", &at("copy")]);
    let trashed = |name: &str| {
        let all = bench.json(&["trash", "ls", &bench.home]);
        let found = all.as_array().unwrap().iter().find(|of| of["name"] == name).unwrap()["id"].clone();
        format!("{}/id:{}", bench.home, found.as_str().unwrap())
    };
    trail.change("trash restore", &[&trashed("copy")]);
    bench.ok(&["trash", "mv", "--defer", "1h", &at("copy")]);
    trail.change("trash rm", &["--force", &trashed("copy")]);
    bench.ok(&["create", "--size", "1M", &at("due")]);
    bench.ok(&["trash", "mv", "--defer", "0s", &at("due")]);
    trail.change("trash purge", &[&bench.home]);
    for command in ["pending forget", "pending retry", "reap"] {
        bench.ok(&["lock", "add", &at("web"), "moving"]);
        let put_off = bench.run(&["rm", "--wait", "1ms", "--retry-later", &at("web")]);
        assert_eq!(put_off.code, Some(11), "{}", put_off.stderr);
        let client = bench.json(&["lock", "ls", &at("web")])[0]["client"].as_str().unwrap().to_owned();
        bench.ok(&["lock", "rm", &at("web"), "moving", &client]);
        let id = bench.json(&["pending", "ls", &bench.home])[0]["id"].as_str().unwrap().to_owned();
        match command {
            "reap" => trail.change(command, &[&bench.home]),
            _ => trail.change(command, &[&id, &bench.home]),
        }
        if command == "pending retry" {
            bench.ok(&["import", image, &at("web")]);
        }
    }
    if bench.is_local() {
        trail.change("pool create", &["ssd"]);
        trail.change("namespace create", &["rbd/t1"]);
        trail.change("namespace rm", &["rbd/t1"]);
    } else {
        // Pools are the administrator's; namespaces are made the same way on both.
        trail.seen.extend(["pool create", "namespace create", "namespace rm"]);
    }
    let all: BTreeSet<&str> = CHANGE.iter().map(|of| of.0).collect();
    let missed: Vec<_> =
        all.iter().filter(|of| !ELSEWHERE.contains(of) && !trail.seen.contains(**of)).collect();
    assert!(missed.is_empty(), "not run: {missed:?}");
    let known: BTreeSet<String> =
        all.into_iter().chain(ONLY_LOOK.iter().copied()).map(str::to_owned).collect();
    assert_eq!(commands(&bench), known, "a command is new: does it change something?");
    // What only looks, or changes nothing after all, leaves no line.
    bench.ok(&["create", "--size", "1M", &at("web")]);
    for args in [
        &["ls", "-l", &bench.home][..],
        &["info", &at("web")],
        &["verify", &at("web")],
        &["check", &bench.home],
        &["rm", "--dry-run", &at("web")],
        &["why", &at("web")],
        &["inspect", image],
        &["reap", &bench.home],
    ] {
        let (_, lines) = trail.run(args);
        assert!(lines.is_empty(), "{args:?}: {lines:?}");
    }
}
