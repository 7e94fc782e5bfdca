//! Every hostile image through the real command: refused with its reason, in bounded time and memory, and no file that one names is
//! opened.

use crate::harness::{Bench, Ended, ended};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::Value;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use volary::{Ctl, ErrorKind, ImportRequest, ImportSource, Store};
use volary_image::{Format, Image, Limits};
use volary_testkit::images::{HostileCase, hostile};

/// A hostile image in a file.
struct Case {
    name: String,
    path: PathBuf,
    declared: Option<&'static str>,
    reason: &'static str,
    /// It is found out only when its streams are decompressed, which looking at it does not do.
    late: bool,
}

impl Case {
    fn write(bench: &Bench, index: usize, case: HostileCase) -> Case {
        let path = bench.path(&format!("hostile-{index}"));
        std::fs::write(&path, &case.bytes).unwrap();
        let declared = case.declared.map(|name| name.parse::<Format>().unwrap());
        let late = Image::open(Arc::new(case.bytes), declared, &Limits::default()).is_ok();
        Case { name: case.name, path, declared: case.declared, reason: case.reason, late }
    }

    fn arguments(&self) -> Vec<&str> {
        vec!["-o", "json", "-f", self.declared.unwrap_or("auto"), self.path.to_str().unwrap()]
    }

    fn assert_refused(&self, ended: &Ended) {
        let Case { name, reason, .. } = self;
        assert_eq!(ended.code, Some(6), "{name}: {}", ended.stderr);
        let error: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["context"]["reason"], *reason, "{name}: {error}");
    }
}

fn cases(bench: &Bench, named: Option<&Path>) -> Vec<Case> {
    let spoil = |mut case: HostileCase| {
        if let Some(named) = named {
            name_instead(&mut case.bytes, named.to_str().unwrap().as_bytes());
        }
        case
    };
    let cases = hostile().into_iter().map(spoil).enumerate();
    let cases: Vec<_> = cases.map(|(index, case)| Case::write(bench, index, case)).collect();
    let late = cases.iter().filter(|case| case.late).count();
    assert!(cases.len() >= 200 && late < cases.len() / 4, "{late} of {}", cases.len());
    cases
}

/// Lets an image that names the one file name another, whose name is as long.
fn name_instead(bytes: &mut [u8], name: &[u8]) {
    let shadow = b"/etc/shadow";
    assert_eq!(name.len(), shadow.len());
    let found = bytes.windows(shadow.len()).enumerate().filter(|(_, seen)| *seen == shadow);
    for at in found.map(|(at, _)| at).collect::<Vec<_>>() {
        bytes[at..at + name.len()].copy_from_slice(name);
    }
}

/// Runs the command with at most a second of processor time and so much memory of its own, touched or not.
fn limited(bench: &Bench, kib: u32, args: &[&str]) -> Ended {
    let script = format!("ulimit -t 1 && ulimit -d {kib} && exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_volary")]).args(args).stdin(Stdio::null());
    // What threads take does not depend on how many processors there are.
    command.env_clear().env("VOLARY_STORE", &bench.url).env("TOKIO_WORKER_THREADS", "2");
    ended(command.output().unwrap())
}

#[test]
fn s06_s12_the_command_refuses_every_hostile_image_in_bounded_time_and_memory() {
    let bench = Bench::new();
    let cases = cases(&bench, None);
    let inspect = |case: &Case| {
        let ended = limited(&bench, 64 << 10, &[&["inspect"], &case.arguments()[..]].concat());
        let report: Value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", case.name, ended.stderr));
        if case.late {
            assert_eq!((ended.code, &report["reason"]), (Some(0), &Value::Null), "{}", case.name);
            // An import decompresses; its blocks in flight are the memory it takes.
            let all = [&["import"], &case.arguments()[..], &["web"]].concat();
            return case.assert_refused(&limited(&bench, 352 << 10, &all));
        }
        case.assert_refused(&ended);
        assert_eq!(
            (&report["safe"], &report["reason"]),
            (&false.into(), &case.reason.into()),
            "{}",
            case.name
        );
        assert!(report["consequence"].as_str().is_some_and(|text| text.len() > 20), "{}", case.name);
        let checks = report["checks"].as_array().unwrap();
        assert_eq!(checks.iter().filter(|check| check["verdict"] == "fail").count(), 1, "{}", case.name);
    };
    // Two at a time.
    let (first, second) = cases.split_at(cases.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| first.iter().for_each(inspect));
        second.iter().for_each(inspect);
    });
    bench.assert_empty();
}

/// A file that nobody has a reason to open, and the kernel's word on whether somebody did.
struct Canary {
    path: PathBuf,
    watch: OwnedFd,
}

impl Canary {
    fn new() -> Canary {
        let free = (0..).map(|n| PathBuf::from(format!("/tmp/v{:05}", (std::process::id() + n) % 100_000)));
        let make = |path: &PathBuf| std::fs::File::create_new(path).is_ok();
        let path = free.take(100_000).find(make).unwrap();
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, &path, WatchFlags::OPEN | WatchFlags::ACCESS | WatchFlags::MODIFY)
            .unwrap();
        Canary { path, watch }
    }

    fn was_opened(&self) -> bool {
        rustix::io::read(&self.watch, &mut [0; 4096]).is_ok()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_s01_no_hostile_image_leaves_anything_or_has_the_file_it_names_opened() {
    let (bench, canary, ctl) = (Bench::new(), Canary::new(), Ctl::new());
    let store = Store::connect(&bench.url.parse().unwrap(), &ctl).await.unwrap();
    // By the library, which the kernel does not keep from opening files.
    for case in cases(&bench, Some(&canary.path)) {
        let mut request = ImportRequest::new(ImportSource::Path(case.path.clone()), "web".parse().unwrap());
        request.format = case.declared.map(|name| name.parse().unwrap());
        let error = store.import(&request, &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{}: {error:?}", case.name);
        let reason = error.contexts().find(|(key, _)| *key == "reason");
        assert_eq!(reason, Some(("reason", case.reason)), "{}", case.name);
        assert!(!canary.was_opened(), "{}", case.name);
    }
    store.shutdown().await.unwrap();
    bench.assert_empty();
    assert_eq!(bench.json(&["pending"]), Value::Array(Vec::new()));
    std::fs::File::open(&canary.path).unwrap();
    assert!(canary.was_opened(), "whoever opens it is seen");
}
