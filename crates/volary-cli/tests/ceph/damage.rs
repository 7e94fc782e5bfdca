//! What the tests of states that others leave have in common: damage by `rados`, and what the command says of it.

use crate::harness::{Bench, cluster};
use serde_json::Value;

/// Each of these ends so, with these words in its table or its error, and explains what Ceph refused.
pub(crate) fn end(bench: &Bench, all: &[&[&str]], code: i32, words: &[&str]) {
    for args in all {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        let said = ended.stdout + &ended.stderr;
        for word in words {
            assert!(said.contains(word), "{args:?}: {word}: {said}");
        }
        assert!(!said.contains("Ceph refused"), "{args:?}: {said}");
    }
}

/// A volume of a block of data that does not compress, and its id.
pub(crate) fn filled(bench: &Bench, name: &str) -> (String, String) {
    let image = bench.image("disk.raw", 1);
    bench.ok(&["import", "--no-verify", image.to_str().unwrap(), &bench.at(name)]);
    (bench.at(name), bench.id(name))
}

/// A volume's row in a long listing, which must end well.
pub(crate) fn listed(bench: &Bench, namespace: &str, volume: &str) -> Value {
    let all = bench.json(&["ls", "-l", namespace]);
    let row = all.as_array().unwrap().iter().find(|of| of["volume"] == volume);
    row.unwrap_or_else(|| panic!("{volume} is not listed: {all:#}")).clone()
}

/// Volume, class and remedy of what is no part of an inventory that names nothing.
pub(crate) fn orphans(bench: &Bench, namespace: &str) -> Vec<(String, String, String)> {
    let known = bench.path("known");
    std::fs::write(&known, "").unwrap();
    let all = bench.json(&["orphans", "--known", known.to_str().unwrap(), namespace]);
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let rows = all.as_array().unwrap().iter();
    rows.map(|of| (text(&of["volume"]), text(&of["class"]), text(&of["remedy"]))).collect()
}

/// A volume is listed as damaged, and is an orphan of that class.
pub(crate) fn assert_damaged(bench: &Bench, namespace: &str, volume: &str, problem: &str) {
    let row = listed(bench, namespace, volume);
    assert!(row["problem"].as_str().is_some_and(|told| told.contains(problem)), "{problem}: {row}");
    let orphan = (volume.to_owned(), "damaged".to_owned(), format!("volary info {volume}"));
    let all = orphans(bench, namespace);
    assert!(all.contains(&orphan), "{all:?}");
}

/// The actions of a removal, in order.
pub(crate) fn steps(report: &Value) -> Vec<&str> {
    report["steps"].as_array().unwrap().iter().map(|of| of["action"].as_str().unwrap()).collect()
}

/// All notes of a report.
pub(crate) fn notes(report: &Value) -> String {
    let notes = report["notes"].as_array().unwrap().iter();
    notes.map(|note| note.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The report of a removal after which data may be left: its exit code says that alone.
pub(crate) fn removed_but(bench: &Bench, args: &[&str]) -> Value {
    let ended = bench.run(&[args, &["-o", "json"]].concat());
    assert_eq!(ended.code, Some(11), "{args:?}: {}", ended.stderr);
    assert!(ended.stderr.contains("may be left"), "{args:?}: {}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["outcome"], &report["pending"]), (&"removed".into(), &false.into()), "{report:#}");
    report
}

/// Removes all that there is of an image, as a colleague with `rados` does.
pub(crate) fn wipe(bench: &Bench, name: &str, id: &str) {
    for object in bench.rados(&["ls"]).lines().filter(|object| object.contains(id)) {
        bench.rados(&["rm", object]);
    }
    bench.rados(&["rm", &format!("rbd_id.{name}")]);
    bench.rados(&["rmomapkey", "rbd_directory", &format!("name_{name}")]);
    bench.rados(&["rmomapkey", "rbd_directory", &format!("id_{id}")]);
}

/// A volume `par` with a snapshot `s` and a clone `web` of a format, made by `rbd`: their ids.
pub(crate) fn family(bench: &Bench, format: &str) -> (String, String) {
    let [snapshot, clone] = ["par@s", "web"].map(|name| bench.at(name));
    filled(bench, "par");
    cluster::output("rbd", &["snap", "create", &snapshot]);
    if format == "1" {
        cluster::output("rbd", &["snap", "protect", &snapshot]);
    }
    cluster::output("rbd", &["clone", "--rbd-default-clone-format", format, &snapshot, &clone]);
    assert_eq!(bench.json(&["children", &snapshot])[0]["volume"], bench.shown("web"));
    (bench.id("par"), bench.id("web"))
}

pub(crate) fn remove_pool(pool: &str) {
    cluster::output("ceph", &["osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it"]);
}
