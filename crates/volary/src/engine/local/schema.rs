//! The tables, and how a store is made: directories first, synced, then one transaction that makes it a store.

use super::db::{Db, Sql};
use super::files::{Files, make_dir};
use crate::{DEFAULT_POOL, Error, ErrorKind, Result};
use rusqlite::OptionalExtension;
use std::path::Path;

/// The version this code reads and writes.
const VERSION: i64 = 1;

/// Ids of layers and snapshots are never used again (AUTOINCREMENT): lock files and users may remember them.
const TABLES: &str = "
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

/// Makes the store in a directory unless there is one, and returns its id.
pub(super) fn prepare(path: &Path, db: &Db, files: &dyn Files) -> Result<String> {
    if let Some(id) = db.read(known)? {
        return Ok(id);
    }
    let made = || -> std::io::Result<()> {
        let objects = path.join("objects");
        for dir in ["objects", "locks", "locks/unclean"] {
            make_dir(&path.join(dir))?;
        }
        for first in 0..=u8::MAX {
            make_dir(&objects.join(hex::encode([first])))?;
        }
        files.sync_dir(&objects)?;
        files.sync_dir(&path.join("locks"))?;
        files.sync_dir(path)?;
        // The store's own name must outlast a power cut as what is in it does.
        path.canonicalize()?.parent().map_or(Ok(()), |parent| files.sync_dir(parent))
    };
    made().map_err(|e| Error::io("making the store", e))?;
    let id = super::ids::random_hex(16)?;
    db.write(|tx| {
        if let Some(id) = known(tx)? {
            return Ok(id);
        }
        tx.execute_batch(TABLES)?;
        tx.execute("INSERT INTO store(version, id) VALUES (?1, ?2)", (VERSION, &id))?;
        super::pools::insert_pool(tx, DEFAULT_POOL.as_bytes())?;
        Ok(id)
    })
}

/// The id of the store that is there, of a version this code knows.
fn known(tx: &rusqlite::Transaction<'_>) -> Sql<Option<String>> {
    let mut table = tx.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'store'")?;
    if !table.exists([])? {
        return Ok(None);
    }
    let row: Option<(i64, String)> =
        tx.query_row("SELECT version, id FROM store", [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match row {
        Some((version, _)) if version != VERSION => {
            Err(Error::new(ErrorKind::Unsupported, "the store is of another version")
                .context("version", version)
                .context("known", VERSION)
                .hint("use the release that made it, or a newer one")
                .into())
        }
        row => Ok(row.map(|(_, id)| id)),
    }
}
