//! What other tools leave beside an image's content, or mean to do with it: an unreplayed journal, a dirty cache, encryption, half a
//! protection, a task of the manager. Reports of commands that use the content note it, with the command that settles it.

use crate::bench;
use crate::both::agent::until;
use crate::harness::{Bench, cluster};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// The notes of a report.
fn notes(report: &Value) -> Vec<&str> {
    report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect()
}

/// The first command in a text that has some between grave accents, and begins with these words: what follows `program`.
fn command<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let found = text.split('`').find(|part| part.starts_with(begin));
    found.unwrap_or_else(|| panic!("{begin}: {text}")).split(' ').skip(1).collect()
}

/// Starts a program that goes on until it is killed.
fn start(mut command: Command) -> std::process::Child {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn is_watched(volume: &str) -> bool {
    cluster::json("rbd", &["status", volume])["watchers"].as_array().is_some_and(|all| !all.is_empty())
}

#[test]
fn a_journal_that_is_not_replayed_is_told_by_whoever_reads_the_content() {
    let bench = bench();
    let (web, copy, file) = (bench.at("web"), bench.at("copy"), bench.path("web.raw"));
    cluster::output("rbd", &["create", "--size", "64M", &web]);
    cluster::output("rbd", &["feature", "enable", &web, "journaling"]);
    assert_eq!(notes(&bench.json(&["info", &web])), [""; 0]);
    let many =
        ["bench", "--io-type", "write", "--io-size", "16K", "--io-total", "8G", "--io-pattern", "rand"];
    let mut writer = start(cluster::command("rbd", &[&many[..], &[web.as_str()]].concat()));
    bench.wait_for_objects(&mut writer);
    writer.kill().unwrap();
    writer.wait().unwrap();
    // The OSDs keep its watch for a while, and it may live as far as anybody can tell.
    let info = bench.json(&["info", &web]);
    assert!(notes(&info)[0].contains("journal"), "{info}");
    while is_watched(&web) {}
    let (file, told) =
        (file.to_str().unwrap(), "its last writer died, and what its journal has is not in the content yet");
    for args in [
        &["info", &web][..],
        &["export", &web, file],
        &["cp", &web, &copy],
        &["verify", "--record", &web],
        &["verify", &web],
    ] {
        let report = bench.json(args);
        assert!(notes(&report).first().is_some_and(|note| note.starts_with(told)), "{args:?}: {report}");
    }
    assert!(bench.ok(&["info", &web]).contains(&format!("note: {told}")));
    // The remedy as it is shown.
    let info = bench.json(&["info", &web]);
    bench.ok(&command(notes(&info)[0], "volary snap create"));
    assert_eq!(notes(&bench.json(&["info", &web])), [""; 0]);
    assert_eq!(notes(&bench.json(&["info", &bench.at("web@replayed")])), [""; 0]);
    assert_eq!(notes(&bench.json(&["export", "--force", &web, file])), [""; 0]);
    for volume in [&web, &copy] {
        bench.ok(&["rm", "--purge-snapshots", volume]);
    }
}

/// Sets the bits of the image's features anew; librbd sets this one while an image has a cache, and nobody else can.
const FLIP_DIRTY_CACHE: &str = r#"
with rados.ReadOpCtx() as op:
    found, _ = io.get_omap_vals_by_keys(op, ("features",))
    io.operate_read_op(op, args[0])
    features, = struct.unpack("<Q", dict(found)["features"])
with rados.WriteOpCtx() as op:
    io.set_omap(op, ("features",), (struct.pack("<Q", features ^ 2048),))
    io.operate_write_op(op, args[0])
"#;

/// As librbd writes it (`ImageCacheState::write_image_cache_state`).
fn cache_state(clean: bool) -> String {
    let counts = ["size", "stats_timestamp", "allocated_bytes", "cached_bytes", "dirty_bytes", "free_bytes"];
    let more = ["hits_full", "hits_partial", "misses", "hit_bytes", "miss_bytes"];
    let mut state = json!({"present": true, "empty": false, "clean": clean, "host": "node7", "mode": "rwl"});
    state["path"] = json!("/var/cache/rbd-pwl.x");
    for count in counts.into_iter().chain(more) {
        state[count] = json!(4096);
    }
    json!({ "persistent_cache": state }).to_string()
}

#[test]
fn s03_a_write_back_cache_with_writes_is_told_and_keeps_the_volume() {
    const KEY: &str = ".rbd_persistent_cache_state";
    let bench = bench();
    let (web, shown, file) = (bench.at("web"), bench.shown("web"), bench.path("web.raw"));
    bench.ok(&["import", bench.image("disk.raw", 1).to_str().unwrap(), &web]);
    let (header, file) = (format!("rbd_header.{}", bench.id("web")), file.to_str().unwrap());
    cluster::output("rbd", &["image-meta", "set", &web, KEY, &cache_state(false)]);
    // Metadata alone is a clone's, whose parent had the cache.
    assert_eq!(notes(&bench.json(&["info", &web])), [""; 0]);
    bench.tamper(FLIP_DIRTY_CACHE, &[&header]);
    let told = "a write-back cache on the host node7 (/var/cache/rbd-pwl.x) has writes that are not in the content yet";
    let remedies = ["flush", "invalidate"].map(|how| format!("`rbd persistent-cache {how} {shown}`"));
    for args in [&["info", &web][..], &["export", &web, file], &["verify", &web]] {
        let report = bench.json(args);
        let note = notes(&report)[0];
        assert!(note.starts_with(told) && remedies.iter().all(|remedy| note.contains(remedy)), "{note}");
    }
    let why = bench.json(&["why", &web]);
    let [holder] = why["holders"].as_array().unwrap().as_slice() else { panic!("{why}") };
    assert_eq!((holder["kind"].as_str(), holder["detail"].as_str()), (Some("cache"), Some(told)));
    for args in [&["rm", &web][..], &["rm", "--dry-run", &web], &["rm", "--defer", "1h", &web]] {
        let refused = bench.run(&[args, &["-o", "json"]].concat());
        let report: Value = serde_json::from_str(&refused.stdout).unwrap();
        let blocker = &report["blockers"][0];
        assert_eq!((refused.code, &blocker["kind"]), (Some(5), &json!("cache")), "{args:?}: {report}");
        let remedy = blocker["remedy"].as_str().unwrap();
        assert!(remedies.iter().all(|whole| remedy.contains(whole)), "{remedy}");
    }
    // One that was flushed has nothing to lose.
    cluster::output("rbd", &["image-meta", "set", &web, KEY, &cache_state(true)]);
    assert_eq!(notes(&bench.json(&["info", &web])), [""; 0]);
    // Where nothing says which host it is on, there may be writes all the same.
    cluster::output("rbd", &["image-meta", "remove", &web, KEY]);
    assert!(notes(&bench.json(&["info", &web]))[0].contains("a host that is not told"));
    bench.tamper(FLIP_DIRTY_CACHE, &[&header]);
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

#[test]
fn a_volume_that_librbd_encrypted_is_told_and_exported_as_it_is() {
    let bench = bench();
    let (web, passphrase, file) = (bench.at("web"), bench.path("passphrase"), bench.path("web.raw"));
    std::fs::write(&passphrase, "not so secret").unwrap();
    cluster::output("rbd", &["create", "--size", "32M", &web]);
    cluster::output("rbd", &["encryption", "format", &web, "luks1", passphrase.to_str().unwrap()]);
    let told = "begins with a LUKS header (version 1)";
    assert!(bench.ok(&["info", &web]).contains(&format!("note: {told}")));
    let report = bench.json(&["export", &web, file.to_str().unwrap()]);
    assert!(notes(&report)[0].starts_with(told) && notes(&report)[0].ends_with("as they are"), "{report}");
    assert!(std::fs::read(&file).unwrap().starts_with(b"LUKS\xba\xbe\0\x01"));
    bench.ok(&["rm", &web]);
    bench.assert_empty();
}

/// The first thing librbd does when it takes a snapshot's protection away; then it is as if it had been killed.
const UNPROTECTING: &str = r#"
header, number = args
io.execute(header, "rbd", "set_protection_status", struct.pack("<QB", int(number), 1))
"#;

#[test]
fn s03_a_snapshot_whose_unprotecting_was_cut_short_is_neither_cloned_nor_called_protected_anew() {
    let bench = bench();
    let (par, snapshot, elsewhere) = (bench.at("par"), bench.at("par@s"), cluster::own_pool());
    bench.ok(&["import", bench.image("disk.raw", 1).to_str().unwrap(), &par]);
    bench.ok(&["snap", "create", "--protect", &snapshot]);
    let number = cluster::json("rbd", &["snap", "ls", &par])[0]["id"].to_string();
    bench.tamper(UNPROTECTING, &[&format!("rbd_header.{}", bench.id("par")), &number]);
    assert_eq!(bench.json(&["snap", "ls", &par])[0]["protected"], true);
    let shown = bench.shown("par@s");
    let [unprotect, protect] = ["unprotect", "protect"].map(|how| format!("`volary snap {how} {shown}`"));
    for args in [
        &["clone", &snapshot, &bench.at("web")][..],
        &["clone", &snapshot, &format!("{elsewhere}/web")],
        &["snap", "protect", &snapshot],
    ] {
        let refused = bench.run(args);
        assert_eq!(refused.code, Some(5), "{args:?}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("being taken away")
                && refused.stderr.contains(&unprotect)
                && refused.stderr.contains(&protect),
            "{args:?}: {}",
            refused.stderr
        );
    }
    for args in [&["rm", "--purge-snapshots", &par][..], &["snap", "rm", &snapshot]] {
        let refused = bench.run(args);
        assert_eq!(refused.code, Some(5), "{args:?}: {}", refused.stderr);
        assert!(refused.stdout.contains(&unprotect), "{args:?}: {}", refused.stdout);
    }
    // The remedies, in their order.
    for remedy in [&unprotect, &protect] {
        bench.ok(&command(remedy, "volary snap"));
    }
    bench.ok(&["clone", &snapshot, &bench.at("web")]);
    bench.ok(&["rm", &bench.at("web")]);
    bench.ok(&["snap", "rm", "--force", &snapshot]);
    bench.ok(&["rm", &par]);
    bench.assert_empty();
}

#[test]
fn a_task_of_the_manager_is_told_with_the_command_that_drops_it() {
    let bench = bench();
    let (web, other) = (bench.at("web"), bench.at("other"));
    for volume in [&web, &other] {
        bench.ok(&["create", "--size", "4M", volume]);
    }
    // While somebody has it open the manager cannot remove it, and tries again.
    let mut holder = start(cluster::command("rbd", &["watch", &web]));
    while !is_watched(&web) {}
    // A manager that has just started does not know the command yet.
    let knows = || cluster::command("ceph", &["rbd", "task", "list"]).output().unwrap().status.success();
    until("the manager's module for RBD", knows);
    cluster::output("ceph", &["rbd", "task", "add", "remove", &bench.shown("web")]);
    let tasks =
        |bench: &Bench, volume: &str| bench.json(&["why", volume])["tasks"].as_array().unwrap().clone();
    let [task] = &tasks(&bench, &web)[..] else { panic!("one task") };
    assert!(task["detail"].as_str().unwrap().contains("told to remove it"), "{task}");
    let remedy = task["remedy"].as_str().unwrap();
    assert!(bench.ok(&["why", &web]).contains(remedy));
    assert!(
        bench.ok(&["info", &web]).lines().any(|line| line.starts_with("note: ") && line.ends_with(remedy))
    );
    // It holds nothing, is no note on the content, and is about no other volume.
    let why = bench.json(&["why", &web]);
    assert!(why["holders"].as_array().unwrap().iter().all(|of| of["kind"] == "watcher"), "{why}");
    let file = bench.path("web.raw");
    assert_eq!(notes(&bench.json(&["export", &web, file.to_str().unwrap()])), [""; 0]);
    assert!(tasks(&bench, &other).is_empty());
    // The remedy as it is shown; the manager drops the task when its try at hand has ended.
    cluster::output("ceph", &command(remedy, "ceph rbd task cancel"));
    while !tasks(&bench, &web).is_empty() {}
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(bench.ok(&["info", &web]).matches("note: ").count(), 0);
    for volume in [&web, &other] {
        bench.ok(&["rm", volume]);
    }
    bench.assert_empty();
}
