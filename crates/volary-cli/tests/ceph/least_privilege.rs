//! A user with the rights to one pool: all of the main job works there, and what it cannot see elsewhere is unknown.

use crate::client::{Client, error_of};
use crate::harness::{Ended, cluster, ended};
use serde_json::{Value, json};

/// Two pools of the test's own, and a user of the first.
struct Pools {
    own: String,
    hidden: String,
    client: Client,
}

impl Pools {
    fn new() -> Self {
        let own = cluster::own_name();
        let hidden = format!("{own}-hidden");
        for pool in [&own, &hidden] {
            cluster::output("ceph", &["osd", "pool", "create", pool, "4"]);
            cluster::output("rbd", &["pool", "init", pool]);
        }
        // A manager tells a new pool's figures when it has them.
        while !cluster::json("ceph", &["df"])["pools"].to_string().contains(&format!("\"{own}\"")) {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let caps = format!("profile rbd pool={own}");
        let client = Client::with_caps(&["mon", "profile rbd", "osd", &caps, "mgr", &caps]);
        std::fs::write(client.path("disk.raw"), [[5; 4096], [6; 4096]].concat().repeat(900)).unwrap();
        Pools { own, hidden, client }
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.own)
    }

    fn run(&self, args: &[&str]) -> Ended {
        ended(self.client.command(&[args, &["-o", "json"]].concat()).output().unwrap())
    }

    fn ok(&self, args: &[&str]) -> Value {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        if ended.stdout.is_empty() { Value::Null } else { serde_json::from_str(&ended.stdout).unwrap() }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        for pool in [&self.own, &self.hidden] {
            let sure = ["osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it"];
            cluster::output("ceph", &sure);
        }
    }
}

#[test]
fn the_rights_to_one_pool_are_enough_for_the_main_job_there() {
    let pools = Pools::new();
    let (web, snapshot, clone) = (pools.at("web"), pools.at("web@s"), pools.at("clone"));
    assert_eq!(pools.ok(&["import", "disk.raw", &web, "--snapshot", "s", "--protect"])["verified"], true);
    pools.ok(&["clone", &snapshot, &clone]);
    assert_eq!(pools.ok(&["children", &snapshot])[0]["volume"], clone.as_str());
    pools.ok(&["export", &clone, "out.raw"]);
    let read = |name| std::fs::read(pools.client.path(name)).unwrap();
    assert!(read("out.raw") == read("disk.raw"));
    assert_eq!(pools.ok(&["verify", &snapshot])["match"], true);
    pools.ok(&["namespace", "create", &pools.at("inner")]);
    pools.ok(&["cp", &web, &pools.at("inner/copy")]);
    pools.ok(&["resize", &clone, "--size", "16M"]);
    pools.ok(&["snap", "create", &pools.at("clone@x")]);
    pools.ok(&["snap", "rollback", &pools.at("clone@x")]);
    assert_eq!(pools.ok(&["rm", "--purge-snapshots", &clone])["outcome"], "removed");
    pools.ok(&["snap", "rm", "--force", &snapshot]);
    let moved = pools.ok(&["trash", "mv", "--defer", "0s", &web]);
    let id = format!("{}/id:{}", pools.own, moved["id"].as_str().unwrap());
    pools.ok(&["trash", "restore", &id]);
    assert_eq!(pools.ok(&["rm", &web])["outcome"], "removed");
    pools.ok(&["rm", &pools.at("inner/copy")]);
    assert_eq!(pools.ok(&["ls", "--all-namespaces", &pools.own]), json!([]));
    for args in [&["pool", "info", &pools.own][..], &["status"], &["mons"], &["fsid"]] {
        pools.ok(args);
    }
    // The other pool is as good as closed.
    for args in [&["ls", &pools.hidden][..], &["import", "disk.raw", &format!("{}/web", pools.hidden)]] {
        let ended = pools.run(args);
        assert_eq!(ended.code, Some(9), "{args:?}: {}", ended.stderr);
        assert_eq!(error_of(&ended)["context"]["pool"], pools.hidden.as_str());
    }
}

#[test]
fn s03_clones_where_the_user_may_not_look_block_a_removal_as_unknown() {
    let pools = Pools::new();
    let (web, snapshot) = (pools.at("web"), pools.at("web@s"));
    pools.ok(&["import", "disk.raw", &web, "--snapshot", "s", "--protect"]);
    for format in ["1", "2"] {
        let child = format!("{}/child{format}", pools.hidden);
        cluster::output("rbd", &["clone", "--rbd-default-clone-format", format, &snapshot, &child]);
        let blocked: &[&[&str]] = &[
            &["rm", "--purge-snapshots", &web],
            &["rm", "--purge-snapshots", "--flatten-children", &web],
            &["snap", "rm", "--force", &snapshot],
            &["snap", "rm", "--force", "--flatten-children", &snapshot],
            &["snap", "purge", &web],
        ];
        for args in blocked {
            let ended = pools.run(args);
            assert!(matches!(ended.code, Some(5 | 9)), "{args:?}: {:?} {}", ended.code, ended.stderr);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(said.contains("its clones may not be seen"), "{args:?}: {said}");
            if !ended.stdout.is_empty() {
                assert!(ended.stdout.contains(r#""kind": "unknown""#), "{args:?}: {said}");
            }
        }
        let planned = pools.run(&["rm", "--dry-run", "--purge-snapshots", &web]);
        let planned: Value = serde_json::from_str(&planned.stdout).unwrap();
        let blockers = planned["blockers"].as_array().unwrap();
        let unknown = blockers.iter().find(|blocker| blocker["kind"] == "unknown").unwrap();
        assert!(unknown["remedy"].as_str().unwrap().contains("profile rbd-read-only"), "{unknown}");
        // Neither are they said to be none, nor is the snapshot let go of.
        for args in [&["children", &snapshot][..], &["snap", "unprotect", &snapshot]] {
            let ended = pools.run(args);
            assert_eq!(ended.code, Some(9), "{args:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("a pool that this user may not read"), "{}", ended.stderr);
        }
        let info = pools.ok(&["info", &web]);
        assert_eq!(
            (&info["snapshots"][0]["name"], &info["snapshots"][0]["protected"]),
            (&json!("s"), &json!(true))
        );
        assert_eq!(pools.ok(&["verify", &snapshot])["match"], true);
        cluster::output("rbd", &["rm", "--no-progress", &child]);
    }
    pools.ok(&["snap", "rm", "--force", &snapshot]);
    pools.ok(&["rm", &web]);
}
