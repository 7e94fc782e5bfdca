//! Parents whose clones, made by `rbd` in format 2, need no protected snapshot.

use crate::harness::{Bench, cluster};
use serde_json::Value;

/// A parent with an unprotected snapshot, and two clones of it that read from it.
fn family(bench: &Bench) {
    let golden = &bench.at("golden");
    bench.ok(&["import", bench.image("golden.raw", 3).to_str().unwrap(), golden]);
    bench.ok(&["snap", "create", &format!("{golden}@v1")]);
    for clone in ["one", "two"] {
        let format = "--rbd-default-clone-format=2";
        cluster::output("rbd", &["clone", format, &format!("{golden}@v1"), &bench.at(clone)]);
    }
}

fn trashed(bench: &Bench) -> usize {
    bench.json(&["trash", "ls", &bench.home]).as_array().unwrap().len()
}

fn kinds(report: &Value) -> Vec<&str> {
    report["blockers"].as_array().unwrap().iter().map(|of| of["kind"].as_str().unwrap()).collect()
}

#[test]
fn s04_a_parent_of_such_clones_goes_to_trash_and_away_with_the_last_of_them() {
    let bench = Bench::ceph();
    family(&bench);
    let (golden, one, two) = (&bench.at("golden"), &bench.at("one"), &bench.at("two"));
    assert_eq!(bench.run(&["rm", golden]).code, Some(5), "its snapshot is nobody's to remove");
    let planned = bench.json(&["rm", "--purge-snapshots", "--dry-run", golden]);
    assert_eq!((planned["outcome"].as_str(), kinds(&planned)), (Some("planned"), vec!["child", "child"]));
    let report = bench.json(&["rm", "--purge-snapshots", golden]);
    assert_eq!((report["outcome"].as_str(), kinds(&report)), (Some("deferred"), vec!["child", "child"]));
    assert_eq!(report["pending"], false);
    assert_eq!(bench.run(&["info", golden]).code, Some(3));

    let purged = bench.run(&["-o", "json", "trash", "purge", &bench.home]);
    assert_eq!(purged.code, Some(5), "{}", purged.stderr);
    let before = bench.json(&["verify", "--record", two])["actual"].clone();
    let report = bench.json(&["rm", one]);
    assert_eq!((report["outcome"].as_str(), trashed(&bench)), (Some("removed"), 1));
    assert_eq!(bench.json(&["verify", two])["actual"], before, "it still reads from the parent in trash");
    let report = bench.json(&["rm", two]);
    let last = report["steps"].as_array().unwrap().last().unwrap().clone();
    assert!(last["action"] == "remove" && last["target"].as_str().unwrap().contains("/id:"), "{last}");
    bench.assert_empty();
    assert_eq!(bench.objects(), 0);
}

#[test]
fn s03_clones_of_a_snapshot_that_was_removed_below_them_are_seen() {
    let bench = Bench::ceph();
    family(&bench);
    let (golden, one, two) = (&bench.at("golden"), &bench.at("one"), &bench.at("two"));
    let before = bench.json(&["verify", "--record", two])["actual"].clone();
    // RBD keeps it, under a name that nobody can use, for as long as it has clones.
    cluster::output("rbd", &["snap", "rm", "--no-progress", &format!("{golden}@v1")]);
    assert_eq!(bench.json(&["snap", "ls", golden]), serde_json::json!([]));
    assert_eq!(bench.json(&["children", golden]).as_array().unwrap().len(), 2);
    let planned = bench.json(&["rm", "--dry-run", "--flatten-children", golden]);
    let actions: Vec<_> =
        planned["steps"].as_array().unwrap().iter().map(|of| of["action"].clone()).collect();
    assert_eq!(actions, ["flatten", "flatten", "move_to_trash", "remove"]);
    let report = bench.json(&["rm", golden]);
    assert_eq!((report["outcome"].as_str(), kinds(&report)), (Some("deferred"), vec!["child", "child"]));
    assert_eq!(bench.json(&["verify", two])["actual"], before);
    bench.ok(&["rm", one]);
    bench.ok(&["rm", two]);
    bench.assert_empty();
    assert_eq!(bench.objects(), 0);
}

#[test]
fn s03_a_snapshot_of_a_group_holds_its_volume() {
    let bench = Bench::ceph();
    let (web, group) = (&bench.at("web"), &bench.at("group"));
    bench.ok(&["create", web, "--size", "1M"]);
    cluster::output("rbd", &["group", "create", group]);
    cluster::output("rbd", &["group", "image", "add", group, web]);
    cluster::output("rbd", &["group", "snap", "create", &format!("{group}@one")]);
    cluster::output("rbd", &["group", "image", "rm", group, web]);
    let held = bench.run(&["-o", "json", "rm", "--purge-snapshots", web]);
    assert_eq!(held.code, Some(5), "{}{}", held.stdout, held.stderr);
    assert!(held.stdout.contains("rbd group snap rm"), "{}", held.stdout);
    cluster::output("rbd", &["group", "snap", "rm", &format!("{group}@one")]);
    bench.ok(&["rm", web]);
    cluster::output("rbd", &["group", "rm", group]);
    bench.assert_empty();
}

#[test]
fn a_parent_in_trash_goes_with_the_next_purge_when_its_last_clone_was_flattened() {
    let bench = Bench::ceph();
    family(&bench);
    bench.ok(&["rm", "--purge-snapshots", &bench.at("golden")]);
    bench.ok(&["rm", &bench.at("one")]);
    bench.ok(&["flatten", &bench.at("two")]);
    assert_eq!(trashed(&bench), 1);
    bench.ok(&["trash", "purge", &bench.home]);
    assert_eq!(trashed(&bench), 0);
    bench.ok(&["rm", &bench.at("two")]);
    bench.assert_empty();
}
