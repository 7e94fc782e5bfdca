//! Advisory locks, by Volary and by `rbd`.

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
