//! Opening a head or a snapshot: locks first, then a second look, since either may have gone meanwhile.

use super::db::uint;
use super::directory::{missing, resolve};
use super::handle::{Held, Open, Writer};
use super::layers::head;
use super::lockers::require_unlocked;
use super::locks::{Mode, PATIENCE, SWEEP_PATIENCE};
use super::store::Store;
use crate::engine::OpenOptions;
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use rusqlite::{OptionalExtension, Transaction, params};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

/// A snapshot's row.
pub(super) struct SnapshotRow {
    pub(super) id: i64,
    pub(super) layer: i64,
    pub(super) size: u64,
    pub(super) protected: bool,
}

/// The row of a snapshot by name.
pub(super) fn snapshot_row(tx: &Transaction<'_>, id: &VolumeId, name: &Name) -> super::db::Sql<SnapshotRow> {
    let row = tx
        .prepare_cached("SELECT id, layer, size, protected FROM snapshot WHERE volume = ?1 AND name = ?2")?
        .query_row(params![id.as_str(), name.as_bytes()], |row| {
            Ok(SnapshotRow {
                id: row.get(0)?,
                layer: row.get(1)?,
                size: uint(row.get(2)?),
                protected: row.get(3)?,
            })
        })
        .optional()?;
    Ok(row.ok_or_else(|| missing("snapshot", name).context("id", id))?)
}

/// The name of the lock that the readers of a snapshot share.
pub(super) fn snapshot_lock(id: &VolumeId, snapshot: i64) -> String {
    format!("{id}.s{snapshot}")
}

impl Store {
    pub(super) fn open_volume(
        self: &Arc<Self>,
        namespace: &Namespace,
        target: &Target,
        options: &OpenOptions,
    ) -> Result<Open> {
        if options.write && options.snapshot.is_some() {
            return Err(Error::new(ErrorKind::Usage, "a snapshot cannot be written")
                .hint("write to the volume, or to a clone of the snapshot"));
        }
        let named = |e: Error| e.context("volume", format_args!("{namespace}/{target}"));
        let id = self.db.read(|tx| resolve(tx, namespace, target))?;
        let mut open = if options.write {
            self.open_to_write(namespace, &id).map_err(named)?
        } else {
            self.open_to_read(&id, options.snapshot.as_ref()).map_err(named)?
        };
        open.accept_mismatch = options.accept_mismatch;
        Ok(open)
    }

    fn open_to_write(self: &Arc<Self>, namespace: &Namespace, id: &VolumeId) -> Result<Open> {
        let mut lock = self.locks.acquire(&format!("{id}.w"), Mode::Exclusive)?;
        lock.sign().map_err(|e| Error::io("signing a lock", e))?;
        let writers = self.locks.acquire_within("writers", Mode::Shared, SWEEP_PATIENCE)?;
        if !self.exists(namespace, id)? {
            self.locks.forget(id.as_str());
            return Err(missing("volume", id));
        }
        self.fold_or_warn(id, &Ctl::new());
        let (head, size) = self.db.read(|tx| {
            require_unlocked(tx, id)?;
            head(tx, id)
        })?;
        let marker = Some(self.mark_unclean()?);
        Ok(self.opened(id, None, Some(Writer::new(head, size)), Held { _locks: vec![lock, writers], marker }))
    }

    fn open_to_read(self: &Arc<Self>, id: &VolumeId, snapshot: Option<&Name>) -> Result<Open> {
        let mut locks = Vec::new();
        locks.extend(self.locks.acquire_to_read(&format!("{id}.r"), PATIENCE)?);
        let find = || {
            self.db.read(|tx| {
                head(tx, id)?;
                Ok(snapshot.map(|name| snapshot_row(tx, id, name)).transpose()?.map(|row| row.id))
            })
        };
        let mut row = find()?;
        if let Some(snapshot) = row {
            locks.extend(self.locks.acquire_to_read(&snapshot_lock(id, snapshot), PATIENCE)?);
            row = find()?.filter(|now| *now == snapshot);
            if row.is_none() {
                return Err(missing("snapshot", snapshot));
            }
        }
        Ok(self.opened(id, row, None, Held { _locks: locks, marker: None }))
    }

    fn opened(
        self: &Arc<Self>,
        id: &VolumeId,
        snapshot: Option<i64>,
        writer: Option<Writer>,
        held: Held,
    ) -> Open {
        Open {
            store: self.clone(),
            id: id.clone(),
            snapshot,
            writer,
            accept_mismatch: false,
            mismatched_bytes: AtomicU64::new(0),
            held: Mutex::new(Some(held)),
            closed: AtomicBool::new(false),
        }
    }
}
