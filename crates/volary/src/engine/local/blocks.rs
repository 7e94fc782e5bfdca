//! Rows of blocks: each says which object keeps a block, how long its file is, and the checksum of its bytes where
//! that is known; and each carries a checksum of itself, so that a flipped bit in the database is noticed.

use super::db::{Fault, Sql, int};
use super::ids::ObjectId;
use super::root::Root;
use crate::{Error, ErrorKind};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use std::path::Path;

/// What a row says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) id: ObjectId,
    /// How long the file is at least: its length as of the last flush. After a crash it may be longer, by what was
    /// written in place and never flushed; those bytes are found as any unflushed bytes are, old or new.
    pub(super) length: u64,
    /// The leaf of the content digest of all that the file holds, where it is known. An object that has one is never
    /// written in place.
    pub(super) leaf: Option<[u8; 32]>,
}

/// What is left to do about a damaged block or row.
pub(super) const REMEDY: &str = "suspect the disk or the memory of this host; restore the volume from a copy, or rescue the rest with \
    `volary export --accept-mismatch`";

/// The columns that [`parse`] reads, in this order.
pub(super) const COLUMNS: &str = "idx, object, length, leaf, sum";

/// The checksum of a row. The layer goes in last and by XOR, so that one UPDATE folds rows into another layer.
fn sum(layer: i64, index: u64, object: Option<&Object>) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&index.to_le_bytes());
    if let Some(object) = object {
        hasher.update(object.id.as_bytes());
        hasher.update(&object.length.to_le_bytes());
        if let Some(leaf) = &object.leaf {
            hasher.update(leaf);
        }
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(first) ^ layer
}

/// The index and object of a row of `layer`; an object of `None` is a block of zeros.
///
/// # Errors
/// `Mismatch` for a row that is not as it was written, or that was found under another layer than its own.
pub(super) fn parse(row: &Row<'_>, layer: i64) -> Sql<(u64, Option<Object>)> {
    let read = || -> rusqlite::Result<(i64, Option<Object>, i64)> {
        let object = match row.get::<_, Option<ObjectId>>(1)? {
            None => None,
            Some(id) => Some(Object { id, length: row.get::<_, i64>(2)?.cast_unsigned(), leaf: row.get(3)? }),
        };
        Ok((row.get(0)?, object, row.get(4)?))
    };
    // A value of another type than was written is damage as well.
    let (index, object, found) = read().map_err(|error| damaged(layer, None).because(error))?;
    let index = index.cast_unsigned();
    if found != sum(layer, index, object.as_ref()) {
        return Err(damaged(layer, Some(index)).into());
    }
    Ok((index, object))
}

fn damaged(layer: i64, index: Option<u64>) -> Error {
    let error = Error::new(ErrorKind::Mismatch, "a row of the store's database is not as it was written")
        .context("file", "store.db")
        .context("layer", layer)
        .hint(REMEDY);
    match index {
        Some(index) => error.context("block", index),
        None => error,
    }
}

/// The row that a layer has for a block.
pub(super) fn of_layer(tx: &Transaction<'_>, layer: i64, index: u64) -> Sql<Option<Option<Object>>> {
    let sql = format!("SELECT {COLUMNS} FROM blocks WHERE layer = ?1 AND idx = ?2");
    let mut select = tx.prepare_cached(&sql)?;
    let mut rows = select.query((layer, int(index)))?;
    Ok(match rows.next()? {
        Some(row) => Some(parse(row, layer)?.1),
        None => None,
    })
}

/// Where an object is now, and what its row says of it.
pub(super) fn of_object(tx: &Transaction<'_>, id: ObjectId) -> Sql<Option<(i64, u64, Object)>> {
    let layer: Option<i64> = tx
        .prepare_cached("SELECT layer FROM blocks WHERE object = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(layer) = layer else { return Ok(None) };
    let sql = format!("SELECT {COLUMNS} FROM blocks WHERE object = ?1");
    let mut select = tx.prepare_cached(&sql)?;
    let mut rows = select.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (index, object) = parse(row, layer)?;
    Ok(object.map(|object| (layer, index, object)))
}

/// Puts a row, in place of the one that may be there.
pub(super) fn put(tx: &Transaction<'_>, layer: i64, index: u64, object: Option<&Object>) -> Sql<()> {
    tx.prepare_cached(
        "INSERT INTO blocks(layer, idx, object, length, leaf, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT(layer, idx) DO UPDATE SET
         object = excluded.object, length = excluded.length, leaf = excluded.leaf, sum = excluded.sum",
    )?
    .execute(params![
        layer,
        int(index),
        object.map(|object| object.id),
        object.map(|object| int(object.length)),
        object.and_then(|object| object.leaf),
        sum(layer, index, object),
    ])?;
    Ok(())
}

/// Gives the rows of `layer` to `to`, except for blocks that `to` has rows of its own for.
pub(super) fn give(tx: &Transaction<'_>, layer: i64, to: i64) -> Sql<()> {
    // SQLite has no XOR: `(a | b) - (a & b)` is that, and the sum's layer is exchanged by it.
    let change = layer ^ to;
    tx.execute(
        "UPDATE OR IGNORE blocks SET layer = ?2, sum = (sum | ?3) - (sum & ?3) WHERE layer = ?1",
        (layer, to, change),
    )?;
    Ok(())
}

/// Deletes a layer's rows from a block on; their objects become garbage. What a damaged row names is not touched: it may
/// be another volume's.
pub(super) fn discard(tx: &Transaction<'_>, layer: i64, from: u64) -> Sql<()> {
    let sql = format!("SELECT {COLUMNS} FROM blocks WHERE layer = ?1 AND idx >= ?2");
    let mut select = tx.prepare_cached(&sql)?;
    let mut rows = select.query((layer, int(from)))?;
    let mut garbage = tx.prepare_cached("INSERT OR IGNORE INTO garbage VALUES (?1)")?;
    while let Some(row) = rows.next()? {
        match parse(row, layer) {
            Ok((_, Some(object))) => drop(garbage.execute([object.id])?),
            Ok((_, None)) => {}
            Err(Fault::Ours(error)) => {
                tracing::warn!(error = error.report(), "an object of a damaged row is left behind");
            }
            Err(fault) => return Err(fault),
        }
    }
    tx.execute("DELETE FROM blocks WHERE layer = ?1 AND idx >= ?2", (layer, int(from)))?;
    Ok(())
}

/// Makes the table of version 4 of that of version 3: lengths are those of the files, and no leaf is known. It has another name, so
/// that a process of an older version that runs still fails at its next statement, and writes nothing in place of which a
/// leaf is known meanwhile.
pub(super) fn convert(tx: &Transaction<'_>, root: &Root) -> Sql<()> {
    tx.execute_batch(
        "-- An object of NULL is a block of zeros.
         CREATE TABLE blocks(
             layer INTEGER NOT NULL REFERENCES layer, idx INTEGER NOT NULL CHECK(idx >= 0), object BLOB UNIQUE,
             length INTEGER, leaf BLOB, sum INTEGER NOT NULL, PRIMARY KEY(layer, idx)) WITHOUT ROWID;",
    )?;
    {
        let mut old = tx.prepare("SELECT layer, idx, object FROM block")?;
        let mut rows = old.query([])?;
        while let Some(row) = rows.next()? {
            let object = match row.get::<_, Option<ObjectId>>(2)? {
                None => None,
                Some(id) => {
                    let stat = root
                        .stat(&id.path(Path::new("objects")))
                        .map_err(|e| Error::io("measuring an object", e))?;
                    // A file that is missing is found to be when it is read.
                    let length = stat.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
                    Some(Object { id, length, leaf: None })
                }
            };
            put(tx, row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), object.as_ref())?;
        }
    }
    tx.execute_batch("DROP TABLE block;")?;
    Ok(())
}
