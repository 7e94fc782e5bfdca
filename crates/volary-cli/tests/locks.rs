//! Advisory locks, on a local store.
#![allow(clippy::unwrap_used)]

mod harness;

use harness::Bench;

#[test]
fn s02_a_locked_volume_is_blocked_with_the_command_that_unlocks() {
    let bench = Bench::new();
    bench.ok(&["create", "web", "--size", "1M"]);
    bench.ok(&["snap", "create", "web@s"]);
    let added = bench.json(&["lock", "add", "web", "it's mine"]);
    let client = added["client"].as_str().unwrap();
    assert!(added["id"].is_string());
    assert_eq!(bench.run(&["lock", "add", "web", "second"]).code, Some(5));
    for args in [
        &["rm", "--purge-snapshots", "web"][..],
        &["snap", "rm", "web@s"],
        &["snap", "create", "web@t"],
        &["trash", "mv", "web"],
        &["mv", "web", "shop"],
        &["resize", "web", "--size", "2M"],
        &["meta", "set", "web", "k", "v"],
    ] {
        // At once: a lock does not go by itself.
        let blocked = bench.run(args);
        assert_eq!(blocked.code, Some(5), "{args:?}: {}", blocked.stderr);
        assert!((blocked.stdout + &blocked.stderr).contains(client), "{args:?}");
    }
    let report = bench.run(&["-o", "json", "rm", "--dry-run", "--purge-snapshots", "web"]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!((&report["outcome"], &report["blockers"][0]["kind"]), (&"blocked".into(), &"lock".into()));
    // The remedy, pasted into a shell, is the command that helps.
    let remedy = report["blockers"][0]["remedy"].as_str().unwrap();
    assert_eq!(remedy, format!(r"`volary lock rm rbd/web 'it\x27s\x20mine' {client}`"));
    assert!(bench.ok(&["lock", "ls", "web"]).contains(r"it\x27s\x20mine"));
    bench.ok(&["lock", "rm", "web", r"it's\x20mine", client]);
    assert_eq!(bench.run(&["lock", "rm", "web", "it's mine", client]).code, Some(3));
    bench.ok(&["rm", "--purge-snapshots", "web"]);
}

#[test]
fn shared_locks_name_their_tag() {
    let bench = Bench::new();
    bench.ok(&["create", "web", "--size", "1M"]);
    for cookie in ["a", "b"] {
        bench.ok(&["lock", "add", "web", cookie, "--shared", "backups"]);
    }
    let all = bench.json(&["lock", "ls", "web"]);
    assert_eq!((&all[0]["tag"], &all[1]["tag"]), (&"backups".into(), &"backups".into()));
    assert_eq!(bench.run(&["lock", "add", "web", "c", "--shared", "other"]).code, Some(5));
    assert_eq!(bench.run(&["lock", "add", "web@s", "c"]).code, Some(2));
}
