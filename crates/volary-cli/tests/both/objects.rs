//! The object commands from outside: results on standard output whatever the exit code, one error line, exact codes.

use serde_json::{Value, json};

fn error_kind(stderr: &str) -> String {
    let line = stderr.lines().last().unwrap();
    serde_json::from_str::<Value>(line).unwrap()["error"]["kind"].as_str().unwrap().to_owned()
}

#[test]
fn s02_a_blocked_removal_exits_5_prints_its_report_and_leaves_the_volume() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "1M", &bench.at("golden")]);
    bench.ok(&["snap", "create", "--protect", &bench.at("golden@v1")]);
    bench.ok(&["clone", &bench.at("golden@v1"), &bench.at("web")]);
    for extra in [&[][..], &["--purge-snapshots"], &["--dry-run"]] {
        let ended = bench.run(&[&["-o", "json", "rm", &bench.at("golden")][..], extra].concat());
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(
            (&report["outcome"], &report["volume"]),
            (&json!("blocked"), &json!(bench.shown("golden")))
        );
        assert_eq!(error_kind(&ended.stderr), "blocked");
    }
    // People read each holder once, in its row with the remedy.
    let people = bench.run(&["rm", &bench.at("golden")]);
    let clone = format!("the clone {} of @v1", bench.shown("web"));
    assert_eq!((people.code, people.stdout.matches(&clone).count()), (Some(5), 1), "{}", people.stdout);
    let held = format!("hold {}: nothing was removed", bench.shown("golden"));
    assert!(people.stderr.contains(&held), "{}", people.stderr);
    assert!(!people.stderr.contains(&clone) && !people.stderr.contains("hint: "), "{}", people.stderr);
    let purged = bench.run(&["snap", "purge", &bench.at("golden")]);
    assert!(purged.code == Some(5) && purged.stdout.contains("REMEDY"), "{}", purged.stdout);
    assert_eq!(purged.stderr, "error: 1 of 1 could not be removed\n");
    let outcomes = bench.run(&["-o", "json", "snap", "purge", &bench.at("golden")]);
    assert_eq!((outcomes.code, error_kind(&outcomes.stderr).as_str()), (Some(5), "blocked"));
    assert_eq!(bench.json(&["ls", &bench.home]).as_array().unwrap().len(), 2);
    bench.ok(&["rm", "--purge-snapshots", "--flatten-children", &bench.at("golden")]);
    assert_eq!(bench.json(&["parent", &bench.at("web")]), Value::Null);
}

#[test]
fn what_is_not_there_exits_3_unless_it_may_be_absent() {
    let bench = crate::bench();
    let ended = bench.run(&["-o", "json", "rm", &bench.at("web")]);
    assert_eq!((ended.code, error_kind(&ended.stderr).as_str()), (Some(3), "not_found"));
    let report = bench.json(&["rm", "--if-exists", &bench.at("web")]);
    assert_eq!((&report["outcome"], &report["id"]), (&json!("absent"), &Value::Null));
    for args in [
        &["info", &bench.at("web")][..],
        &["parent", &bench.at("web")],
        &["snap", "ls", &bench.at("web")],
        &["ls", "nowhere"],
    ] {
        assert_eq!(bench.run(args).code, Some(3), "{args:?}");
    }
    bench.ok(&["create", "--size", "1M", &bench.at("web")]);
    assert_eq!(bench.run(&["create", "--size", "1M", &bench.at("web")]).code, Some(4));
    assert_eq!(bench.run(&["snap", "rm", &bench.at("web@none")]).code, Some(3));
}

#[test]
fn a_deferred_removal_comes_back_from_trash() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "1M", &bench.at("web")]);
    let report = bench.json(&["rm", "--defer", "7d", &bench.at("web")]);
    assert_eq!(report["outcome"], "deferred");
    let trash = bench.json(&["trash", "ls", &bench.home]);
    let keys: Vec<_> = trash[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["id", "name", "source", "state", "until"]);
    assert_eq!(bench.json(&["trash", "purge", &bench.home]), json!([]), "its date has not passed");
    let id = bench.at(&format!("id:{}", trash[0]["id"].as_str().unwrap()));
    assert_eq!(bench.run(&["trash", "rm", &id]).code, Some(5));
    bench.ok(&["trash", "restore", &id, "back"]);
    assert_eq!(bench.json(&["ls", &bench.home])[0]["volume"], bench.shown("back"));
}

#[test]
fn every_namespace_is_listed_when_asked() {
    let bench = crate::bench();
    let pool = bench.own_pool();
    let [a, b] = ["a", "tenant/b"].map(|name| format!("{pool}/{name}"));
    bench.ok(&["namespace", "create", &format!("{pool}/tenant")]);
    bench.ok(&["create", "--size", "1M", &a]);
    bench.ok(&["create", "--size", "1M", &b]);
    assert_eq!(bench.json(&["ls", &pool]).as_array().unwrap().len(), 1);
    let all = bench.json(&["ls", "-l", "--all-namespaces", &pool]);
    let names: Vec<_> = all.as_array().unwrap().iter().map(|of| of["volume"].as_str().unwrap()).collect();
    assert_eq!(names, [a, b]);
    let usage = bench.json(&["du", "--all-namespaces", "--pool", &pool]);
    assert_eq!(usage.as_array().unwrap().len(), 2);
}

#[test]
fn a_file_that_cannot_be_opened_is_named_once_without_a_number_of_the_system() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "1M", &bench.at("web")]);
    for (args, told) in [
        (&["import", "/nonexistent/x", &bench.at("new")][..], "the source cannot be opened"),
        (&["export", &bench.at("web"), "/nonexistent/x"], "the directory of the file cannot be opened"),
    ] {
        let ended = bench.run(args);
        assert_eq!(
            (ended.code, ended.stderr.matches("/nonexistent").count()),
            (Some(3), 1),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(told) && !ended.stderr.contains("os error"), "{}", ended.stderr);
    }
}
