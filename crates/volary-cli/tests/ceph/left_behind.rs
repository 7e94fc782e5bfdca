//! States in which `rbd`, or a tool that was killed, leaves images: each has a name, a remedy, and a way out.

use crate::bench;
use crate::damage::removed_but;
use crate::harness::cluster;
use serde_json::{Value, json};

#[test]
fn s02_an_image_of_format_1_is_never_absent_and_its_name_never_free() {
    let bench = bench();
    let pool = bench.own_pool();
    let old = format!("{pool}/old");
    let mut create = cluster::command("rbd", &["create", "--image-format", "1", "--size", "4M", &old]);
    let created = create.env("RBD_FORCE_ALLOW_V1", "1").output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let image = bench.image("disk.raw", 1);
    let image = image.to_str().unwrap();
    for args in [
        &["info", &old][..],
        &["rm", &old],
        &["rm", "--if-exists", &old],
        &["why", &old],
        &["export", &old, "-"],
        &["resize", "--size", "8M", &old],
        &["snap", "create", &format!("{old}@s")],
        &["mv", &old, &format!("{pool}/new")],
        &["trash", "mv", &old],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(12), "{args:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("format 1") && ended.stderr.contains("rbd migration"),
            "{}",
            ended.stderr
        );
    }
    let other = format!("{pool}/other");
    bench.ok(&["create", "--size", "4M", &other]);
    for args in [
        &["create", "--size", "4M", &old][..],
        &["import", image, &old],
        &["cp", &other, &old],
        &["mv", &other, &old],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(4), "{args:?}: {}", ended.stderr);
        let said =
            ended.stderr.contains("an image of format 1 has that name") && ended.stderr.contains("old");
        assert!(said, "{args:?}: {}", ended.stderr);
    }
    bench.ok(&["trash", "mv", &other]);
    let id = bench.json(&["trash", "ls", &pool])[0]["id"].as_str().unwrap().to_owned();
    let restored = bench.run(&["trash", "restore", &format!("{pool}/id:{id}"), "old"]);
    assert_eq!(restored.code, Some(4), "{}", restored.stderr);
    // It is listed and marked.
    assert!(bench.ok(&["ls", &pool]).lines().any(|line| line == old));
    for args in [&["ls", &pool][..], &["ls", "-l", &pool]] {
        let listed = bench.json(args);
        let (of, problem) = (&listed[0], "an image of format 1");
        assert_eq!((listed.as_array().unwrap().len(), &of["volume"]), (1, &json!(old)), "{listed}");
        assert_eq!((&of["id"], &of["problem"]), (&json!(null), &json!(problem)), "{listed}");
    }
    assert!(bench.ok(&["ls", "-l", &pool]).contains(&format!("{old}  (UNUSABLE: an image of format 1)")));
    // It is as it was, and alone.
    let images = cluster::json("rbd", &["ls", "-l", &pool]);
    assert_eq!((images.as_array().unwrap().len(), &images[0]["format"]), (1, &json!(1)), "{images}");
}

#[test]
fn a_volume_without_header_is_shown_as_damaged_and_goes_by_a_plan_that_says_so() {
    let bench = bench();
    let (web, other) = (bench.at("web"), bench.at("other"));
    bench.ok(&["create", "--size", "4M", &other]);
    bench.ok(&["create", "--size", "4M", &web]);
    let id = bench.id("web");
    bench.rados(&["rm", &format!("rbd_header.{id}")]);
    let all = bench.json(&["ls", "-l", &bench.home]);
    let of = |name: &str| {
        all.as_array().unwrap().iter().find(|of| of["volume"] == bench.shown(name)).unwrap().clone()
    };
    assert!(
        of("web")["problem"].as_str().unwrap().contains("no header") && of("web")["size_bytes"].is_null()
    );
    assert!(of("other")["problem"].is_null() && of("other")["size_bytes"] == 4 << 20);
    assert!(bench.ok(&["ls", "-l", &bench.home]).contains("DAMAGED"));
    let remedy = format!("volary rm {}", bench.shown("web"));
    for args in
        [&["info", &web][..], &["export", &web, "-"], &["verify", &web], &["resize", "--size", "8M", &web]]
    {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(7), "{args:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("no header") && ended.stderr.contains(&remedy),
            "{args:?}: {}",
            ended.stderr
        );
    }
    let known = bench.path("known");
    std::fs::write(&known, "other\n").unwrap();
    let orphans = bench.json(&["orphans", "--known", known.to_str().unwrap(), &bench.home]);
    let orphan = orphans.as_array().unwrap().iter().find(|of| of["class"] == "damaged").unwrap();
    assert_eq!(orphan["remedy"], format!("volary info {}", bench.shown("web")));
    assert_eq!(bench.run(&["check", &bench.home]).code, Some(7));
    let steps = |report: &Value| {
        report["steps"].as_array().unwrap().iter().map(|of| of["action"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(steps(&bench.json(&["rm", "--dry-run", &web])), ["remove_remains"]);
    // That it had no data nobody can know any more.
    let report = removed_but(&bench, &["rm", &web]);
    assert_eq!(steps(&report), [json!("remove_remains")]);
    bench.ok(&["rm", &other]);
    assert_eq!(bench.run(&["check", &bench.home]).code, Some(0));
    let left = bench.rados(&["ls"]);
    assert!(!left.contains(&id) && !left.contains("rbd_id."), "{left}");
}

#[test]
fn s03_a_migration_holds_its_target_and_nothing_is_tried_in_vain() {
    let bench = bench();
    let (source, target) = (bench.shown("m1"), bench.shown("m2"));
    bench.ok(&["create", "--size", "4M", &bench.at("m1")]);
    cluster::output("rbd", &["migration", "prepare", &source, &target]);
    let why = bench.json(&["why", &target]);
    let holder = why["holders"].as_array().unwrap().iter().find(|of| of["kind"] == "migration").unwrap();
    let abort = format!("rbd migration abort {target}");
    assert!(holder["remedy"].as_str().unwrap().contains(&abort), "{holder}");
    let refused = bench.run(&["-o", "json", "rm", &target]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    let report: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!((&report["outcome"], &report["steps"]), (&json!("blocked"), &json!([])), "{report}");
    let gone = bench.run(&["info", &bench.at("m1")]);
    assert!(gone.code == Some(3) && gone.stderr.contains("rbd migration abort"), "{}", gone.stderr);
    let words: Vec<&str> = abort.split(' ').skip(1).collect();
    cluster::output("rbd", &words);
    bench.ok(&["rm", &bench.at("m1")]);
    bench.assert_empty();
}
