//! Layers: what makes snapshots, clones and rollback one mechanism.
//!
//! A volume's blocks are in its head layer; where that has no row, the layer below shows through as far as the
//! overlap reaches, and so on down, across the border to a parent volume's snapshot. Only a head's objects are ever
//! written, so a frozen layer may be read without a lock: who finds an object gone looks its row up again.

use super::blocks::{self, Object};
use super::db::{Sql, int, uint};
use super::directory::missing;
use super::ids::BLOCK_BYTES;
use super::store::Store;
use super::trash::delete_layer;
use crate::{Ctl, Result, VolumeId};
use rusqlite::{OptionalExtension, Transaction};

/// A layer as seen from the top: it shows through below `limit` bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) layer: i64,
    pub(super) limit: u64,
    /// Whether it belongs to the volume at the top.
    pub(super) own: bool,
}

/// A layer and all below it, from the top down.
pub(super) fn chain(tx: &Transaction<'_>, top: i64) -> Sql<Vec<Seen>> {
    let mut select = tx.prepare_cached(
        "SELECT parent, overlap, volume = (SELECT volume FROM layer WHERE id = ?2) FROM layer WHERE id = ?1",
    )?;
    let mut chain = Vec::new();
    let (mut next, mut limit) = (Some(top), u64::MAX);
    while let Some(layer) = next {
        let (parent, overlap, own): (Option<i64>, i64, bool) =
            select.query_row((layer, top), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        chain.push(Seen { layer, limit, own });
        (next, limit) = (parent, limit.min(uint(overlap)));
    }
    Ok(chain)
}

/// How much of a volume can be read from its parent: the limit of the first layer that is not its own.
pub(super) fn parent_overlap(chain: &[Seen]) -> u64 {
    chain.iter().find(|seen| !seen.own).map_or(0, |seen| seen.limit)
}

/// Where a block's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere: it reads as zeros.
    Zeros,
    /// In an object, up to so many bytes from the block's start; after them come zeros.
    Object { object: Object, visible: u64, own: bool },
}

/// Where the bytes of so many blocks from `first` are, seen through a chain.
pub(super) fn sources(tx: &Transaction<'_>, chain: &[Seen], first: u64, count: u64) -> Sql<Vec<Source>> {
    let mut found: Vec<Option<Source>> = vec![None; usize::try_from(count).unwrap_or(0)];
    let sql = format!("SELECT {} FROM blocks WHERE layer = ?1 AND idx >= ?2 AND idx < ?3", blocks::COLUMNS);
    let mut rows = tx.prepare_cached(&sql)?;
    for seen in chain {
        let end = first.saturating_add(count).min(seen.limit.div_ceil(BLOCK_BYTES));
        if first >= end || found.iter().all(Option::is_some) {
            break;
        }
        let mut rows = rows.query((seen.layer, int(first), int(end)))?;
        while let Some(row) = rows.next()? {
            let (index, object) = blocks::parse(row, seen.layer)?;
            let at = index.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            let Some(slot) = at.and_then(|at| found.get_mut(at)) else { continue };
            let source = match object {
                None => Source::Zeros,
                Some(object) => {
                    let visible =
                        seen.limit.saturating_sub(index.saturating_mul(BLOCK_BYTES)).min(BLOCK_BYTES);
                    Source::Object { object, visible, own: seen.own }
                }
            };
            slot.get_or_insert(source);
        }
    }
    Ok(found.into_iter().map(|source| source.unwrap_or(Source::Zeros)).collect())
}

/// The first block from `first` on of which a layer of the volume's own has a row, so that holes of any size are passed over at once.
pub(super) fn next_own(tx: &Transaction<'_>, chain: &[Seen], first: u64) -> Sql<Option<u64>> {
    let mut select = tx.prepare_cached("SELECT min(idx) FROM blocks WHERE layer = ?1 AND idx >= ?2")?;
    let mut next = None;
    for seen in chain.iter().filter(|seen| seen.own) {
        let found: Option<i64> = select.query_row((seen.layer, int(first)), |row| row.get(0))?;
        let visible = found.map(uint).filter(|index| *index < seen.limit.div_ceil(BLOCK_BYTES));
        next = next.into_iter().chain(visible).min();
    }
    Ok(next)
}

/// A volume's head layer and size as they are now.
pub(super) fn head(tx: &Transaction<'_>, id: &VolumeId) -> Sql<(i64, u64)> {
    let row = tx
        .prepare_cached("SELECT head, size FROM volume WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, uint(row.get(1)?))))
        .optional()?;
    Ok(row.ok_or_else(|| missing("volume", id))?)
}

/// A layer that is no head and no snapshot's, with at most one layer on it.
struct Nobody {
    layer: i64,
    /// The layer on it, and how far that one sees through.
    child: Option<(i64, u64)>,
}

fn nobody(tx: &Transaction<'_>, id: &VolumeId) -> Sql<Option<Nobody>> {
    let layer: Option<i64> = tx
        .prepare_cached(
            "SELECT id FROM layer AS l WHERE volume = ?1
             AND NOT EXISTS (SELECT 1 FROM volume WHERE head = l.id)
             AND NOT EXISTS (SELECT 1 FROM snapshot WHERE layer = l.id)
             AND (SELECT count(*) FROM layer WHERE parent = l.id) < 2 LIMIT 1",
        )?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    let Some(layer) = layer else { return Ok(None) };
    let child = tx
        .query_row("SELECT id, overlap FROM layer WHERE parent = ?1", [layer], |row| {
            Ok((row.get(0)?, uint(row.get(1)?)))
        })
        .optional()?;
    Ok(Some(Nobody { layer, child }))
}

impl Store {
    /// Folds the layers that have become nobody's into the one on each, or deletes them; only a volume's writer
    /// does this. Killed at any point, what is left is done when the volume is opened to write again.
    pub(super) fn fold(&self, id: &VolumeId, ctl: &Ctl) -> Result<()> {
        while let Some(nobody) = self.db.read(|tx| nobody(tx, id))? {
            if let Some((child, overlap)) = nobody.child {
                self.cut_tail(id, nobody.layer, child, overlap)?;
            }
            self.db.write(|tx| match nobody.child {
                None => delete_layer(tx, nobody.layer),
                Some((child, overlap)) => fold_into(tx, nobody.layer, child, overlap),
            })?;
        }
        self.collect_garbage_or_warn(ctl);
        Ok(())
    }

    /// The same beside something that stands or goes on without it.
    pub(super) fn fold_or_warn(&self, id: &VolumeId, ctl: &Ctl) {
        if let Err(error) = self.fold(id, ctl) {
            tracing::warn!(%id, error = error.report(), "a layer that is nobody's is left to fold");
        }
    }

    /// Where the child sees only part of a block, the rest must be zeros before the block becomes the child's own: its file is
    /// cut. In place is safe, as nobody sees those bytes any more. The row says of the file what will be true after the cut
    /// before it is made; its leaf, which is of all bytes, is compared a last time, and is gone then. Whoever goes back to a
    /// copy of the database from before finds a file too short for what a snapshot had seen of it.
    fn cut_tail(&self, id: &VolumeId, layer: i64, child: i64, overlap: u64) -> Result<()> {
        let (index, keep) = (overlap / BLOCK_BYTES, overlap % BLOCK_BYTES);
        if keep == 0 {
            return Ok(());
        }
        let object = self.db.read(|tx| match blocks::of_layer(tx, child, index)? {
            None => Ok(blocks::of_layer(tx, layer, index)?.flatten()),
            Some(_) => Ok(None),
        })?;
        let Some(object) = object else { return Ok(()) };
        let failed = |e| self.failed(id, "cutting an object", object.id, e).context("block", index);
        let file = self.files.open(&self.object_path(object.id), true).map_err(failed)?;
        let length = file.length().map_err(failed)?;
        // What ends before has nothing to cut; where it should not, that is seen by whoever reads it.
        if length < keep || length.max(object.length) == keep {
            return Ok(());
        }
        if object.leaf.is_some() {
            self.read_whole(id, index, &object, keep)?;
        }
        let kept = Object { length: object.length.min(keep), leaf: None, ..object };
        self.db.write(|tx| blocks::put(tx, layer, index, Some(&kept)))?;
        file.cut_at(keep).and_then(|()| file.sync()).map_err(failed)
    }
}

fn fold_into(tx: &Transaction<'_>, layer: i64, child: i64, overlap: u64) -> Sql<()> {
    blocks::discard(tx, layer, overlap.div_ceil(BLOCK_BYTES))?;
    blocks::give(tx, layer, child)?;
    tx.execute(
        "UPDATE layer SET (parent, overlap) = (SELECT parent, min(overlap, ?3) FROM layer WHERE id = ?1)
         WHERE id = ?2",
        (layer, child, int(overlap)),
    )?;
    // What the child had rows of its own for has stayed behind.
    delete_layer(tx, layer)
}
