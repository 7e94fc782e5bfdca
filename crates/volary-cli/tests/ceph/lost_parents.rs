//! Clones and what they read from, where one of the two is not whole any more; and data whose pool was deleted.

use crate::bench;
use crate::both::check::found;
use crate::client::Client;
use crate::damage::{assert_damaged, end, family, listed, notes, remove_pool, removed_but, steps, wipe};
use crate::harness::cluster;
use serde_json::json;

#[test]
fn a_clone_whose_parent_is_gone_is_shown_as_damaged_and_removed() {
    for gone in ["header", "snapshot", "all"] {
        let bench = bench();
        let (parent, clone) = family(&bench, "1");
        let header = format!("rbd_header.{parent}");
        match gone {
            "header" => drop(bench.rados(&["rm", &header])),
            "snapshot" => {
                let keys = bench.rados(&["listomapkeys", &header]);
                let key = keys.lines().find(|key| key.starts_with("snapshot_")).unwrap();
                bench.rados(&["rmomapkey", &header, key]);
            }
            _ => wipe(&bench, "par", &parent),
        }
        let (web, shown) = (bench.at("web"), bench.shown("web"));
        let remedy = format!("volary rm {shown}");
        end(
            &bench,
            &[
                &["info", &web],
                &["export", &web, "-"],
                &["flatten", &web],
                &["resize", "--size", "8M", &web],
                &["snap", "create", &bench.at("web@x")],
            ],
            7,
            &["parent is missing", &parent, &remedy],
        );
        assert_damaged(&bench, &bench.home, &shown, "parent is missing");
        let (code, rows, report) = found(&bench, &[]);
        assert_eq!(code, Some(7));
        assert!(rows.contains(&("parent_missing".to_owned(), shown)), "{rows:?}");
        assert!(report.to_string().contains(&format!("rmomapkey rbd_header.{clone} parent")), "{report:#}");
        assert_eq!(steps(&bench.json(&["rm", "--dry-run", &web])), ["remove_remains"]);
        let report = bench.json(&["rm", &web]);
        assert_eq!((steps(&report), &report["outcome"]), (vec!["remove_remains"], &json!("removed")));
        assert!(notes(&report).contains("parent is missing"), "{report:#}");
        assert!(!bench.rados(&["ls"]).contains(&clone), "{gone}");
        // Nor does anything name it as a clone.
        assert_eq!(bench.rados(&["listomapkeys", "rbd_children"]), "", "{gone}");
    }
}

#[test]
fn a_clone_with_snapshots_whose_parent_is_gone_says_what_makes_it_removable() {
    let bench = bench();
    let (parent, clone) = family(&bench, "1");
    let web = bench.at("web");
    cluster::output("rbd", &["snap", "create", &bench.at("web@own")]);
    bench.rados(&["rm", &format!("rbd_header.{parent}")]);
    let header = format!("rbd_header.{clone}");
    let cut = format!("rmomapkey {header} parent");
    end(&bench, &[&["rm", &web], &["rm", "--purge-snapshots", &web]], 7, &[&cut]);
    bench.rados(&["rmomapkey", &header, "parent"]);
    bench.ok(&["rm", "--purge-snapshots", &web]);
    assert!(!bench.rados(&["ls"]).contains(&clone));
}

#[test]
fn a_clone_in_trash_whose_parent_is_gone_is_removed_from_there() {
    for purge in [false, true] {
        let bench = bench();
        let (parent, clone) = family(&bench, "1");
        let trashed = bench.at(&format!("id:{clone}"));
        bench.ok(&["trash", "mv", "--defer", "0s", &bench.at("web")]);
        bench.rados(&["rm", &format!("rbd_header.{parent}")]);
        end(&bench, &[&["info", &trashed]], 7, &["parent is missing"]);
        match purge {
            true => bench.ok(&["trash", "purge", "--all", &bench.home]),
            false => bench.ok(&["trash", "rm", "--force", &trashed]),
        };
        assert_eq!(bench.json(&["trash", "ls", &bench.home]), json!([]));
        assert!(!bench.rados(&["ls"]).contains(&clone));
    }
}

#[test]
fn a_clone_of_a_clone_whose_parent_is_gone_names_what_is_missing() {
    let bench = bench();
    let (parent, _) = family(&bench, "1");
    let (middle, top) = (bench.at("web@m"), bench.at("top"));
    bench.ok(&["snap", "create", "--protect", &middle]);
    bench.ok(&["clone", &middle, &top]);
    bench.rados(&["rm", &format!("rbd_header.{parent}")]);
    end(&bench, &[&["info", &top], &["export", &top, "-"]], 7, &["parent is missing", &parent]);
}

#[test]
fn a_clone_whose_parents_pool_was_deleted_is_shown_as_damaged_and_removed() {
    let bench = bench();
    let (parents, pool) = (bench.own_pool(), bench.own_pool());
    let (snapshot, web) = (format!("{parents}/par@s"), format!("{pool}/web"));
    cluster::output("rbd", &["create", "--size", "4M", &format!("{parents}/par")]);
    cluster::output("rbd", &["snap", "create", &snapshot]);
    cluster::output("rbd", &["snap", "protect", &snapshot]);
    cluster::output("rbd", &["clone", "--rbd-default-clone-format", "1", &snapshot, &web]);
    remove_pool(&parents);
    end(
        &bench,
        &[&["info", &web], &["export", &web, "-"], &["parent", &web]],
        7,
        &["parent is missing", &format!("volary rm {web}")],
    );
    assert_damaged(&bench, &pool, &web, "parent is missing");
    assert_eq!(bench.json(&["rm", &web])["outcome"], "removed");
    assert_eq!(bench.json(&["ls", &pool]), json!([]));
}

#[test]
fn s03_a_clone_whose_parents_pool_may_not_be_read_names_that_pool_and_the_right() {
    let bench = bench();
    let (parents, pool) = (bench.own_pool(), bench.own_pool());
    let (snapshot, web) = (format!("{parents}/par@s"), format!("{pool}/web"));
    cluster::output("rbd", &["create", "--size", "4M", &format!("{parents}/par")]);
    cluster::output("rbd", &["snap", "create", &snapshot]);
    cluster::output("rbd", &["snap", "protect", &snapshot]);
    cluster::output("rbd", &["clone", "--rbd-default-clone-format", "1", &snapshot, &web]);
    let caps = format!("profile rbd pool={pool}");
    let client = Client::with_caps(&["mon", "profile rbd", "osd", &caps, "mgr", &caps]);
    let right = format!("profile rbd-read-only pool={parents}");
    for args in [&["info", &web][..], &["export", &web, "-"], &["flatten", &web]] {
        let ended = client.run(args);
        assert_eq!(ended.code, Some(9), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(&right), "{args:?}: {}", ended.stderr);
    }
    let why = client.json(&["why", &web]);
    let holder = &why["holders"][0];
    assert!(holder["kind"] == "unknown" && holder["remedy"].as_str().unwrap().contains(&right), "{why:#}");
    for args in [&["rm", &web][..], &["rm", "--dry-run", &web]] {
        let ended = client.run(args);
        assert_eq!(ended.code, Some(9), "{args:?}: {}", ended.stderr);
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(&right), "{args:?}: {said}");
    }
    let rows = client.json(&["ls", "-l", &pool]);
    assert!(rows[0]["volume"] == web.as_str() && rows[0]["size_bytes"].is_null(), "{rows}");
    // What may not be read is not known to be missing.
    client.json(&["check", "--pause", "0ms", &pool]);
}

#[test]
fn s02_removing_a_clone_without_header_lets_its_parent_go() {
    let bench = bench();
    let (_, clone) = family(&bench, "1");
    let (web, snapshot) = (bench.at("web"), bench.at("par@s"));
    bench.rados(&["rm", &format!("rbd_header.{clone}")]);
    assert_eq!(bench.json(&["children", &snapshot])[0]["id"], clone.as_str());
    removed_but(&bench, &["rm", &web]);
    assert_eq!(bench.json(&["children", &snapshot]), json!([]));
    bench.ok(&["snap", "unprotect", &snapshot]);
    bench.ok(&["rm", "--purge-snapshots", &bench.at("par")]);
}

#[test]
fn s03_the_remains_of_a_parent_stay_while_it_has_clones_that_a_backup_would_bring_back() {
    let bench = bench();
    let (parent, _) = family(&bench, "1");
    bench.rados(&["rm", &format!("rbd_header.{parent}")]);
    let (par, web) = (bench.at("par"), bench.shown("web"));
    for args in [&["rm", &par][..], &["rm", "--dry-run", &par]] {
        let ended = bench.run(&[args, &["-o", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let blocker = &report["blockers"][0];
        assert_eq!((ended.code, &blocker["kind"]), (Some(5), &json!("child")), "{report:#}");
        assert!(blocker["remedy"].as_str().unwrap().contains(&format!("volary rm {web}")), "{report:#}");
    }
    bench.ok(&["rm", &web]);
    assert_eq!(steps(&removed_but(&bench, &["rm", &par])), ["remove_remains"]);
    assert_eq!(bench.json(&["ls", &bench.home]), json!([]));
}

#[test]
fn s02_a_snapshot_removed_below_its_clone_defers_its_volume_until_the_clone_goes() {
    let bench = bench();
    family(&bench, "2");
    let (par, web) = (bench.at("par"), bench.at("web"));
    cluster::output("rbd", &["snap", "rm", &bench.at("par@s")]);
    assert_eq!(bench.json(&["snap", "ls", &par]), json!([]));
    assert_eq!(bench.json(&["why", &par])["holders"][0]["kind"], "child");
    let planned = bench.run(&["rm", "--dry-run", &par]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    assert!(
        planned.stdout.contains("WAITS FOR") && !planned.stdout.contains("BLOCKED"),
        "{}",
        planned.stdout
    );
    assert!(planned.stderr.contains("with its last clone"), "{}", planned.stderr);
    assert_eq!(bench.json(&["rm", &par])["outcome"], "deferred");
    assert_eq!(bench.json(&["rm", &web])["outcome"], "removed");
    bench.assert_empty();
}

#[test]
fn a_volume_whose_data_pool_was_deleted_is_shown_as_damaged_and_hides_no_other() {
    let bench = bench();
    let (data, pool) = (bench.own_pool(), bench.own_pool());
    let [web, plain, empty, other] = ["web", "plain", "empty", "other"].map(|name| format!("{pool}/{name}"));
    let create = |more: &[&str]| {
        let of_pool = ["create", "--size", "16M", "--data-pool", data.as_str()];
        cluster::output("rbd", &[&of_pool[..], more].concat());
    };
    create(&[&web]);
    create(&[&empty]);
    create(&["--image-feature", "layering", &plain]);
    cluster::output("rbd", &["create", "--size", "16M", &other]);
    for volume in [&web, &plain] {
        let write = ["bench", "--io-type", "write", "--io-size", "1M", "--io-total", "4M", volume];
        cluster::output("rbd", &write);
    }
    remove_pool(&data);
    for volume in [&web, &plain, &empty] {
        assert_damaged(&bench, &pool, volume, "pool of its data was deleted");
        let copy = format!("{pool}/copy");
        end(
            &bench,
            &[&["info", volume], &["export", volume, "-"], &["cp", volume, &copy], &["du", volume]],
            7,
            &["pool of its data was deleted"],
        );
    }
    for volume in [&web, &plain] {
        let snapshot = format!("{volume}@s");
        end(&bench, &[&["snap", "create", &snapshot]], 7, &["pool of its data was deleted"]);
    }
    assert!(listed(&bench, &pool, &other)["problem"].is_null());
    let check = ["check", "-o", "json", "--pause", "0ms", &pool];
    let checked = bench.run(&check);
    assert!(checked.code == Some(7) && checked.stdout.contains("data_pool_missing"), "{}", checked.stdout);
    for volume in [&web, &plain, &empty] {
        assert_eq!(bench.json(&["rm", volume])["outcome"], "removed");
    }
    bench.ok(&["rm", &other]);
    assert_eq!(bench.json(&["ls", &pool]), json!([]));
    assert_eq!(bench.run(&check).code, Some(0));
}
