//! What `doctor` finds out about a cluster and a user.

use super::client::Client;
use crate::harness::cluster;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// The verdict of a check, and what it says.
fn check(report: &Value, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap().iter();
    let found = checks.filter(|check| check["name"] == name).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{name}: {report}");
    (found[0]["verdict"].as_str().unwrap().to_owned(), found[0].to_string())
}

#[test]
fn libraries_versions_and_the_cluster_are_told() {
    let report = Client::admin().json(&["doctor"]);
    assert_eq!(report["engine"], "ceph");
    let (verdict, libraries) = check(&report, "libraries");
    assert!(
        verdict == "ok" && libraries.contains("librbd 1.") && libraries.contains("/librbd.so.1"),
        "{libraries}"
    );
    for name in ["functions", "connect", "pool rbd", "pool rbd access"] {
        assert_eq!(check(&report, name).0, "ok", "{name}");
    }
    assert!(check(&report, "health").1.contains("HEALTH_"));
    // The tests' cluster keeps one copy of everything.
    assert_eq!(check(&report, "pool rbd copies").0, "warning");
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["name"] != "environment"));
}

#[test]
fn rights_are_found_out_without_writing() {
    let admin = Client::admin();
    let pool = cluster::own_name();
    cluster::output("ceph", &["osd", "pool", "create", &pool, "1"]);
    assert_eq!(check(&admin.json(&["doctor"]), &format!("pool {pool} application")).0, "warning");
    cluster::output("rbd", &["pool", "init", &pool]);
    let before = cluster::output("rados", &["--pool", &pool, "--all", "ls"]);
    let access = format!("pool {pool} access");
    let of = |osd: &str| {
        let client = Client::with_caps(&["mon", "profile rbd", "osd", osd]);
        check(&client.json(&["doctor"]), &access)
    };
    assert_eq!(of(&format!("profile rbd pool={pool}")).0, "ok");
    let (verdict, detail) = of(&format!("profile rbd-read-only pool={pool}"));
    assert!(verdict == "warning" && detail.contains("may read only"), "{detail}");
    let (verdict, detail) = of("profile rbd pool=rbd");
    assert!(verdict == "unknown" && detail.contains(&format!("profile rbd pool={pool}")), "{detail}");
    assert_eq!(cluster::output("rados", &["--pool", &pool, "--all", "ls"]), before);
    cluster::output("ceph", &["osd", "pool", "delete", &pool, &pool, "--yes-i-really-really-mean-it"]);
}

#[test]
fn s08_a_keyring_that_others_can_read_is_told() {
    let client = Client::with_caps(&["mon", "profile rbd", "osd", "profile rbd pool=rbd"]);
    let keyring = client.path("keyring");
    for (mode, expected) in [(0o644, "warning"), (0o640, "warning"), (0o600, "ok")] {
        std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(mode)).unwrap();
        let (verdict, detail) = check(&client.json(&["doctor"]), "keyring");
        assert_eq!(verdict, expected, "{mode:o}");
        assert!(detail.contains(keyring.to_str().unwrap()), "{detail}");
        assert_eq!(detail.contains("chmod 0600"), expected == "warning", "{detail}");
    }
}

#[test]
fn variables_that_count_for_nothing_are_named_and_not_shown() {
    let client = Client::admin();
    let mut command = client.command(&["-o", "json", "doctor"]);
    command.env("CEPH_ARGS", "--key=AQsecret").env("CEPH_KEYRING", "/nonexistent");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (verdict, detail) = check(&report, "environment");
    assert!(
        verdict == "warning" && detail.contains("CEPH_ARGS") && detail.contains("CEPH_KEYRING"),
        "{detail}"
    );
    assert!(!detail.contains("AQsecret"), "{detail}");
}

#[test]
fn a_store_that_cannot_be_reached_is_reported_and_gives_its_exit_code() {
    let client = Client::admin();
    let ended = client.run(&["--store", "ceph:/nonexistent.conf", "-o", "json", "doctor"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(check(&report, "libraries").0, "ok");
    let (verdict, detail) = check(&report, "connect");
    assert!(verdict == "failed" && detail.contains("/nonexistent.conf"), "{detail}");
    assert!(ended.stderr.contains("/nonexistent.conf"), "{}", ended.stderr);
}
