//! What is read and is not what was recorded: exit codes, keys, and what appears.

use crate::harness::Bench;
use serde_json::{Value, json};

/// Changes a byte in each object that holds data, behind the store's back.
fn damage(bench: &Bench) {
    if bench.is_local() {
        for dir in std::fs::read_dir(bench.store.join("objects")).unwrap() {
            for object in std::fs::read_dir(dir.unwrap().path()).unwrap() {
                let path = object.unwrap().path();
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[70_000] = !bytes[70_000];
                std::fs::write(&path, bytes).unwrap();
            }
        }
        return;
    }
    let file = bench.path("byte");
    std::fs::write(&file, [0x5a, 0xa5, 0x5a]).unwrap();
    for object in bench.rados(&["ls"]).lines().filter(|name| name.starts_with("rbd_data.")) {
        bench.rados(&["put", object, file.to_str().unwrap(), "--offset", "70000"]);
    }
}

#[test]
fn s13_other_bytes_than_were_recorded_exit_7_and_are_taken_when_told() {
    let bench = crate::bench();
    let (image, out) = (bench.image("disk.raw", 2), bench.path("out.raw"));
    let (web, out) = (bench.at("web@base"), out.to_str().unwrap());
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web"), "--snapshot", "base", "--protect"]);
    let whole = bench.json(&["export", &web, out]);
    assert_eq!((&whole["match"], &whole["expected"]), (&json!(true), &whole["digest"]));
    let untouched = std::fs::read(out).unwrap();

    damage(&bench);
    let refused = |args: &[&str]| {
        let ended = bench.run(&[args, &["-o", "json"]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), ""), "{args:?}: {}", ended.stderr);
        let error: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["kind"], "mismatch");
        assert!(error["error"]["hint"].as_str().unwrap().contains("--accept-mismatch"), "{error}");
    };
    refused(&["export", &web, out, "--force"]);
    assert!(std::fs::read(out).unwrap() == untouched, "the file is as it was");
    refused(&["cp", &web, &bench.at("copy")]);
    assert_eq!(bench.json(&["ls", &bench.home]).as_array().unwrap().len(), 1);

    let report = bench.json(&["export", &web, out, "--force", "--accept-mismatch"]);
    assert_eq!((&report["match"], &report["mismatch_accepted"]), (&json!(false), &json!(true)));
    assert!(std::fs::read(out).unwrap() != untouched);
    let report = bench.json(&["cp", &web, &bench.at("copy"), "--accept-mismatch"]);
    assert_eq!((&report["match"], &report["mismatch_accepted"]), (&json!(false), &json!(true)));
    assert_eq!(bench.run(&["verify", &bench.at("copy")]).code, Some(3), "no digest is recorded");
    let people = bench.ok(&["export", &web, out, "--force", "--accept-mismatch"]);
    assert!(people.contains("NO, accepted"), "{people}");
}
