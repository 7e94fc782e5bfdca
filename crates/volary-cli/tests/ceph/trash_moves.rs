//! Moves into trash that do not go through librbd: what they leave is what librbd leaves, wherever they end.

use crate::harness::{Bench, cluster};
use serde_json::json;
use std::io::Write;
use std::process::Stdio;

/// The first steps of a move, as librbd takes them; then it is as if it had been killed.
const BROKEN_OFF: &str = r#"
name, id, steps = args
at = struct.pack("<II", int(time.time()), 0)
entry = b"\0" + text(name) + at + at
spec = b"\2\1" + struct.pack("<I", len(entry) + 1) + entry + b"\1"
io.execute("rbd_trash", "rbd", "trash_add", text(id) + spec)
if int(steps) > 1:
    io.remove_object("rbd_id." + name)
if int(steps) > 2:
    io.execute("rbd_directory", "rbd", "dir_remove_image", text(name) + text(id))
"#;

/// Breaks a move of the volume `web` off after so many steps.
fn break_off(bench: &Bench, id: &str, steps: u8) {
    bench.tamper(BROKEN_OFF, &["web", id, &steps.to_string()]);
}

#[test]
fn a_volume_in_trash_is_as_librbd_leaves_it() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    for name in ["ours", "ceph"] {
        bench.ok(&["import", image.to_str().unwrap(), &bench.at(name)]);
    }
    let (ours, theirs) = (bench.id("ours"), bench.id("ceph"));
    let moved = bench.run(&["-vv", "rm", "--defer", "0s", &bench.at("ours")]);
    assert_eq!((moved.code, moved.stderr.contains("left to librbd")), (Some(0), false), "{}", moved.stderr);
    cluster::output("rbd", &["trash", "mv", &bench.at("ceph")]);
    let entry = |id: &str| {
        let file = bench.path("entry");
        bench.rados(&["getomapval", "rbd_trash", &format!("id_{id}"), file.to_str().unwrap()]);
        let mut bytes = std::fs::read(file).unwrap();
        let deleted = bytes.split_off(15);
        // A name of four bytes and two equal times stand before the state.
        assert_eq!((deleted[..8] == deleted[8..16], deleted.len()), (true, 17));
        bytes.truncate(11);
        (bytes, deleted[16])
    };
    assert_eq!(entry(&ours), entry(&theirs));
    assert_eq!(bench.rados(&["listomapkeys", "rbd_directory"]).trim(), "state");
    assert!(!bench.rados(&["ls"]).contains("rbd_id."));
    let (pool, namespace) = bench.home.split_once('/').unwrap();
    let at = ["--pool", pool, "--namespace", namespace];
    let listed = cluster::json("rbd", &[&["trash", "ls"], at.as_slice()].concat());
    assert_eq!(listed.as_array().unwrap().len(), 2);
    cluster::output("rbd", &[&["trash", "restore", &ours], at.as_slice()].concat());
    bench.ok(&["verify", &bench.at("ours")]);
    bench.ok(&["rm", &bench.at("ours")]);
    bench.ok(&["trash", "rm", &format!("{}/id:{theirs}", bench.home)]);
    bench.assert_empty();
}

#[test]
fn s04_a_move_broken_off_after_any_step_is_finished() {
    let bench = crate::bench();
    for steps in 1..=3 {
        let volume = bench.at("web");
        bench.ok(&["create", "--size", "8M", &volume]);
        let id = bench.id("web");
        break_off(&bench, &id, steps);
        match steps {
            3 => bench.ok(&["trash", "rm", &format!("{}/id:{id}", bench.home)]),
            _ => bench.ok(&["rm", &volume]),
        };
        assert_eq!(bench.json(&["trash", "ls", &bench.home]), json!([]), "after {steps} steps");
        assert_eq!(bench.rados(&["listomapkeys", "rbd_directory"]).trim(), "state", "after {steps} steps");
    }
    bench.assert_empty();
}

/// A volume made in trash, by the first steps alone: its entry, then its header.
const MADE: &str = r#"
id, steps = args
now = int(time.time())
entry = b"\0" + text("volary-staging-0") + struct.pack("<IIII", now, 0, now + 3600, 0) + b"\0"
io.execute("rbd_trash", "rbd", "trash_add", text(id) + b"\2\1" + struct.pack("<I", len(entry)) + entry)
if int(steps) > 1:
    header = struct.pack("<QBQ", 8 << 20, 22, 0b111101) + text("rbd_data." + id) + struct.pack("<q", -1)
    io.execute("rbd_header." + id, "rbd", "create", header)
"#;

#[test]
fn s05_what_was_broken_off_while_it_was_made_in_trash_goes_like_anything_there() {
    let bench = crate::bench();
    for steps in ["1", "2"] {
        let id = format!("abcdef01234{steps}");
        bench.tamper(MADE, &[&id, steps]);
        let trash = bench.json(&["trash", "ls", &bench.home]);
        assert_eq!(trash.as_array().unwrap().len(), 1, "{trash}");
        bench.ok(&["trash", "rm", "--force", &format!("{}/id:{id}", bench.home)]);
        assert!(!bench.rados(&["ls"]).contains(&id), "after {steps} steps");
        assert_eq!(bench.rados(&["listomapkeys", "rbd_trash"]).trim(), "", "after {steps} steps");
    }
    bench.assert_empty();
}

#[test]
fn s02_what_is_being_made_in_trash_is_not_removed_before_it_can_be_opened() {
    let bench = crate::bench();
    let mut import = bench.command(&["import", "-f", "raw", "-", &bench.at("web")]);
    // Less than a block, and then nothing, so that it goes on until it is told to end.
    let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.as_mut().unwrap().write_all(&[7; 1 << 20]).unwrap();
    let id = loop {
        let trash = bench.json(&["trash", "ls", &bench.home]);
        let staged = bench.json(&["pending", "ls", &bench.home])[0]["volume_id"].as_str().is_some();
        match trash[0]["id"].as_str().filter(|_| staged) {
            Some(id) => break id.to_owned(),
            None => assert!(import.try_wait().unwrap().is_none(), "it ended"),
        }
    };
    // As it is between its entry and its header.
    bench.tamper("io.remove_object('rbd_header.' + args[0])", &[&id]);
    let refused = bench.run(&["trash", "rm", "--force", &format!("{}/id:{id}", bench.home)]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("volary pending") || refused.stdout.contains("volary pending"));
    assert_eq!(bench.json(&["trash", "ls", &bench.home]).as_array().unwrap().len(), 1);
    import.kill().unwrap();
    import.wait().unwrap();
    bench.ok(&["reap", &bench.home, "--wait", "60s"]);
    bench.assert_empty();
}

#[test]
fn what_a_journal_follows_is_moved_by_librbd() {
    let bench = crate::bench();
    let volume = bench.at("web");
    let features = ["--image-feature", "layering,exclusive-lock,journaling"];
    cluster::output("rbd", &[&["create", "--size", "8M"], features.as_slice(), &[&volume]].concat());
    let moved = bench.run(&["-vv", "rm", &volume]);
    assert_eq!((moved.code, moved.stderr.contains("left to librbd")), (Some(0), true), "{}", moved.stderr);
    assert!(!bench.rados(&["ls"]).contains("journal."));
    bench.assert_empty();
}

#[test]
fn s04_finishing_a_move_leaves_a_new_volume_of_that_name() {
    let bench = crate::bench();
    let volume = bench.at("web");
    bench.ok(&["create", "--size", "8M", &volume]);
    let old = bench.id("web");
    break_off(&bench, &old, 3);
    bench.ok(&["create", "--size", "4M", &volume]);
    let new = bench.id("web");
    bench.ok(&["trash", "rm", &format!("{}/id:{old}", bench.home)]);
    assert_eq!(bench.id("web"), new);
    bench.ok(&["rm", &volume]);
    bench.assert_empty();
}

#[test]
fn s02_a_move_broken_off_of_a_volume_renamed_since_is_no_success() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let id = bench.id("web");
    break_off(&bench, &id, 1);
    cluster::output("rbd", &["rename", &bench.at("web"), &bench.at("other")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let home: volary::Namespace = bench.home.parse().unwrap();
    let entry = volary::engine::VolumeEntry {
        name: volary::Name::from_bytes("web"),
        id: volary::VolumeId::new(id.as_str()).unwrap(),
    };
    let options = volary::engine::TrashOptions::default();
    let moved = runtime.block_on(store.engine().trash_move(&home, &entry, &options, &ctl));
    assert_eq!(moved.unwrap_err().kind(), volary::ErrorKind::NotFound);
    runtime.block_on(store.shutdown()).unwrap();
    let refused = bench.run(&["trash", "rm", &format!("{}/id:{id}", bench.home)]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    bench.ok(&["info", &bench.at("other")]);
}
