//! Daemons of Ceph that stop answering or are killed, and a full pool, of which `doctor` speaks everywhere: on a cluster of their own, named by `VOLARY_TEST_CEPH_FAULTS`: `cargo xtask test`
//! starts one and sets it; by hand, `cargo xtask cluster up --objectstore bluestore` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
#[path = "ceph_faults/quota.rs"]
mod quota;

use harness::{Bench, Ended, cluster, ended};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The tests share the daemons: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A daemon that does nothing until this is dropped.
struct Frozen(String);

impl Frozen {
    fn new(daemon: &str) -> Self {
        let conf = cluster::conf();
        let file = Path::new(&conf).with_file_name("run").join(format!("{daemon}.daemon"));
        let frozen = Frozen(std::fs::read_to_string(&file).unwrap().trim().to_owned());
        frozen.signal("-STOP");
        frozen
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0]).status().unwrap().success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// An OSD that was killed; it runs again, as it was started first, when this is dropped.
struct Killed;

impl Killed {
    fn new() -> Self {
        let pid = std::fs::read_to_string(Killed::file("run", "daemon")).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
        // What it had locked it keeps until its last thread is gone.
        while Killed::lives(pid.trim()) {
            std::thread::yield_now();
        }
        Killed
    }

    fn lives(pid: &str) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
        threads.flatten().any(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        })
    }

    fn file(directory: &str, extension: &str) -> PathBuf {
        Path::new(&cluster::conf()).with_file_name(directory).join(format!("{OSD}.{extension}"))
    }
}

impl Drop for Killed {
    #[allow(clippy::zombie_processes, reason = "it goes on as the cluster's, which ends it by its number")]
    fn drop(&mut self) {
        let log = std::fs::File::options().append(true).open(Killed::file("log", "out")).unwrap();
        let mut osd = cluster::command("ceph-osd", &["-f", "-i", "0"]);
        osd.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let osd = std::os::unix::process::CommandExt::process_group(&mut osd, 0).spawn().unwrap();
        std::fs::write(Killed::file("run", "daemon"), osd.id().to_string()).unwrap();
    }
}

const OSD: &str = "ceph-osd.0";
const MONITOR: &str = "ceph-mon.a";

/// Beyond its limit a command may take this long: to notice, to undo for a moment, to end, on a machine that is busy.
const GRACE: Duration = Duration::from_secs(5);

fn gives_up(ended: &Ended) -> Value {
    let line = ended.stderr.lines().last().unwrap_or_default();
    let document: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
    assert_eq!(ended.code, Some(8), "{document:#}");
    assert_eq!(document["error"]["kind"], "deadline", "{document:#}");
    assert!(document["error"]["hint"].is_string(), "{document:#}");
    let context = &document["error"]["context"];
    assert!(context["store"].as_str().unwrap().starts_with("ceph:"), "{document:#}");
    context.clone()
}

#[test]
fn s05_an_import_ends_at_the_stall_limit_and_the_next_one_of_that_name_works() {
    let _alone = alone();
    let bench = Bench::ceph();
    let image = bench.image("disk.raw", 96);
    let (image, web) = (image.to_str().unwrap(), bench.at("web"));
    let mut child = bench.start(&["import", "--stall", "5s", "-o", "json", image, &web]);
    bench.wait_for_objects(&mut child);
    let frozen = Frozen::new(OSD);
    let began = Instant::now();
    let stalled = ended(child.wait_with_output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(5) + GRACE, "it took {:?}", began.elapsed());
    let context = gives_up(&stalled);
    let intent = context["intent"].as_str().unwrap();
    assert!(context["pending"].as_str().unwrap().contains("volary reap"), "{context:#}");
    drop(frozen);
    // What could not be undone is known, and the name is free.
    let pending = bench.json(&["pending", "ls", &bench.home]);
    assert_eq!((&pending[0]["id"], &pending[1]), (&intent.into(), &Value::Null), "{pending:#}");
    assert_eq!(pending[0]["volume_id"], context["id"]);
    assert_eq!(bench.json(&["ls", &bench.home]), serde_json::json!([]));
    let report = bench.json(&["import", image, &web]);
    assert_eq!(report["verified"], true);
    assert_eq!(bench.json(&["verify", &web])["match"], true);
    // Its owner, of this host, is gone: at once anybody may settle it.
    bench.ok(&["reap", &bench.home]);
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), serde_json::json!([]));
    assert_eq!(bench.json(&["trash", "ls", &bench.home]), serde_json::json!([]));
    assert_eq!(bench.json(&["verify", &web])["match"], true);
}

#[test]
fn s05_an_import_outlives_an_osd_that_is_killed_and_comes_back() {
    let _alone = alone();
    let bench = Bench::ceph();
    let (image, web) = (bench.image("disk.raw", 96), bench.at("web"));
    let mut child = bench.start(&["import", "-o", "json", image.to_str().unwrap(), &web]);
    bench.wait_for_objects(&mut child);
    drop(Killed::new());
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["verified"], true);
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), serde_json::json!([]));
    let out = bench.path("out.raw");
    bench.ok(&["export", &web, out.to_str().unwrap()]);
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&image).unwrap());
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn s05_an_import_gives_up_on_an_osd_that_was_killed_and_later_nothing_is_left() {
    let _alone = alone();
    let bench = Bench::ceph();
    let (image, web) = (bench.image("disk.raw", 96), bench.at("web"));
    let bounds = ["--timeout", "5s", "--stall", "5s", "-o", "json"];
    let mut child = bench.start(&[&bounds[..], &["import", image.to_str().unwrap(), &web]].concat());
    bench.wait_for_objects(&mut child);
    let killed = Killed::new();
    let began = Instant::now();
    let stalled = ended(child.wait_with_output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(5) + GRACE, "it took {:?}", began.elapsed());
    let context = gives_up(&stalled);
    drop(killed);
    let reports = bench.json(&["reap", &bench.home]);
    assert_eq!((&reports[0]["id"], &reports[0]["outcome"]), (&context["intent"], &"settled".into()));
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), serde_json::json!([]));
    bench.assert_empty();
}

#[test]
fn s05_an_export_ends_at_the_stall_limit_and_leaves_no_file() {
    let _alone = alone();
    let bench = Bench::ceph();
    let (image, web) = (bench.image("disk.raw", 48), bench.at("web"));
    bench.ok(&["import", image.to_str().unwrap(), &web]);
    // What is read from the pipe has been read from the store; what the pipe does not hold has not been asked for.
    let mut child = bench.command(&["export", "--stall", "4s", "-o", "json", &web, "-"]).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut vec![0; 1 << 20]).unwrap();
    let frozen = Frozen::new(OSD);
    let began = Instant::now();
    let rest = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()).unwrap());
    let stalled = ended(child.wait_with_output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(4) + GRACE, "it took {:?}", began.elapsed());
    gives_up(&stalled);
    assert!(rest.join().unwrap() < 47 * (4 << 20));
    drop(frozen);
    let out = bench.path("out.raw");
    bench.ok(&["export", &web, out.to_str().unwrap()]);
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&image).unwrap());
}

/// **S5 Deadlines.** Every operation, connecting included, ends by its deadline; transfers by a stall limit:
/// no byte moved in so long. Ctrl-C, SIGTERM, SIGHUP and the token undo what was begun: a command for two
/// seconds, a caller of the crate for as long as it takes or as `Ctl::undo_within` says; what is not undone
/// by then stays pending. A second interrupt or a kill leaves an intent.
#[test]
fn s05_every_command_ends_by_its_timeout_when_an_osd_is_frozen() {
    let _alone = alone();
    let bench = Bench::ceph();
    let image = bench.image("disk.raw", 2);
    let (image, web) = (image.to_str().unwrap(), bench.at("web"));
    bench.ok(&["import", "--snapshot", "s", "--protect", image, &web]);
    let (snapshot, new, out) = (bench.at("web@s"), bench.at("new"), bench.path("out.raw"));
    let commands: &[&[&str]] = &[
        &["ls", &bench.home],
        &["info", &web],
        &["du", &web],
        &["verify", &web],
        &["export", &web, out.to_str().unwrap()],
        &["import", image, &new],
        &["create", "--size", "1M", &new],
        &["clone", &snapshot, &new],
        &["cp", &web, &new],
        &["mv", &web, &new],
        &["resize", &web, "--size", "64M"],
        &["snap", "create", &bench.at("web@new")],
        &["snap", "ls", &web],
        &["snap", "rm", "--force", &snapshot],
        &["snap", "rollback", &snapshot],
        &["children", &snapshot],
        &["meta", "set", &web, "a", "b"],
        &["meta", "ls", &web],
        &["rm", &web],
        &["rm", "--purge-snapshots", &web],
        &["trash", "ls", &bench.home],
        &["namespace", "ls", "rbd"],
    ];
    let frozen = Frozen::new(OSD);
    let run = |args: &[&str]| {
        let began = Instant::now();
        let bounds: &[&str] = &["--timeout", "2s", "--stall", "2s", "-o", "json"];
        let ended = bench.run(&[bounds, args].concat());
        (ended, began.elapsed())
    };
    let mut ended = Vec::new();
    for some in commands.chunks(6) {
        let begun = std::thread::scope(|scope| {
            let begun: Vec<_> = some.iter().map(|args| (args, scope.spawn(|| run(args)))).collect();
            begun.into_iter().map(|(args, ended)| (args, ended.join().unwrap())).collect::<Vec<_>>()
        });
        ended.extend(begun);
    }
    drop(frozen);
    for (args, (ended, took)) in ended {
        assert!(took < Duration::from_secs(2) + GRACE, "{args:?} took {took:?}: {}", ended.stderr);
        assert_eq!(ended.code, Some(8), "{args:?}: {}", ended.stderr);
        let context = gives_up(&ended);
        assert_eq!(context["errno"], "ETIMEDOUT", "{args:?}");
        assert!(context["monitors"].is_string() && context["step"].is_string(), "{args:?}: {context:#}");
    }
    assert!(!out.exists());
    assert_eq!(bench.json(&["verify", &snapshot])["match"], true);
}

#[test]
fn s05_while_an_osd_is_frozen_status_and_doctor_tell_what_the_monitors_know() {
    let _alone = alone();
    let bench = Bench::ceph();
    bench.ok(&["create", "--size", "1M", &bench.at("web")]);
    let frozen = Frozen::new(OSD);
    let bounds = ["--timeout", "4s", "-o", "json"];
    let run = |args: &[&str]| bench.run(&[&bounds[..], args].concat());
    let (status, doctor) = std::thread::scope(|scope| {
        let (status, doctor) = (scope.spawn(|| run(&["status"])), scope.spawn(|| run(&["doctor"])));
        (status.join().unwrap(), doctor.join().unwrap())
    });
    let listed = bench.run(&["--timeout", "2s", "ls", "-l", &bench.home]);
    drop(frozen);
    gives_up(&status);
    let report: Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(report["health"]["status"].as_str().unwrap().starts_with("HEALTH_"), "{report:#}");
    assert_eq!(report["unanswered"], "the monitors answer, the OSDs do not", "{report:#}");
    assert!(report["pools"].as_array().unwrap().iter().all(|of| of["trash"].is_null()), "{report:#}");
    assert_eq!(doctor.code, Some(8), "{}", doctor.stderr);
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let failed: Vec<_> =
        report["checks"].as_array().unwrap().iter().filter(|of| of["verdict"] == "failed").collect();
    let detail = failed.first().and_then(|of| of["detail"].as_str()).unwrap_or_default();
    assert!(failed.len() == 1 && detail.contains("the OSDs of the pool did not within 3s"), "{report:#}");
    // A header alone would say that there is nothing.
    assert_eq!((listed.code, listed.stdout.as_str()), (Some(8), ""), "{}", listed.stderr);
}

#[test]
fn s05_a_frozen_monitor_ends_connecting_in_time_and_thawed_it_serves() {
    let _alone = alone();
    let bench = Bench::ceph();
    let frozen = Frozen::new(MONITOR);
    let began = Instant::now();
    let command = &mut bench.command(&["--timeout", "4s", "-o", "json", "ls"]);
    let late = ended(command.stdin(Stdio::null()).output().unwrap());
    let took = began.elapsed();
    drop(frozen);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let context = gives_up(&late);
    assert_eq!((&context["step"], &context["errno"]), (&"connect".into(), &"ETIMEDOUT".into()));
    assert!(context["monitors"].as_str().unwrap().contains("127.0.0.1:"), "{context:#}");
    bench.ok(&["ls"]);
}
