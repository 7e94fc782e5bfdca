//! Volumes of which the directory, an object map, the header or the journal is not whole: each is named, with a way out, and no
//! removal leaves any of it unsaid.

use crate::bench;
use crate::both::check::{assert_clean, found};
use crate::damage::{assert_damaged, end, filled, listed, notes, orphans, removed_but, steps, wipe};
use crate::harness::cluster;
use serde_json::json;

#[test]
fn a_volume_without_id_object_is_as_any_other_but_for_its_name() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    bench.rados(&["rm", "rbd_id.web"]);
    assert!(listed(&bench, &bench.home, &bench.shown("web"))["problem"].is_null());
    assert_eq!(bench.id("web"), id);
    bench.ok(&["export", &web, bench.path("out.raw").to_str().unwrap()]);
    assert!(std::fs::read(bench.path("out.raw")).unwrap() == std::fs::read(bench.path("disk.raw")).unwrap());
    let repair = format!("volary check --repair {}", bench.home);
    end(&bench, &[&["mv", &web, &bench.at("other")]], 7, &["rbd_id.web", &repair]);
    let (code, rows, _) = found(&bench, &[]);
    assert_eq!((code, rows), (Some(7), vec![("id_object_missing".to_owned(), bench.shown("web"))]));
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn s02_a_volume_that_the_directory_has_by_its_id_alone_is_removed_whole() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    let lose_name = || drop(bench.rados(&["rmomapkey", "rbd_directory", "name_web"]));
    lose_name();
    assert_eq!(bench.id("web"), id);
    let repair = format!("volary check --repair {}", bench.home);
    end(&bench, &[&["mv", &web, &bench.at("other")]], 7, &["directory", &repair]);
    // Into trash and back it is whole again.
    bench.ok(&["trash", "mv", &web]);
    assert_eq!(bench.json(&["trash", "ls", &bench.home])[0]["id"], id);
    bench.ok(&["trash", "restore", &bench.at(&format!("id:{id}"))]);
    assert_clean(&bench);
    lose_name();
    assert_eq!(bench.json(&["rm", &web])["outcome"], "removed");
    bench.assert_empty();
    let left = bench.rados(&["ls"]);
    assert!(!left.contains(&id) && !left.contains("rbd_id."), "{left}");
    assert_clean(&bench);
}

#[test]
fn s02_a_volume_that_the_directory_has_by_its_name_alone_is_never_absent() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    let by_id = bench.at(&format!("id:{id}"));
    let id_key = format!("id_{id}");
    let repair = format!("volary check --repair {}", bench.home);
    for lost in [&[id_key.as_str()][..], &[id_key.as_str(), "name_web"]] {
        for key in lost {
            bench.rados(&["rmomapkey", "rbd_directory", key]);
        }
        end(
            &bench,
            &[
                &["info", &web],
                &["export", &web, "-"],
                &["why", &web],
                &["snap", "create", &bench.at("web@s")],
                &["mv", &web, &bench.at("other")],
                &["trash", "mv", &web],
                &["rm", &web],
                &["rm", "--defer", "1h", &web],
                &["rm", "--if-exists", &web],
                &["rm", "--dry-run", "--if-exists", &web],
                &["rm", "--if-exists", &by_id],
            ],
            7,
            &["directory", &repair],
        );
        assert_eq!(bench.run(&["create", "--size", "4M", &web]).code, Some(4));
        let pending = bench.json(&["pending", "ls", &bench.home]);
        assert_eq!(pending, json!([]), "a refused removal leaves no order");
        assert_eq!(bench.objects(), 1);
        if lost.len() == 1 {
            assert_damaged(&bench, &bench.home, &bench.shown("web"), "directory");
            assert_eq!(bench.run(&["cleanup", "--match", "web", &bench.home]).code, Some(7));
            bench.ok(&["check", "--repair", "--pause", "0ms", &bench.home]);
            assert_eq!(bench.id("web"), id);
        }
    }
    // With its entries written again it is whole.
    bench.tamper(
        "io.execute('rbd_directory', 'rbd', 'dir_add_image', text(args[0]) + text(args[1]))",
        &["web", &id],
    );
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn an_object_map_that_is_missing_or_cut_short_is_counted_around_and_rebuilt() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    let map = format!("rbd_object_map.{id}");
    for (damage, kind) in [
        (&["rm", &map][..], "object_map_missing"),
        (&["truncate", &map, "5"], "object_map_mismatch"),
        (&["truncate", &map, "0"], "object_map_mismatch"),
    ] {
        bench.rados(damage);
        let (code, rows, report) = found(&bench, &[]);
        assert_eq!((code, rows), (Some(7), vec![(kind.to_owned(), bench.shown("web"))]), "{report:#}");
        assert_eq!(listed(&bench, &bench.home, &bench.shown("web"))["used_bytes"], 4 << 20);
        let out = bench.path("out.raw");
        bench.ok(&["export", "--force", &web, out.to_str().unwrap()]);
        assert!(std::fs::read(&out).unwrap() == std::fs::read(bench.path("disk.raw")).unwrap());
        bench.ok(&["check", "--repair", "--pause", "0ms", &bench.home]);
        assert_clean(&bench);
    }
    bench.rados(&["rm", &map]);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn a_snapshot_without_object_map_is_named_with_what_rebuilds_it() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    let snapshot = bench.at("web@s");
    bench.ok(&["snap", "create", &snapshot]);
    let prefix = format!("rbd_object_map.{id}.");
    let all = bench.rados(&["ls"]);
    bench.rados(&["rm", all.lines().find(|object| object.starts_with(&prefix)).unwrap()]);
    let repair = format!("volary check --repair {}", bench.home);
    end(
        &bench,
        &[&["info", &snapshot], &["export", &snapshot, "-"], &["du", &web]],
        7,
        &["object map of the snapshot", &repair],
    );
    bench.ok(&["check", "--repair", "--pause", "0ms", &bench.home]);
    bench.ok(&["export", &snapshot, bench.path("out.raw").to_str().unwrap()]);
    bench.ok(&["rm", "--purge-snapshots", &web]);
    bench.assert_empty();
}

#[test]
fn s02_the_report_says_what_may_be_left_of_a_volume_without_whole_header() {
    for lost in ["header", "all", "size", "order", "features", "object_prefix", "snap_seq"] {
        let bench = bench();
        let (web, id) = filled(&bench, "web");
        let header = format!("rbd_header.{id}");
        match lost {
            "header" => bench.rados(&["rm", &header]),
            "all" => bench.rados(&["clearomap", &header]),
            key => bench.rados(&["rmomapkey", &header, key]),
        };
        end(&bench, &[&["info", &web], &["export", &web, "-"], &["du", &web]], 7, &["header"]);
        assert_damaged(&bench, &bench.home, &bench.shown("web"), "header");
        let (code, rows, _) = found(&bench, &[]);
        assert_eq!(code, Some(7), "{lost}");
        // What cannot be opened is not read, and is no other content.
        assert_eq!(found(&bench, &["--read"]).1, rows, "{lost}");
        let why = bench.json(&["why", &web]);
        assert!(notes(&why).contains("cannot be opened") && notes(&why).contains("header"), "{why:#}");
        let planned = bench.json(&["rm", "--dry-run", &web]);
        assert_eq!(steps(&planned), ["remove_remains"], "{lost}");
        assert!(notes(&planned).contains("header"), "{planned:#}");
        let trail = bench.path("trail");
        let report = removed_but(&bench, &["--audit-log", trail.to_str().unwrap(), "rm", &web]);
        assert_eq!(steps(&report), ["remove_remains"]);
        // What it says is what is there: the command finds the data.
        assert!(notes(&report).contains(&format!("rbd_data.{id}.")), "{lost}: {report:#}");
        let (pool, namespace) = bench.home.split_once('/').unwrap();
        let command = format!("`rados -p {pool} -N {namespace} ls | grep {id}`");
        assert!(notes(&report).contains(&command), "{lost}: {report:#}");
        assert_eq!(bench.objects(), 1, "{lost}");
        assert!(std::fs::read_to_string(&trail).unwrap().contains(&format!("rbd_data.{id}.")), "{lost}");
        assert_eq!(bench.json(&["ls", &bench.home]), json!([]), "{lost}");
        assert_clean(&bench);
    }
}

#[test]
fn s02_what_lies_in_trash_and_cannot_be_opened_goes_from_there_with_a_note() {
    for damage in ["gone", "damaged"] {
        let bench = bench();
        let (web, id) = filled(&bench, "web");
        let (header, trashed) = (format!("rbd_header.{id}"), bench.at(&format!("id:{id}")));
        bench.ok(&["trash", "mv", "--defer", "0s", &web]);
        match damage {
            "gone" => bench.rados(&["rm", &header]),
            _ => bench.rados(&["rmomapkey", &header, "order"]),
        };
        assert_eq!(found(&bench, &[]).0, Some(7), "{damage}");
        if damage == "gone" {
            // Under a name it would be as damaged, and the remedy would not work any more.
            let remedy = format!("volary trash rm --force {trashed}");
            end(
                &bench,
                &[&["trash", "restore", &trashed], &["trash", "restore", &trashed, "other"]],
                7,
                &["no volume behind", &remedy],
            );
            assert_eq!(bench.json(&["ls", &bench.home]), json!([]));
            assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]));
            // Nobody can tell whose it is: a purge leaves it, and says so.
            let none: &[&str] = &[];
            for dry in [none, &["--dry-run"]] {
                let purge = [&["trash", "purge", &bench.home][..], dry].concat();
                end(&bench, &[&purge[..]], 7, &["no volume behind", &remedy]);
                let purged = bench.run(&[&purge[..], &["-o", "json"]].concat());
                let purged: serde_json::Value = serde_json::from_str(&purged.stdout).unwrap();
                assert_eq!(purged.as_array().unwrap().len(), 1, "{purged:#}");
                assert_eq!(purged[0]["outcome"], "failed", "{purged:#}");
                assert!(notes(&purged[0]).contains(&remedy), "{purged:#}");
                assert!(bench.run(&purge).stdout.contains(&remedy));
            }
            assert_eq!(bench.json(&["trash", "ls", &bench.home])[0]["id"], id.as_str());
        }
        let report = removed_but(&bench, &["trash", "rm", "--force", &trashed]);
        assert!(notes(&report).contains(&format!("rbd_data.{id}.")), "{damage}: {report:#}");
        assert_eq!(bench.json(&["trash", "ls", &bench.home]), json!([]), "{damage}");
        assert_clean(&bench);
    }
}

#[test]
fn data_that_nothing_leads_to_is_no_volume() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    let (data, kept) = (format!("rbd_data.{id}.{:016x}", 0), bench.path("kept"));
    bench.rados(&["get", &data, kept.to_str().unwrap()]);
    wipe(&bench, "web", &id);
    bench.rados(&["put", &data, kept.to_str().unwrap()]);
    let by_id = bench.at(&format!("id:{id}"));
    end(
        &bench,
        &[&["info", &web], &["rm", &web], &["info", &by_id], &["rm", &by_id]],
        3,
        &["no such volume"],
    );
    bench.ok(&["rm", "--if-exists", &web]);
    assert!(orphans(&bench, &bench.home).is_empty());
    assert_clean(&bench);
}

#[test]
fn a_journal_that_is_missing_is_found_with_what_makes_the_volume_writable() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
    assert_clean(&bench);
    bench.rados(&["rm", &format!("journal.{id}")]);
    bench.ok(&["export", &web, bench.path("out.raw").to_str().unwrap()]);
    let (code, rows, report) = found(&bench, &[]);
    assert_eq!((code, rows), (Some(7), vec![("journal_missing".to_owned(), bench.shown("web"))]));
    let remedy = report["findings"][0]["remedy"].as_str().unwrap();
    let words: Vec<&str> = remedy.split(' ').skip(1).collect();
    cluster::output("rbd", &words);
    bench.ok(&["resize", "--size", "8M", &web]);
    assert_clean(&bench);
    cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
    bench.rados(&["rm", &format!("journal.{id}")]);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}
