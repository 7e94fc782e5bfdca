//! What librbd left when it was killed: snapshots whose number was given back but that are still in the header, and
//! volumes of which only the directory still knows.

use crate::harness::{Bench, cluster};
use serde_json::json;
use std::time::{Duration, Instant};

/// What librbd 16 does first when it removes a snapshot; then it is as if it had been killed.
const CUT_SHORT: &str = r#"
header, number = args
io.execute(header, "rbd", "snapshot_trash_add", struct.pack("<Q", int(number)))
io.remove_self_managed_snap(int(number))
"#;

/// The numbers and kinds of all snapshots.
fn all_snapshots(volume: &str) -> Vec<(u64, String)> {
    let all = cluster::json("rbd", &["snap", "ls", "--all", volume]);
    let all = all.as_array().unwrap().iter();
    all.map(|of| (of["id"].as_u64().unwrap(), of["namespace"]["type"].as_str().unwrap().to_owned())).collect()
}

/// Cuts the removal of the volume's only snapshot short, and waits until the OSDs have forgotten its number.
fn cut_short(bench: &Bench, volume: &str) {
    let (pool, _) = bench.home.split_once('/').unwrap();
    let id = bench.json(&["info", volume])["id"].as_str().unwrap().to_owned();
    let [(number, _)] = &all_snapshots(volume)[..] else { panic!("one snapshot") };
    bench.tamper(CUT_SHORT, &[&format!("rbd_header.{id}"), &number.to_string()]);
    assert_eq!(all_snapshots(volume), [(*number, "trash".to_owned())]);
    let queued = || {
        let map = cluster::json("ceph", &["osd", "dump"]);
        let each = |key: &str| map[key].as_array().unwrap().clone().into_iter();
        let pool = each("pools").find(|of| of["pool_name"] == pool).unwrap()["pool"].clone();
        let queues = each("removed_snaps_queue").filter(|of| of["pool"] == pool);
        queues.flat_map(|of| of["snaps"].as_array().unwrap().clone()).any(|queued| {
            let [begin, length] = ["begin", "length"].map(|key| queued[key].as_u64().unwrap());
            (begin..begin + length).contains(number)
        })
    };
    let began = Instant::now();
    while queued() {
        assert!(began.elapsed() < Duration::from_secs(120), "the OSDs do not trim");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn s04_a_snapshot_removal_cut_short_is_finished_before_the_volume_is_removed_or_written() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 3);
    let [gone, kept] = ["gone", "kept"].map(|name| bench.at(name));
    for volume in [&gone, &kept] {
        bench.ok(&["import", "--snapshot", "s", image.to_str().unwrap(), volume]);
        cut_short(&bench, volume);
    }
    bench.ok(&["rm", &gone]);
    bench.ok(&["snap", "create", &bench.at("kept@t")]);
    let left: Vec<_> = all_snapshots(&kept).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(left, ["user"]);
    bench.ok(&["rm", "--purge-snapshots", &kept]);
    assert_eq!(bench.json(&["trash", "ls", &bench.home]), json!([]));
    // What a snapshot kept goes when the OSDs get round to it; what nobody owns never does.
    let began = Instant::now();
    while bench.objects() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{} objects are nobody's", bench.objects());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn s04_a_volume_that_only_the_directory_still_lists_is_found_and_removed() {
    let bench = crate::bench();
    let (pool, namespace) = bench.home.split_once('/').unwrap();
    let rados = |args: &[&str]| {
        cluster::output("rados", &[&["--pool", pool, "--namespace", namespace], args].concat())
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    // librbd removes the objects in this order, and the entry in the directory last.
    for removed in 1..=3 {
        let created = bench.json(&["create", "--size", "8M", &bench.at("web")]);
        let id = created["id"].as_str().unwrap();
        for object in
            &[format!("rbd_object_map.{id}"), format!("rbd_header.{id}"), "rbd_id.web".to_owned()][..removed]
        {
            rados(&["rm", object]);
        }
        let spec: volary::VolumeSpec = format!("{}/web", bench.home).parse().unwrap();
        let engine = store.engine();
        let found = runtime.block_on(engine.find(&spec.namespace, &spec.volume, &ctl)).unwrap();
        runtime.block_on(engine.remove(&spec.namespace, &found.unwrap(), &ctl)).unwrap();
        assert_eq!(rados(&["listomapkeys", "rbd_directory"]).trim(), "state", "{removed}");
        assert_eq!(runtime.block_on(engine.find(&spec.namespace, &spec.volume, &ctl)).unwrap(), None);
    }
    runtime.block_on(store.shutdown()).unwrap();
    bench.assert_empty();
}

/// What librbd does first when it removes a volume; its objects go then, and its header last.
const REMOVING: &str = r#"
key = "id_" + args[0]
with rados.ReadOpCtx() as op:
    found, _ = io.get_omap_vals_by_keys(op, (key,))
    io.operate_read_op(op, "rbd_trash")
    (_, entry), = found
with rados.WriteOpCtx() as op:
    io.set_omap(op, (key,), (entry[:-1] + b"\2",))
    io.operate_write_op(op, "rbd_trash")
"#;

#[test]
fn s13_a_volume_whose_removal_has_begun_is_not_read() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let id = bench.id("web");
    bench.ok(&["trash", "mv", "--defer", "0s", &bench.at("web")]);
    let (spec, out) = (bench.at(&format!("id:{id}")), bench.path("out.raw"));
    bench.ok(&["export", &spec, out.to_str().unwrap()]);
    bench.tamper(REMOVING, &[&id]);
    for args in [
        &["export", "--force", &spec, out.to_str().unwrap()][..],
        &["cp", &spec, &bench.at("copy")],
        &["verify", &spec],
    ] {
        let ended = bench.run(args);
        assert!(
            ended.code == Some(3) && ended.stderr.contains("removed while"),
            "{args:?}: {}",
            ended.stderr
        );
    }
    assert_eq!(bench.json(&["ls", &bench.home]), json!([]));
}
