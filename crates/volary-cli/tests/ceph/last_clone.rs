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
