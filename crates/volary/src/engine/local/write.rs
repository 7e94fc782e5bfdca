//! Writing: a block that the head owns and whose leaf is not known in place; any other becomes a new object, whose row
//! waits for the flush.
//!
//! A block with a leaf is copied at its first write, as a block of a parent is: that costs up to 4 MiB once, where taking
//! the leaf away first would cost a commit, and drop the checksum without having compared it.

use super::blocks::{self, Object};
use super::files::ObjectFile;
use super::flush::touch_modified;
use super::handle::{Open, Unflushed, Writer};
use super::ids::{BLOCK_BYTES, ObjectId};
use super::layers::Source;
use super::read::{Compared, Piece, pieces, within};
use crate::digest::{self, is_zero};
use crate::{Ctl, Result};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows are flushed unasked when so many wait: they are kept in memory, 16 GiB of new blocks at most.
const MAX_ROWS: usize = 4096;
/// Objects with unsynced bytes stay open, so that no failed writeback goes unnoticed. So many at most; then who
/// writes the next one syncs one, which starts writing back early and keeps descriptors bounded.
const MAX_DIRTY: usize = 48;
/// How many synced objects are remembered: those of the rows that may wait for one flush, and of the flush before it.
const MAX_SYNCED: usize = 2 * MAX_ROWS;
/// Runs of zeros at least so long are left out when a block is copied.
const COPY_BYTES: usize = 64 << 10;

/// What the head has for a block.
enum Found {
    /// An object of its own.
    Own(Object),
    /// What shows through, or zeros.
    Seen(Source),
}

impl Found {
    /// What a new object of the block begins with, and which object it replaces.
    fn below(self) -> (Source, Option<ObjectId>) {
        match self {
            Found::Own(object) => {
                (Source::Object { object, visible: BLOCK_BYTES, own: true }, Some(object.id))
            }
            Found::Seen(below) => (below, None),
        }
    }
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
            let grown = unflushed.grown.get(&index).map(|object| Some(*object));
            (unflushed.head, unflushed.rows.get(&index).copied().or(grown))
        };
        if let Some(row) = row {
            return Ok(row.map_or(Found::Seen(Source::Zeros), Found::Own));
        }
        self.store.db.read(|tx| {
            Ok(match blocks::of_layer(tx, head, index).map_err(|fault| self.named(fault))? {
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
            Found::Own(object) if object.leaf.is_none() => {
                self.in_place(writer, piece.index, object, |file| file.write_at(data, piece.within))
            }
            found => {
                let whole = piece.within == 0 && piece.len >= Self::inside(writer, piece.index);
                let (below, replaces) = found.below();
                let below = if whole { Source::Zeros } else { below };
                self.new_object(writer, piece.index, below, replaces, |file| {
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
                self.put_row(writer, piece.index, None, Some(object.id));
                Ok(())
            }
            Found::Own(object) if object.leaf.is_none() => {
                self.in_place(writer, piece.index, object, |file| file.zero_at(piece.within, piece.len))
            }
            found => {
                let (below, replaces) = found.below();
                self.new_object(writer, piece.index, below, replaces, |file| {
                    file.zero_at(piece.within, piece.len)
                })
            }
        }
    }

    fn in_place(
        &self,
        writer: &Writer,
        index: u64,
        object: Object,
        change: impl FnOnce(&dyn ObjectFile) -> std::io::Result<()>,
    ) -> Result<()> {
        self.announce(writer)?;
        let id = object.id;
        let open = writer.unflushed().dirty.get(&id).cloned();
        let file: Arc<dyn ObjectFile> = match open {
            Some(file) => file,
            None => {
                let opened = self.store.files.open(&self.store.object_path(id), true);
                let file = opened.map_err(|e| self.failed("opening an object", id, e))?;
                let length = file.length().map_err(|e| self.failed("measuring an object", id, e))?;
                if length < object.length {
                    // Writing would put zeros where the rest of its bytes were.
                    let what = "the file of a block is shorter than it was";
                    return Err(self.store.damaged(&self.id, index, &object, what));
                }
                file.into()
            }
        };
        let done = change(&*file).and_then(|()| file.length());
        // Afterwards: a flush that ran meanwhile may have synced the object before these bytes were in it. Also
        // what a failing write has changed must be synced.
        let mut unflushed = writer.unflushed();
        unflushed.dirty.insert(id, file);
        unflushed.changed = true;
        if let Ok(length) = done
            && length > object.length
        {
            let longer = Object { length, ..object };
            match unflushed.rows.get_mut(&index) {
                Some(row) => *row = Some(longer),
                None => drop(unflushed.grown.insert(index, longer)),
            }
        }
        drop(unflushed);
        done.map(drop).map_err(|e| self.failed("writing an object", id, e))
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

    /// Makes a block a new object: what is there now, and a change to it. Its leaf is not known.
    fn new_object(
        &self,
        writer: &Writer,
        index: u64,
        below: Source,
        replaces: Option<ObjectId>,
        change: impl FnOnce(&dyn ObjectFile) -> std::io::Result<()>,
    ) -> Result<()> {
        let (object, file) = self.copied_object(index, below, BLOCK_BYTES)?;
        match change(&*file).and_then(|()| file.length()) {
            Ok(length) => {
                let object = Object { length, leaf: None, ..object };
                self.put_object(writer, index, object, file, replaces);
                Ok(())
            }
            Err(error) => {
                self.discard(object.id);
                Err(self.failed("writing an object", object.id, error))
            }
        }
    }

    /// Lets the row of a new object wait for the flush, which syncs the object and its name first.
    pub(super) fn put_object(
        &self,
        writer: &Writer,
        index: u64,
        object: Object,
        file: Arc<dyn ObjectFile>,
        replaces: Option<ObjectId>,
    ) {
        let mut unflushed = writer.unflushed();
        unflushed.dirty.insert(object.id, file);
        unflushed.dirs.insert(object.id.dir());
        drop(unflushed);
        self.put_row(writer, index, Some(object), replaces);
    }

    /// A new object with the first `keep` bytes of a block; neither its bytes nor its name are durable yet. A copy of
    /// what has a leaf is compared with it, and has one too.
    pub(super) fn copied_object(
        &self,
        index: u64,
        from: Source,
        keep: u64,
    ) -> Result<(Object, Arc<dyn ObjectFile>)> {
        let (bytes, leaf) = match from {
            Source::Zeros => (None, None),
            Source::Object { object, visible, .. } => {
                let (bytes, compared) = self.store.read_whole(&self.id, index, &object, visible)?;
                let (kept, cut) = bytes.split_at(visible.min(keep).min(BLOCK_BYTES) as usize);
                let leaf = match compared {
                    Compared::Same(leaf) if is_zero(cut) => Some(leaf),
                    Compared::Same(_) | Compared::Within => digest::leaf(kept),
                    Compared::Not => None,
                };
                let kept = kept.len();
                (Some((bytes, kept)), leaf)
            }
        };
        let id = ObjectId::random()?;
        let path = self.store.object_path(id);
        let file = self.store.files.create(&path).map_err(|e| self.failed("making an object", id, e))?;
        let copy = || -> std::io::Result<u64> {
            let kept = bytes.as_ref().map_or(&[][..], |(bytes, kept)| &bytes[..*kept]);
            for (at, part) in kept.chunks(COPY_BYTES).enumerate() {
                if !is_zero(part) {
                    file.write_at(part, (at * COPY_BYTES) as u64)?;
                }
            }
            file.length()
        };
        match copy() {
            Ok(length) => Ok((Object { id, length, leaf }, file.into())),
            Err(error) => {
                self.discard(id);
                Err(self.failed("copying an object", id, error))
            }
        }
    }

    /// Lets a row wait for the flush. What it replaces is unlinked then, or now if no row in the database names it.
    pub(super) fn put_row(
        &self,
        writer: &Writer,
        index: u64,
        row: Option<Object>,
        replaces: Option<ObjectId>,
    ) {
        let mut unflushed = writer.unflushed();
        let Unflushed { rows, grown, dirty, replaced, changed, .. } = &mut *unflushed;
        *changed = true;
        grown.remove(&index);
        let fresh = rows.insert(index, row).flatten().map(|object| object.id);
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
        })?;
        let mut unflushed = writer.unflushed();
        if unflushed.synced.len() < MAX_SYNCED {
            unflushed.synced.insert(object);
        }
        Ok(())
    }
}
