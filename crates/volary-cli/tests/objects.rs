//! The object commands from outside: results on standard output whatever the exit code, one error line, exact codes.
#![allow(clippy::unwrap_used)]

mod harness;
use harness::Bench;
use serde_json::{Value, json};

fn error_kind(stderr: &str) -> String {
    let line = stderr.lines().last().unwrap();
    serde_json::from_str::<Value>(line).unwrap()["error"]["kind"].as_str().unwrap().to_owned()
}

#[test]
fn s02_a_blocked_removal_exits_5_prints_its_report_and_leaves_the_volume() {
    let bench = Bench::new();
    bench.ok(&["create", "--size", "1M", "golden"]);
    bench.ok(&["snap", "create", "--protect", "golden@v1"]);
    bench.ok(&["clone", "golden@v1", "web"]);
    for extra in [&[][..], &["--purge-snapshots"], &["--dry-run"]] {
        let ended = bench.run(&[&["-o", "json", "rm", "golden"][..], extra].concat());
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&report["outcome"], &report["volume"]), (&json!("blocked"), &json!("rbd/golden")));
        assert_eq!(error_kind(&ended.stderr), "blocked");
    }
    let people = bench.run(&["rm", "golden"]);
    assert!(people.stderr.contains("the clone rbd/web of @v1") && people.stderr.contains("hint: "));
    let outcomes = bench.run(&["-o", "json", "snap", "purge", "golden"]);
    assert_eq!((outcomes.code, error_kind(&outcomes.stderr).as_str()), (Some(5), "blocked"));
    assert_eq!(bench.json(&["ls"]).as_array().unwrap().len(), 2);
    bench.ok(&["rm", "--purge-snapshots", "--flatten-children", "golden"]);
    assert_eq!(bench.json(&["parent", "web"]), Value::Null);
}

#[test]
fn what_is_not_there_exits_3_unless_it_may_be_absent() {
    let bench = Bench::new();
    let ended = bench.run(&["-o", "json", "rm", "web"]);
    assert_eq!((ended.code, error_kind(&ended.stderr).as_str()), (Some(3), "not_found"));
    let report = bench.json(&["rm", "--if-exists", "web"]);
    assert_eq!((&report["outcome"], &report["id"]), (&json!("absent"), &Value::Null));
    for args in [&["info", "web"][..], &["parent", "web"], &["snap", "ls", "web"], &["ls", "nowhere"]] {
        assert_eq!(bench.run(args).code, Some(3), "{args:?}");
    }
    bench.ok(&["create", "--size", "1M", "web"]);
    assert_eq!(bench.run(&["create", "--size", "1M", "web"]).code, Some(4));
    assert_eq!(bench.run(&["snap", "rm", "web@none"]).code, Some(3));
}

#[test]
fn a_deferred_removal_comes_back_from_trash() {
    let bench = Bench::new();
    bench.ok(&["create", "--size", "1M", "web"]);
    let report = bench.json(&["rm", "--defer", "7d", "web"]);
    assert_eq!(report["outcome"], "deferred");
    let trash = bench.json(&["trash", "ls"]);
    let keys: Vec<_> = trash[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["id", "name", "source", "state", "until"]);
    assert_eq!(bench.json(&["trash", "purge"]), json!([]), "its date has not passed");
    let id = format!("id:{}", trash[0]["id"].as_str().unwrap());
    assert_eq!(bench.run(&["trash", "rm", &id]).code, Some(5));
    bench.ok(&["trash", "restore", &id, "back"]);
    assert_eq!(bench.json(&["ls"])[0]["volume"], "rbd/back");
}

#[test]
fn every_namespace_is_listed_when_asked() {
    let bench = Bench::new();
    bench.ok(&["namespace", "create", "rbd/tenant"]);
    bench.ok(&["create", "--size", "1M", "a"]);
    bench.ok(&["create", "--size", "1M", "rbd/tenant/b"]);
    assert_eq!(bench.json(&["ls"]).as_array().unwrap().len(), 1);
    let all = bench.json(&["ls", "-l", "--all-namespaces"]);
    let names: Vec<_> = all.as_array().unwrap().iter().map(|of| of["volume"].as_str().unwrap()).collect();
    assert_eq!(names, ["rbd/a", "rbd/tenant/b"]);
    let usage = bench.json(&["du", "--all-namespaces"]);
    assert_eq!(usage.as_array().unwrap().len(), 2);
}
