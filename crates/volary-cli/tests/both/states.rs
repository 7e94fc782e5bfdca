//! A volume that is no longer where its user left it: the error says where it is, and names the command that continues from there.

use crate::bench;

#[test]
fn a_volume_in_trash_is_named_where_its_old_name_is_asked_for() {
    let bench = bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "1M", &web]);
    bench.ok(&["trash", "mv", &web]);
    let trash = bench.json(&["trash", "ls", &bench.home]);
    let entry = format!("{}/id:{}", bench.home, trash[0]["id"].as_str().unwrap());
    for args in [
        &["info", &web][..],
        &["rm", &web],
        &["why", &web],
        &["verify", &web],
        &["resize", "--size", "2M", &web],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(3), "{args:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("volary trash restore {entry}")),
            "{args:?}: {}",
            ended.stderr
        );
    }
    // A day is what there is to notice a mistake.
    let kept = trash[0]["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let left = kept.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((86_000..=86_400).contains(&left), "{left}");
    bench.ok(&["trash", "restore", &entry]);
    bench.ok(&["info", &web]);
    let other = bench.run(&["info", &bench.at("other")]);
    assert!(other.code == Some(3) && other.stderr.contains("volary ls"), "{}", other.stderr);
}

#[test]
fn s02_a_volume_with_pending_work_keeps_its_name() {
    let bench = bench();
    let (web, other) = (bench.at("web"), bench.at("other"));
    bench.ok(&["create", "--size", "1M", &web]);
    bench.ok(&["lock", "add", &web, "moving"]);
    assert_eq!(bench.run(&["rm", "--wait", "1ms", "--retry-later", &web]).code, Some(11));
    let client = bench.json(&["lock", "ls", &web])[0]["client"].as_str().unwrap().to_owned();
    bench.ok(&["lock", "rm", &web, "moving", &client]);
    let refused = bench.run(&["mv", &web, &other]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    let id = bench.json(&["pending", "ls", &bench.home])[0]["id"].as_str().unwrap().to_owned();
    let forget = format!("volary pending forget {id} {}", bench.home);
    assert!(refused.stderr.contains("remove") && refused.stderr.contains(&forget), "{}", refused.stderr);
    // The remedy as it is shown.
    let words: Vec<&str> = forget.split(' ').skip(1).collect();
    bench.ok(&words);
    bench.ok(&["mv", &web, &other]);
    bench.ok(&["reap", &bench.home]);
    bench.ok(&["info", &other]);
}

#[test]
fn s03_an_order_that_outlived_a_change_of_mind_waits_to_be_confirmed() {
    let bench = bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "1M", &web]);
    bench.ok(&["lock", "add", &web, "moving"]);
    let order = ["rm", "--purge-snapshots", "--wait", "1ms", "--retry-later", &web];
    assert_eq!(bench.run(&order).code, Some(11));
    let client = bench.json(&["lock", "ls", &web])[0]["client"].as_str().unwrap().to_owned();
    bench.ok(&["lock", "rm", &web, "moving", &client]);
    bench.ok(&["snap", "create", &bench.at("web@kept")]);
    let id = bench.json(&["pending", "ls", &bench.home])[0]["id"].as_str().unwrap().to_owned();
    for args in [&["reap", &bench.home][..], &["reap", &bench.home], &["pending", "retry", &id, &bench.home]]
    {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(11), "{args:?}: {}", ended.stderr);
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains("web@kept was made since"), "{args:?}: {said}");
    }
    let confirm = format!("volary pending retry --confirm {id} {}", bench.home);
    let forget = format!("volary pending forget {id} {}", bench.home);
    let shown = [
        bench.ok(&["pending", "ls", &bench.home]),
        bench.ok(&["info", &web]),
        bench.ok(&["why", &web]),
        bench.ok(&["ls", "-l", &bench.home]),
    ];
    for text in shown {
        assert!(text.contains(&confirm) && text.contains(&forget), "{text}");
    }
    assert_eq!(bench.json(&["info", &web])["pending"][0]["id"], id);
    // The remedy as it is shown.
    let words: Vec<&str> = confirm.split(' ').skip(1).collect();
    bench.ok(&words);
    assert_eq!(bench.run(&["info", &web]).code, Some(3));
    assert_eq!(bench.ok(&["pending", "ls", &bench.home]).lines().count(), 1);
}
