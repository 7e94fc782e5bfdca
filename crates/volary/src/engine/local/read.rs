//! Reading: rows first, then objects; an object that has gone in between is looked up again.

use super::db::Sql;
use super::handle::Open;
use super::ids::{BLOCK_BYTES, ObjectId};
use super::layers::{Source, chain, sources};
use crate::buffer::Buffer;
use crate::engine::shrunk;
use crate::{Ctl, Error, ErrorKind, Result};
use bytes::Bytes;
use rusqlite::Transaction;
use std::io;

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
        let mut found = sources(tx, &chain(tx, layer)?, first, count)?;
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

    pub(super) fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        self.usable()?;
        let _gate = self.share();
        self.usable()?;
        let len_bytes = len as u64;
        let (first, last) =
            (offset / BLOCK_BYTES, offset.saturating_add(len_bytes.saturating_sub(1)) / BLOCK_BYTES);
        let found = self.store.db.read(|tx| {
            let (layer, size) = self.top(tx)?;
            within(offset, len_bytes, size)?;
            self.sources(tx, layer, first, last - first + 1)
        })?;
        let mut buffer = Buffer::take(len);
        for (piece, source) in pieces(offset, len_bytes).zip(found) {
            ctl.check("read")?;
            let part = &mut buffer[piece.at as usize..(piece.at + piece.len) as usize];
            self.read_piece(piece, source, part)?;
            ctl.touch();
        }
        Ok(buffer.into_bytes())
    }

    /// Reading holds a shared lock that keeps volume and snapshot from removal, so that only a head that shrinks is to be expected.
    pub(super) fn confirm(&self, size_bytes: u64) -> Result<u64> {
        self.usable()?;
        let _gate = self.share();
        let (_, size) = self.store.db.read(|tx| self.top(tx))?;
        if size < size_bytes {
            return Err(shrunk(size_bytes, size).context("id", &self.id));
        }
        Ok(0)
    }

    fn read_piece(&self, piece: Piece, mut source: Source, part: &mut [u8]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let Source::Object { object, visible, .. } = source else {
                part.fill(0);
                return Ok(());
            };
            let seen = visible.saturating_sub(piece.within).min(piece.len) as usize;
            let (data, rest) = part.split_at_mut(seen);
            match self.read_object(object, piece.within, data) {
                Ok(()) => {
                    rest.fill(0);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed("reading an object", object, error)),
            }
            let again = self.store.db.read(|tx| {
                let (layer, _) = self.top(tx)?;
                self.sources(tx, layer, piece.index, 1)
            })?;
            if let (Source::Object { object: gone, .. }, Some(&now)) = (source, again.first()) {
                if matches!(now, Source::Object { object, .. } if object == gone) {
                    return Err(self.failed("reading an object", gone, io::ErrorKind::NotFound.into()));
                }
                source = now;
            }
        }
        Err(Error::new(ErrorKind::Blocked, "the block was replaced each time it was read")
            .context("id", &self.id)
            .context("block", piece.index))
    }

    fn read_object(&self, object: ObjectId, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.store.files.open(&self.store.object_path(object), false)?.read_at(data, offset)
    }

    /// What the file of an object did; one that a row names and that is not there is damage.
    pub(super) fn failed(&self, doing: &str, object: ObjectId, error: io::Error) -> Error {
        let error = if error.kind() == io::ErrorKind::NotFound {
            Error::new(ErrorKind::Internal, "an object of the volume is missing")
                .hint("the store is damaged; bring the volume back from its source")
                .because(error)
        } else {
            Error::io(doing, error)
        };
        error.context("id", &self.id).context("object", self.store.object_path(object).display())
    }
}
