//! Each file of a store in turn is deleted, cut, emptied, put in the place of another store's, or has a bit flipped: what
//! cannot be relied on is refused with the remedy, no object is lost, and repairing brings the volume back.

use super::directory::now;
use super::ids::BLOCK_BYTES;
use super::repair::{DatabaseRepair, repair};
use super::store::Store;
use crate::engine::{CreateOptions, OpenOptions};
use crate::{Ctl, ErrorKind, Name, Namespace, Result, Target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MINUTE: i64 = 60_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn write(store: &Arc<Store>, volume: &str, block: u64, byte: u8) -> super::handle::Open {
    let home = Namespace::default();
    let target = Target::Name(name(volume));
    if store.volumes_after(&home, None, 100).unwrap().iter().all(|entry| entry.name != name(volume)) {
        store.create(&home, &name(volume), &CreateOptions::new(4 * BLOCK_BYTES)).unwrap();
    }
    let open = store.open_volume(&home, &target, &OpenOptions::write()).unwrap();
    open.write(block * BLOCK_BYTES, &vec![byte; BLOCK_BYTES as usize].into(), &Ctl::new()).unwrap();
    open.flush(&Ctl::new()).unwrap();
    open
}

fn first_byte(store: &Arc<Store>, volume: &str, block: u64) -> Result<u8> {
    let target = Target::Name(name(volume));
    let open = store.open_volume(&Namespace::default(), &target, &OpenOptions::read(None))?;
    Ok(open.read(block * BLOCK_BYTES, 1, &Ctl::new())?[0])
}

/// The files below a directory.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// A store as a crash of this machine's processes would leave it now.
fn image(of: &Path) -> tempfile::TempDir {
    let dir = in_memory();
    for sub in ["objects", "locks", "locks/unclean"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    for first in 0..=u8::MAX {
        std::fs::create_dir(dir.path().join("objects").join(hex::encode([first]))).unwrap();
    }
    for file in files(of).into_iter().filter(|file| !file.starts_with(of.join("reserve"))) {
        let to = dir.path().join(file.strip_prefix(of).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, to).unwrap();
    }
    dir
}

/// The objects of a store wherever they are, with a byte of each.
fn objects(path: &Path) -> BTreeMap<String, u8> {
    let named = |file: PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        (name.len() == 32 && !file.starts_with(path.join("locks")))
            .then(|| (name, std::fs::read(&file).unwrap()[0]))
    };
    files(path).into_iter().filter_map(named).collect()
}

/// A store with one volume, as it is while a writer is in it, and as it is after that was closed.
fn scenes() -> [tempfile::TempDir; 2] {
    let dir = in_memory();
    let store = Store::open(dir.path()).unwrap();
    drop(write(&store, "web", 0, 1));
    assert!(store.copy_if_due(now()).unwrap());
    store.db.close();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let open = write(&store, "web", 1, 2);
    let living = image(dir.path());
    assert!(living.path().join("store.db-wal").metadata().unwrap().len() > 0);
    drop(open);
    assert!(store.copy_if_due(now() + 2 * MINUTE).unwrap());
    store.db.close();
    drop(store);
    assert_eq!(dir.path().join("store.db-wal").metadata().unwrap().len(), 0);
    [living, dir]
}

type Damage = (&'static str, fn(&Path, &Path));

const DAMAGES: [Damage; 5] = [
    ("delete", |file, _| std::fs::remove_file(file).unwrap()),
    ("empty", |file, _| std::fs::write(file, "").unwrap()),
    ("cut", |file, _| {
        let bytes = std::fs::read(file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("swap", |file, others| {
        std::fs::copy(others, file).unwrap();
    }),
    ("flip", |file, _| {
        let mut bytes = std::fs::read(file).unwrap();
        // In a database the number of its first page of tables; in the file of the identity its id.
        let at = if bytes.starts_with(b"SQLite") { 100 } else { 20.min(bytes.len().saturating_sub(1)) };
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x40;
        }
        std::fs::write(file, bytes).unwrap();
    }),
];

#[test]
fn s13_no_file_of_a_store_is_lost_or_changed_without_a_word() {
    let (scenes, others) = (scenes(), scenes());
    let mut refusals = 0;
    for (scene, other) in scenes.iter().zip(&others) {
        let locks = files(&scene.path().join("locks")).into_iter();
        let locks = locks.filter(|file| !file.starts_with(scene.path().join("locks/unclean")));
        let database = ["store.db", "store.db-wal", "store.db-shm", "identity", "store.copy"];
        let database = database.map(|name| scene.path().join(name)).into_iter().filter(|file| file.exists());
        for file in database.chain(locks) {
            let part = file.strip_prefix(scene.path()).unwrap();
            for (how, damage) in DAMAGES {
                let told = format!("{how} {}", part.display());
                let theirs = other.path().join(part);
                // A log over another database than its own SQLite cannot tell.
                let log = scene.path().join("store.db-wal");
                let under_log = part == Path::new("store.db") && log.metadata().unwrap().len() > 0;
                if how == "swap" && (!theirs.exists() || under_log) {
                    continue;
                }
                let image = image(scene.path());
                let before = objects(image.path());
                damage(&image.path().join(part), &theirs);
                // A store that can be opened is used as ever; its next copy is made much later.
                let opened = Store::open(image.path()).and_then(|store| {
                    let bytes =
                        first_byte(&store, "web", 0).and_then(|a| Ok((a, first_byte(&store, "web", 1)?)));
                    let _ = store.copy_if_due(now() + 10 * MINUTE);
                    bytes
                });
                assert_eq!(objects(image.path()), before, "{told}");
                match opened {
                    Ok(bytes) => assert_eq!(bytes, (1, 2), "{told}"),
                    Err(error) => {
                        refusals += 1;
                        assert_eq!(error.kind(), ErrorKind::Mismatch, "{told}: {}", error.report());
                        assert!(
                            error.remedy().unwrap().contains("check --repair"),
                            "{told}: {}",
                            error.report()
                        );
                        let repaired = repair(image.path());
                        assert!(repaired.is_ok(), "{told}: {}", repaired.unwrap_err().report());
                        assert_ne!(repaired.unwrap(), DatabaseRepair::Nothing, "{told}");
                        let store = Store::open(image.path()).unwrap();
                        assert_eq!(first_byte(&store, "web", 0).unwrap(), 1, "{told}");
                        let _ = store.copy_if_due(now() + 20 * MINUTE);
                        assert_eq!(objects(image.path()), before, "{told}, repaired");
                        assert_eq!(repair(image.path()).unwrap_err().kind(), ErrorKind::Blocked, "{told}");
                        drop(store);
                        assert_eq!(repair(image.path()).unwrap(), DatabaseRepair::Nothing, "{told}");
                    }
                }
            }
        }
    }
    assert!(refusals >= 15, "only {refusals} were refused");
}

/// Lets the last copy have taken so long.
fn took(store: &Store, microseconds: i64) {
    let mut identity = store.identity();
    identity.took = microseconds;
    identity.write(&store.root).unwrap();
    store.read_identity().unwrap();
}

#[test]
fn s04_objects_of_killed_writers_go_after_the_next_whole_copy_and_not_before() {
    let dir = in_memory();
    let store = Store::open(dir.path()).unwrap();
    let open = write(&store, "web", 0, 1);
    // Written and not flushed: the kill leaves an object without a row.
    open.write(BLOCK_BYTES, &vec![2; BLOCK_BYTES as usize].into(), &Ctl::new()).unwrap();
    let killed = image(dir.path());
    let start = now();
    let store = Store::open(killed.path()).unwrap();
    let lost = store.lost().unwrap();
    assert_eq!((lost.len(), lost[0].passing, lost[0].bytes), (1, true, BLOCK_BYTES));
    assert_eq!(objects(killed.path()).len(), 2);
    assert!(store.copy_if_due(start).unwrap());
    assert_eq!((store.lost().unwrap(), objects(killed.path()).len()), (vec![], 1));
    took(&store, 0);
    // Within a minute, or without a change, no other is made.
    drop(write(&store, "web", 2, 3));
    assert!(!store.copy_if_due(start + MINUTE - 1).unwrap());
    assert!(store.copy_if_due(start + MINUTE).unwrap());
    assert!(!store.copy_if_due(start + 3 * MINUTE).unwrap());
    // Copies that take long are made seldom.
    took(&store, MINUTE);
    drop(write(&store, "web", 3, 3));
    assert!(!store.copy_if_due(start + 100 * MINUTE).unwrap());
    assert!(store.copy_if_due(start + 101 * MINUTE).unwrap());
}

#[test]
fn s13_what_was_made_after_the_copy_is_kept_when_the_store_goes_back_to_it() {
    let dir = in_memory();
    let store = Store::open(dir.path()).unwrap();
    drop(write(&store, "web", 0, 1));
    assert!(store.copy_if_due(now()).unwrap());
    drop(write(&store, "late", 0, 9));
    store.db.close();
    drop(store);
    let before = objects(dir.path());
    std::fs::remove_file(dir.path().join("store.db")).unwrap();
    assert!(matches!(repair(dir.path()).unwrap(), DatabaseRepair::Copy { made: Some(_) }));
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(first_byte(&store, "web", 0).unwrap(), 1);
    assert_eq!(first_byte(&store, "late", 0).unwrap_err().kind(), ErrorKind::NotFound);
    drop(write(&store, "new", 0, 3));
    assert!(store.copy_if_due(now() + 2 * MINUTE).unwrap());
    let lost = store.lost().unwrap();
    assert_eq!((lost.len(), lost[0].passing), (1, false));
    assert!(before.iter().all(|object| objects(dir.path()).get(object.0) == Some(object.1)));
    // Neither it nor its copy: nothing is made in their place.
    store.db.close();
    drop(store);
    for gone in ["store.db", "store.copy"] {
        std::fs::remove_file(dir.path().join(gone)).unwrap();
    }
    assert_eq!(Store::open(dir.path()).map(drop).unwrap_err().kind(), ErrorKind::Mismatch);
    let error = repair(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.remedy().unwrap().contains("backup"));
    assert!(!dir.path().join("store.db").exists());
}

#[test]
fn a_store_that_was_never_finished_is_made_whole() {
    for left in 0..3 {
        let dir = in_memory();
        drop(Store::open(dir.path()).unwrap());
        std::fs::remove_file(dir.path().join("identity")).unwrap();
        let _ = std::fs::remove_file(dir.path().join("store.copy"));
        match left {
            0 => std::fs::remove_file(dir.path().join("store.db")).unwrap(),
            1 => std::fs::write(dir.path().join("store.db"), "").unwrap(),
            _ => {
                let database = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
                database.execute("UPDATE store SET sealed = 0", []).unwrap();
            }
        }
        let store = Store::open(dir.path()).unwrap();
        drop(write(&store, "web", 0, 1));
        store.db.close();
        drop(store);
        assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), "web", 0).unwrap(), 1);
    }
}
