//! What a store tells of itself.
#![allow(clippy::unwrap_used)]

mod harness;

use harness::Bench;

#[test]
fn s10_a_local_store_has_an_id_and_no_monitors() {
    let bench = Bench::new();
    let id = bench.ok(&["fsid"]);
    assert_eq!(bench.json(&["status"])["id"], id.trim_end());
    assert_eq!(bench.json(&["fsid"])["id"], id.trim_end());
    let mons = bench.run(&["mons"]);
    assert_eq!((mons.code, mons.stdout.as_str()), (Some(12), ""));
    assert!(mons.stderr.contains("hint: name a cluster"), "{}", mons.stderr);
}

#[test]
fn status_counts_trash_in_every_namespace() {
    let bench = Bench::new();
    bench.ok(&["namespace", "create", "rbd/ns"]);
    for volume in ["a", "rbd/ns/b", "rbd/ns/c"] {
        bench.ok(&["create", volume, "--size", "1M"]);
        bench.ok(&["trash", "mv", "--defer", "0s", volume]);
    }
    let pool = &bench.json(&["status"])["pools"][0];
    assert_eq!((&pool["trash"], &pool["intents"]), (&3.into(), &0.into()));
    assert!(pool["quota_objects"].is_null());
    assert!(pool["quota_bytes"].is_null() && pool["available_bytes"].is_u64(), "{pool}");
    assert!(bench.ok(&["status"]).contains("INTENTS"));
}
