//! Trash and removal: a name goes or comes in one transaction; data goes by way of `garbage`, so that a removal of
//! any size is one visible step and what a crash leaves of it is unlinked later.

use super::db::Sql;
use super::directory::{
    id_column, missing, name_column, now, require_entry, require_free, resolve, time, usable,
};
use super::ids::ObjectId;
use super::lockers::require_unlocked;
use super::locks::{Lock, Mode};
use super::pools::namespace_row;
use super::store::Store;
use crate::engine::{TrashEntry, TrashState, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

/// How many objects are unlinked between two transactions.
const GARBAGE_BATCH: u32 = 1024;

/// The time until which trash keeps what comes there now.
pub(super) fn kept_until(now: i64, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    now.saturating_add(keep).min(jiff::Timestamp::MAX.as_microsecond())
}

impl Store {
    /// Keeps everybody else from opening a volume, or says who has it open.
    fn exclude_all(&self, id: &VolumeId) -> Result<[Lock; 2]> {
        Ok([
            self.locks.acquire(&format!("{id}.w"), Mode::Exclusive)?,
            self.locks.acquire(&format!("{id}.r"), Mode::Exclusive)?,
        ])
    }

    pub(super) fn trash(&self, namespace: &Namespace) -> Result<Vec<TrashEntry>> {
        self.db.read(|tx| {
            let row = namespace_row(tx, namespace)?;
            let mut rows = tx.prepare(
                "SELECT id, name, trashed, until FROM volume WHERE namespace = ?1 AND trashed IS NOT NULL
                 ORDER BY trashed, id",
            )?;
            let entry = |row: &rusqlite::Row<'_>| {
                Ok(TrashEntry {
                    id: id_column(row, 0)?,
                    name: name_column(row, 1)?,
                    source: "user".into(),
                    deleted: time(row.get(2)?),
                    until: time(row.get(3)?),
                    state: TrashState::Normal,
                    half_migrated: false,
                })
            };
            Ok(rows.query_map([row], entry)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        keep: Duration,
    ) -> Result<()> {
        self.db.read(|tx| require_entry(tx, namespace_row(tx, namespace)?, volume))?;
        let _open = self.exclude_all(&volume.id)?;
        let now = now();
        self.db.write(|tx| {
            require_entry(tx, namespace_row(tx, namespace)?, volume)?;
            require_unlocked(tx, &volume.id)?;
            tx.execute(
                "UPDATE volume SET trashed = ?2, until = ?3 WHERE id = ?1",
                params![volume.id.as_str(), now, kept_until(now, keep)],
            )?;
            Ok(())
        })
    }

    pub(super) fn trash_restore(&self, namespace: &Namespace, id: &VolumeId, name: &Name) -> Result<()> {
        usable(name)?;
        self.db.write(|tx| {
            let row = namespace_row(tx, namespace)?;
            match trashed(tx, row, id)? {
                Some((_, Some(_))) => {
                    require_free(tx, row, name)?;
                    tx.execute(
                        "UPDATE volume SET name = ?2, named = named + 1, trashed = NULL, until = NULL WHERE id = ?1",
                        params![id.as_str(), name.as_bytes()],
                    )?;
                    Ok(())
                }
                // Somebody, perhaps this caller before it was interrupted, has done it already.
                Some((there, None)) if there == *name => Ok(()),
                _ => {
                    Err(missing("volume", format_args!("{namespace}/id:{id}")).context("in", "trash").into())
                }
            }
        })
    }

    pub(super) fn trash_remove(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        force: bool,
        ctl: &Ctl,
    ) -> Result<()> {
        let check = |tx: &Transaction<'_>| -> Sql<()> {
            let row = namespace_row(tx, namespace)?;
            let Some((_, Some(until))) = trashed(tx, row, id)? else {
                return Err(missing("volume", format_args!("{namespace}/id:{id}"))
                    .context("in", "trash")
                    .into());
            };
            if until > now() && !force {
                return Err(Error::new(ErrorKind::Blocked, "it is kept in trash for a while yet")
                    .context("until", time(until))
                    .hint("wait until then, or force the removal")
                    .into());
            }
            require_unlocked(tx, id)?;
            require_no_snapshots(tx, id)
        };
        self.db.read(check)?;
        let _open = self.exclude_all(id)?;
        self.db.write(|tx| {
            check(tx)?;
            delete_volume(tx, id)
        })?;
        self.locks.forget(id.as_str());
        self.collect_garbage_or_warn(ctl);
        Ok(())
    }

    pub(super) fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<()> {
        let check = |tx: &Transaction<'_>| -> Sql<()> {
            require_entry(tx, namespace_row(tx, namespace)?, volume)?;
            require_unlocked(tx, &volume.id)?;
            require_no_snapshots(tx, &volume.id)
        };
        self.db.read(check)?;
        let _open = self.exclude_all(&volume.id)?;
        self.db.write(|tx| {
            check(tx)?;
            delete_volume(tx, &volume.id)
        })?;
        self.locks.forget(volume.id.as_str());
        self.collect_garbage_or_warn(ctl);
        Ok(())
    }

    /// Whether a volume is there, in trash or not.
    pub(super) fn exists(&self, namespace: &Namespace, id: &VolumeId) -> Result<bool> {
        match self.db.read(|tx| resolve(tx, namespace, &Target::Id(id.clone()))) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Unlinks what transactions left as garbage. A batch's rows go after its files: killed between the two, the
    /// next one finds files that are gone already.
    pub(super) fn collect_garbage(&self, ctl: &Ctl) -> Result<()> {
        loop {
            let batch: Vec<ObjectId> = self.db.read(|tx| {
                let mut rows = tx.prepare_cached("SELECT object FROM garbage LIMIT ?1")?;
                Ok(rows.query_map([GARBAGE_BATCH], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
            })?;
            if batch.is_empty() {
                return Ok(());
            }
            for object in &batch {
                self.unlink(*object)?;
                ctl.touch();
            }
            let forget = |tx: &Transaction<'_>| {
                let mut delete = tx.prepare_cached("DELETE FROM garbage WHERE object = ?1")?;
                for object in &batch {
                    delete.execute([object])?;
                }
                Ok(())
            };
            self.in_reserve(|| self.db.write(forget))?;
        }
    }

    /// The same after an effect that stands: what cannot be unlinked now is unlinked later, and fails no call.
    pub(super) fn collect_garbage_or_warn(&self, ctl: &Ctl) {
        if let Err(error) = self.collect_garbage(ctl) {
            tracing::warn!(store = %self.path().display(), error = error.report(), "objects are left to unlink");
        }
    }
}

/// A volume's name, and until when it is kept if it is in trash.
fn trashed(tx: &Transaction<'_>, namespace: i64, id: &VolumeId) -> Sql<Option<(Name, Option<i64>)>> {
    Ok(tx
        .query_row(
            "SELECT name, until FROM volume WHERE id = ?1 AND namespace = ?2",
            params![id.as_str(), namespace],
            |row| Ok((name_column(row, 0)?, row.get(1)?)),
        )
        .optional()?)
}

fn require_no_snapshots(tx: &Transaction<'_>, id: &VolumeId) -> Sql<()> {
    let snapshots: i64 =
        tx.query_row("SELECT count(*) FROM snapshot WHERE volume = ?1", [id.as_str()], |row| row.get(0))?;
    if snapshots == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Blocked, "the volume has snapshots")
        .context("id", id)
        .context("snapshots", snapshots)
        .hint("remove its snapshots first (`volary snap purge`)")
        .into())
}

/// A volume without snapshots has no clones, so all of its layers go with it.
fn delete_volume(tx: &Transaction<'_>, id: &VolumeId) -> Sql<()> {
    let id = id.as_str();
    tx.execute("DELETE FROM metadata WHERE volume = ?1", [id])?;
    tx.execute("DELETE FROM volume WHERE id = ?1", [id])?;
    loop {
        // From the leaves down: a layer that another still stands on cannot go yet.
        let leaf: Option<i64> = tx
            .query_row(
                "SELECT id FROM layer AS l WHERE volume = ?1
                 AND NOT EXISTS (SELECT 1 FROM layer WHERE parent = l.id) LIMIT 1",
                [id],
                |row| row.get(0),
            )
            .optional()?;
        match leaf {
            Some(layer) => delete_layer(tx, layer)?,
            None => return Ok(()),
        }
    }
}

/// Deletes a layer that nothing stands on; its objects become garbage.
pub(super) fn delete_layer(tx: &Transaction<'_>, layer: i64) -> Sql<()> {
    super::blocks::discard(tx, layer, 0)?;
    tx.execute("DELETE FROM layer WHERE id = ?1", [layer])?;
    Ok(())
}
