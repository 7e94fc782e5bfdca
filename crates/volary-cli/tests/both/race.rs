//! Two reapers and an importer on one namespace at once; the importer is killed again and again, a reaper too.
//!
//! `cargo xtask soak` lets it last longer (`VOLARY_SOAK_SECONDS`).

use super::kills::{Yard, number_from, random};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Reaps until told to stop; gives the intents it settled. Killed, it may have settled more than it told.
fn reaps(yard: &Yard, over: &AtomicBool, killed: bool) -> Vec<String> {
    let (mut settled, mut random) = (Vec::new(), random(3));
    while !over.load(Ordering::SeqCst) {
        let mut child = yard.bench.start(&["reap", "-o", "json", &yard.bench.home]);
        if killed {
            std::thread::sleep(Duration::from_secs_f64(random()));
            child.kill().unwrap();
        }
        let ended = crate::harness::ended(child.wait_with_output().unwrap());
        let reports: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap_or_default();
        assert!(killed || matches!(ended.code, Some(0 | 11)), "{}", ended.stderr);
        let done = reports.iter().filter(|report| report["outcome"] == "settled");
        settled.extend(done.map(|report| report["id"].as_str().unwrap().to_owned()));
    }
    settled
}

/// Tells the reapers to stop.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn s04_two_reapers_and_an_importer_do_nothing_twice_and_lose_nothing() {
    let (seconds, seed) = (number_from("VOLARY_SOAK_SECONDS", 8), number_from("VOLARY_SOAK_SEED", 1));
    let (yard, over, mut random) = (Yard::new(), AtomicBool::new(false), random(seed));
    let began = Instant::now();
    yard.run(&yard.victim("import", "volume-first"));
    let pace = began.elapsed();
    let (mut whole, mut cut) = (Vec::new(), Vec::new());
    let settled = std::thread::scope(|scope| {
        // Whatever fails here ends the reapers too.
        let end = End(&over);
        let reapers = [false, true].map(|killed| {
            let (yard, over) = (&yard, &over);
            scope.spawn(move || reaps(yard, over, killed))
        });
        while began.elapsed() < Duration::from_secs(seconds) {
            let number = whole.len() + cut.len();
            let kind = ["import", "publish", "copy"][number % 3];
            let victim = yard.victim(kind, &format!("volume-{number}"));
            if number % 4 == 3 {
                yard.run(&victim);
                whole.push(victim);
            } else {
                yard.kill(&victim, pace.mul_f64(random()));
                cut.push(victim);
            }
        }
        drop(end);
        reapers.map(|reaper| reaper.join().unwrap()).concat()
    });
    let once: BTreeSet<_> = settled.iter().collect();
    assert_eq!(once.len(), settled.len(), "settled twice: {settled:?}");
    let (rounds, _) = yard.reaped();
    for list in [["trash", "ls"], ["pending", "ls"]] {
        assert_eq!(yard.bench.json(&[&list[..], &[&yard.bench.home]].concat()), json!([]), "{list:?}");
    }
    for victim in &whole {
        assert!(yard.whole(victim), "{} is lost", victim.volume);
    }
    super::check::assert_sound(&yard.bench);
    let published = cut.iter().filter(|victim| yard.whole(victim)).count();
    yard.assert_nothing_stays();
    let figures = json!({"killed": cut.len(), "published": published, "left alone": whole.len(), "settled": once.len(), "reaped again": rounds - 1});
    #[allow(clippy::print_stdout)]
    {
        println!("{figures:#}");
    }
}
