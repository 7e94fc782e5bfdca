//! Everything that can hold a volume, made by Ceph's own tools: each is refused whole, named with its remedy, and let go of.

use crate::harness::{Bench, Ended, cluster};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Stdio};

/// What `rbd` and the bench see of a namespace: a refused removal changes none of it.
fn state(bench: &Bench) -> Value {
    let mut state = json!([
        bench.json(&["ls", "-l", &bench.home]),
        bench.json(&["trash", "ls", &bench.home]),
        bench.json(&["pending", "ls", &bench.home]),
        bench.objects(),
    ]);
    for volume in bench.json(&["ls", &bench.home]).as_array().unwrap() {
        let spec = volume["volume"].as_str().unwrap();
        state.as_array_mut().unwrap().extend([
            bench.json(&["info", spec]),
            bench.json(&["snap", "ls", spec]),
            bench.json(&["lock", "ls", spec]),
            bench.json(&["meta", "ls", spec]),
        ]);
    }
    state
}

fn kinds(report: &Value) -> Vec<&str> {
    let mut kinds: Vec<_> =
        report["blockers"].as_array().unwrap().iter().map(|of| of["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Asserts that a removal, tried or planned, is refused for just these reasons with these remedies and changes nothing.
fn refused(bench: &Bench, args: &[&str], held_by: &[&str], remedies: &[&str]) {
    let before = state(bench);
    for how in [&["-o", "json"][..], &["-o", "json", "--dry-run"]] {
        let ended = bench.run(&[&how[..2], args, &how[2..]].concat());
        assert_eq!(ended.code, Some(5), "{args:?}: {}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((kinds(&report), &report["outcome"]), (held_by.to_vec(), &json!("blocked")), "{report:#}");
        for remedy in remedies {
            assert!(ended.stdout.contains(remedy), "{remedy}: {report:#}");
        }
        assert!(error(&ended)["hint"].is_string(), "{}", ended.stderr);
    }
    assert_eq!(state(bench), before, "{args:?}");
}

fn error(ended: &Ended) -> Value {
    serde_json::from_str::<Value>(ended.stderr.lines().last().unwrap()).unwrap()["error"].clone()
}

/// A bench with one volume, `web`, of a block.
fn bench() -> (Bench, String) {
    let bench = Bench::ceph();
    let web = bench.at("web");
    bench.ok(&["import", bench.image("disk.raw", 1).to_str().unwrap(), &web]);
    (bench, web)
}

/// Another process that watches, seen by the cluster.
fn watching(volume: &str) -> Child {
    let mut watch = cluster::command("rbd", &["watch", volume]);
    let child = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while cluster::json("rbd", &["status", volume])["watchers"].as_array().is_none_or(Vec::is_empty) {}
    child
}

#[test]
fn s03_a_watcher_that_lives_is_named_and_one_that_was_killed_is_waited_for() {
    let (bench, web) = bench();
    let mut living = watching(&web);
    refused(&bench, &["rm", "--wait", "0s", &web], &["watcher"], &["client.", "--fence"]);
    refused(&bench, &["rm", "--wait", "0s", "--purge-snapshots", &web], &["watcher"], &["client."]);
    living.kill().unwrap();
    living.wait().unwrap();
    let report = bench.json(&["rm", "--wait", "40s", &web]);
    assert_eq!(report["outcome"], "removed");
    bench.assert_empty();
}

#[test]
fn s03_locks_and_groups_hold_until_they_are_let_go_of() {
    let (bench, web) = bench();
    cluster::output("rbd", &["lock", "add", &web, "mine"]);
    refused(&bench, &["rm", &web], &["lock"], &["volary lock rm"]);
    let locker = bench.json(&["lock", "ls", &web])[0]["client"].as_str().unwrap().to_owned();
    let group = bench.at("group");
    cluster::output("rbd", &["group", "create", &group]);
    cluster::output("rbd", &["group", "image", "add", &group, &web]);
    refused(&bench, &["rm", &web], &["group", "lock"], &["volary lock rm", "rbd group image rm"]);
    bench.ok(&["lock", "rm", &web, "mine", &locker]);
    refused(&bench, &["rm", &web], &["group"], &["rbd group image rm"]);
    cluster::output("rbd", &["group", "image", "rm", &group, &web]);
    bench.ok(&["rm", &web]);
    cluster::output("rbd", &["group", "rm", &group]);
    bench.assert_empty();
}

#[test]
fn s03_a_mirrored_volume_stays_until_mirroring_ends() {
    let mut bench = Bench::ceph();
    bench.home = cluster::own_pool();
    let (web, pool) = (bench.at("web"), bench.home.clone());
    bench.ok(&["create", "--size", "4M", &web]);
    cluster::output("rbd", &["mirror", "pool", "enable", &pool, "image"]);
    cluster::output("rbd", &["mirror", "image", "enable", &web, "snapshot"]);
    for args in [&["rm", &web][..], &["rm", "--purge-snapshots", &web]] {
        let ended = bench.run(&[&["-o", "json"], args].concat());
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((ended.code, kinds(&report)), (Some(5), vec!["mirror"]), "{report:#}");
        assert!(ended.stdout.contains("rbd mirror image disable"), "{report:#}");
    }
    assert_eq!(cluster::json("rbd", &["mirror", "image", "status", &web])["name"], "web");
    cluster::output("rbd", &["mirror", "image", "disable", &web]);
    bench.ok(&["rm", &web]);
    assert_eq!(bench.json(&["ls", &pool]), json!([]));
}

#[test]
fn s03_clones_elsewhere_and_in_trash_hold_a_protected_snapshot() {
    let (bench, web) = bench();
    let (snapshot, pool) = (bench.at("web@s"), cluster::own_pool());
    let elsewhere = format!("{pool}/far");
    bench.ok(&["snap", "create", "--protect", &snapshot]);
    bench.ok(&["clone", &snapshot, &elsewhere]);
    let all = &["child", "protected", "snapshot"];
    let remedies = &["volary snap unprotect", elsewhere.as_str(), "volary flatten"];
    refused(&bench, &["rm", &web], all, remedies);
    refused(&bench, &["rm", "--purge-snapshots", &web], &all[..2], remedies);
    refused(&bench, &["snap", "rm", "--force", &snapshot], &all[..1], &remedies[1..]);
    bench.ok(&["trash", "mv", "--defer", "0s", &elsewhere]);
    refused(&bench, &["rm", "--purge-snapshots", &web], &all[..2], &["in trash", "volary trash rm"]);
    refused(&bench, &["snap", "rm", "--force", &snapshot], &all[..1], &["in trash", "volary trash rm"]);
    bench.ok(&["trash", "purge", "--all", &pool]);
    bench.ok(&["snap", "rm", "--force", &snapshot]);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn s03_of_two_hundred_snapshots_each_is_named_and_all_go_when_asked() {
    let (bench, web) = bench();
    let spec: volary::VolumeSpec = web.parse().unwrap();
    let create = async {
        let url = bench.url.parse().unwrap();
        let ctl = volary::Ctl::new();
        let store = volary::Store::connect(&url, &ctl).await.unwrap();
        // By one handle, which takes a third of the time of opening it for each.
        let options = volary::engine::OpenOptions::write();
        let volume = store.engine().open(&spec.namespace, &spec.volume, &options, &ctl).await.unwrap();
        for number in 0..200 {
            let snapshot = volary::Name::new(&format!("s{number}")).unwrap();
            volume.create_snapshot(&snapshot, &ctl).await.unwrap();
        }
        volume.close(&ctl).await.unwrap();
        store.shutdown().await.unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(create);
    let ended = bench.run(&["-o", "json", "rm", &web]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, report["blockers"].as_array().unwrap().len()), (Some(5), 200));
    assert_eq!(bench.json(&["snap", "ls", &web]).as_array().unwrap().len(), 200);
    bench.ok(&["rm", "--purge-snapshots", &web]);
    bench.assert_empty();
}

#[test]
fn s03_a_name_that_is_no_text_is_shown_typed_and_removed() {
    let bench = Bench::ceph();
    let name = [bench.at("w").as_bytes(), b"\xff\x01b"].concat();
    let made = cluster::command("rbd", &["create", "--size", "4M"]).arg(OsStr::from_bytes(&name)).status();
    assert!(made.unwrap().success());
    let listed = bench.json(&["ls", &bench.home]);
    let shown = listed[0]["volume"].as_str().unwrap();
    assert!(shown.is_ascii() && shown.ends_with(r"w\xff\x01b"), "{shown}");
    assert_eq!(bench.json(&["info", shown])["size_bytes"], 4 << 20);
    assert_eq!(bench.json(&["rm", "--dry-run", shown])["outcome"], "planned");
    assert_eq!(bench.json(&["rm", shown])["volume"], shown);
    bench.assert_empty();
}
