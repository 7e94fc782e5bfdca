//! Growing, shrinking and rolling back: one transaction, with what must be there before it made and synced before.

use super::blocks;
use super::db::int;
use super::directory::require_size;
use super::flush::touch_modified;
use super::handle::Open;
use super::ids::BLOCK_BYTES;
use super::layers::Source;
use super::opening::snapshot_row;
use super::trash::delete_layer;
use crate::{Ctl, Name, Result};
use rusqlite::{Transaction, params};

impl Open {
    pub(super) fn resize(&self, size: u64, ctl: &Ctl) -> Result<()> {
        let writer = self.writer()?;
        require_size(size)?;
        {
            let _gate = writer.alone()?;
            self.usable()?;
            let (head, old) = {
                let unflushed = writer.unflushed();
                (unflushed.head, unflushed.size)
            };
            if size < old {
                self.flush_alone(writer, ctl)?;
                // The last block is cut in a copy: until the transaction the old one must stay whole.
                let (index, keep) = (size / BLOCK_BYTES, size % BLOCK_BYTES);
                if keep > 0
                    && let Some(Some(own)) = self.store.db.read(|tx| blocks::of_layer(tx, head, index))?
                {
                    let below = Source::Object { object: own, visible: BLOCK_BYTES, own: true };
                    let (object, file) = self.copied_object(index, below, keep)?;
                    self.put_object(writer, index, object, file, Some(own.id));
                }
            }
            self.flush_with(writer, ctl, |tx| {
                if size < old {
                    blocks::discard(tx, head, size.div_ceil(BLOCK_BYTES))?;
                    tx.execute(
                        "UPDATE layer SET overlap = min(overlap, ?2) WHERE id = ?1",
                        (head, int(size)),
                    )?;
                }
                tx.execute(
                    "UPDATE volume SET size = ?2 WHERE id = ?1",
                    params![self.id.as_str(), int(size)],
                )?;
                touch_modified(tx, &self.id)
            })?;
            writer.unflushed().size = size;
        }
        self.store.collect_garbage_or_warn(ctl);
        Ok(())
    }

    pub(super) fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let writer = self.writer()?;
        {
            let _gate = writer.alone()?;
            self.usable()?;
            self.flush_alone(writer, ctl)?;
            let old = writer.unflushed().head;
            let roll = |tx: &Transaction<'_>| {
                let to = snapshot_row(tx, &self.id, snapshot)?;
                tx.execute(
                    "INSERT INTO layer(volume, parent, overlap) VALUES (?1, ?2, ?3)",
                    params![self.id.as_str(), to.layer, int(to.size)],
                )?;
                let head = tx.last_insert_rowid();
                tx.execute(
                    "UPDATE volume SET head = ?2, size = ?3 WHERE id = ?1",
                    params![self.id.as_str(), head, int(to.size)],
                )?;
                touch_modified(tx, &self.id)?;
                delete_layer(tx, old)?;
                Ok((head, to.size))
            };
            let (head, size) = self.store.db.write_or(|error| writer.doubt(error), roll)?;
            let mut unflushed = writer.unflushed();
            (unflushed.head, unflushed.size) = (head, size);
            drop(unflushed);
            // What is left to do for its space is done now, or when the volume is next opened to write.
            self.store.fold_or_warn(&self.id, ctl);
        }
        Ok(())
    }
}
