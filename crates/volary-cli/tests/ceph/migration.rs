//! Migrations that `rbd` prepared, or was killed in: each stage has its commands, and no source is taken for rubbish.

use crate::bench;
use crate::both::check::{assert_clean, found};
use crate::harness::cluster;
use crate::states::{SET_BYTE, assert_whole, carry_out, end, filled, holders, orphans};
use serde_json::{Value, json};

/// How a migration's stages are numbered, and the commands that go on from each.
const STAGES: [(&str, &[&str]); 4] = [
    ("2", &["abort", "execute", "commit"]),
    ("3", &["abort", "execute", "commit"]),
    ("4", &["commit", "abort"]),
    ("5", &["abort"]),
];

#[test]
fn s03_each_stage_of_a_migration_is_told_with_its_whole_commands_and_is_no_orphan() {
    let bench = bench();
    let (source, source_id) = filled(&bench, "src");
    let target = bench.at("dst");
    cluster::output("rbd", &["migration", "prepare", &source, &target]);
    let header = format!("rbd_header.{}", bench.id("dst"));
    let trashed = bench.at(&format!("id:{source_id}"));
    let mut told = Vec::new();
    for (stage, commands) in STAGES {
        // The stage stands before an empty description, a mode and an empty string.
        bench.tamper(SET_BYTE, &[&header, "migration", "-10", stage]);
        let holder = holders(&bench, &target).into_iter().find(|(kind, ..)| kind == "migration").unwrap();
        for command in commands {
            let whole = format!("`rbd migration {command} {target}`");
            assert!(holder.2.contains(&whole), "{stage}: {whole}: {}", holder.2);
        }
        assert!(holder.1.contains(&source), "{stage}: {}", holder.1);
        told.push(holder.1);
        let refused = bench.run(&["-o", "json", "rm", &target]);
        let report: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!((refused.code, &report["steps"]), (Some(5), &json!([])), "{stage}: {report:#}");
        end(&bench, &[&["trash", "mv", &target]], 5, &["rbd migration abort"]);
        if stage == "5" {
            // It can be read only.
            end(&bench, &[&["snap", "create", &bench.at("dst@s")]], 5, &["rbd migration abort"]);
        }
        // Neither is debris: the target reads from the source.
        let all = orphans(&bench, &bench.home);
        assert!(all.is_empty(), "{stage}: {all:?}");
    }
    let count = told.len();
    told.sort();
    told.dedup();
    assert!(told.len() == count, "{told:?}");
    let metadata = bench.json(&["meta", "ls", &target]).to_string();
    assert!(!metadata.contains("volary.trash"), "{metadata}");
    bench.tamper(SET_BYTE, &[&header, "migration", "-10", "2"]);
    // The source, by its name and by its id.
    let abort = format!("rbd migration abort {source}");
    end(&bench, &[&["info", &source], &["rm", &source]], 3, &[&abort]);
    let all = holders(&bench, &trashed);
    let holder = all.iter().find(|(kind, ..)| kind == "migration").unwrap();
    assert!(holder.1.contains("source") && holder.1.contains(&target), "{}", holder.1);
    assert!(all.iter().all(|of| !of.2.contains("removes it for good")), "{all:?}");
    end(&bench, &[&["trash", "restore", &trashed]], 5, &[&abort]);
    assert_eq!(bench.run(&["trash", "rm", "--force", &trashed]).code, Some(5));
    assert_whole(&bench, &target);
    carry_out(&abort);
    bench.ok(&["rm", &source]);
    bench.assert_empty();
}

#[test]
fn s02_the_source_of_a_migration_whose_preparation_was_killed_comes_back() {
    for state in ["moving", "normal"] {
        let bench = bench();
        let (source, id) = filled(&bench, "src");
        let (trashed, key) = (bench.at(&format!("id:{id}")), format!("id_{id}"));
        // As `rbd migration prepare` leaves it that is killed early: in trash for the sake of a migration, or on its way there.
        cluster::output("rbd", &["trash", "mv", &source]);
        bench.tamper(SET_BYTE, &["rbd_trash", &key, "6", "2"]);
        if state == "moving" {
            bench.tamper(SET_BYTE, &["rbd_trash", &key, "-1", "1"]);
        }
        let entry = bench.json(&["trash", "ls", &bench.home])[0].clone();
        assert_eq!((&entry["source"], &entry["state"]), (&json!("migration"), &json!(state)));
        let restore = format!("volary trash restore {}", bench.shown(&format!("id:{id}")));
        let all = orphans(&bench, &bench.home);
        assert_eq!((all.len(), all[0].1.as_str(), &all[0].2), (1, "half_moved", &restore), "{state}");
        let (code, _, report) = found(&bench, &["--repair"]);
        let finding = &report["findings"][0];
        assert_eq!(
            (code, &finding["kind"], &finding["repair"]),
            (Some(7), &json!("trash_half_moved"), &Value::Null)
        );
        assert_eq!(finding["remedy"], restore.as_str());
        end(&bench, &[&["info", &source], &["rm", &source]], 3, &[&restore]);
        // It has the only data.
        let refused = bench.run(&["trash", "rm", "--force", &trashed]);
        let said = refused.stdout + &refused.stderr;
        assert!(refused.code == Some(5) && said.contains(&restore), "{said}");
        bench.ok(&["trash", "restore", &trashed]);
        assert_eq!(bench.id("src"), id);
        assert_whole(&bench, &source);
        assert_clean(&bench);
        bench.ok(&["rm", &source]);
        bench.assert_empty();
    }
}

#[test]
fn s02_a_migration_killed_before_its_target_was_marked_is_undone_without_loss() {
    let bench = bench();
    let (source, source_id) = filled(&bench, "src");
    let target = bench.at("dst");
    cluster::output("rbd", &["snap", "create", &bench.at("src@a")]);
    cluster::output("rbd", &["migration", "prepare", &source, &target]);
    let header = format!("rbd_header.{}", bench.id("dst"));
    bench.rados(&["rmomapkey", &header, "migration"]);
    bench.tamper(SET_BYTE, &[&header, "features", "1", "0"]);
    bench.tamper(SET_BYTE, &[&format!("rbd_header.{source_id}"), "migration", "-10", "1"]);
    let trashed = bench.shown(&format!("id:{source_id}"));
    assert!(orphans(&bench, &bench.home).iter().all(|of| of.0 != trashed));
    let all = holders(&bench, &trashed);
    let remove = format!("volary rm --purge-snapshots {target}");
    assert!(all.iter().any(|of| of.0 == "migration" && of.2.contains(&remove)), "{all:?}");
    bench.ok(&["rm", "--purge-snapshots", &target]);
    cluster::output("rbd", &["migration", "abort", &source]);
    assert_eq!(
        (bench.id("src"), bench.json(&["snap", "ls", &source])[0]["name"].clone()),
        (source_id, json!("a"))
    );
    assert_whole(&bench, &source);
}
