//! What the cluster tells of itself, beside what Ceph's own programs say.

use crate::harness::{Bench, cluster};

#[test]
fn s10_the_store_is_the_cluster_that_ceph_shows() {
    let bench = Bench::ceph();
    let dump = cluster::json("ceph", &["mon", "dump"]);
    let fsid = dump["fsid"].as_str().unwrap();
    assert_eq!(bench.ok(&["fsid"]).trim_end(), fsid);
    let monitors = bench.json(&["mons"]);
    let told: Vec<_> =
        dump["mons"].as_array().unwrap().iter().map(|of| &of["public_addrs"]["addrvec"]).collect();
    for (told, monitor) in told.iter().zip(monitors.as_array().unwrap()) {
        let ours = monitor["addresses"].as_array().unwrap().iter();
        let ours: Vec<_> = ours.map(|at| (at["protocol"].clone(), at["address"].clone())).collect();
        let theirs = told.as_array().unwrap().iter().map(|at| (at["type"].clone(), at["addr"].clone()));
        assert_eq!(ours, theirs.collect::<Vec<_>>());
        assert_eq!(monitor["in_quorum"], true);
    }
    assert_eq!(told.len(), monitors.as_array().unwrap().len());
    let status = bench.json(&["status"]);
    assert_eq!((&status["id"], &status["user"]), (&dump["fsid"], &"client.admin".into()));
    assert!(status["health"]["status"].as_str().unwrap().starts_with("HEALTH_"));
    assert_eq!(status["monitors"], monitors);
}

#[test]
fn s10_status_counts_what_waits_and_quotas_bound_what_is_free() {
    let bench = Bench::ceph();
    let pool = cluster::own_name();
    cluster::output("ceph", &["osd", "pool", "create", &pool, "1"]);
    cluster::output("ceph", &["osd", "pool", "set-quota", &pool, "max_bytes", "67108864"]);
    cluster::output("ceph", &["osd", "pool", "set-quota", &pool, "max_objects", "1000"]);
    cluster::output("rbd", &["pool", "init", &pool]);
    let volume = format!("{pool}/web");
    bench.ok(&["create", &volume, "--size", "1M"]);
    bench.ok(&["trash", "mv", "--defer", "0s", &volume]);
    let status = bench.json(&["status"]);
    let mine = status["pools"].as_array().unwrap().iter().find(|of| of["pool"] == *pool).unwrap();
    assert_eq!((&mine["trash"], &mine["intents"]), (&1.into(), &0.into()));
    // The manager reports a new pool's figures some seconds later; until then they are unknown, never zero.
    while bench.run(&["pool", "info", &pool]).code == Some(8) {
        assert!(mine["available_bytes"].is_null(), "{mine}");
    }
    let info = bench.json(&["pool", "info", &pool]);
    assert_eq!((&info["quota_bytes"], &info["quota_objects"]), (&67_108_864.into(), &1000.into()));
    assert!(bench.ok(&["status"]).contains("64 MiB, 1000 objects"));
    assert!(info["available_bytes"].as_u64().unwrap() <= 67_108_864, "{info}");
    cluster::output("ceph", &["osd", "pool", "delete", &pool, &pool, "--yes-i-really-really-mean-it"]);
    let gone = bench.run(&["pool", "info", &pool]);
    assert_eq!(gone.code, Some(3), "{}", gone.stderr);
    assert!(gone.stderr.contains("rbd"), "the pools there are: {}", gone.stderr);
}

#[test]
fn pools_are_left_to_the_administrator_with_the_commands_to_run() {
    let refused = Bench::ceph().run(&["pool", "create", "images"]);
    assert_eq!(refused.code, Some(12));
    assert!(refused.stderr.contains("ceph osd pool create images"), "{}", refused.stderr);
    assert!(refused.stderr.contains("rbd pool init images"), "{}", refused.stderr);
}

#[test]
fn a_long_listing_says_of_every_kind_of_volume_what_opening_it_says() {
    let bench = Bench::ceph();
    let image = bench.image("disk.raw", 5);
    let at = |name: &str| bench.at(name);
    bench.ok(&["import", "--snapshot", "s", "--protect", image.to_str().unwrap(), &at("base")]);
    bench.ok(&["clone", &at("base@s"), &at("clone")]);
    bench.ok(&["create", "--size", "5M", &at("odd")]);
    let rbd = |args: &[&str]| cluster::output("rbd", args);
    let io = ["bench", "--io-type", "write", "--io-size", "4096", "--io-threads", "1"];
    rbd(&[&io[..], &["--io-total", "4096", &at("odd")]].concat());
    rbd(&["create", "--size", "9M", "--image-feature", "layering", &at("plain")]);
    rbd(&["create", "--size", "9M", "--object-size", "1M", &at("small")]);
    rbd(&[&io[..], &["--io-total", "12K", "--io-pattern", "rand", &at("small")]].concat());
    // A map that must be believed no longer, objects removed by a shrink, and others that only a snapshot has.
    bench.ok(&["cp", &at("base"), &at("shrunk")]);
    bench.ok(&["resize", "--size", "9M", "--allow-shrink", &at("shrunk")]);
    bench.ok(&["cp", &at("base"), &at("kept")]);
    bench.ok(&["snap", "create", &at("kept@before")]);
    bench.ok(&["resize", "--size", "6M", "--allow-shrink", &at("kept")]);
    bench.ok(&["resize", "--size", "30M", &at("kept")]);
    bench.ok(&["cp", &at("base"), &at("invalid")]);
    let id = bench.json(&["info", &at("invalid")])["id"].as_str().unwrap().to_owned();
    let (pool, namespace) = bench.home.split_once('/').unwrap();
    let map = format!("rbd_object_map.{id}");
    cluster::output("rados", &["--pool", pool, "--namespace", namespace, "truncate", &map, "7"]);
    let listed = bench.json(&["ls", "-l", &bench.home]);
    assert_eq!(listed.as_array().unwrap().len(), 8);
    for volume in listed.as_array().unwrap() {
        let info = bench.json(&["info", volume["volume"].as_str().unwrap()]);
        for key in ["id", "size_bytes", "used_bytes", "parent"] {
            assert_eq!(volume[key], info[key], "{key} of {volume:#}");
        }
    }
}
