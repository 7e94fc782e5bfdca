//! What an open head or snapshot consists of, and how it ends.

use super::blocks::Object;
use super::db::{Sql, uint};
use super::directory::missing;
use super::files::ObjectFile;
use super::ids::ObjectId;
use super::layers::head;
use super::locks::Lock;
use super::store::Store;
use super::sweep::Marker;
use crate::{Ctl, Error, ErrorKind, Result, VolumeId};
use rusqlite::{OptionalExtension, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// As many blocks as may wait for one another only by chance.
const STRIPES: usize = 64;

/// An open head or snapshot; its methods block.
pub(super) struct Open {
    pub(super) store: Arc<Store>,
    pub(super) id: VolumeId,
    /// The row of the snapshot that is open.
    pub(super) snapshot: Option<i64>,
    pub(super) writer: Option<Writer>,
    /// Whether blocks that do not match what the store knows of them are read as they are.
    pub(super) accept_mismatch: bool,
    /// How many bytes were read so.
    pub(super) mismatched_bytes: AtomicU64,
    pub(super) held: Mutex<Option<Held>>,
    pub(super) closed: AtomicBool,
}

/// What a handle holds until it is closed.
pub(super) struct Held {
    pub(super) _locks: Vec<Lock>,
    /// The writer's marker.
    pub(super) marker: Option<Marker>,
}

/// What only a handle that writes has.
pub(super) struct Writer {
    /// Reads and writes share it; what puts rows or changes the layers has it alone.
    gate: RwLock<()>,
    /// Writes to one block follow one another, or two of them could each make the block an object.
    stripes: Vec<Mutex<()>>,
    unflushed: Mutex<Unflushed>,
    /// Whether the time of the last change tells of this handle's writes in place.
    pub(super) announced: AtomicBool,
}

/// What is not in the database, or not durable yet.
#[derive(Default)]
pub(super) struct Unflushed {
    pub(super) head: i64,
    pub(super) size: u64,
    /// Rows to put. Their objects are known to nobody else.
    pub(super) rows: BTreeMap<u64, Option<Object>>,
    /// Objects that the database knows and that were written in place beyond the length it has for them.
    pub(super) grown: BTreeMap<u64, Object>,
    /// Objects with bytes to sync.
    pub(super) dirty: BTreeMap<ObjectId, Arc<dyn ObjectFile>>,
    /// Objects that this handle has synced since leaves were last recorded, as far as they are remembered.
    pub(super) synced: BTreeSet<ObjectId>,
    /// Directories with names to sync.
    pub(super) dirs: BTreeSet<u8>,
    /// Objects that the rows to put replace.
    pub(super) replaced: Vec<ObjectId>,
    /// Whether anything was written since the last flush.
    pub(super) changed: bool,
    /// Why the handle can no longer be relied on.
    pub(super) poisoned: Option<(ErrorKind, String)>,
    /// Whether a transaction may have happened or not: only a sweep can tell whose the objects are.
    pub(super) doubtful: bool,
    /// Whether an object was left behind that no row names, for a sweep.
    pub(super) strays: bool,
}

impl Writer {
    pub(super) fn new(head: i64, size: u64) -> Self {
        Writer {
            gate: RwLock::new(()),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            unflushed: Mutex::new(Unflushed { head, size, ..Unflushed::default() }),
            announced: AtomicBool::new(false),
        }
    }

    pub(super) fn unflushed(&self) -> MutexGuard<'_, Unflushed> {
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the handle refuse what comes after a failure.
    pub(super) fn poison(&self, error: &Error) {
        self.unflushed().poisoned.get_or_insert_with(|| (error.kind(), error.report()));
    }

    /// The same when nobody knows whether a transaction happened, and with it where the head is and whose the
    /// objects are.
    pub(super) fn doubt(&self, error: &Error) {
        self.poison(error);
        self.unflushed().doubtful = true;
    }

    pub(super) fn stripe(&self, index: u64) -> MutexGuard<'_, ()> {
        let stripe = &self.stripes[(index % STRIPES as u64) as usize];
        stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn share(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps everybody else out, and fails if an earlier failure makes the handle unreliable.
    pub(super) fn alone(&self) -> Result<RwLockWriteGuard<'_, ()>> {
        let gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.unflushed().sound()?;
        Ok(gate)
    }
}

impl Unflushed {
    /// Whether a flush has nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        let Unflushed { rows, grown, dirty, dirs, replaced, changed, .. } = self;
        let nothing_new = rows.is_empty() && grown.is_empty() && replaced.is_empty();
        nothing_new && dirty.is_empty() && dirs.is_empty() && !changed
    }

    pub(super) fn sound(&self) -> Result<()> {
        match &self.poisoned {
            None => Ok(()),
            Some((kind, why)) => Err(Error::new(*kind, "the handle failed to make writes durable before")
                .context("failure", why)
                .hint("close it and open the volume again; what was not flushed is lost")),
        }
    }
}

impl Open {
    /// Fails once the handle is closed.
    pub(super) fn usable(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Usage, "the handle is closed").context("id", &self.id));
        }
        Ok(())
    }

    /// The writer's part, for what changes something.
    pub(super) fn writer(&self) -> Result<&Writer> {
        self.usable()?;
        self.writer.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "the volume is open to be read only").context("id", &self.id)
        })
    }

    /// Shares the gate where there is one.
    pub(super) fn share(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.writer.as_ref().map(Writer::share)
    }

    /// Unlinks an object that no row names; if that fails it is left to a sweep.
    pub(super) fn discard(&self, object: ObjectId) {
        if let Err(error) = self.store.unlink(object) {
            tracing::warn!(id = %self.id, error = error.report(), "an object is left to sweep");
            if let Some(writer) = &self.writer {
                writer.unflushed().strays = true;
            }
        }
    }

    /// The layer at the top, and the size.
    pub(super) fn top(&self, tx: &Transaction<'_>) -> Sql<(i64, u64)> {
        let Some(snapshot) = self.snapshot else { return head(tx, &self.id) };
        let row = tx
            .prepare_cached("SELECT layer, size FROM snapshot WHERE id = ?1")?
            .query_row([snapshot], |row| Ok((row.get(0)?, uint(row.get(1)?))))
            .optional()?;
        Ok(row.ok_or_else(|| missing("snapshot", snapshot))?)
    }

    /// Flushes and lets go; the handle is of no use afterwards, also when the flush failed.
    pub(super) fn close(&self, ctl: &Ctl) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let flushed = self.flush(ctl);
        let _gate = self.writer.as_ref().map(|w| w.gate.write().unwrap_or_else(PoisonError::into_inner));
        self.closed.store(true, Ordering::Release);
        self.let_go();
        flushed
    }

    /// Unlinks what no row names, then gives up marker and locks, in this order: until the marker is gone a sweep
    /// would do it, and it waits for the locks.
    fn let_go(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(held) = held else { return };
        if let Some(writer) = &self.writer {
            let mut unflushed = writer.unflushed();
            if unflushed.doubtful {
                return;
            }
            let strays = unflushed.strays;
            let fresh = std::mem::take(&mut unflushed.rows).into_values().flatten();
            unflushed.dirty.clear();
            drop(unflushed.replaced.drain(..));
            for object in fresh {
                if self.store.unlink(object.id).is_err() {
                    return;
                }
            }
            if strays {
                return;
            }
        }
        if let Some(marker) = &held.marker {
            let _ = self.store.root.unlink(&marker.path);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.let_go();
    }
}
