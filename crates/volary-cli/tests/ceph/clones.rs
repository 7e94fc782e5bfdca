//! Volumes and clones that are not made through librbd: they are what librbd makes, and what needs librbd gets it.

use crate::harness::{Bench, cluster};
use std::collections::BTreeMap;

/// An object's map, with the volume's own id as `ID` and without times.
fn map(bench: &Bench, object: &str, id: &str) -> BTreeMap<String, Vec<u8>> {
    let keys = bench.rados(&["listomapkeys", object]);
    let keys = keys.lines().filter(|key| !key.ends_with("_timestamp"));
    let value = |key: &str| {
        let file = bench.path("value");
        bench.rados(&["getomapval", object, key, file.to_str().unwrap()]);
        let value = std::fs::read(file).unwrap();
        match String::from_utf8(value) {
            // Its length stands before it.
            Ok(text) if text.ends_with(id) => text[4..].replace(id, "ID").into_bytes(),
            Ok(text) => text.into_bytes(),
            Err(bytes) => bytes.into_bytes(),
        }
    };
    keys.map(|key| (key.to_owned(), value(key))).collect()
}

/// A volume with data, metadata and a protected snapshot.
fn parent(bench: &Bench, name: &str) -> String {
    let image = bench.image("disk.raw", 3);
    bench.ok(&["import", "--snapshot", "s", image.to_str().unwrap(), &bench.at(name)]);
    bench.ok(&["snap", "protect", &bench.at(&format!("{name}@s"))]);
    bench.ok(&["meta", "set", &bench.at(name), "owner", "somebody"]);
    bench.at(&format!("{name}@s"))
}

/// What the volume's header and object map hold.
fn objects(bench: &Bench, name: &str) -> (BTreeMap<String, Vec<u8>>, Vec<u8>) {
    let id = bench.id(name);
    let file = bench.path("map");
    bench.rados(&["get", &format!("rbd_object_map.{id}"), file.to_str().unwrap()]);
    (map(bench, &format!("rbd_header.{id}"), &id), std::fs::read(file).unwrap())
}

/// What `rbd info` tells, but for what is each volume's own.
fn told(bench: &Bench, name: &str) -> serde_json::Value {
    let mut info = cluster::json("rbd", &["info", &bench.at(name)]);
    for key in ["id", "name", "block_name_prefix", "create_timestamp", "access_timestamp", "modify_timestamp"]
    {
        info[key] = serde_json::Value::Null;
    }
    info
}

#[test]
fn a_created_volume_is_as_librbd_makes_it() {
    let bench = crate::bench();
    for (size, bytes) in [("5M", "5242880B"), ("0B", "0B"), ("40G", "42949672960B")] {
        let made = bench.run(&["-vv", "create", "--size", size, &bench.at("ours")]);
        assert_eq!((made.code, made.stderr.contains("left to librbd")), (Some(0), false), "{}", made.stderr);
        let features = "layering,exclusive-lock,object-map,fast-diff,deep-flatten";
        cluster::output(
            "rbd",
            &["create", "--size", bytes, "--image-feature", features, &bench.at("theirs")],
        );
        assert_eq!(objects(&bench, "ours"), objects(&bench, "theirs"));
        assert_eq!(told(&bench, "ours"), told(&bench, "theirs"));
        cluster::output("rbd", &["object-map", "check", &bench.at("ours")]);
        cluster::output("rbd", &["rm", &bench.at("ours")]);
        bench.ok(&["rm", &bench.at("theirs")]);
    }
    bench.assert_empty();
}

#[test]
fn a_clone_is_as_librbd_makes_it() {
    let bench = crate::bench();
    let snapshot = parent(&bench, "base");
    let made = bench.run(&["-vv", "clone", &snapshot, &bench.at("ours")]);
    assert_eq!((made.code, made.stderr.contains("left to librbd")), (Some(0), false), "{}", made.stderr);
    let features = "layering,exclusive-lock,object-map,fast-diff,deep-flatten";
    let format = ["--rbd-default-clone-format", "1", "--image-feature", features];
    cluster::output("rbd", &[&["clone"], format.as_slice(), &[&snapshot, &bench.at("theirs")]].concat());
    let [ours, theirs] = ["ours", "theirs"].map(|name| objects(&bench, name));
    assert!(ours.0.contains_key("parent") && ours.0.contains_key("metadata_owner"), "{:?}", ours.0);
    assert_eq!(ours, theirs);
    let children = cluster::json("rbd", &["children", &snapshot]);
    assert_eq!(children.as_array().unwrap().len(), 2);
    assert_eq!(told(&bench, "ours"), told(&bench, "theirs"));
    // Whoever would take the protection away sees it.
    let refused = cluster::command("rbd", &["snap", "unprotect", &snapshot]).output().unwrap();
    assert!(!refused.status.success());
    let file = bench.path("read.raw");
    cluster::output("rbd", &["export", &bench.at("ours"), file.to_str().unwrap()]);
    assert_eq!(std::fs::read(file).unwrap(), std::fs::read(bench.path("disk.raw")).unwrap());
    cluster::output("rbd", &["flatten", &bench.at("ours")]);
    cluster::output("rbd", &["rm", &bench.at("theirs")]);
    cluster::output("rbd", &["snap", "unprotect", &snapshot]);
    bench.ok(&["rm", &bench.at("ours")]);
    bench.ok(&["rm", "--purge-snapshots", &bench.at("base")]);
    bench.assert_empty();
}

#[test]
fn what_a_pool_is_configured_with_is_left_to_librbd() {
    let bench = crate::bench();
    let pool = bench.own_pool();
    let data = bench.own_pool();
    let image = bench.image("disk.raw", 1);
    let [base, clone] = ["base", "clone"].map(|name| format!("{pool}/{name}"));
    bench.ok(&["import", "--snapshot", "s", image.to_str().unwrap(), &base]);
    bench.ok(&["snap", "protect", &format!("{base}@s")]);
    cluster::output("rbd", &["config", "pool", "set", &pool, "rbd_default_data_pool", &data]);
    let made = bench.run(&["-vv", "clone", &format!("{base}@s"), &clone]);
    assert_eq!((made.code, made.stderr.contains("left to librbd")), (Some(0), true), "{}", made.stderr);
    assert_eq!(cluster::json("rbd", &["info", &clone])["data_pool"], data);
    bench.ok(&["rm", &clone]);
    let created = bench.run(&["-vv", "create", "--size", "1M", &clone]);
    assert_eq!(
        (created.code, created.stderr.contains("left to librbd")),
        (Some(0), true),
        "{}",
        created.stderr
    );
    assert_eq!(cluster::json("rbd", &["info", &clone])["data_pool"], data);
    bench.ok(&["rm", &clone]);
}
