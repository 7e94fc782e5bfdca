//! The lists by which RBD knows the clones of a volume, damaged by `rados`: found, repaired, and never taken for "no clones".

use crate::bench;
use crate::both::check::{assert_clean, found};
use crate::harness::{Bench, cluster};
use crate::states::{end, filled};
use serde_json::json;

/// Removes all that there is of an image, as a colleague with `rados` does.
fn wipe(bench: &Bench, name: &str, id: &str) {
    for object in bench.rados(&["ls"]).lines().filter(|object| object.contains(id)) {
        bench.rados(&["rm", object]);
    }
    bench.rados(&["rm", &format!("rbd_id.{name}")]);
    bench.rados(&["rmomapkey", "rbd_directory", &format!("name_{name}")]);
    bench.rados(&["rmomapkey", "rbd_directory", &format!("id_{id}")]);
}

/// A parent with a snapshot, protected where the format asks for that, and a clone of the format, made by `rbd`: their ids.
fn family(bench: &Bench, format: &str) -> (String, String) {
    let [snapshot, clone] = ["par@s", "web"].map(|name| bench.at(name));
    let (_, parent) = filled(bench, "par");
    cluster::output("rbd", &["snap", "create", &snapshot]);
    if format == "1" {
        cluster::output("rbd", &["snap", "protect", &snapshot]);
    }
    cluster::output("rbd", &["clone", "--rbd-default-clone-format", format, &snapshot, &clone]);
    assert_eq!(bench.json(&["children", &snapshot])[0]["volume"], bench.shown("web"));
    assert_clean(bench);
    (parent, bench.id("web"))
}

#[test]
fn s03_an_entry_of_a_clone_that_is_gone_is_found_and_taken_away() {
    for format in ["1", "2"] {
        let bench = bench();
        let (parent, clone) = family(&bench, format);
        // A clone that is there stays, whatever is repaired.
        let other = bench.at("other");
        cluster::output("rbd", &["clone", "--rbd-default-clone-format", format, &bench.at("par@s"), &other]);
        wipe(&bench, "web", &clone);
        let (par, snapshot) = (bench.at("par"), bench.at("par@s"));
        let repair = format!("volary check --repair {}", bench.home);
        end(
            &bench,
            &[
                &["children", &snapshot],
                &["why", &par],
                &["rm", "--purge-snapshots", &par],
                &["snap", "rm", "--force", &snapshot],
            ],
            7,
            &["clone that is not there any more", &clone, &repair],
        );
        assert_eq!(bench.id("par"), parent);
        let (code, rows, report) = found(&bench, &[]);
        let stale = ("child_stale".to_owned(), bench.shown("par"));
        assert_eq!((code, rows), (Some(7), vec![stale]), "{report:#}");
        bench.ok(&["check", "--repair", "--pause", "0ms", &bench.home]);
        assert_clean(&bench);
        let children = bench.json(&["children", &snapshot]);
        assert_eq!(children.as_array().unwrap().len(), 1, "{children}");
        assert_eq!(children[0]["volume"], bench.shown("other"));
        bench.ok(&["rm", &other]);
        bench.ok(&["snap", "rm", "--force", &snapshot]);
        bench.ok(&["rm", &par]);
        bench.assert_empty();
    }
}

#[test]
fn s03_an_entry_in_another_pool_is_found_from_the_parent() {
    let bench = bench();
    let (parents, clones) = (bench.own_pool(), bench.own_pool());
    let (par, snapshot, web) =
        (format!("{parents}/par"), format!("{parents}/par@s"), format!("{clones}/web"));
    cluster::output("rbd", &["create", "--size", "4M", &par]);
    cluster::output("rbd", &["snap", "create", &snapshot]);
    cluster::output("rbd", &["snap", "protect", &snapshot]);
    cluster::output("rbd", &["clone", "--rbd-default-clone-format", "1", &snapshot, &web]);
    let check = |args: &[&str]| bench.run(&[&["check", "--pause", "0ms", &parents], args].concat());
    assert_eq!(check(&[]).code, Some(0));
    let id = bench.json(&["info", &web])["id"].as_str().unwrap().to_owned();
    let rados = |args: &[&str]| cluster::output("rados", &[&["--pool", &clones], args].concat());
    for object in [&*format!("rbd_header.{id}"), &*format!("rbd_object_map.{id}"), "rbd_id.web"] {
        rados(&["rm", object]);
    }
    rados(&["rmomapkey", "rbd_directory", "name_web"]);
    rados(&["rmomapkey", "rbd_directory", &format!("id_{id}")]);
    end(&bench, &[&["snap", "unprotect", &snapshot]], 7, &[&id, "volary check --repair"]);
    let ended = check(&[]);
    assert!(ended.code == Some(7) && ended.stdout.contains("child_stale"), "{}", ended.stdout);
    assert_eq!(check(&["--repair"]).code, Some(0));
    assert_eq!(bench.json(&["children", &snapshot]), json!([]));
    bench.ok(&["rm", "--flatten-children", "--purge-snapshots", &par]);
}

#[test]
fn s03_a_clone_that_its_parent_does_not_know_of_is_found_and_entered_again() {
    let bench = bench();
    family(&bench, "1");
    bench.rados(&["rm", "rbd_children"]);
    let (code, rows, report) = found(&bench, &[]);
    let unlisted = ("child_unlisted".to_owned(), bench.shown("web"));
    assert_eq!((code, rows), (Some(7), vec![unlisted]), "{report:#}");
    bench.ok(&["check", "--repair", "--pause", "0ms", &bench.home]);
    assert_clean(&bench);
    let ended = bench.run(&["snap", "unprotect", &bench.at("par@s")]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    crate::states::assert_whole(&bench, &bench.at("web"));
}
