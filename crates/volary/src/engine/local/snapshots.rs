//! Snapshots: a frozen layer with an empty one on it; removing one drops its row, then folds the layer away.

use super::children::{children_of, refuse_children};
use super::db::{int, uint};
use super::directory::{name_column, now, taken, time, usable};
use super::handle::Open;
use super::locks::Mode;
use super::opening::{snapshot_lock, snapshot_row};
use crate::engine::SnapshotInfo;
use crate::{Ctl, Error, ErrorKind, Name, Result, VolumeId};
use rusqlite::{Transaction, params};

/// The columns that [`info`] reads.
pub(super) const INFO: &str = "id, name, size, protected, created";

pub(super) fn info(row: &rusqlite::Row<'_>) -> rusqlite::Result<SnapshotInfo> {
    Ok(SnapshotInfo {
        id: uint(row.get(0)?),
        name: name_column(row, 1)?,
        size_bytes: uint(row.get(2)?),
        protected: row.get(3)?,
        created: Some(time(row.get(4)?)),
    })
}

fn require_free(tx: &Transaction<'_>, id: &VolumeId, name: &Name) -> super::db::Sql<()> {
    let mut select = tx.prepare_cached("SELECT 1 FROM snapshot WHERE volume = ?1 AND name = ?2")?;
    if select.exists(params![id.as_str(), name.as_bytes()])? {
        return Err(taken("snapshot", name).context("id", id).into());
    }
    Ok(())
}

impl Open {
    pub(super) fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        self.usable()?;
        self.store.db.read(|tx| {
            let mut rows =
                tx.prepare_cached(&format!("SELECT {INFO} FROM snapshot WHERE volume = ?1 ORDER BY id"))?;
            Ok(rows.query_map([self.id.as_str()], info)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn create_snapshot(&self, name: &Name, ctl: &Ctl) -> Result<()> {
        usable(name)?;
        let writer = self.writer()?;
        let _gate = writer.alone()?;
        self.usable()?;
        self.store.db.read(|tx| require_free(tx, &self.id, name))?;
        self.flush_alone(writer, ctl)?;
        let (frozen, size) = {
            let unflushed = writer.unflushed();
            (unflushed.head, unflushed.size)
        };
        let freeze = |tx: &Transaction<'_>| {
            require_free(tx, &self.id, name)?;
            let id = self.id.as_str();
            tx.execute(
                "INSERT INTO snapshot(volume, name, layer, size, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, name.as_bytes(), frozen, int(size), now()],
            )?;
            tx.execute(
                "INSERT INTO layer(volume, parent, overlap) VALUES (?1, ?2, ?3)",
                params![id, frozen, int(size)],
            )?;
            let head = tx.last_insert_rowid();
            tx.execute(
                "UPDATE volume SET head = ?2, snapshots = snapshots + 1 WHERE id = ?1",
                params![id, head],
            )?;
            Ok(head)
        };
        // Where nobody knows which layer is the head now, a write could go into the frozen one.
        let head = self.store.db.write_or(|error| writer.doubt(error), freeze)?;
        writer.unflushed().head = head;
        Ok(())
    }

    pub(super) fn rename_snapshot(&self, name: &Name, to: &Name) -> Result<()> {
        self.writer()?;
        usable(to)?;
        self.store.db.write(|tx| {
            let row = snapshot_row(tx, &self.id, name)?;
            require_free(tx, &self.id, to)?;
            tx.execute("UPDATE snapshot SET name = ?2 WHERE id = ?1", params![row.id, to.as_bytes()])?;
            Ok(())
        })
    }

    pub(super) fn remove_snapshot(&self, name: &Name, ctl: &Ctl) -> Result<()> {
        let writer = self.writer()?;
        let _gate = writer.alone()?;
        self.usable()?;
        let row = self.store.db.read(|tx| snapshot_row(tx, &self.id, name))?;
        let check = |tx: &Transaction<'_>| {
            let now = snapshot_row(tx, &self.id, name)?;
            if now.protected {
                return Err(Error::new(ErrorKind::Blocked, "the snapshot is protected")
                    .context("snapshot", name)
                    .hint("unprotect it first: `volary snap unprotect`")
                    .into());
            }
            refuse_children(tx, name, now.id)
        };
        self.store.db.read(check)?;
        let lock = snapshot_lock(&self.id, row.id);
        let held = self
            .store
            .locks
            .acquire(&lock, Mode::Exclusive)
            .map_err(|e| e.context("snapshot", name).context("id", &self.id))?;
        self.store.db.write(|tx| {
            check(tx)?;
            tx.execute("DELETE FROM snapshot WHERE id = ?1", [row.id])?;
            Ok(())
        })?;
        self.store.locks.forget_one(&lock);
        drop(held);
        // It is gone; what is left to do for its space is done now, or when the volume is next opened to write.
        let folded = self.flush_alone(writer, ctl).and_then(|()| self.store.fold(&self.id, ctl));
        if let Err(error) = folded {
            tracing::warn!(id = %self.id, error = %error.report(), "a removed snapshot's layer is left to fold");
        }
        Ok(())
    }

    pub(super) fn protect_snapshot(&self, name: &Name, protect: bool) -> Result<()> {
        self.writer()?;
        self.store.db.write(|tx| {
            let row = snapshot_row(tx, &self.id, name)?;
            if !protect && row.protected && !children_of(tx, row.id, 1)?.is_empty() {
                refuse_children(tx, name, row.id)?;
            }
            tx.execute("UPDATE snapshot SET protected = ?2 WHERE id = ?1", (row.id, protect))?;
            Ok(())
        })
    }
}
