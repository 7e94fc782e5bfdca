//! Reading: rows first, then objects; an object that has gone in between is looked up again.

use super::blocks::{Object, REMEDY, of_object};
use super::db::{Fault, Sql};
use super::handle::Open;
use super::ids::{BLOCK_BYTES, ObjectId};
use super::layers::{Source, chain, sources};
use super::store::Store;
use crate::buffer::Buffer;
use crate::digest::{Leaf, is_zero};
use crate::engine::shrunk;
use crate::{Ctl, Error, ErrorKind, Result, VolumeId};
use bytes::Bytes;
use rusqlite::Transaction;
use std::io;
use std::sync::atomic::Ordering;

/// A writer in another process replaces a block at most once a flush: this often in one read is a fault.
const ATTEMPTS: usize = 100;

/// The part of one block that a range covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) index: u64,
    /// Where it starts in the block.
    pub(super) within: u64,
    /// Where it starts in the range.
    pub(super) at: u64,
    pub(super) len: u64,
}

/// Which part of an object is read.
#[derive(Clone, Copy)]
struct Part {
    /// Where it starts in the object.
    within: u64,
    /// Whether it reaches to the end of what is seen.
    whole: bool,
    /// How much of the block is seen of the object.
    visible: u64,
}

/// What came of comparing a block with the leaf of its object.
#[derive(Clone, Copy)]
pub(super) enum Compared {
    /// It was not compared.
    Not,
    /// It is right, and part of what the leaf is of.
    Within,
    /// It is right, and has this leaf itself.
    Same([u8; 32]),
}

impl Compared {
    fn leaf(self) -> Option<[u8; 32]> {
        match self {
            Compared::Same(leaf) => Some(leaf),
            Compared::Not | Compared::Within => None,
        }
    }
}

/// A range, block by block.
pub(super) fn pieces(offset: u64, len: u64) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (index, within) = ((offset + at) / BLOCK_BYTES, (offset + at) % BLOCK_BYTES);
        let piece = Piece { index, within, at, len: (len - at).min(BLOCK_BYTES - within) };
        at += piece.len;
        (piece.len > 0).then_some(piece)
    })
}

/// Refuses a range beyond the end.
pub(super) fn within(offset: u64, len: u64, size: u64) -> Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::new(ErrorKind::Usage, "the range is beyond the volume's end")
            .context("offset", offset)
            .context("len", len)
            .context("size_bytes", size)),
    }
}

impl Open {
    /// Where blocks are, with what the writer has not flushed. The gate must be shared.
    pub(super) fn sources(
        &self,
        tx: &Transaction<'_>,
        layer: i64,
        first: u64,
        count: u64,
    ) -> Sql<Vec<Source>> {
        let mut found = sources(tx, &chain(tx, layer)?, first, count).map_err(|fault| self.named(fault))?;
        if let Some(writer) = &self.writer {
            for (index, row) in writer.unflushed().rows.range(first..first.saturating_add(count)) {
                if let Some(slot) = usize::try_from(index - first).ok().and_then(|at| found.get_mut(at)) {
                    *slot = row.map_or(Source::Zeros, |object| Source::Object {
                        object,
                        visible: BLOCK_BYTES,
                        own: true,
                    });
                }
            }
        }
        Ok(found)
    }

    /// The same for reading; nothing is known of a block whose row is damaged, where that is accepted.
    pub(super) fn readable(
        &self,
        tx: &Transaction<'_>,
        layer: i64,
        first: u64,
        count: u64,
    ) -> Sql<Vec<Option<Source>>> {
        let accepted = |fault: &Fault| match fault {
            Fault::Ours(error) => self.accept_mismatch && error.kind() == ErrorKind::Mismatch,
            _ => false,
        };
        match self.sources(tx, layer, first, count) {
            Err(fault) if accepted(&fault) => {}
            found => return Ok(found?.into_iter().map(Some).collect()),
        }
        let each = |index| match self.sources(tx, layer, index, 1) {
            Err(fault) if accepted(&fault) => Ok(None),
            found => Ok(found?.first().copied()),
        };
        (first..first.saturating_add(count)).map(each).collect()
    }

    pub(super) fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        Ok(self.read_block(offset, len, ctl)?.0)
    }

    /// The same, with the leaf of what was read where that is one block, and was compared with its leaf.
    pub(super) fn read_block(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<(Bytes, Option<[u8; 32]>)> {
        self.usable()?;
        let _gate = self.share();
        self.usable()?;
        let len_bytes = len as u64;
        let (first, last) =
            (offset / BLOCK_BYTES, offset.saturating_add(len_bytes.saturating_sub(1)) / BLOCK_BYTES);
        let found = self.store.db.read(|tx| {
            let (layer, size) = self.top(tx)?;
            within(offset, len_bytes, size)?;
            Ok((size, self.readable(tx, layer, first, last - first + 1)?))
        })?;
        let (size, found) = found;
        let mut buffer = Buffer::take(len);
        let mut leaf = None;
        for (piece, source) in pieces(offset, len_bytes).zip(found) {
            ctl.check("read")?;
            let part = &mut buffer[piece.at as usize..(piece.at + piece.len) as usize];
            let end = size.min((piece.index + 1).saturating_mul(BLOCK_BYTES));
            let whole = piece.within == 0 && offset + piece.at + piece.len >= end;
            leaf = self.read_piece(piece, source, whole, part)?;
            ctl.touch();
        }
        Ok((buffer.into_bytes(), leaf.filter(|_| first == last)))
    }

    /// Reading holds a shared lock that keeps volume and snapshot from removal, so that only a head that shrinks is to be expected.
    pub(super) fn confirm(&self, size_bytes: u64) -> Result<u64> {
        self.usable()?;
        let _gate = self.share();
        let (_, size) = self.store.db.read(|tx| self.top(tx))?;
        if size < size_bytes {
            return Err(shrunk(size_bytes, size).context("id", &self.id));
        }
        Ok(self.mismatched_bytes.load(Ordering::Relaxed))
    }

    fn read_piece(
        &self,
        piece: Piece,
        mut source: Option<Source>,
        whole: bool,
        part: &mut [u8],
    ) -> Result<Option<[u8; 32]>> {
        for _ in 0..ATTEMPTS {
            let (object, visible) = match source {
                Some(Source::Object { object, visible, .. }) => (object, visible),
                Some(Source::Zeros) => {
                    part.fill(0);
                    return Ok(None);
                }
                // What a damaged row names may be another volume's.
                None => {
                    part.fill(0);
                    self.mismatched(piece.index, part.len());
                    return Ok(None);
                }
            };
            let seen = visible.saturating_sub(piece.within).min(piece.len) as usize;
            let (data, rest) = part.split_at_mut(seen);
            // What is seen of an object may end before the object does.
            let part = Part { within: piece.within, whole: whole || piece.len >= visible, visible };
            match self.store.read_part(&self.id, piece.index, &object, part, data) {
                Ok(compared) => {
                    rest.fill(0);
                    return Ok(compared.leaf());
                }
                Err(error) if error.kind() != ErrorKind::Mismatch => return Err(error),
                Err(error) => {
                    if self.still_has(&object)? {
                        if !self.accept_mismatch {
                            return Err(error);
                        }
                        self.read_as_it_is(piece, &object, data)?;
                        rest.fill(0);
                        self.mismatched(piece.index, seen);
                        return Ok(None);
                    }
                }
            }
            let again = self.store.db.read(|tx| {
                let (layer, _) = self.top(tx)?;
                self.readable(tx, layer, piece.index, 1)
            })?;
            if let Some(&now) = again.first() {
                source = now;
            }
        }
        Err(Error::new(ErrorKind::Blocked, "the block was replaced each time it was read")
            .context("id", &self.id)
            .context("block", piece.index))
    }

    /// Reads what is there of an object, zeros where nothing is.
    fn read_as_it_is(&self, piece: Piece, object: &Object, data: &mut [u8]) -> Result<()> {
        let file = self.store.files.open(&self.store.object_path(object.id), false);
        let read = match file.and_then(|file| file.read_at(data, piece.within)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            read => read.map_err(|e| self.failed("reading an object", object.id, e))?,
        };
        data[read..].fill(0);
        Ok(())
    }

    /// Counts bytes that were read although they do not match.
    fn mismatched(&self, block: u64, bytes: usize) {
        tracing::warn!(id = %self.id, block, bytes, "a block is damaged, and is read as it is");
        self.mismatched_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Says which volume was read where a row was found to be damaged.
    pub(super) fn named(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Ours(error) => Fault::Ours(error.context("id", &self.id)),
            fault => fault,
        }
    }

    /// Whether an object is still what a row, or one that waits for the flush, says of it; else whoever read it looks again.
    fn still_has(&self, object: &Object) -> Result<bool> {
        let waits = |writer: &super::handle::Writer| {
            let unflushed = writer.unflushed();
            unflushed.rows.values().flatten().any(|row| row.id == object.id)
        };
        if self.writer.as_ref().is_some_and(waits) {
            return Ok(true);
        }
        match self.store.still_has(object) {
            // Its row has been damaged since, which is read as any damage is.
            Err(error) if self.accept_mismatch && error.kind() == ErrorKind::Mismatch => Ok(true),
            still => still,
        }
    }

    /// What the file of an object did.
    pub(super) fn failed(&self, doing: &str, object: ObjectId, error: io::Error) -> Error {
        self.store.failed(&self.id, doing, object, error)
    }
}

impl Store {
    /// Whether the database still says this of an object: its leaf may have gone since, or all of it.
    pub(super) fn still_has(&self, object: &Object) -> Result<bool> {
        let now = self.db.read(|tx| of_object(tx, object.id))?;
        Ok(now.is_some_and(|(_, _, now)| now.leaf == object.leaf && now.length >= object.length))
    }

    /// Reads a part of what is seen of an object, zeros after the file's end; when that is all that is seen, the object's leaf
    /// is compared.
    ///
    /// # Errors
    /// `Mismatch` when the file is missing, shorter than it was, or does not have its leaf.
    fn read_part(
        &self,
        id: &VolumeId,
        index: u64,
        object: &Object,
        part: Part,
        data: &mut [u8],
    ) -> Result<Compared> {
        let failed = |error| self.failed(id, "reading an object", object.id, error).context("block", index);
        let file = self.files.open(&self.object_path(object.id), false).map_err(failed)?;
        let read = file.read_at(data, part.within).map_err(failed)?;
        data[read..].fill(0);
        let mut end = part.within.saturating_add(read as u64);
        let short = read < data.len();
        let too_short = |end: u64| {
            let error = self.damaged(id, index, object, "the file of a block is shorter than it was");
            error.context("length_bytes", end).context("expected_bytes", object.length)
        };
        if short && end < object.length {
            return Err(too_short(end));
        }
        let Some(expected) = object.leaf.filter(|_| part.whole && part.within == 0) else {
            return Ok(Compared::Not);
        };
        let mut leaf = Leaf::default();
        leaf.data(&data[..read]);
        let mut alone = true;
        if !short && end < BLOCK_BYTES {
            let mut rest = Buffer::take((BLOCK_BYTES - end) as usize);
            let read = file.read_at(&mut rest, end).map_err(failed)?;
            leaf.data(&rest[..read]);
            alone = is_zero(&rest[..read]);
            end += read as u64;
        }
        if end < object.length {
            // Its end, which is not seen from here, was cut after the database was copied, and the database is that copy
            // now: what is seen is there, and there is nothing to compare it with.
            return if part.visible < BLOCK_BYTES { Ok(Compared::Not) } else { Err(too_short(end)) };
        }
        match leaf.finish() {
            Some(found) if found == expected => {
                Ok(if alone { Compared::Same(expected) } else { Compared::Within })
            }
            _ => Err(self.damaged(id, index, object, "a block's bytes are not those that were written")),
        }
    }

    /// All that is seen of an object, which is a block's first `visible` bytes, and zeros after it up to a block; compared with
    /// the object's leaf where it has one.
    pub(super) fn read_whole(
        &self,
        id: &VolumeId,
        index: u64,
        object: &Object,
        visible: u64,
    ) -> Result<(Buffer, Compared)> {
        let mut object = *object;
        let part = Part { within: 0, whole: true, visible };
        loop {
            let mut bytes = Buffer::take(BLOCK_BYTES as usize);
            let (seen, rest) = bytes.split_at_mut(visible.min(BLOCK_BYTES) as usize);
            rest.fill(0);
            match self.read_part(id, index, &object, part, seen) {
                Ok(compared) => return Ok((bytes, compared)),
                Err(error) if error.kind() != ErrorKind::Mismatch || self.still_has(&object)? => {
                    return Err(error);
                }
                Err(error) => match self.db.read(|tx| of_object(tx, object.id))? {
                    // Its leaf has gone since: its end is being cut, where nobody sees it.
                    Some((_, _, now)) => object = now,
                    None => return Err(error),
                },
            }
        }
    }

    pub(super) fn damaged(&self, id: &VolumeId, index: u64, object: &Object, what: &str) -> Error {
        Error::new(ErrorKind::Mismatch, what)
            .hint(REMEDY)
            .context("id", id)
            .context("block", index)
            .context("object", self.object_path(object.id).display())
    }

    /// What the file of an object did; one that a row names and that is not there is damage.
    pub(super) fn failed(&self, id: &VolumeId, doing: &str, object: ObjectId, error: io::Error) -> Error {
        let error = if error.kind() == io::ErrorKind::NotFound {
            Error::new(ErrorKind::Mismatch, "an object of the volume is missing").hint(REMEDY).because(error)
        } else {
            Error::io(doing, error)
        };
        error.context("id", id).context("object", self.object_path(object).display())
    }
}
