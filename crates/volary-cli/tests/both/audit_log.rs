//! The audit trail in a file.

use crate::bench;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

#[test]
fn s08_every_operation_that_matters_leaves_two_lines_whatever_is_logged_and_no_secret() {
    let bench = bench();
    let log = bench.path("audit.log");
    let run = |args: &[&str]| {
        let audited = ["-q", "--audit-log", log.to_str().unwrap()];
        bench.run(&[&audited[..], args].concat())
    };
    let image = bench.image("disk.raw", 1);
    let secret = bench.path("key=SECRETMARKER.raw");
    std::fs::copy(&image, &secret).unwrap();
    let web = bench.at("web");
    assert_eq!(run(&["import", secret.to_str().unwrap(), &web]).code, Some(0));
    assert_eq!(run(&["import", bench.path("missing").to_str().unwrap(), &bench.at("other")]).code, Some(3));
    assert_eq!(run(&["rm", &web]).code, Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("SECRETMARKER"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|of| (of["operation"].as_str().unwrap(), of["event"].as_str().unwrap(), of["outcome"].as_str()))
        .collect();
    assert_eq!(seen[0], ("import", "begins", None), "{text}");
    assert!(matches!(seen[1], ("import", "ends", Some(_))), "{text}");
    assert_eq!(seen[3], ("import", "ends", Some("not_found")), "{text}");
    assert_eq!(seen[4], ("remove", "begins", None), "{text}");
    assert_eq!(seen[5], ("remove", "ends", Some("removed")), "{text}");
    assert_eq!(seen.len(), 6, "{text}");
    for line in &lines {
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(
            line["uid"].is_u64()
                && line["pid"].is_u64()
                && line["details"].is_object() != line["error"].is_string(),
            "{line}"
        );
    }
    assert_eq!(lines[0]["subject"], bench.shown("web"));
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_command_that_cannot_keep_its_trail_does_nothing() {
    let bench = bench();
    let link = bench.path("link");
    std::os::unix::fs::symlink(bench.path("elsewhere"), &link).unwrap();
    let missing = bench.path("missing/audit.log");
    for (path, code) in [(&missing, 3), (&link, 1), (&bench.path(""), 1)] {
        let ended =
            bench.run(&["--audit-log", path.to_str().unwrap(), "create", "--size", "1M", &bench.at("web")]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("opening the audit log"), "{}", ended.stderr);
    }
    assert!(!bench.path("elsewhere").exists());
    bench.assert_empty();
}
