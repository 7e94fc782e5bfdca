//! Stores of older versions, and what is refused.

use crate::engine::local::db::Db;
use crate::engine::local::files::{Files, SystemFiles};
use crate::engine::local::ids::BLOCK_BYTES;
use crate::engine::local::locks::{Locks, Mode};
use crate::engine::local::repair::{DatabaseRepair, repair};
use crate::engine::local::root::Root;
use crate::engine::local::store::Store;
use crate::engine::{CreateOptions, OpenOptions};
use crate::{Ctl, ErrorKind, Name, Namespace, Target};
use std::path::Path;
use std::sync::Arc;

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_to_this_one() {
    let (dir, ctl) = (tempfile::tempdir().unwrap(), &Ctl::new());
    let (path, ns, a) = (dir.path().join("store"), Namespace::default(), Name::from_bytes("a"));
    let store = super::super::open(&path, ctl).await.unwrap();
    let id = store.create(&ns, &a, &CreateOptions::new(1 << 20), ctl).await.unwrap();
    store.shutdown().await.unwrap();
    drop(store);
    // The same volume in a database as version 1 had it.
    let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
    let size: i64 = db.query_row("SELECT size FROM volume", [], |row| row.get(0)).unwrap();
    drop(db);
    std::fs::remove_file(path.join("store.db")).unwrap();
    for later in ["identity", "store.copy"] {
        let _ = std::fs::remove_file(path.join(later));
    }
    let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
    db.execute_batch(super::FIRST).unwrap();
    db.execute_batch(
        "INSERT INTO store VALUES (1, '00112233445566778899aabbccddeeff');
         INSERT INTO pool VALUES (1, CAST('rbd' AS BLOB));
         INSERT INTO namespace VALUES (1, 1, x'');",
    )
    .unwrap();
    db.execute("INSERT INTO layer VALUES (1, ?1, NULL, 0)", [id.as_str()]).unwrap();
    db.execute(
        "INSERT INTO volume VALUES (?1, 1, CAST('a' AS BLOB), 1, ?2, NULL, 0, 0, NULL, NULL)",
        rusqlite::params![id.as_str(), size],
    )
    .unwrap();
    for _ in 0..2 {
        let store = super::super::open(&path, ctl).await.unwrap();
        let volume = store.open(&ns, &Target::Id(id.clone()), &OpenOptions::default(), ctl).await.unwrap();
        let lock = volume.add_lock(&a, None, ctl).await.unwrap();
        volume.break_lock(&a, &lock.client, ctl).await.unwrap();
        volume.close(ctl).await.unwrap();
        store.shutdown().await.unwrap();
    }
    let version: i64 = db.query_row("SELECT version FROM store", [], |row| row.get(0)).unwrap();
    assert_eq!(version, super::VERSION);
}

/// Makes the database as an earlier version had it.
fn take_back(path: &Path, version: i64) {
    let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE block(
             layer INTEGER NOT NULL REFERENCES layer, idx INTEGER NOT NULL CHECK(idx >= 0), object BLOB UNIQUE,
             PRIMARY KEY(layer, idx)) WITHOUT ROWID;
         INSERT INTO block SELECT layer, idx, object FROM blocks;
         DROP TABLE blocks;
         ALTER TABLE volume DROP COLUMN named;
         ALTER TABLE volume DROP COLUMN snapshots;",
    )
    .unwrap();
    db.execute("UPDATE store SET version = ?1", [version]).unwrap();
    if version == 2 {
        db.execute_batch(
            "ALTER TABLE store DROP COLUMN line; ALTER TABLE store DROP COLUMN change;
             ALTER TABLE store DROP COLUMN sealed;",
        )
        .unwrap();
        for later in ["identity", "store.copy"] {
            let _ = std::fs::remove_file(path.join(later));
        }
    }
}

#[tokio::test]
async fn s13_blocks_of_earlier_versions_are_read_written_and_missed_as_ever() {
    let block = BLOCK_BYTES as usize;
    for version in [2, 3] {
        let (dir, ctl) = (tempfile::tempdir().unwrap(), &Ctl::new());
        let (path, ns, a) = (dir.path().join("store"), Namespace::default(), Name::from_bytes("a"));
        let (base, target) = (Name::from_bytes("base"), Target::Name(a.clone()));
        let store = super::super::open(&path, ctl).await.unwrap();
        store.create(&ns, &a, &CreateOptions::new(3 * BLOCK_BYTES), ctl).await.unwrap();
        let volume = store.open(&ns, &target, &OpenOptions::write(), ctl).await.unwrap();
        volume.write(0, vec![1; 2 * block].into(), ctl).await.unwrap();
        volume.create_snapshot(&base, ctl).await.unwrap();
        // A block of zeros over one of data, and a file that ends within its block.
        volume.write_zeroes(0, BLOCK_BYTES, ctl).await.unwrap();
        volume.write(2 * BLOCK_BYTES, vec![3; 9000].into(), ctl).await.unwrap();
        volume.close(ctl).await.unwrap();
        store.shutdown().await.unwrap();
        drop((volume, store));
        take_back(&path, version);

        let store = super::super::open(&path, ctl).await.unwrap();
        let (head, snapshot) = (OpenOptions::read(None), OpenOptions::read(Some(base)));
        let reader = store.open(&ns, &target, &head, ctl).await.unwrap();
        let mut expected = [vec![0; block], vec![1; block], vec![3; 9000], vec![0; block - 9000]].concat();
        assert!(reader.read(0, 3 * block, ctl).await.unwrap() == expected, "version {version}");
        let kept = store.open(&ns, &target, &snapshot, ctl).await.unwrap();
        assert!(kept.read(0, 2 * block, ctl).await.unwrap() == vec![1; 2 * block], "version {version}");
        // No leaf is known, so that the block is written in place, and a reader of it learns of the change.
        let before = reader.stat(ctl).await.unwrap().modified;
        let writer = store.open(&ns, &target, &OpenOptions::write(), ctl).await.unwrap();
        writer.write(2 * BLOCK_BYTES + 8000, vec![4; 2000].into(), ctl).await.unwrap();
        expected[2 * block + 8000..2 * block + 10_000].fill(4);
        assert!(reader.read(0, 3 * block, ctl).await.unwrap() == expected, "version {version}");
        assert_ne!(reader.stat(ctl).await.unwrap().modified, before, "version {version}");
        writer.close(ctl).await.unwrap();
        // The lengths are known.
        let mut cut = 0;
        for dir in std::fs::read_dir(path.join("objects")).unwrap() {
            for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
                let file = std::fs::File::options().write(true).open(file.unwrap().path()).unwrap();
                file.set_len(file.metadata().unwrap().len() - 1).unwrap();
                cut += 1;
            }
        }
        assert_eq!(cut, 3, "version {version}");
        for (volume, index) in [(&reader, 1), (&reader, 2), (&kept, 0)] {
            let error = volume.read(index * BLOCK_BYTES, block, ctl).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "version {version}: {}", error.report());
        }
    }
}

fn of_version_3() -> (tempfile::TempDir, crate::VolumeId) {
    let dir = tempfile::tempdir().unwrap();
    let (ctl, store) = (Ctl::new(), Store::open(dir.path()).unwrap());
    let (ns, web) = (Namespace::default(), Name::from_bytes("web"));
    let id = store.create(&ns, &web, &CreateOptions::new(BLOCK_BYTES)).unwrap();
    let open = store.open_volume(&ns, &Target::Name(web), &OpenOptions::write()).unwrap();
    open.write(0, &vec![1; 9].into(), &ctl).unwrap();
    open.close(&ctl).unwrap();
    store.db.close();
    drop((open, store));
    take_back(dir.path(), 3);
    (dir, id)
}

fn first_byte(store: &Arc<Store>, id: &crate::VolumeId) -> u8 {
    let options = OpenOptions::read(None);
    let open = store.open_volume(&Namespace::default(), &Target::Id(id.clone()), &options).unwrap();
    open.read(0, 9, &Ctl::new()).unwrap()[0]
}

#[test]
fn s13_a_store_of_an_older_version_is_converted_while_nobody_has_it_open() {
    let (dir, id) = of_version_3();
    let root = Arc::new(Root::open(dir.path()).unwrap());
    let files: Arc<dyn Files> = Arc::new(SystemFiles(root.clone()));
    let (db, locks) = (Db::new(root.clone(), files), Locks::new(root.clone()));
    for lock in ["store", "writers"] {
        let older = locks.acquire(lock, Mode::Shared).unwrap();
        let error = super::convert(&root, &db, &locks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Blocked, "{lock}");
        assert!(error.report().contains("older version"), "{}", error.report());
        assert_eq!(db.read(super::row).unwrap().unwrap().version, 3, "{lock}");
        drop(older);
    }
    // One that was open all the same fails at its next statement.
    let older = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let count = "SELECT count(*) FROM block";
    assert_eq!(older.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
    let error = older.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap_err();
    assert!(error.to_string().contains("no such table"), "{error}");
    // One that opens it finds a version that it does not know.
    older.execute("UPDATE store SET version = version + 1", []).unwrap();
    let error = Store::open(dir.path()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.report());
    assert!(error.remedy().unwrap().contains("newer"), "{:?}", error.remedy());
}

#[test]
fn s13_a_store_goes_back_to_a_copy_of_an_older_version() {
    let (dir, id) = of_version_3();
    let (database, copy) = (dir.path().join("store.db"), dir.path().join("store.copy"));
    std::fs::copy(&database, &copy).unwrap();
    let aside = rusqlite::Connection::open(&copy).unwrap();
    aside.execute("UPDATE store SET line = ''", []).unwrap();
    drop(aside);
    assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
    std::fs::remove_file(&database).unwrap();
    assert!(matches!(repair(dir.path()).unwrap(), DatabaseRepair::Copy { .. }));
    assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
    // Also one whose database is whole is looked through before it was converted.
    let (dir, id) = of_version_3();
    assert_eq!(repair(dir.path()).unwrap(), DatabaseRepair::Nothing);
    assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
}
