//! SIGKILL at points all over every operation of many steps; then everything is reaped together.
//!
//! `cargo xtask soak` runs the same with more kills (`VOLARY_SOAK_KILLS`) and other points (`VOLARY_SOAK_SEED`).

use crate::bench;
use crate::harness::{Bench, cluster};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many commands are killed before one reap.
const ROUND: usize = 20;

/// What is killed; volumes hold the image's bytes, those of `publish` a few: there, giving the name is most of the work.
const KINDS: [&str; 10] = [
    "import",
    "delete",
    "snap-rm",
    "publish",
    "flatten",
    "copy",
    "restore",
    "protect",
    "clone",
    "snap-create",
];

/// A command that is killed, and the volume it works on.
pub(super) struct Victim {
    kind: &'static str,
    pub(super) volume: String,
    args: Vec<String>,
}

pub(super) struct Yard {
    pub(super) bench: Bench,
    image: String,
    small: String,
    golden: String,
}

impl Yard {
    pub(super) fn new() -> Self {
        let bench = bench();
        let [image, small] =
            [("disk.raw", 3), ("small.raw", 1)].map(|(name, blocks)| bench.image(name, blocks));
        std::fs::File::options().write(true).open(&small).unwrap().set_len(1 << 16).unwrap();
        let [image, small] = [image, small].map(|path| path.to_str().unwrap().to_owned());
        bench.ok(&["import", "--snapshot", "golden", "--protect", &image, &bench.at("base")]);
        Yard { golden: bench.at("base@golden"), bench, image, small }
    }

    pub(super) fn victim(&self, kind: &'static str, name: &str) -> Victim {
        let (bench, volume) = (&self.bench, self.bench.at(name));
        let (image, golden, snapshot) = (&self.image, &self.golden, format!("{volume}@s"));
        let mut id = String::new();
        match kind {
            "delete" | "snap-rm" => drop(bench.ok(&["import", "--snapshot", "s", image, &volume])),
            "flatten" => drop(bench.ok(&["clone", golden, &volume])),
            "snap-create" => drop(bench.ok(&["import", image, &volume])),
            "restore" => {
                bench.ok(&["import", image, &volume]);
                id = bench.json(&["rm", "--defer", "7d", &volume])["id"].as_str().unwrap().to_owned();
                id = bench.at(&format!("id:{id}"));
            }
            _ => {}
        }
        let args: &[&str] = match kind {
            "import" => &["import", image, &volume],
            "protect" => &["import", "--snapshot", "s", "--protect", image, &volume],
            "publish" => &["import", "--no-verify", &self.small, &volume],
            "copy" => &["cp", golden, &volume],
            "clone" => &["clone", golden, &volume],
            "flatten" => &["flatten", &volume],
            "snap-create" => &["snap", "create", "--protect", &snapshot],
            "snap-rm" => &["snap", "rm", &snapshot],
            "restore" => &["trash", "restore", &id, name],
            _ => &["rm", "--purge-snapshots", &volume],
        };
        let args = args.iter().map(|&word| word.to_owned()).collect();
        Victim { kind, volume, args }
    }

    pub(super) fn run(&self, victim: &Victim) {
        self.bench.ok(&victim.args.iter().map(String::as_str).collect::<Vec<_>>());
    }

    pub(super) fn kill(&self, victim: &Victim, after: Duration) {
        let args: Vec<&str> = victim.args.iter().map(String::as_str).collect();
        let mut child = self.bench.start(&args);
        // A point in time, not a condition, is what is to be hit.
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Whether the volume is there; then it must be whole.
    pub(super) fn whole(&self, victim: &Victim) -> bool {
        let Victim { kind, volume, args } = victim;
        if self.bench.run(&["info", volume]).code == Some(3) {
            return false;
        }
        let out = self.bench.path("out.raw");
        self.bench.ok(&["export", "--force", volume, out.to_str().unwrap()]);
        let image = if *kind == "publish" { &self.small } else { &self.image };
        assert!(std::fs::read(&out).unwrap() == std::fs::read(image).unwrap(), "{args:?} left other bytes");
        true
    }

    /// What was undone, or had not begun, is done when asked for once more.
    fn done_again(&self, victim: &Victim) {
        let (bench, volume, there) = (&self.bench, &victim.volume, self.whole(victim));
        let info = if there { bench.json(&["info", volume]) } else { Value::Null };
        let has_snapshot = info["snapshots"].as_array().is_some_and(|all| !all.is_empty());
        let missing = match victim.kind {
            "delete" => there,
            "flatten" => !info["parent"].is_null(),
            "snap-rm" => has_snapshot,
            "snap-create" => !has_snapshot,
            _ => !there,
        };
        if missing {
            self.run(victim);
        }
        assert_eq!(self.whole(victim), victim.kind != "delete", "{:?}", victim.args);
    }

    /// Everything is removed; then there is nothing: no volume, no trash, no object, no key of one.
    pub(super) fn assert_nothing_stays(&self) {
        let bench = &self.bench;
        let all = ["cleanup", "--match", "volume-*", "--purge-snapshots", "--flatten-children", &bench.home];
        bench.ok(&all);
        bench.ok(&["rm", "--purge-snapshots", "--flatten-children", &bench.at("base")]);
        for list in [["ls"].as_slice(), &["trash", "ls"], &["pending", "ls"]] {
            assert_eq!(bench.json(&[list, &[&bench.home]].concat()), json!([]), "{list:?}");
        }
        let began = Instant::now();
        // What a snapshot kept goes when the OSDs get round to it.
        while let left = self.left()
            && !left.is_empty()
        {
            assert!(began.elapsed() < Duration::from_secs(120), "these are nobody's: {left:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Reaps until nothing is pending; gives how often that took, and what it said.
    ///
    /// Once is enough, but for an OSD of a release before https://tracker.ceph.com/issues/58120 was mended: a client that
    /// is killed before it is told that it watches is taken to watch until the OSD happens to forget the object.
    pub(super) fn reaped(&self) -> (u64, Vec<Value>) {
        let (bench, began, mut reports) = (&self.bench, Instant::now(), Vec::new());
        for rounds in 1.. {
            let ended = bench.run(&["reap", "-o", "json", &bench.home]);
            reports.extend(serde_json::from_str::<Value>(&ended.stdout).ok());
            let pending = bench.json(&["pending", "ls", &bench.home]);
            if pending == json!([]) {
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
                return (rounds, reports);
            }
            let held = |of: &Value| {
                of["last_error"]
                    .as_str()
                    .is_some_and(|error| ["EBUSY", "client."].iter().any(|by| error.contains(by)))
            };
            let excused = !bench.is_local() && pending.as_array().unwrap().iter().all(held);
            assert!(excused && began.elapsed() < Duration::from_secs(300), "{pending:#}: {}", ended.stderr);
        }
        unreachable!("it ends by returning")
    }

    fn left(&self) -> Vec<String> {
        let bench = &self.bench;
        let Some((pool, namespace)) = bench.home.split_once('/') else {
            return vec!["an object".to_owned(); bench.objects()];
        };
        let rados = |args: &[&str]| {
            cluster::output("rados", &[&["--pool", pool, "--namespace", namespace], args].concat())
        };
        let catalogues = ["rbd_directory", "rbd_trash", "rbd_children", "volary_journal"];
        let each = |object: &str| match catalogues.contains(&object) {
            // The directory says of itself that it is ready.
            true => {
                let keys = rados(&["listomapkeys", object]);
                keys.lines().filter(|key| *key != "state").map(|key| format!("{object}: {key}")).collect()
            }
            false => vec![object.to_owned()],
        };
        rados(&["ls"]).lines().flat_map(each).collect()
    }
}

/// What the soak asks for.
pub(super) fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Numbers from 0 to 1, the same for the same seed.
pub(super) fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f64 / f64::from(1 << 24)
    }
}

#[test]
fn s04_commands_killed_anywhere_leave_whole_volumes_or_none_and_no_debris() {
    let (kills, seed) = (number_from("VOLARY_SOAK_KILLS", 20), number_from("VOLARY_SOAK_SEED", 1));
    // At most a little later than such a command ends.
    let (mut random, mut number, mut again, began) = (random(seed), 0, 0, Instant::now());
    let mut point = |whole: Duration| whole.mul_f64(random() * 1.1);
    let (mut paces, mut killed, mut midway) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    while number < kills {
        let yard = Yard::new();
        let mut victims = Vec::new();
        for _ in 0..ROUND.min((kills - number) as usize) {
            let kind = KINDS[(number % KINDS.len() as u64) as usize];
            let victim = yard.victim(kind, &format!("volume-{number}"));
            let pace = *paces.entry(kind).or_insert_with(|| {
                let (victim, began) = (yard.victim(kind, &format!("volume-{kind}")), Instant::now());
                yard.run(&victim);
                began.elapsed()
            });
            yard.kill(&victim, point(pace));
            *killed.entry(kind).or_insert(0) += 1;
            victims.push(victim);
            number += 1;
        }
        let bench = &yard.bench;
        for intent in bench.json(&["pending", "ls", &bench.home]).as_array().unwrap() {
            let [operation, step] = ["operation", "step"].map(|key| intent[key].as_str().unwrap_or("begun"));
            *midway.entry(format!("{operation}: {step}")).or_insert(0) += 1;
        }
        let (rounds, reaped) = yard.reaped();
        again += rounds - 1;
        for entry in bench.json(&["trash", "ls", &bench.home]).as_array().unwrap() {
            // Only what was there before, and is whole.
            let id = entry["id"].as_str().unwrap();
            let mut restores = victims.iter().filter(|victim| victim.kind == "restore");
            assert!(restores.any(|victim| victim.args[2].ends_with(id)), "{entry:#}: {reaped:#?}");
            assert_eq!(entry["state"], "normal", "{reaped:#?}");
        }
        super::check::assert_sound(bench);
        victims.iter().for_each(|victim| yard.done_again(victim));
        super::check::assert_sound(bench);
        yard.assert_nothing_stays();
    }
    assert_ne!(midway, BTreeMap::new(), "no kill came midway");
    let figures = json!({"seed": seed, "seconds": began.elapsed().as_secs(), "killed": killed, "midway": midway, "reaped again": again});
    #[allow(clippy::print_stdout)]
    {
        println!("{figures:#}");
    }
}
