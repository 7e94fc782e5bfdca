//! Volumes in groups of `rbd group`, whole or half removed: each is let go of by the command that is named.

use crate::bench;
use crate::harness::cluster;
use crate::states::{carry_out, end, filled, holders};
use serde_json::json;

#[test]
fn s03_a_group_and_its_snapshots_are_named_with_whole_commands() {
    let bench = bench();
    let (web, _) = filled(&bench, "web");
    let group = bench.at("g");
    cluster::output("rbd", &["group", "create", &group]);
    cluster::output("rbd", &["group", "image", "add", &group, &web]);
    cluster::output("rbd", &["group", "snap", "create", &format!("{group}@gs")]);
    let take_out = format!("rbd group image rm {group} {web}");
    let all = holders(&bench, &web);
    assert!(all.len() == 2 && all.iter().all(|of| of.0 == "group"), "{all:?}");
    assert!(all.iter().any(|of| of.1.contains(&group) && of.2.contains(&take_out)), "{all:?}");
    assert!(all.iter().any(|of| of.2.contains(&format!("rbd group snap ls {group}"))), "{all:?}");
    assert_eq!(bench.json(&["snap", "ls", &web]), json!([]));
    end(&bench, &[&["trash", "mv", &web]], 5, &["rbd group"]);
    assert!(!bench.json(&["meta", "ls", &web]).to_string().contains("volary.trash"), "nothing was written");
    assert_eq!(bench.run(&["rm", "--purge-snapshots", &web]).code, Some(5));
    cluster::output("rbd", &["group", "snap", "rm", &format!("{group}@gs")]);
    // The group's object goes first, so that only the volume knows of it.
    let objects = bench.rados(&["ls"]);
    bench.rados(&["rm", objects.lines().find(|object| object.starts_with("rbd_group_header.")).unwrap()]);
    assert!(holders(&bench, &web)[0].2.contains(&take_out));
    carry_out(&take_out);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn s03_a_volume_in_a_group_that_is_not_listed_any_more_is_held_and_let_go() {
    let bench = bench();
    let (web, id) = filled(&bench, "web");
    let group = bench.at("g");
    cluster::output("rbd", &["group", "create", &group]);
    cluster::output("rbd", &["group", "image", "add", &group, &web]);
    bench.rados(&["rm", "rbd_group_directory"]);
    let all = holders(&bench, &web);
    let (pool, namespace) = bench.home.split_once('/').unwrap();
    let remedy = format!("rados -p {pool} -N {namespace} rmomapkey rbd_header.{id} rbd_group_ref");
    assert!(all.len() == 1 && all[0].0 == "group" && all[0].2.contains(&remedy), "{all:?}");
    assert_eq!(bench.run(&["rm", &web]).code, Some(5));
    carry_out(&remedy);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}
