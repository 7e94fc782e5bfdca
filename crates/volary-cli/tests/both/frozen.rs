//! Owners that are frozen past their lease and thawed, when others have settled what they had begun.

use crate::harness::{Bench, ended, signal};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::process::Child;

fn pending(bench: &Bench) -> Vec<Value> {
    bench.json(&["pending", "ls", &bench.home]).as_array().unwrap().clone()
}

/// A command that was frozen, and does not outlive the test.
struct Frozen(Option<Child>);

impl Frozen {
    /// Waits until the command has begun, and freezes it there.
    fn when(bench: &Bench, mut child: Child, begun: impl Fn() -> bool) -> Self {
        while !begun() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be frozen");
            std::thread::yield_now();
        }
        signal(&child, Signal::STOP);
        let frozen = Frozen(Some(child));
        assert_eq!(pending(bench).len(), 1, "it had not begun, or was done");
        frozen
    }

    /// Lets it go on: it fails, and what it had begun is settled once and for all.
    fn thaw(mut self, bench: &Bench) {
        let child = self.0.take().unwrap();
        signal(&child, Signal::CONT);
        let ended = ended(child.wait_with_output().unwrap());
        assert!(matches!(ended.code, Some(8 | 11)), "{:?} {} {}", ended.code, ended.stdout, ended.stderr);
        if let Ok(report) = serde_json::from_str::<Value>(&ended.stdout) {
            // It stopped at the first step that it no longer had a right to, and did not try again.
            let steps = report["steps"].as_array().unwrap();
            let actions: HashSet<_> = steps.iter().map(|step| step["action"].as_str().unwrap()).collect();
            assert_eq!((&report["outcome"], steps.len()), (&json!("failed"), actions.len()), "{report}");
        }
        bench.json(&["reap", "--wait", "20s", &bench.home]);
        assert_eq!(pending(bench), [Value::Null; 0]);
        assert_eq!(bench.json(&["trash", "ls", &bench.home]), json!([]));
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reaps as another process would; a local store's frozen process keeps its locks, so that there the work waits.
fn reap(bench: &Bench) {
    let wait = if bench.is_local() { "0s" } else { "20s" };
    let ended = bench.run(&["-o", "json", "reap", "--wait", wait, &bench.home]);
    let reports: Value = serde_json::from_str(&ended.stdout).unwrap();
    let outcome = if bench.is_local() { "pending" } else { "settled" };
    assert_eq!(reports[0]["outcome"], outcome, "{} {}", ended.stdout, ended.stderr);
}

#[test]
fn s01_s04_an_importer_that_slept_past_its_lease_does_no_harm() {
    let bench = crate::bench();
    let (image, web) = (bench.image("disk.raw", 32), bench.at("web"));
    let import = bench.start(&["import", image.to_str().unwrap(), &web]);
    let frozen = Frozen::when(&bench, import, || bench.objects() > 0);
    reap(&bench);
    if !bench.is_local() {
        bench.assert_empty();
    }
    // Somebody else makes a volume of that name meanwhile.
    let other = bench.path("other.raw");
    std::fs::write(&other, [7; 4096].repeat(2000)).unwrap();
    let fresh = bench.json(&["import", other.to_str().unwrap(), &web]);
    let before = bench.objects();
    frozen.thaw(&bench);
    assert_eq!(bench.json(&["info", &web])["id"], fresh["id"]);
    assert_eq!(bench.json(&["ls", &bench.home]).as_array().unwrap().len(), 1);
    let out = bench.path("out.raw");
    bench.ok(&["export", &web, out.to_str().unwrap()]);
    assert!(std::fs::read(out).unwrap() == std::fs::read(other).unwrap());
    if !bench.is_local() {
        assert_eq!(bench.objects(), before, "the thawed writer left objects");
    }
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn s02_s04_a_removal_that_slept_past_its_lease_is_finished_by_another() {
    let bench = crate::bench();
    let (image, base, child) = (bench.image("disk.raw", 32), bench.at("base"), bench.at("child"));
    bench.ok(&["import", image.to_str().unwrap(), &base, "--snapshot", "s", "--protect"]);
    bench.ok(&["clone", &bench.at("base@s"), &child]);
    let before = bench.objects();
    let remove = bench.start(&[
        "--stall",
        "10m",
        "rm",
        "--purge-snapshots",
        "--flatten-children",
        "-o",
        "json",
        &base,
    ]);
    // The clone's first data: it is being flattened.
    let frozen = Frozen::when(&bench, remove, || bench.objects() > before);
    reap(&bench);
    if !bench.is_local() {
        assert_eq!(bench.run(&["info", &base]).code, Some(3));
        assert_eq!(bench.objects(), 32);
    }
    frozen.thaw(&bench);
    assert_eq!(bench.run(&["info", &base]).code, Some(3));
    let out = bench.path("out.raw");
    bench.ok(&["export", &child, out.to_str().unwrap()]);
    assert!(std::fs::read(out).unwrap() == std::fs::read(image).unwrap(), "the clone lost data");
    assert_eq!(bench.objects(), 32, "something is left beside the clone's objects");
    bench.ok(&["rm", &child]);
    bench.assert_empty();
}
