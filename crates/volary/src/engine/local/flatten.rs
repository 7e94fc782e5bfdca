//! Flattening: the oldest own layer is filled from the parent batch by batch, each made durable before its rows are
//! put; then one transaction cuts. Until that one nothing has changed for anybody who reads, so it may stop at any
//! point and be done again.

use super::blocks::{self, Object};
use super::db::{Sql, int, uint};
use super::directory::missing;
use super::handle::{Open, Writer};
use super::ids::BLOCK_BYTES;
use super::layers::{Seen, Source, chain, sources};
use crate::{Ctl, Error, ErrorKind, Phase, Result};
use rusqlite::{OptionalExtension, Transaction};
use std::collections::BTreeSet;

/// Blocks filled at a time: other writers wait for no more than this.
const BATCH: u64 = 16;

/// Where a clone's own layers end.
struct Border {
    /// The oldest own layer.
    bottom: i64,
    /// The parent's layers as that one sees them.
    below: Vec<Seen>,
    /// How far it sees them.
    overlap: u64,
}

impl Open {
    pub(super) fn flatten(&self, ctl: &Ctl) -> Result<()> {
        let writer = self.writer()?;
        let overlap = {
            let _gate = writer.share();
            self.store.db.read(|tx| Ok(self.border(tx, writer)?.overlap))?
        };
        ctl.phase(Phase::Flatten, Some(overlap));
        let blocks = overlap.div_ceil(BLOCK_BYTES);
        let mut first = 0;
        while first < blocks {
            ctl.check("flatten")?;
            let count = BATCH.min(blocks - first);
            self.fill(writer, first, count, ctl)?;
            let end = ((first + count) * BLOCK_BYTES).min(overlap);
            ctl.advance(end - first * BLOCK_BYTES);
            first += count;
        }
        let _gate = writer.alone()?;
        self.usable()?;
        self.store.db.write(|tx| {
            let border = self.border(tx, writer)?;
            tx.execute("UPDATE layer SET parent = NULL, overlap = 0 WHERE id = ?1", [border.bottom])?;
            tx.execute("UPDATE volume SET parent = NULL WHERE id = ?1", [self.id.as_str()])?;
            Ok(())
        })
    }

    /// Looked up anew each time the gate was open, since folding moves it.
    fn border(&self, tx: &Transaction<'_>, writer: &Writer) -> Sql<Border> {
        let parent: Option<i64> = tx
            .query_row("SELECT parent FROM volume WHERE id = ?1", [self.id.as_str()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| missing("volume", &self.id))?;
        let head = writer.unflushed().head;
        let own = chain(tx, head)?.into_iter().rfind(|seen| seen.own);
        let (Some(_), Some(bottom)) = (parent, own) else {
            return Err(Error::new(ErrorKind::Usage, "the volume has no parent")
                .context("id", &self.id)
                .into());
        };
        // As seen from the bottom itself, for snapshots may see further than the head.
        let below = chain(tx, bottom.layer)?.split_off(1);
        Ok(Border { bottom: bottom.layer, overlap: below.first().map_or(0, |seen| seen.limit), below })
    }

    fn fill(&self, writer: &Writer, first: u64, count: u64, ctl: &Ctl) -> Result<()> {
        let _gate = writer.alone()?;
        self.usable()?;
        // A row that waits would replace the one put here, and nobody would know the object it had.
        self.flush_alone(writer, ctl)?;
        let (bottom, found) = self.store.db.read(|tx| {
            let border = self.border(tx, writer)?;
            let mut found: Vec<Option<Source>> = sources(tx, &border.below, first, count)
                .map_err(|fault| self.named(fault))?
                .into_iter()
                .map(Some)
                .collect();
            let mut rows =
                tx.prepare_cached("SELECT idx FROM blocks WHERE layer = ?1 AND idx >= ?2 AND idx < ?3")?;
            let mut rows = rows.query((border.bottom, int(first), int(first + count)))?;
            while let Some(row) = rows.next()? {
                if let Some(slot) = found.get_mut((uint(row.get(0)?) - first) as usize) {
                    *slot = None;
                }
            }
            Ok((border.bottom, found))
        })?;
        let mut made: Vec<(u64, Object)> = Vec::new();
        let filled = self.copy_in(writer, first, &found, &mut made, ctl).and_then(|()| {
            self.store.db.write(|tx| {
                for (index, object) in &made {
                    blocks::put(tx, bottom, *index, Some(object))?;
                }
                Ok(())
            })
        });
        if let Err(error) = &filled {
            // Whether the rows are there is not sure: the sweep will tell whose the objects are.
            writer.doubt(error);
        }
        filled
    }

    fn copy_in(
        &self,
        writer: &Writer,
        first: u64,
        found: &[Option<Source>],
        made: &mut Vec<(u64, Object)>,
        ctl: &Ctl,
    ) -> Result<()> {
        let mut dirty = Vec::new();
        for (index, source) in (first..).zip(found) {
            if let Some(source @ Source::Object { .. }) = source {
                let (object, file) = self.copied_object(index, *source, BLOCK_BYTES)?;
                made.push((index, object));
                dirty.push((object.id, file));
                ctl.touch();
            }
        }
        self.sync_objects(writer, dirty, ctl)?;
        let dirs: BTreeSet<u8> = made.iter().map(|(_, object)| object.id.dir()).collect();
        dirs.into_iter().try_for_each(|dir| self.store.sync_object_dir(dir))
    }
}
