//! Advisory locks, by Volary and by `rbd`.

use crate::client::Client;
use crate::harness::{Bench, cluster};

#[test]
fn s10_a_lock_of_either_program_is_seen_and_removed_by_the_other() {
    let bench = Bench::ceph();
    let web = &bench.at("web");
    bench.ok(&["create", web, "--size", "1M"]);
    let client = bench.ok(&["lock", "add", web, "moving"]);
    let theirs = cluster::json("rbd", &["lock", "ls", web]);
    let ours = bench.json(&["lock", "ls", web]);
    assert_eq!((&theirs[0]["id"], &theirs[0]["locker"]), (&"moving".into(), &client.trim_end().into()));
    assert_eq!((&ours[0]["cookie"], &ours[0]["client"]), (&theirs[0]["id"], &theirs[0]["locker"]));
    assert_eq!(ours[0]["address"], theirs[0]["address"]);
    cluster::output("rbd", &["lock", "rm", web, "moving", client.trim_end()]);
    assert_eq!(bench.json(&["lock", "ls", web]), serde_json::json!([]));

    cluster::output("rbd", &["lock", "add", web, "theirs", "--shared", "tag"]);
    let lock = &bench.json(&["lock", "ls", web])[0];
    assert_eq!((&lock["cookie"], &lock["tag"]), (&"theirs".into(), &"tag".into()));
    let client = lock["client"].as_str().unwrap();
    let blocked = bench.run(&["rm", web]);
    assert_eq!(blocked.code, Some(5), "{}", blocked.stderr);
    let all = blocked.stdout + &blocked.stderr;
    assert!(all.contains(&format!("volary lock rm {web} 'theirs' {client}")), "{all}");
    bench.ok(&["lock", "rm", web, "theirs", client]);
    bench.ok(&["rm", web]);
    bench.assert_empty();
}

#[test]
fn what_a_writer_locks_by_itself_is_no_advisory_lock() {
    let bench = Bench::ceph();
    let web = &bench.at("web");
    bench.ok(&["create", web, "--size", "8M"]);
    // Writes for longer than this test takes to look.
    let args =
        ["bench", "--io-type", "write", "--io-size", "4K", "--io-threads", "1", "--io-total", "1G", web];
    let mut writer = cluster::command("rbd", &args).stdout(std::process::Stdio::null()).spawn().unwrap();
    while cluster::json("rbd", &["lock", "ls", web]).as_array().unwrap().is_empty() {
        assert!(writer.try_wait().unwrap().is_none(), "it ended before it wrote");
    }
    assert_eq!(bench.json(&["lock", "ls", web]), serde_json::json!([]));
    let refused = bench.run(&["lock", "add", web, "x"]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    writer.kill().unwrap();
    writer.wait().unwrap();
}

#[test]
fn s03_a_lock_that_only_looks_like_librbds_is_shown_and_blocks() {
    let bench = Bench::ceph();
    let (web, snapshot) = (&bench.at("web"), &bench.at("web@s"));
    bench.ok(&["create", web, "--size", "1M"]);
    bench.ok(&["snap", "create", snapshot]);
    for cookie in ["auto 1'2", "auto 12"] {
        cluster::output("rbd", &["lock", "add", web, cookie]);
        let lock = bench.json(&["lock", "ls", web])[0].clone();
        let (shown, client) = (lock["cookie"].as_str().unwrap(), lock["client"].as_str().unwrap());
        let why = bench.json(&["why", web]);
        let holders = why["holders"].as_array().unwrap();
        let holder = holders.iter().find(|of| of["kind"] == "lock").unwrap_or_else(|| panic!("{why:#}"));
        assert!(holder["detail"].as_str().unwrap().contains(shown), "{why:#}");
        let other = &bench.at("web@t");
        for args in
            [&["snap", "rm", snapshot][..], &["rm", "--purge-snapshots", web], &["snap", "create", other]]
        {
            let blocked = bench.run(args);
            assert_eq!(blocked.code, Some(5), "{args:?}: {}", blocked.stderr);
            let said = blocked.stdout + &blocked.stderr;
            assert!(said.contains(shown) && said.contains(client), "{args:?}: {said}");
        }
        bench.ok(&["lock", "rm", web, shown, client]);
        assert_eq!(bench.json(&["lock", "ls", web]), serde_json::json!([]));
    }
    bench.ok(&["rm", "--purge-snapshots", web]);
    bench.assert_empty();
}

#[test]
fn who_has_librbds_lock_is_named_to_a_user_who_may_not_break_it() {
    let bench = Bench::ceph();
    let web = &bench.at("web");
    bench.ok(&["create", web, "--size", "4M"]);
    // As a client that died leaves it, long after its watch has ended.
    let header = format!("rbd_header.{}", bench.id("web"));
    let lock = ["--lock-cookie", "auto 140", "--lock-tag", "internal", "lock", "get", &header, "rbd_lock"];
    bench.rados(&lock);
    assert_eq!(bench.json(&["lock", "ls", web]), serde_json::json!([]));
    let (pool, namespace) = bench.home.split_once('/').unwrap();
    let caps = format!("profile rbd pool={pool} namespace={namespace}");
    let client = Client::with_caps(&["mon", "allow r", "osd", &caps]);
    let blocked = client.run(&["resize", web, "--size", "8M"]);
    assert_eq!(blocked.code, Some(5), "{}", blocked.stderr);
    assert!(
        blocked.stderr.contains("exclusive lock") && blocked.stderr.contains("client."),
        "{}",
        blocked.stderr
    );
    assert!(blocked.stderr.contains("mon 'profile rbd'"), "{}", blocked.stderr);
    // Who may blocklist takes it over.
    bench.ok(&["resize", web, "--size", "8M"]);
    bench.ok(&["rm", web]);
    bench.assert_empty();
}
