//! Damage of each kind, made by hand: found, repaired where it can be, and clean afterwards.

use crate::both::check::{assert_clean, found};
use crate::harness::Bench;
use std::path::PathBuf;

fn objects(bench: &Bench) -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(bench.store.join("objects")).unwrap();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    let mut all: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    all.sort();
    all
}

fn kinds(bench: &Bench) -> (Option<i32>, Vec<String>) {
    let (code, rows, _) = found(bench, &[]);
    (code, rows.into_iter().map(|(kind, _)| kind).collect())
}

#[test]
fn s13_an_object_that_is_missing_is_named_with_its_volume() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let object = objects(&bench).remove(0);
    let aside = bench.path("aside");
    std::fs::rename(&object, &aside).unwrap();
    let (code, rows, report) = found(&bench, &[]);
    assert_eq!((code, rows), (Some(7), vec![("object_missing".into(), bench.shown("web"))]), "{report:#}");
    std::fs::rename(&aside, &object).unwrap();
    assert_clean(&bench);
}

#[test]
fn s13_an_object_that_is_short_is_found_without_reading() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web"), "--snapshot", "base"]);
    let object = std::fs::File::options().write(true).open(objects(&bench).remove(0)).unwrap();
    object.set_len((4 << 20) - 1).unwrap();
    let (code, rows, report) = found(&bench, &[]);
    assert_eq!((code, rows), (Some(7), vec![("object_short".into(), bench.shown("web"))]), "{report:#}");
    let detail = report["findings"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("has 4194303 bytes and had 4194304"), "{detail}");
    // Longer is only what a writer that was killed left of what it never flushed.
    object.set_len((4 << 20) + 1).unwrap();
    assert_clean(&bench);
}

#[test]
fn s13_an_object_with_other_bytes_is_found_by_reading() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    // No digest holds of it any more; its blocks have their checksums.
    bench.ok(&["resize", "--size", "12M", &bench.at("web")]);
    let (code, _, report) = found(&bench, &["--read"]);
    assert!(code == Some(0) && report["read_bytes"].as_u64() >= Some(8 << 20), "{report:#}");
    let object = objects(&bench).remove(0);
    let whole = std::fs::read(&object).unwrap();
    let mut bytes = whole.clone();
    bytes[70_000] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    assert_clean(&bench);
    let (code, rows, report) = found(&bench, &["--read"]);
    assert_eq!(code, Some(7), "{report:#}");
    assert!(rows.contains(&("object_mismatch".into(), bench.shown("web"))), "{report:#}");
    let name = object.file_name().unwrap().to_str().unwrap();
    let told = |of: &serde_json::Value| of["detail"].as_str().unwrap().contains(name);
    assert!(report["findings"].as_array().unwrap().iter().any(told), "{report:#}");
    std::fs::write(&object, whole).unwrap();
    assert_eq!(found(&bench, &["--read"]).0, Some(0));
}

#[test]
fn s13_a_row_that_is_not_as_it_was_written_is_found_without_reading() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let database = rusqlite::Connection::open(bench.store.join("store.db")).unwrap();
    for damage in ["length = length - 1", "object = NULL, length = NULL, leaf = NULL"] {
        database.execute(&format!("UPDATE blocks SET {damage} WHERE idx = 1"), []).unwrap();
        let (code, rows, report) = found(&bench, &[]);
        let expected = ("row_mismatch".into(), bench.shown("web"));
        assert!(code == Some(7) && rows.contains(&expected), "{damage}: {report:#}");
    }
}

#[test]
fn s04_an_object_that_no_row_names_is_moved_aside_and_kept() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let name = "ab000000000000000000000000000000";
    std::fs::write(bench.store.join("objects/ab").join(name), "somebody's").unwrap();
    std::fs::write(bench.store.join("objects/ab/notes.txt"), "somebody's").unwrap();
    assert_eq!(kinds(&bench), (Some(7), vec!["object_unnamed".into(), "file_foreign".into()]));
    let (code, _, report) = found(&bench, &["--repair", "--dry-run"]);
    assert_eq!(code, Some(7), "{report:#}");
    let (code, _, report) = found(&bench, &["--repair"]);
    assert_eq!(code, Some(0), "{report:#}");
    let mut lines = std::fs::read_dir(bench.store.join("lost")).unwrap();
    let line = lines.next().unwrap().unwrap().path();
    assert_eq!(std::fs::read(line.join(name)).unwrap(), b"somebody's");
    std::fs::remove_file(bench.store.join("objects/ab/notes.txt")).unwrap();
    assert_eq!(kinds(&bench), (Some(0), vec!["object_lost".into()]), "a notice makes no check fail");
    bench.ok(&["verify", &bench.at("web")]);
}

/// Makes the copy of the database anew: of what the store holds now.
fn copy_now(bench: &Bench) {
    let copy = bench.store.join("store.copy");
    std::fs::remove_file(&copy).unwrap();
    let database = rusqlite::Connection::open(bench.store.join("store.db")).unwrap();
    database.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn outcome(report: &serde_json::Value) -> serde_json::Value {
    report["findings"][0]["repair"]["outcome"].clone()
}

#[test]
fn s13_a_database_that_is_refused_goes_back_to_its_copy_when_it_is_repaired() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    copy_now(&bench);
    std::fs::write(bench.store.join("store.db"), "not a database").unwrap();
    let refused = bench.run(&["check", &bench.home]);
    assert_eq!(refused.code, Some(7), "{}", refused.stderr);
    assert!(refused.stderr.contains("volary check --repair"), "{}", refused.stderr);
    let (code, _, planned) = found(&bench, &["--repair", "--dry-run"]);
    assert_eq!((code, outcome(&planned)), (Some(7), "planned".into()), "{planned:#}");
    assert_eq!(std::fs::read(bench.store.join("store.db")).unwrap(), b"not a database");
    let (code, rows, report) = found(&bench, &["--repair"]);
    assert_eq!((code, rows), (Some(0), vec![("database_refused".into(), "-".into())]), "{report:#}");
    assert_eq!((outcome(&report), &report["volumes"]), ("repaired".into(), &1.into()), "{report:#}");
    assert_clean(&bench);
    bench.ok(&["verify", &bench.at("web")]);
}

#[test]
fn s13_objects_that_are_younger_than_the_copy_are_kept_and_listed_when_the_store_goes_back_to_it() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 2);
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    copy_now(&bench);
    let copy = std::fs::read(bench.store.join("store.copy")).unwrap();
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("late")]);
    std::fs::write(bench.store.join("store.copy"), copy).unwrap();
    std::fs::remove_file(bench.store.join("store.db")).unwrap();
    let mut names: Vec<_> = objects(&bench).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(!names.is_empty());
    let (code, _, report) = found(&bench, &["--repair"]);
    assert_eq!((code, outcome(&report)), (Some(0), "repaired".into()), "{report:#}");
    // More commands, of which one changes the store: what is in lost/ stays there.
    bench.ok(&["create", "--size", "8M", &bench.at("new")]);
    let (code, rows, report) = found(&bench, &[]);
    assert_eq!(code, Some(0), "notices make no check fail: {report:#}");
    assert_eq!(rows, vec![("object_lost".into(), "-".into()); names.len()], "{report:#}");
    let details: String =
        report["findings"].as_array().unwrap().iter().map(|of| of["detail"].to_string()).collect();
    names.retain(|name| !details.contains(name.to_str().unwrap()));
    assert!(names.is_empty() && objects(&bench).is_empty(), "{names:?} are not listed: {details}");
    bench.ok(&["info", &bench.at("web")]);
    assert_eq!(bench.run(&["info", &bench.at("late")]).code, Some(3));
}

/// Spoils the page that has the rows of blocks.
fn damage_a_page(bench: &Bench) {
    let database = rusqlite::Connection::open(bench.store.join("store.db")).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'blocks'";
    let page: i64 = database.query_row(root, [], |row| row.get(0)).unwrap();
    let bytes: i64 = database.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(database);
    let mut all = std::fs::read(bench.store.join("store.db")).unwrap();
    let at = ((page - 1) * bytes) as usize;
    // The kind of the page.
    all[at] ^= 0xff;
    std::fs::write(bench.store.join("store.db"), all).unwrap();
}

#[test]
fn s13_a_database_that_is_damaged_within_goes_back_to_its_copy_while_nobody_uses_it() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 1);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    copy_now(&bench);
    damage_a_page(&bench);
    let (code, rows, report) = found(&bench, &[]);
    assert_eq!(code, Some(7), "{report:#}");
    assert!(!rows.is_empty() && rows.iter().all(|(kind, _)| kind == "database_damaged"), "{report:#}");
    assert!(report["findings"][0]["remedy"].as_str().unwrap().starts_with("volary check --repair"));
    let (code, _, planned) = found(&bench, &["--repair", "--dry-run"]);
    assert_eq!((code, outcome(&planned)), (Some(7), "planned".into()), "{planned:#}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let user = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let (code, _, blocked) = found(&bench, &["--repair"]);
    assert_eq!((code, outcome(&blocked)), (Some(7), "blocked".into()), "{blocked:#}");
    runtime.block_on(user.shutdown()).unwrap();
    drop((user, runtime));
    let (code, _, report) = found(&bench, &["--repair"]);
    assert_eq!((code, outcome(&report)), (Some(0), "repaired".into()), "{report:#}");
    assert_eq!(report["complete"], true, "{report:#}");
    assert_clean(&bench);
    bench.ok(&["verify", &bench.at("web")]);
}

#[test]
fn s13_a_database_without_a_copy_is_left_alone() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    for name in ["store.copy", "store.db"] {
        std::fs::write(bench.store.join(name), "not a database").unwrap();
    }
    let (code, rows, report) = found(&bench, &["--repair"]);
    assert_eq!((code, rows.len()), (Some(7), 1), "{report:#}");
    assert_eq!(report["findings"][0]["repair"]["outcome"], "failed", "{report:#}");
    assert_eq!(std::fs::read(bench.store.join("store.db")).unwrap(), b"not a database");
}

#[test]
fn rows_that_contradict_each_other_are_told() {
    let bench = crate::bench();
    bench.ok(&["create", "--size", "8M", "web"]);
    bench.ok(&["snap", "create", "web@s"]);
    let database = rusqlite::Connection::open(bench.store.join("store.db")).unwrap();
    for (damage, back) in [
        (
            "UPDATE layer SET volume = 'x' WHERE id = 1",
            "UPDATE layer SET volume = (SELECT id FROM volume) WHERE id = 1",
        ),
        ("UPDATE layer SET parent = 2 WHERE id = 2", "UPDATE layer SET parent = 1 WHERE id = 2"),
    ] {
        database.execute_batch(damage).unwrap();
        let (code, kinds) = kinds(&bench);
        assert_eq!(code, Some(7), "{damage}");
        assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "row_mismatch"), "{kinds:?}");
        database.execute_batch(back).unwrap();
        assert_clean(&bench);
    }
    database.execute_batch("PRAGMA foreign_keys = off; UPDATE volume SET parent = 99").unwrap();
    assert_eq!(kinds(&bench), (Some(7), vec!["row_mismatch".into()]));
}
