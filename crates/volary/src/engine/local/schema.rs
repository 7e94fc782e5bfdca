//! The tables, and how a store is made: directories first, synced, then one transaction that makes it a store.

use super::db::{Db, Sql};
use super::files::Files;
use super::ids::dir_path;
use super::root::Root;
use crate::{DEFAULT_POOL, Error, ErrorKind, Result};
use rusqlite::OptionalExtension;
use rustix::fs::OFlags;
use std::path::Path;

/// The tables of version 1; what later versions changed is in [`STEPS`].
///
/// Ids of layers and snapshots are never used again (AUTOINCREMENT): lock files and users may remember them.
const FIRST: &str = "
CREATE TABLE IF NOT EXISTS store(version INTEGER NOT NULL, id TEXT NOT NULL);
CREATE TABLE pool(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
-- Every pool has a row with the empty name: its default namespace.
CREATE TABLE namespace(
    id INTEGER PRIMARY KEY AUTOINCREMENT, pool INTEGER NOT NULL REFERENCES pool, name BLOB NOT NULL,
    UNIQUE(pool, name));
-- Between `offset of a block` and `overlap` a layer without a row for it shows its parent layer.
CREATE TABLE layer(
    id INTEGER PRIMARY KEY AUTOINCREMENT, volume TEXT NOT NULL, parent INTEGER REFERENCES layer,
    overlap INTEGER NOT NULL CHECK(overlap >= 0));
CREATE INDEX layer_volume ON layer(volume);
CREATE INDEX layer_parent ON layer(parent);
-- An object of NULL is a block of zeros.
CREATE TABLE block(
    layer INTEGER NOT NULL REFERENCES layer, idx INTEGER NOT NULL CHECK(idx >= 0), object BLOB UNIQUE,
    PRIMARY KEY(layer, idx)) WITHOUT ROWID;
CREATE TABLE volume(
    id TEXT PRIMARY KEY, namespace INTEGER NOT NULL REFERENCES namespace, name BLOB NOT NULL,
    head INTEGER NOT NULL REFERENCES layer, size INTEGER NOT NULL CHECK(size >= 0),
    parent INTEGER REFERENCES snapshot, created INTEGER NOT NULL, modified INTEGER NOT NULL,
    trashed INTEGER, until INTEGER);
CREATE UNIQUE INDEX volume_name ON volume(namespace, name) WHERE trashed IS NULL;
CREATE INDEX volume_parent ON volume(parent);
CREATE INDEX volume_head ON volume(head);
CREATE TABLE snapshot(
    id INTEGER PRIMARY KEY AUTOINCREMENT, volume TEXT NOT NULL REFERENCES volume, name BLOB NOT NULL,
    layer INTEGER NOT NULL REFERENCES layer, size INTEGER NOT NULL CHECK(size >= 0),
    protected INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, UNIQUE(volume, name));
CREATE INDEX snapshot_layer ON snapshot(layer);
CREATE TABLE metadata(
    volume TEXT NOT NULL REFERENCES volume, key BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY(volume, key)) WITHOUT ROWID;
CREATE TABLE record(
    namespace INTEGER NOT NULL REFERENCES namespace, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY(namespace, key)) WITHOUT ROWID;
-- Objects that belong to nobody any more and are still to be unlinked.
CREATE TABLE garbage(object BLOB PRIMARY KEY) WITHOUT ROWID;
";

/// What each later version changed, in their order: the first brings a store from version 1 to version 2. A new store
/// is made as version 1 and goes through all of them, so there is one way to each version. A step that a release has
/// carried out is never edited: a later change is a step of its own.
const STEPS: &[&str] = &[
    // Version 2: advisory locks.
    "CREATE TABLE locker(
        volume TEXT NOT NULL REFERENCES volume, cookie BLOB NOT NULL, client BLOB NOT NULL, address TEXT NOT NULL,
        tag BLOB, PRIMARY KEY(volume, cookie, client)) WITHOUT ROWID;",
];

/// The version this code reads and writes.
const VERSION: i64 = 1 + STEPS.len() as i64;

/// Makes the store in a directory unless there is one, and returns its id.
pub(super) fn prepare(root: &Root, db: &Db, files: &dyn Files) -> Result<String> {
    // SQLite would make it readable by others; its log takes the mode from it.
    match root.file(Path::new("store.db"), OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("making the store's database", error));
        }
        _ => {}
    }
    if let Some((version, id)) = db.read(known)? {
        if version < VERSION {
            db.write(upgrade)?;
        }
        return Ok(id);
    }
    let made = || -> std::io::Result<()> {
        let objects = Path::new("objects");
        for dir in ["objects", "locks", "locks/unclean"] {
            root.make_dir(Path::new(dir))?;
        }
        for first in 0..=u8::MAX {
            root.make_dir(&dir_path(objects, first))?;
        }
        for dir in ["objects", "locks", ""] {
            files.sync_dir(&root.path().join(dir))?;
        }
        // The store's own name must outlast a power cut as what is in it does.
        root.path().parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
    };
    made().map_err(|e| Error::io("making the store", e))?;
    let id = super::ids::random_hex(16)?;
    db.write(|tx| {
        if let Some((_, id)) = known(tx)? {
            return Ok(id);
        }
        tx.execute_batch(FIRST)?;
        tx.execute("INSERT INTO store(version, id) VALUES (1, ?1)", [&id])?;
        upgrade(tx)?;
        super::pools::insert_pool(tx, DEFAULT_POOL.as_bytes())?;
        Ok(id)
    })
}

/// Takes the steps that a store still lacks, in the caller's transaction; a release that does not know the version
/// that the store has afterwards refuses it.
fn upgrade(tx: &rusqlite::Transaction<'_>) -> Sql<()> {
    // Another process may have taken them since the caller looked.
    let Some((version, _)) = known(tx)? else { return Ok(()) };
    let taken = usize::try_from(version - 1).unwrap_or(STEPS.len());
    for step in STEPS.iter().skip(taken) {
        tx.execute_batch(step)?;
    }
    tx.execute("UPDATE store SET version = ?1", [VERSION])?;
    Ok(())
}

/// Version and id of the store that is there, of a version this code knows.
fn known(tx: &rusqlite::Transaction<'_>) -> Sql<Option<(i64, String)>> {
    let mut table = tx.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'store'")?;
    if !table.exists([])? {
        return Ok(None);
    }
    let row: Option<(i64, String)> =
        tx.query_row("SELECT version, id FROM store", [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match row {
        Some((version, _)) if !(1..=VERSION).contains(&version) => {
            Err(Error::new(ErrorKind::Unsupported, "the store is of another version")
                .context("version", version)
                .context("known", VERSION)
                .hint("use the release that made it, or a newer one")
                .into())
        }
        row => Ok(row),
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::{CreateOptions, OpenOptions};
    use crate::{Ctl, Name, Namespace, Target};

    #[tokio::test]
    async fn a_store_of_the_first_version_is_brought_up_to_this_one() {
        let (dir, ctl) = (tempfile::tempdir().unwrap(), &Ctl::new());
        let (path, ns, a) = (dir.path().join("store"), Namespace::default(), Name::from_bytes("a"));
        let store = super::super::open(&path, ctl).await.unwrap();
        let id = store.create(&ns, &a, &CreateOptions::new(1 << 20), ctl).await.unwrap();
        store.shutdown().await.unwrap();
        // The same volume in a database as version 1 had it.
        let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
        let size: i64 = db.query_row("SELECT size FROM volume", [], |row| row.get(0)).unwrap();
        drop(db);
        std::fs::remove_file(path.join("store.db")).unwrap();
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
            let volume =
                store.open(&ns, &Target::Id(id.clone()), &OpenOptions::default(), ctl).await.unwrap();
            let lock = volume.add_lock(&a, None, ctl).await.unwrap();
            volume.break_lock(&a, &lock.client, ctl).await.unwrap();
            volume.close(ctl).await.unwrap();
            store.shutdown().await.unwrap();
        }
        let version: i64 = db.query_row("SELECT version FROM store", [], |row| row.get(0)).unwrap();
        assert_eq!(version, super::VERSION);
    }
}
