//! Flushing: objects, then their names, then one transaction that puts the rows and makes garbage of what they
//! replaced, then unlinking that.
//!
//! A power cut before the transaction leaves the old rows, whose objects are all still there; one after it leaves the
//! new rows, whose objects are durable. Files that no row names are the sweep's, as the writer's marker stays.

use super::blocks;
use super::directory::now;
use super::files::ObjectFile;
use super::handle::{Open, Writer};
use super::ids::ObjectId;
use crate::{Ctl, Result, VolumeId};
use rusqlite::{Transaction, params};
use std::sync::{Arc, Mutex, PoisonError};

/// Enough to keep a disk's queue filled.
const SYNC_THREADS: usize = 8;

impl Open {
    /// Makes what was written durable; does nothing on a handle that only reads.
    pub(super) fn flush(&self, ctl: &Ctl) -> Result<()> {
        self.usable()?;
        let Some(writer) = &self.writer else { return Ok(()) };
        {
            // The long part, while others write on.
            let _gate = writer.share();
            writer.unflushed().sound()?;
            self.sync_dirty(writer, ctl)?;
        }
        let _gate = writer.alone()?;
        self.usable()?;
        self.flush_alone(writer, ctl)
    }

    /// The same when the caller has the gate alone. Where nothing was written the database is left alone too.
    pub(super) fn flush_alone(&self, writer: &Writer, ctl: &Ctl) -> Result<()> {
        if writer.unflushed().is_empty() {
            return Ok(());
        }
        self.flush_with(writer, ctl, |_| Ok(()))
    }

    /// Flushes, and does something more in the same transaction.
    pub(super) fn flush_with(
        &self,
        writer: &Writer,
        ctl: &Ctl,
        more: impl FnOnce(&Transaction<'_>) -> super::db::Sql<()>,
    ) -> Result<()> {
        self.sync_dirty(writer, ctl)?;
        let dirs = std::mem::take(&mut writer.unflushed().dirs);
        in_parallel(dirs.into_iter().collect(), |dir| {
            self.store.sync_object_dir(dir)?;
            ctl.touch();
            Ok(())
        })
        .inspect_err(|error| writer.poison(error))?;
        let (head, changed, rows, grown, replaced) = {
            let mut unflushed = writer.unflushed();
            let replaced = std::mem::take(&mut unflushed.replaced);
            let (rows, grown) = (std::mem::take(&mut unflushed.rows), std::mem::take(&mut unflushed.grown));
            (unflushed.head, unflushed.changed, rows, grown, replaced)
        };
        let put = self.store.db.write_or(
            |error| writer.doubt(error),
            |tx| {
                for (index, object) in &grown {
                    blocks::put(tx, head, *index, Some(object))?;
                }
                for (index, object) in &rows {
                    blocks::put(tx, head, *index, object.as_ref())?;
                }
                let mut garbage = tx.prepare_cached("INSERT OR IGNORE INTO garbage VALUES (?1)")?;
                for object in &replaced {
                    garbage.execute([object])?;
                }
                if changed {
                    touch_modified(tx, &self.id)?;
                }
                more(tx)
            },
        );
        if let Err(error) = put {
            writer.poison(&error);
            // They are still to be unlinked when the handle ends.
            writer.unflushed().rows = rows;
            return Err(error);
        }
        writer.unflushed().changed = false;
        if !replaced.is_empty() {
            self.store.collect_garbage_or_warn(ctl);
        }
        ctl.touch();
        Ok(())
    }

    fn sync_dirty(&self, writer: &Writer, ctl: &Ctl) -> Result<()> {
        let dirty = std::mem::take(&mut writer.unflushed().dirty);
        self.sync_objects(writer, dirty.into_iter().collect(), ctl)
    }

    /// Syncs objects on a few threads.
    pub(super) fn sync_objects(
        &self,
        writer: &Writer,
        objects: Vec<(ObjectId, Arc<dyn ObjectFile>)>,
        ctl: &Ctl,
    ) -> Result<()> {
        in_parallel(objects, |(object, file)| {
            self.sync_object(writer, object, &*file)?;
            ctl.touch();
            Ok(())
        })
    }
}

/// Records that a volume's data changed: never the same time twice.
pub(super) fn touch_modified(tx: &Transaction<'_>, id: &VolumeId) -> super::db::Sql<()> {
    tx.execute(
        "UPDATE volume SET modified = max(?2, modified + 1) WHERE id = ?1",
        params![id.as_str(), now()],
    )?;
    Ok(())
}

pub(super) fn in_parallel<T: Send>(items: Vec<T>, each: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    if items.len() <= 1 {
        return items.into_iter().try_for_each(each);
    }
    let threads = items.len().min(SYNC_THREADS);
    let queue = Mutex::new(items.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let work = || {
            while let Some(item) = next() {
                each(item)?;
            }
            Ok(())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut result = Ok(());
        for thread in running {
            let ended = thread.join().unwrap_or_else(|_| {
                Err(crate::Error::new(crate::ErrorKind::Internal, "a thread that syncs failed"))
            });
            result = result.and(ended);
        }
        result
    })
}
