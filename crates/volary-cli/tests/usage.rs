//! Wrong arguments, odd names, dead stores: the right exit code, one error line with a remedy, nothing changed.
#![allow(clippy::unwrap_used)]

mod harness;
use harness::Bench;
use serde_json::Value;

#[test]
fn wrong_arguments_exit_2_with_one_error_line() {
    let bench = Bench::new();
    for args in [
        &["nonsense"][..],
        &["info"],
        &["info", "a@b@c"],
        &["create", "--size", "10GB", "web"],
        &["create", "--size", "64", "web"],
        &["create", "--size", "1000B", "web"],
        &["resize", "--size", "1025B", "web"],
        &["create", "--size", "1G", "-rf"],
        &["create", "--size", "1G", "--", "-rf"],
        &["create", "--size", "1G", "a\nb"],
        &["create", "--size", "1G", "web@snap"],
        &["import", "/etc/hostname", "web@snap"],
        &["clone", "web", "child"],
        &["--timeout", "5", "ls"],
        &["--store", "file:/x", "ls"],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains('\u{1b}') && ended.stdout.is_empty(), "{args:?}");
        let json = bench.run(&[&["-o", "json"], args].concat());
        let error: Value =
            serde_json::from_str(&json.stderr).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", json.stderr));
        assert_eq!(error["error"]["kind"], "usage", "{args:?}");
        let hint = error["error"]["hint"].as_str().unwrap_or_else(|| panic!("{args:?}: {error}"));
        // What the arguments' parser refuses leads to the help of that command.
        if hint.contains("--help") {
            let command =
                args.iter().find(|of| ["info", "create", "resize", "import", "clone", "ls"].contains(of));
            let command = command.map_or_else(|| "volary".to_owned(), |verb| format!("volary {verb}"));
            assert_eq!(hint, format!("see `{command} --help`"), "{args:?}");
        }
    }
    assert_eq!(bench.json(&["ls"]), Value::Array(Vec::new()));
}

#[test]
fn what_is_not_there_exits_3_and_what_is_there_exits_4() {
    let bench = Bench::new();
    bench.ok(&["create", "--size", "8M", "web"]);
    bench.ok(&["snap", "create", "web@s"]);
    for args in [
        &["info", "gone"][..],
        &["info", "web@gone"],
        &["ls", "gone"],
        &["verify", "web"],
        &["resize", "gone", "--size", "1G"],
        &["mv", "gone", "other"],
        &["snap", "rm", "web@gone"],
        &["snap", "ls", "gone"],
        &["export", "gone", "/nonexistent/x"],
        &["clone", "web@gone", "child"],
        &["trash", "restore", "id:0123456789ab"],
        &["meta", "get", "web", "gone"],
        &["import", "/nonexistent", "new"],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(3), "{args:?}: {}", ended.stderr);
    }
    for args in [
        &["create", "--size", "8M", "web"][..],
        &["snap", "create", "web@s"],
        &["pool", "create", "rbd"],
        &["mv", "web", "web"],
    ] {
        assert_eq!(bench.run(args).code, Some(4), "{args:?}");
    }
}

#[test]
fn a_store_that_cannot_be_had_says_what_was_tried() {
    let bench = Bench::new();
    let file = bench.path("file");
    std::fs::write(&file, "not a store").unwrap();
    let url = format!("local:{}", file.display());
    let ended = bench.run(&["--store", &url, "ls"]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains(&url) && ended.stderr.contains("hint: "), "{}", ended.stderr);
}

#[test]
fn every_command_has_help_with_examples() {
    let bench = Bench::new();
    fn walk(bench: &Bench, path: &[&str], seen: &mut usize) {
        let help = bench.ok(&[path, &["--help"]].concat());
        let commands: Vec<&str> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| line.starts_with("  "))
            .filter(|line| !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        if commands.is_empty() {
            *seen += 1;
            assert!(help.contains("Examples:\n  volary "), "{path:?} has no examples:\n{help}");
        }
        for command in commands {
            walk(bench, &[path, &[command]].concat(), seen);
        }
    }
    let mut seen = 0;
    walk(&bench, &[], &mut seen);
    assert!(seen >= 35, "only {seen} commands");
}

#[test]
fn completions_and_manual_pages_are_made_for_every_command() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.ok(&["completions", shell]).contains("import"), "{shell}");
    }
    let dir = bench.path("man");
    std::fs::create_dir(&dir).unwrap();
    bench.ok(&["man", "--dir", dir.to_str().unwrap()]);
    for page in ["volary.1", "volary-import.1", "volary-snap-create.1"] {
        assert!(dir.join(page).exists(), "{page}");
    }
}
