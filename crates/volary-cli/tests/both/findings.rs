//! What two security reviews found wanting in the driver that Volary grew out of, each held by a test of its own.

use crate::harness::{self, Bench};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const KEY: &str = "AQDd1/5kAAAAABAAmXqVnH1J6wE2m5xGq0k2bQ==";

fn log_records(stderr: &str) -> Vec<Value> {
    stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn finding_1_connection_failures_are_reported_with_their_context() {
    let bench = Bench::new();
    std::fs::write(&bench.store, "in the way").unwrap();
    let ended = bench.run(&["-o", "json", "ls"]);
    let error: Value = serde_json::from_str(&ended.stderr).unwrap();
    let error = &error["error"];
    assert!(error["context"]["store"].as_str().unwrap().starts_with("local:/"), "{error}");
    assert!(error["hint"].is_string() && error["kind"] != "internal", "{error}");
}

#[test]
fn finding_2_imports_are_checked_for_integrity_and_type() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    let image = image.to_str().unwrap();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let ended = bench.run(&["import", "--checksum", &wrong, image, &bench.at("web")]);
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    bench.assert_empty();
    let ended = bench.run(&["import", "--format", "qcow2", image, &bench.at("web")]);
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    let disguised = bench.path("disguised.raw");
    let mut bytes = vec![0; 1 << 20];
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    std::fs::write(&disguised, bytes).unwrap();
    let ended = bench.run(&["import", "--format", "raw", disguised.to_str().unwrap(), &bench.at("web")]);
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    bench.assert_empty();
    let report = bench.json(&["import", image, &bench.at("web")]);
    assert_eq!(report["verified"], true);
    assert!(report["digest"].as_str().unwrap().starts_with("volary-v1:"));
}

#[test]
fn finding_3_the_start_and_end_of_an_import_are_on_record_with_the_files_details() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    let image = image.to_str().unwrap();
    let good = bench.run(&["-v", "--log-format", "json", "import", image, &bench.at("web")]);
    let bad =
        bench.run(&["-v", "--log-format", "json", "import", "--format", "qcow2", image, &bench.at("other")]);
    assert_eq!((good.code, bad.code), (Some(0), Some(6)));
    for (stderr, outcome) in [(good.stderr, "done"), (bad.stderr, "refused")] {
        let audit: Vec<String> = log_records(&stderr)
            .into_iter()
            .filter(|record| record["target"] == "volary::audit")
            .map(|record| record.to_string())
            .collect();
        assert!(audit.len() >= 2, "{stderr}");
        assert!(audit[0].contains(image) && audit[0].contains("import"), "{}", audit[0]);
        assert!(audit.last().unwrap().contains(outcome), "{}", audit[audit.len() - 1]);
    }
    let size = (8 << 20).to_string();
    let ended = bench.run(&["-v", "--log-format", "json", "import", image, &bench.at("third")]);
    let whole: String = ended.stderr;
    assert!(whole.contains(&size) && whole.contains("volary-v1:") && whole.contains("raw"), "{whole}");
}

#[test]
fn finding_4_s08_no_secret_reaches_a_log_at_any_level() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    let named = bench.path(&format!("key={}", KEY.replace('/', "+")));
    std::fs::copy(&image, &named).unwrap();
    let secret = named.file_name().unwrap().to_str().unwrap().trim_start_matches("key=").to_owned();
    let web = bench.at("web");
    for format in ["text", "json"] {
        for args in [
            &["import", "--format", "qcow2"][..],
            &["import", "--checksum", "md5:00000000000000000000000000000000"],
        ] {
            let all = [&["-vvv", "--log-format", format], args, &[named.to_str().unwrap(), &web]].concat();
            let ended = bench.run(&all);
            assert!(ended.code != Some(0) && !ended.stderr.is_empty());
            assert!(!ended.stderr.contains(&secret), "{}", ended.stderr);
            assert!(ended.stderr.contains("[removed]"), "{}", ended.stderr);
        }
    }
}

#[test]
fn finding_5_s02_clean_up_reports_what_it_cannot_do_and_leaves_no_orphan() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", "--snapshot", "golden", "--protect", image.to_str().unwrap(), &bench.at("base")]);
    bench.ok(&["clone", &bench.at("base@golden"), &bench.at("child")]);
    let ended = bench.run(&["-o", "json", "rm", "--purge-snapshots", &bench.at("base")]);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["outcome"], "blocked");
    let blockers = report["blockers"].as_array().unwrap();
    assert!(
        blockers
            .iter()
            .any(|b| b["kind"] == "child" && b["detail"].as_str().unwrap().contains(&bench.shown("child"))),
        "{report}"
    );
    assert!(blockers.iter().all(|b| !b["remedy"].as_str().unwrap().is_empty()), "{report}");
    assert_eq!(
        bench.json(&["info", &bench.at("base")])["snapshots"][0]["protected"],
        true,
        "nothing was changed"
    );
    bench.ok(&["rm", &bench.at("child")]);
    bench.ok(&["snap", "unprotect", &bench.at("base@golden")]);
    bench.ok(&["rm", "--purge-snapshots", &bench.at("base")]);
    bench.assert_empty();
    assert_eq!(bench.json(&["rm", "--if-exists", &bench.at("base")])["outcome"], "absent");
    assert_eq!(bench.run(&["rm", &bench.at("base")]).code, Some(3));
}

#[test]
fn finding_6_snapshot_removal_says_what_failed_and_what_was_skipped() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    for snapshot in [&bench.at("web@a"), &bench.at("web@b"), &bench.at("web@c")] {
        bench.ok(&["snap", "create", snapshot]);
    }
    bench.ok(&["snap", "protect", &bench.at("web@b")]);
    bench.ok(&["clone", &bench.at("web@b"), &bench.at("child")]);
    let ended = bench.run(&["-o", "json", "snap", "rm", "--force", &bench.at("web@b")]);
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    assert!(ended.stdout.contains(&bench.shown("child")), "{}", ended.stdout);
    let ended = bench.run(&["-o", "json", "snap", "purge", &bench.at("web")]);
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let outcomes: Value = serde_json::from_str(&ended.stdout).unwrap();
    let outcomes: Vec<_> =
        outcomes.as_array().unwrap().iter().map(|o| (o["snapshot"].clone(), o["outcome"].clone())).collect();
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.contains(&(json!("b"), json!("blocked"))), "{outcomes:?}");
}

#[test]
fn finding_7_s07_no_command_is_built_from_untrusted_strings() {
    // The harness gives the command an empty environment: there is no PATH in which to find a program.
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    for name in ["$(touch pwned);`id`", "json:{\"file\":\"x\"}", "nbd:localhost", "-n", "a|b>c"] {
        let odd = bench.path(name);
        std::fs::copy(&image, &odd).unwrap();
        bench.ok(&["import", odd.to_str().unwrap(), &bench.at("web")]);
        bench.ok(&["export", "--force", &bench.at("web"), odd.to_str().unwrap()]);
        assert_eq!(std::fs::read(&odd).unwrap(), std::fs::read(&image).unwrap(), "{name}");
        bench.ok(&["rm", &bench.at("web")]);
    }
    for spec in ["a;b", "a$(b)", "a b", "-x", "rbd:pool/x:conf=/etc/x"] {
        assert_eq!(bench.run(&["create", "--size", "1M", "--", spec]).code, Some(2), "{spec}");
    }
}

#[test]
fn finding_8_every_failure_has_its_kind_and_exit_code() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    for (args, kind, code) in [
        (&["info", "gone"][..], "not_found", 3),
        (&["create", "--size", "8M", &bench.at("web")], "already_exists", 4),
        (&["resize", &bench.at("web"), "--size", "4M"], "usage", 2),
        (&["snap", "create", &bench.at("web@a b")], "usage", 2),
        (&["clone", &bench.at("web@gone"), &bench.at("child")], "not_found", 3),
        (&["import", "/dev/zero", "x"], "refused", 6),
        (&["import", "http://127.0.0.1/x", "x"], "refused", 6),
        (&["export", &bench.at("web"), "/proc/nothing/x"], "not_found", 3),
    ] {
        let ended = bench.run(&[&["-o", "json"], args].concat());
        let error: Value =
            serde_json::from_str(ended.stderr.lines().last().unwrap_or_default()).unwrap_or_default();
        assert_eq!(
            (ended.code, error["error"]["kind"].as_str()),
            (Some(code), Some(kind)),
            "{args:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn finding_9_temporary_files_are_unnamed_or_private_and_never_left() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    let scratch = bench.path("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let mut piped = bench.command(&["import", "-", &bench.at("piped")]);
    piped.env("TMPDIR", &scratch).stdin(std::fs::File::open(&image).unwrap());
    let ended = harness::ended(piped.output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    let out = bench.path("out");
    std::fs::create_dir(&out).unwrap();
    let file = out.join("disk.raw");
    bench.ok(&["export", &bench.at("piped"), file.to_str().unwrap()]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&image).unwrap());
    // An existing file is refused and stays as it is; a link is neither followed nor replaced.
    assert_eq!(bench.run(&["export", &bench.at("piped"), file.to_str().unwrap()]).code, Some(4));
    let link = out.join("link");
    std::os::unix::fs::symlink(&image, &link).unwrap();
    bench.ok(&["create", "--size", "1M", &bench.at("empty")]);
    assert_eq!(bench.run(&["export", "--force", &bench.at("empty"), link.to_str().unwrap()]).code, Some(2));
    assert_eq!(std::fs::metadata(&image).unwrap().len(), 8 << 20, "the link's target is untouched");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2, "nothing else is left");
}
