//! SIGKILL at points all over imports, copies, removals and flattens; then everything is reaped together.

use crate::bench;
use crate::harness::{Bench, cluster};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How many commands are killed.
const KILLS: usize = 20;

/// What is killed, and the volume it works on.
struct Victim {
    volume: String,
    args: Vec<String>,
}

fn victim(bench: &Bench, number: usize, image: &str) -> Victim {
    let volume = bench.at(&format!("volume-{number}"));
    let golden = bench.at("base@golden");
    let words: Vec<&str> = match number % 5 {
        0 => vec!["import", image, &volume],
        1 => vec!["import", "--snapshot", "s", "--protect", image, &volume],
        2 => vec!["cp", &golden, &volume],
        3 => {
            bench.ok(&["import", "--snapshot", "s", image, &volume]);
            vec!["rm", "--purge-snapshots", &volume]
        }
        _ => {
            bench.ok(&["clone", &golden, &volume]);
            vec!["flatten", &volume]
        }
    };
    let args = words.into_iter().map(str::to_owned).collect();
    Victim { volume, args }
}

/// RADOS objects of images that are not there.
///
/// Data of removed snapshots is not looked for: librbd, killed between taking a snapshot from the header and giving its
/// number back, leaves it to nobody.
fn debris(bench: &Bench, ids: &HashSet<String>, removed: &HashSet<String>) -> Vec<String> {
    let Some((pool, namespace)) = bench.home.split_once('/') else { return Vec::new() };
    let all = cluster::output("rados", &["--pool", pool, "--namespace", namespace, "ls"]);
    let is_debris = |object: &&str| {
        let prefixes = ["rbd_data.", "rbd_header.", "rbd_object_map."];
        let id = prefixes.iter().find_map(|prefix| object.strip_prefix(prefix));
        let id = id.and_then(|id| id.split('.').next());
        id.is_some_and(|id| !(ids.contains(id) || object.starts_with("rbd_data.") && removed.contains(id)))
    };
    all.lines().filter(is_debris).map(str::to_owned).collect()
}

#[test]
fn s04_commands_killed_anywhere_leave_whole_volumes_or_none_and_no_debris() {
    let bench = bench();
    let path = bench.image("disk.raw", 3);
    let (image, bytes) = (path.to_str().unwrap(), std::fs::read(&path).unwrap());
    let base = bench.at("base");
    let began = Instant::now();
    bench.ok(&["import", "--snapshot", "golden", "--protect", image, &base]);
    // How long such a command takes: the kills are spread over twice that.
    let whole = began.elapsed();
    let mut removed = HashSet::new();
    let victims: Vec<_> = (0..KILLS).map(|number| victim(&bench, number, image)).collect();
    for victim in victims.iter().filter(|victim| victim.args[0] == "rm") {
        removed.insert(bench.json(&["info", &victim.volume])["id"].as_str().unwrap().to_owned());
    }
    for (number, victim) in victims.iter().enumerate() {
        let args: Vec<&str> = victim.args.iter().map(String::as_str).collect();
        let mut child = bench.start(&args);
        // A point in time, not a condition, is what is to be hit.
        let share = (number * 7 % KILLS) as u32 + 1;
        std::thread::sleep(whole * share / KILLS as u32 + Duration::from_millis(2));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let left = bench.json(&["pending", "ls", &bench.home]);
    let reports = json!({"left": &left, "reaped": bench.json(&["reap", &bench.home])});
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]), "{reports:#}");
    assert_eq!(bench.json(&["trash", "ls", &bench.home]), json!([]), "{reports:#}");
    let listed = bench.json(&["ls", &bench.home]);
    let listed = listed.as_array().unwrap();
    let there = |volume: &str| {
        let shown = volume.rsplit('/').next().unwrap_or_default();
        listed.iter().any(|of| of["volume"].as_str().is_some_and(|of| of.ends_with(&format!("/{shown}"))))
    };
    for Victim { volume, args } in &victims {
        if there(volume) {
            let out = bench.path("out.raw");
            bench.ok(&["export", "--force", volume, out.to_str().unwrap()]);
            assert!(std::fs::read(&out).unwrap() == bytes, "{args:?} left other bytes, {reports:#}");
            // Once more, from the start where it was undone.
            if args[0] == "flatten" && bench.json(&["parent", volume]) != Value::Null {
                bench.ok(&["flatten", volume]);
            }
        } else {
            assert_ne!(args[0], "flatten", "{volume} is gone");
            if args[0] != "rm" {
                bench.ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
    }
    let listed = bench.json(&["ls", &bench.home]);
    let ids = listed.as_array().unwrap().iter().map(|of| of["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(debris(&bench, &ids, &removed), Vec::<String>::new(), "{reports:#}");
    assert_ne!(left, json!([]), "no kill came midway");
}
