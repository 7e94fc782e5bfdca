//! Writing: a block that the head owns in place; any other becomes a new object, whose row waits for the flush.

use super::files::ObjectFile;
use super::flush::touch_modified;
use super::handle::{Open, Unflushed, Writer};
use super::ids::{BLOCK_BYTES, ObjectId};
use super::layers::Source;
use super::read::{Piece, pieces, within};
use crate::{Ctl, Result};
use bytes::Bytes;
use rusqlite::OptionalExtension;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows are flushed unasked when so many wait: they are kept in memory, 16 GiB of new blocks at most.
const MAX_ROWS: usize = 4096;
/// Objects with unsynced bytes stay open, so that no failed writeback goes unnoticed. So many at most; then who
/// writes the next one syncs one, which starts writing back early and keeps descriptors bounded.
const MAX_DIRTY: usize = 48;
/// Runs of zeros at least so long are left out when a block is copied.
const COPY_BYTES: usize = 64 << 10;

/// What the head has for a block.
enum Found {
    /// An object of its own.
    Own(ObjectId),
    /// What shows through, or zeros.
    Seen(Source),
}

impl Open {
    pub(super) fn write(&self, offset: u64, data: &Bytes, ctl: &Ctl) -> Result<()> {
        self.change(offset, data.len() as u64, ctl, |writer, piece| {
            let part = &data[piece.at as usize..(piece.at + piece.len) as usize];
            self.write_piece(writer, piece, part)
        })
    }

    pub(super) fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()> {
        self.change(offset, len, ctl, |writer, piece| self.zero_piece(writer, piece))
    }

    /// Goes through a range block by block, flushing when too much waits.
    fn change(
        &self,
        offset: u64,
        len: u64,
        ctl: &Ctl,
        each: impl Fn(&Writer, Piece) -> Result<()>,
    ) -> Result<()> {
        let writer = self.writer()?;
        within(offset, len, writer.unflushed().size)?;
        for piece in pieces(offset, len) {
            ctl.check("write")?;
            let full = {
                let _gate = writer.share();
                self.usable()?;
                let size = {
                    let unflushed = writer.unflushed();
                    unflushed.sound()?;
                    unflushed.size
                };
                // Another task may have shrunk the volume since.
                within(offset + piece.at, piece.len, size)?;
                let stripe = writer.stripe(piece.index);
                each(writer, piece)?;
                drop(stripe);
                self.sync_one(writer)?;
                ctl.touch();
                writer.unflushed().rows.len() >= MAX_ROWS
            };
            if full {
                self.flush(ctl)?;
            }
        }
        Ok(())
    }

    fn look_up(&self, writer: &Writer, index: u64) -> Result<Found> {
        let (head, row) = {
            let unflushed = writer.unflushed();
            (unflushed.head, unflushed.rows.get(&index).copied())
        };
        if let Some(row) = row {
            return Ok(row.map_or(Found::Seen(Source::Zeros), Found::Own));
        }
        self.store.db.read(|tx| {
            let own: Option<Option<ObjectId>> = tx
                .prepare_cached("SELECT object FROM block WHERE layer = ?1 AND idx = ?2")?
                .query_row((head, super::db::int(index)), |row| row.get(0))
                .optional()?;
            Ok(match own {
                Some(Some(object)) => Found::Own(object),
                Some(None) => Found::Seen(Source::Zeros),
                None => {
                    let below = self.sources(tx, head, index, 1)?;
                    Found::Seen(below.first().copied().unwrap_or(Source::Zeros))
                }
            })
        })
    }

    /// The bytes of a block that are inside the volume.
    fn inside(writer: &Writer, index: u64) -> u64 {
        writer.unflushed().size.saturating_sub(index.saturating_mul(BLOCK_BYTES)).min(BLOCK_BYTES)
    }

    fn write_piece(&self, writer: &Writer, piece: Piece, data: &[u8]) -> Result<()> {
        match self.look_up(writer, piece.index)? {
            Found::Own(object) => self.in_place(writer, object, |file| file.write_at(data, piece.within)),
            Found::Seen(below) => {
                let whole = piece.within == 0 && piece.len >= Self::inside(writer, piece.index);
                let below = if whole { Source::Zeros } else { below };
                self.new_object(writer, piece.index, below, BLOCK_BYTES, |file| {
                    file.write_at(data, piece.within)
                })
            }
        }
    }

    fn zero_piece(&self, writer: &Writer, piece: Piece) -> Result<()> {
        let found = self.look_up(writer, piece.index)?;
        let whole = piece.within == 0 && piece.len >= Self::inside(writer, piece.index);
        match found {
            Found::Seen(Source::Zeros) => Ok(()),
            Found::Seen(_) if whole => {
                self.put_row(writer, piece.index, None, None);
                Ok(())
            }
            Found::Own(object) if whole => {
                self.put_row(writer, piece.index, None, Some(object));
                Ok(())
            }
            Found::Own(object) => self.in_place(writer, object, |file| file.zero_at(piece.within, piece.len)),
            Found::Seen(below) => self.new_object(writer, piece.index, below, BLOCK_BYTES, |file| {
                file.zero_at(piece.within, piece.len)
            }),
        }
    }

    fn in_place(
        &self,
        writer: &Writer,
        object: ObjectId,
        change: impl FnOnce(&dyn ObjectFile) -> std::io::Result<()>,
    ) -> Result<()> {
        self.announce(writer)?;
        let open = writer.unflushed().dirty.get(&object).cloned();
        let file: Arc<dyn ObjectFile> = match open {
            Some(file) => file,
            None => {
                let opened = self.store.files.open(&self.store.object_path(object), true);
                opened.map_err(|e| self.failed("opening an object", object, e))?.into()
            }
        };
        let done = change(&*file);
        // Afterwards: a flush that ran meanwhile may have synced the object before these bytes were in it. Also
        // what a failing write has changed must be synced.
        let mut unflushed = writer.unflushed();
        unflushed.dirty.insert(object, file);
        unflushed.changed = true;
        drop(unflushed);
        done.map_err(|e| self.failed("writing an object", object, e))
    }

    /// Notes that the data changes, once for a handle, before its first write in place: others read that at once, and it stays after a
    /// crash, where new objects are seen with the flush that notes it too. Records of the content are made by whoever writes, so
    /// that none can be newer.
    fn announce(&self, writer: &Writer) -> Result<()> {
        if !writer.announced.load(Ordering::Acquire) {
            self.store.db.write(|tx| touch_modified(tx, &self.id))?;
            writer.announced.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Makes a block a new object: the first `keep` bytes of what is there now, and a change to it.
    pub(super) fn new_object(
        &self,
        writer: &Writer,
        index: u64,
        below: Source,
        keep: u64,
        change: impl FnOnce(&dyn ObjectFile) -> std::io::Result<()>,
    ) -> Result<()> {
        let (object, file) = self.copied_object(below, keep)?;
        if let Err(error) = change(&*file) {
            self.discard(object);
            return Err(self.failed("writing an object", object, error));
        }
        let mut unflushed = writer.unflushed();
        unflushed.dirty.insert(object, file);
        unflushed.dirs.insert(object.dir());
        drop(unflushed);
        self.put_row(writer, index, Some(object), None);
        Ok(())
    }

    /// A new object with the first `keep` bytes of a block; neither its bytes nor its name are durable yet.
    pub(super) fn copied_object(&self, from: Source, keep: u64) -> Result<(ObjectId, Arc<dyn ObjectFile>)> {
        let object = ObjectId::random()?;
        let files = &self.store.files;
        let file = files
            .create(&self.store.object_path(object))
            .map_err(|e| self.failed("making an object", object, e))?;
        let copy = || -> std::io::Result<()> {
            let Source::Object { object, visible, .. } = from else { return Ok(()) };
            let from = files.open(&self.store.object_path(object), false)?;
            let mut buffer = vec![0; visible.min(keep) as usize];
            from.read_at(&mut buffer, 0)?;
            for (at, part) in buffer.chunks(COPY_BYTES).enumerate() {
                if part.iter().any(|byte| *byte != 0) {
                    file.write_at(part, (at * COPY_BYTES) as u64)?;
                }
            }
            Ok(())
        };
        match copy() {
            Ok(()) => Ok((object, file.into())),
            Err(error) => {
                self.discard(object);
                Err(self.failed("copying an object", object, error))
            }
        }
    }

    /// Lets a row wait for the flush. What it replaces is unlinked then, or now if no row in the database names it.
    pub(super) fn put_row(
        &self,
        writer: &Writer,
        index: u64,
        row: Option<ObjectId>,
        replaces: Option<ObjectId>,
    ) {
        let mut unflushed = writer.unflushed();
        let Unflushed { rows, dirty, replaced, changed, .. } = &mut *unflushed;
        *changed = true;
        let fresh = rows.insert(index, row).flatten();
        for object in fresh.into_iter().chain(replaces) {
            dirty.remove(&object);
        }
        replaced.extend(replaces.filter(|object| Some(*object) != fresh));
        drop(unflushed);
        if let Some(object) = fresh {
            self.discard(object);
        }
    }

    fn sync_one(&self, writer: &Writer) -> Result<()> {
        let mut unflushed = writer.unflushed();
        if unflushed.dirty.len() <= MAX_DIRTY {
            return Ok(());
        }
        let Some((object, file)) = unflushed.dirty.pop_first() else { return Ok(()) };
        drop(unflushed);
        self.sync_object(writer, object, &*file)
    }

    /// Syncs an object; a failure poisons the handle, as the kernel may have dropped the bytes.
    pub(super) fn sync_object(&self, writer: &Writer, object: ObjectId, file: &dyn ObjectFile) -> Result<()> {
        file.sync().map_err(|e| {
            let error = self.failed("syncing an object", object, e);
            writer.poison(&error);
            error
        })
    }
}
