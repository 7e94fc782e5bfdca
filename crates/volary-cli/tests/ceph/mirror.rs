//! Volumes that are mirrored, or keep a journal: a secondary is never written, and each remedy works.

use crate::bench;
use crate::harness::cluster;
use crate::states::{carry_out, end, filled, holders};
use serde_json::{Value, json};

#[test]
fn s03_a_mirrors_secondary_is_never_written_and_its_remedies_work() {
    let bench = bench();
    let pool = bench.own_pool();
    cluster::output("rbd", &["mirror", "pool", "enable", &pool, "image"]);
    for mode in ["snapshot", "journal"] {
        let web = format!("{pool}/{mode}");
        bench.ok(&["create", "--size", "4M", &web]);
        if mode == "journal" {
            cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
        }
        cluster::output("rbd", &["mirror", "image", "enable", &web, mode]);
        let disable = format!("`rbd mirror image disable {web}`");
        let all = holders(&bench, &web);
        assert!(all.len() == 1 && all[0].0 == "mirror" && all[0].2.contains(&disable), "{mode}: {all:?}");
        bench.ok(&["meta", "set", &web, "before", "v"]);
        cluster::output("rbd", &["mirror", "image", "demote", &web]);
        // A demoted primary has all marks of a secondary.
        end(
            &bench,
            &[
                &["snap", "create", &format!("{web}@x")],
                &["resize", "--size", "8M", &web],
                &["mv", &web, &format!("{pool}/other")],
                &["meta", "set", &web, "k", "v"],
                &["meta", "rm", &web, "before"],
                &["lock", "add", &web, "mine"],
                &["trash", "mv", &web],
            ],
            5,
            &["secondary", &format!("rbd mirror image promote {web}")],
        );
        let metadata = bench.json(&["meta", "ls", &web]).to_string();
        assert!(metadata.contains("before") && !metadata.contains("volary.trash"), "{mode}: {metadata}");
        assert_eq!(bench.json(&["lock", "ls", &web]), json!([]), "{mode}");
        bench.ok(&["info", &web]);
        let refused = bench.run(&["-o", "json", "rm", &web]);
        let report: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!(
            (refused.code, report["blockers"].as_array().unwrap().len(), &report["steps"]),
            (Some(5), 1, &json!([])),
            "{report:#}"
        );
        let force = format!("rbd mirror image disable --force {web}");
        assert!(refused.stdout.contains(&force), "{report:#}");
        carry_out(&force);
        bench.ok(&["rm", &web]);
    }
    assert_eq!(bench.json(&["ls", &pool]), json!([]));
}

#[test]
fn s03_moving_a_mirrored_volume_into_trash_does_not_end_its_mirroring() {
    let bench = bench();
    let pool = bench.own_pool();
    let web = format!("{pool}/web");
    bench.ok(&["create", "--size", "4M", &web]);
    cluster::output("rbd", &["mirror", "pool", "enable", &pool, "image"]);
    cluster::output("rbd", &["mirror", "image", "enable", &web, "snapshot"]);
    let disable = format!("rbd mirror image disable {web}");
    end(&bench, &[&["trash", "mv", &web]], 5, &[&disable]);
    assert_eq!(cluster::json("rbd", &["mirror", "image", "status", &web])["name"], "web");
    assert_eq!(bench.json(&["meta", "ls", &web]), json!([]), "nothing was written");
    assert_eq!(bench.json(&["pending", "ls", &pool]), json!([]));
    carry_out(&disable);
    bench.ok(&["trash", "mv", &web]);
}

#[test]
fn a_volume_whose_journal_is_gone_is_read_and_says_what_lets_it_be_changed() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
    bench.rados(&["rm", &format!("journal.{id}")]);
    crate::states::assert_whole(&bench, &web);
    let disable = format!("rbd feature disable {} journaling", bench.shown("web"));
    end(
        &bench,
        &[&["snap", "create", &bench.at("web@s")], &["resize", "--size", "8M", &web]],
        7,
        &["journal is missing", &disable],
    );
    carry_out(&disable);
    bench.ok(&["snap", "create", &bench.at("web@s")]);
    cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
    bench.rados(&["rm", &format!("journal.{id}")]);
    // Its snapshots are changes too; without any it can be removed as it is.
    end(&bench, &[&["rm", "--purge-snapshots", &web]], 7, &["journal is missing", &disable]);
    carry_out(&disable);
    bench.ok(&["snap", "rm", &bench.at("web@s")]);
    cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
    bench.rados(&["rm", &format!("journal.{id}")]);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}
