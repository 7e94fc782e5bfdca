//! What `inspect` tells of an image: each check, the verdict, and what a refusal has spared.

use crate::harness::Bench;
use serde_json::Value;
use std::path::PathBuf;
use volary_testkit::images::{Cluster, Qcow2, sample};

fn write(bench: &Bench, name: &str, bytes: &[u8]) -> PathBuf {
    let path = bench.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_refusal_is_told_with_its_consequence_in_80_columns() {
    let bench = Bench::new();
    let mut built = sample().build();
    let image =
        write(&bench, "backed", &built.put64(8, 0x400).put32(16, 11).put(0x400, b"/etc/shadow").bytes);
    let ended = bench.run(&["inspect", image.to_str().unwrap()]);
    assert_eq!(ended.code, Some(6));
    let words = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in
        ["refused backing_file", "it would mean whoever opens it would read the named file of the host into"]
    {
        assert!(words.contains(told), "{told}: {}", ended.stdout);
    }
    let lines = || ended.stdout.lines().filter(|line| !line.starts_with("path "));
    assert!(lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    let checks = lines().filter(|line| line.contains("  pass  ") || line.contains("  fail  ")).count();
    assert!(checks >= 3, "{}", ended.stdout);
    assert!(ended.stderr.contains("reason backing_file"), "{}", ended.stderr);
    // An accepted one has neither.
    let good = write(&bench, "good", &sample().build().bytes);
    let report = bench.json(&["inspect", good.to_str().unwrap()]);
    assert_eq!(
        (&report["safe"], &report["reason"], &report["consequence"]),
        (&true.into(), &Value::Null, &Value::Null)
    );
    assert!(!bench.ok(&["inspect", good.to_str().unwrap()]).contains("refused"));
}

#[test]
fn s06_a_disk_that_begins_as_an_image_is_accepted_only_when_told_to() {
    let bench = Bench::new();
    let mut disk = vec![0; 4096];
    disk[..4].copy_from_slice(b"KDMV");
    let image = Qcow2 { cluster_bits: 12, ..Qcow2::new(1 << 20) }.with(0, Cluster::Plain(disk)).build().bytes;
    let image = write(&bench, "nested.qcow2", &image);
    let image = image.to_str().unwrap();
    for args in [&["inspect", image][..], &["import", image, "web"]] {
        let ended = bench.run(&[&["-o", "json"], args].concat());
        assert_eq!(ended.code, Some(6), "{}", ended.stderr);
        let error: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["context"]["reason"], "nested_header", "{error}");
        assert!(error["error"]["hint"].as_str().unwrap().contains("--allow-nested"), "{error}");
    }
    bench.assert_empty();
    let report = bench.json(&["inspect", "--allow-nested", image]);
    let note = report["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&report["safe"], &note["name"], &note["verdict"]),
        (&true.into(), &"content.nested".into(), &"note".into())
    );
    assert_eq!(bench.json(&["import", "--allow-nested", image, "web"])["verified"], true);
}
