//! Damage of each kind, made by Ceph's own commands: found, repaired where it can be, and clean afterwards.

use crate::both::check::{assert_clean, found};
use crate::harness::Bench;
use serde_json::{Value, json};

/// The one finding of a damage, with the whole report.
fn only(bench: &Bench, kind: &str, volume: &str) -> Value {
    let (code, rows, report) = found(bench, &[]);
    assert_eq!((code, rows), (Some(7), vec![(kind.to_owned(), volume.to_owned())]), "{report:#}");
    report["findings"][0].clone()
}

/// What was found is planned, repaired, and gone.
fn repaired(bench: &Bench) {
    let outcomes = |report: &Value| {
        let all = report["findings"].as_array().unwrap().iter();
        all.map(|of| of["repair"]["outcome"].as_str().unwrap_or("none").to_owned()).collect::<Vec<_>>()
    };
    let (code, rows, report) = found(bench, &["--repair", "--dry-run"]);
    assert_eq!((code, outcomes(&report)), (Some(7), vec!["planned".to_owned(); rows.len()]), "{report:#}");
    let (code, again, report) = found(bench, &["--repair"]);
    assert_eq!((again, code), (rows.clone(), Some(0)), "{report:#}");
    assert_eq!(outcomes(&report), vec!["repaired".to_owned(); rows.len()], "{report:#}");
    assert_clean(bench);
}

/// Does what a finding's remedy says, which is a whole command.
fn settled(bench: &Bench, finding: &Value) {
    let remedy = finding["remedy"].as_str().unwrap().split(',').next().unwrap().to_owned();
    let words: Vec<&str> = remedy.split_whitespace().collect();
    match words[0] {
        "volary" => {
            let ended = bench.run(&words[1..]);
            // Of a volume without header nothing says that no data of it is left.
            let due = if finding["kind"] == "header_missing" { 11 } else { 0 };
            assert_eq!(ended.code, Some(due), "{remedy}: {}", ended.stderr);
        }
        program => drop(crate::harness::cluster::output(program, &words[1..])),
    }
    assert_clean(bench);
}

fn number_of_snapshot(bench: &Bench, volume: &str) -> u64 {
    let all = crate::harness::cluster::json("rbd", &["snap", "ls", "--all", &bench.at(volume)]);
    all[0]["id"].as_u64().unwrap()
}

#[test]
fn the_directory_and_id_objects_are_completed_from_what_is_left() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let id = bench.id("web");
    let web = bench.shown("web");
    for (damage, kind) in [
        (vec!["rm", "rbd_id.web"], "id_object_missing"),
        (vec!["rmomapkey", "rbd_directory", &format!("id_{id}")], "directory_mismatch"),
        (vec!["rmomapkey", "rbd_directory", "name_web"], "directory_mismatch"),
    ] {
        bench.rados(&damage);
        assert_eq!(only(&bench, kind, &web)["id"], id);
        repaired(&bench);
        assert_eq!(bench.id("web"), id);
    }
    // Two volumes whose names lead to each other's.
    bench.ok(&["create", "--size", "8M", &bench.at("two")]);
    bench.tamper("io.write_full('rbd_id.web', text(args[0]))", &[&bench.id("two")]);
    assert!(only(&bench, "id_object_mismatch", &web)["repair"].is_null());
    bench.tamper("io.write_full('rbd_id.web', text(args[0]))", &[&id]);
    assert_clean(&bench);
}

#[test]
fn headers_that_are_missing_or_damaged_are_told() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let header = format!("rbd_header.{}", bench.id("web"));
    bench.rados(&["rmomapkey", &header, "order"]);
    only(&bench, "header_damaged", &bench.shown("web"));
    bench.rados(&["rm", &header]);
    let finding = only(&bench, "header_missing", &bench.shown("web"));
    settled(&bench, &finding);
}

#[test]
fn object_maps_are_rebuilt_of_heads_and_snapshots() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", "--snapshot", "s", image.to_str().unwrap(), &bench.at("web")]);
    let (id, snapshot) = (bench.id("web"), number_of_snapshot(&bench, "web"));
    let maps = [(String::new(), "web"), (format!(".{snapshot:016x}"), "web@s")];
    for (suffix, volume) in maps {
        let map = format!("rbd_object_map.{id}{suffix}");
        bench.rados(&["rm", &map]);
        only(&bench, "object_map_missing", &bench.shown(volume));
        repaired(&bench);
        bench.rados(&["truncate", &map, "10"]);
        only(&bench, "object_map_mismatch", &bench.shown(volume));
        repaired(&bench);
    }
    mark_invalid(&bench, &id);
    only(&bench, "object_map_invalid", &bench.shown("web"));
    repaired(&bench);
    bench.ok(&["verify", &bench.at("web@s")]);
}

/// Marks the map of a head invalid, as librbd does when it could not keep it.
fn mark_invalid(bench: &Bench, id: &str) {
    bench.tamper(
        "io.execute(args[0], 'rbd', 'set_flags', struct.pack('<QQQ', 1, 1, 0xfffffffffffffffe))",
        &[&format!("rbd_header.{id}")],
    );
}

#[test]
fn s13_a_rebuilt_map_has_no_object_that_is_not_there() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", "--snapshot", "s", "--protect", image.to_str().unwrap(), &bench.at("base")]);
    bench.ok(&["clone", &bench.at("base@s"), &bench.at("child")]);
    bench.ok(&["create", "--size", "38M", &bench.at("thin")]);
    let (objects, out) = (bench.objects(), bench.path("out.raw"));
    let content = |name| match name {
        "thin" => vec![0; 38 << 20],
        _ => std::fs::read(&image).unwrap(),
    };
    for (name, number) in [("base", 2), ("child", 2), ("thin", 10)] {
        let id = bench.id(name);
        let map = format!("rbd_object_map.{id}");
        for damage in ["missing", "short", "claims"] {
            match damage {
                "missing" => drop(bench.rados(&["rm", &map])),
                "short" => drop(bench.rados(&["truncate", &map, "10"])),
                _ => {
                    // As a writer leaves it whose writes were refused: noted in the map, and never made.
                    bench.tamper(
                        "io.execute(args[0], 'rbd', 'object_map_update', struct.pack('<QQBB', 0, int(args[1]), 1, 0))",
                        &[&map, &number.to_string()],
                    );
                    mark_invalid(&bench, &id);
                }
            }
            repaired(&bench);
            bench.ok(&["export", "--force", &bench.at(name), out.to_str().unwrap()]);
            assert!(std::fs::read(&out).unwrap() == content(name), "{name}, {damage}");
            let there = if name == "base" { 8 << 20 } else { 0 };
            assert_eq!(bench.json(&["du", &bench.at(name)])[0]["used_bytes"], there, "{name}, {damage}");
        }
    }
    assert_eq!(bench.objects(), objects, "data was written");
}

#[test]
fn a_striped_volume_is_clean() {
    let bench = crate::bench();
    // Of the first the stripes reach four objects, of the second one of the next four.
    for (name, size) in [("web", "10M"), ("db", "16448K")] {
        let of = bench.at(name);
        let create = ["create", "--size", size, "--stripe-unit", "65536", "--stripe-count", "4", &of];
        crate::harness::cluster::output("rbd", &create);
        bench.ok(&["snap", "create", &bench.at(&format!("{name}@s"))]);
    }
    assert_clean(&bench);
    bench.rados(&["rm", &format!("rbd_object_map.{}", bench.id("web"))]);
    repaired(&bench);
}

#[test]
fn a_clone_without_its_parents_snapshot_is_told() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("base")]);
    bench.ok(&["snap", "create", "--protect", &bench.at("base@s")]);
    bench.ok(&["clone", &bench.at("base@s"), &bench.at("child")]);
    assert_clean(&bench);
    let key = format!("snapshot_{:016x}", number_of_snapshot(&bench, "base"));
    bench.rados(&["rmomapkey", &format!("rbd_header.{}", bench.id("base")), &key]);
    only(&bench, "parent_missing", &bench.shown("child"));
}

/// The first steps of moving into trash, out of it and of a removal; then it is as if who took them had been killed.
const TRASH_STATE: &str = r#"
name, id, state, listed, noted = args
at = struct.pack("<II", int(time.time()), 0)
entry = b"\0" + text(noted) + at + at
spec = b"\2\1" + struct.pack("<I", len(entry) + 1) + entry + bytes([int(state)])
io.execute("rbd_trash", "rbd", "trash_add", text(id) + spec)
if listed == "no":
    io.remove_object("rbd_id." + name)
    io.execute("rbd_directory", "rbd", "dir_remove_image", text(name) + text(id))
"#;

#[test]
fn s04_what_was_broken_off_in_trash_is_told_and_finished() {
    let bench = crate::bench();
    let damage = |state: &str, listed: &str| {
        bench.ok(&["create", "--size", "8M", &bench.at("web")]);
        let id = bench.id("web");
        bench.tamper(TRASH_STATE, &["web", &id, state, listed, "web"]);
        bench.shown(&format!("id:{id}"))
    };
    for (state, listed, kind) in [
        ("1", "yes", "trash_half_moved"),
        ("3", "no", "trash_half_restored"),
        ("3", "yes", "trash_half_restored"),
    ] {
        let by_id = damage(state, listed);
        only(&bench, kind, &by_id);
        repaired(&bench);
        match state {
            "1" => drop(bench.ok(&["trash", "rm", &by_id])),
            _ => drop(bench.ok(&["rm", &bench.at("web")])),
        }
    }
    let by_id = damage("2", "no");
    let finding = only(&bench, "trash_half_removed", &by_id);
    settled(&bench, &finding);
    let by_id = damage("0", "no");
    bench.rados(&["rm", &format!("rbd_header.{}", by_id.rsplit(':').next().unwrap())]);
    let finding = only(&bench, "trash_without_volume", &by_id);
    bench.rados(&["rm", &format!("rbd_object_map.{}", by_id.rsplit(':').next().unwrap())]);
    bench.rados(&["rmomapkey", "rbd_trash", &format!("id_{}", by_id.rsplit(':').next().unwrap())]);
    assert!(finding["remedy"].as_str().unwrap().starts_with("volary trash rm"), "{finding:#}");
    let by_id = damage("0", "yes");
    only(&bench, "listed_and_trashed", &by_id);
}

#[test]
fn s14_an_unfinished_target_is_given_no_name_by_a_repair() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let id = bench.id("web");
    // A restore was begun of what is no more than staged: whoever may write the namespace can say so.
    bench.tamper(TRASH_STATE, &["web", &id, "3", "no", "volary-staging-0"]);
    let by_id = bench.shown(&format!("id:{id}"));
    only(&bench, "trash_half_restored", &by_id);
    let (code, _, report) = found(&bench, &["--repair"]);
    assert_eq!((code, &report["findings"][0]["repair"]), (Some(7), &Value::Null), "{report:#}");
    assert_eq!(bench.json(&["ls", &bench.home]), json!([]));
    let remedy = only(&bench, "trash_half_restored", &by_id)["remedy"].as_str().unwrap().to_owned();
    let restore = remedy.split(',').next().unwrap().replace("NAME", "odd");
    let words: Vec<&str> = restore.split_whitespace().collect();
    crate::harness::cluster::output(words[0], &words[1..]);
    bench.ok(&["rm", &bench.at("odd")]);
    assert_clean(&bench);
}

#[test]
fn s04_a_snapshot_removal_that_was_broken_off_is_finished_unless_clones_need_the_snapshot() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    bench.ok(&["snap", "create", &bench.at("web@s")]);
    let (header, number) = (format!("rbd_header.{}", bench.id("web")), number_of_snapshot(&bench, "web"));
    bench.tamper(
        "io.execute(args[0], 'rbd', 'snapshot_trash_add', struct.pack('<Q', int(args[1])))",
        &[&header, &number.to_string()],
    );
    only(&bench, "snapshot_half_removed", &bench.shown("web"));
    repaired(&bench);
    // A snapshot below clones of the second format is in trash for good.
    bench.ok(&["create", "--size", "8M", &bench.at("base")]);
    bench.ok(&["snap", "create", &bench.at("base@s")]);
    let clone = ["clone", "--rbd-default-clone-format", "2", &bench.at("base@s"), &bench.at("child")];
    crate::harness::cluster::output("rbd", &clone);
    crate::harness::cluster::output("rbd", &["snap", "rm", &bench.at("base@s")]);
    assert_clean(&bench);
}

#[test]
fn staging_that_the_journal_does_not_know_is_told() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let id = bench.id("web");
    bench.ok(&["rm", "--defer", "7d", &bench.at("web")]);
    bench.tamper(
        r#"
now = int(time.time())
entry = b"\0" + text("volary-staging-0") + struct.pack("<IIII", now, 0, now + 3600, 0) + b"\0"
io.execute("rbd_trash", "rbd", "trash_remove", text(args[0]))
io.execute("rbd_trash", "rbd", "trash_add", text(args[0]) + b"\2\1" + struct.pack("<I", len(entry)) + entry)
"#,
        &[&id],
    );
    let finding = only(&bench, "staging_without_intent", &bench.shown(&format!("id:{id}")));
    settled(&bench, &finding);
}

#[test]
fn a_volume_that_is_open_is_not_rebuilt() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    bench.rados(&["rm", &format!("rbd_object_map.{}", bench.id("web"))]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let spec: volary::VolumeSpec = bench.shown("web").parse().unwrap();
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let options = volary::engine::OpenOptions::write();
    let open = store.engine().open(&spec.namespace, &spec.volume, &options, &ctl);
    let volume = runtime.block_on(open).unwrap();
    let (code, _, report) = found(&bench, &["--repair"]);
    assert_eq!(
        (code, &report["findings"][0]["repair"]["outcome"]),
        (Some(7), &json!("blocked")),
        "{report:#}"
    );
    runtime.block_on(volume.close(&ctl)).unwrap();
    runtime.block_on(store.shutdown()).unwrap();
    let (code, _, report) = found(&bench, &["--repair"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_clean(&bench);
}
