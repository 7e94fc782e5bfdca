//! From the disk's offsets to the file's: the one reader of directories, tables and grain markers (sections "Hosted Sparse Extents" and
//! "Stream-Optimized Compressed Sparse Extents").
//!
//! Validation, extents and reading all walk through here, so an entry is never used unchecked, even when the file changes after it was
//! validated.

use super::SECTOR;
use super::header::{Header, PER_TABLE};
use crate::metadata::{Table, read_meta};
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;
use std::ops::Range;

/// A header and the file it was read from.
#[derive(Clone, Copy)]
pub(super) struct Mapping<'a> {
    pub(super) header: &'a Header,
    pub(super) source: &'a dyn ReadAt,
}

/// Bytes of a grain table.
pub(super) const TABLE_BYTES: u64 = PER_TABLE * 4;
/// A grain's marker before its stream: its first sector on the disk, and the stream's length.
const MARKER_BYTES: u64 = 12;
const TABLES: &str = "vmdk.tables";
const GRAINS: &str = "vmdk.grains";

type Visit<'a> = dyn FnMut(u64, u64) -> Result<(), ImageError> + 'a;

/// The byte offset an entry stands for.
fn offset(entry: &[u8]) -> u64 {
    entry.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)) * SECTOR)
}

impl Mapping<'_> {
    fn inside(&self, at: u64, bytes: u64, check: &'static str, what: &str) -> Result<(), ImageError> {
        require(at + bytes <= self.source.len(), Reason::Truncated, check, || {
            format!("the {what} at {at:#x} leaves the file")
        })
    }

    /// Visits the index and offset of each grain table that a range of a directory names.
    pub(super) fn tables(
        &self,
        directory: u64,
        range: Range<u64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ImageError> {
        let table = Table { at: directory, entry_bytes: 4, check: TABLES };
        table.visit(self.source, range, &mut |index, raw| {
            self.inside(offset(raw), TABLE_BYTES, TABLES, "grain table")?;
            visit(index, offset(raw))
        })
    }

    /// Visits the grains stored that a byte range of the disk touches, in rising order: the offset each begins at, and its place.
    pub(super) fn grains(&self, window: Range<u64>, visit: &mut Visit<'_>) -> Result<(), ImageError> {
        if window.is_empty() {
            return Ok(());
        }
        let header = self.header;
        let (first, last) = (window.start / header.grain, (window.end - 1) / header.grain);
        self.tables(header.directory, first / PER_TABLE..last / PER_TABLE + 1, &mut |index, at| {
            let base = index * PER_TABLE;
            let range = first.max(base) - base..last.min(base + PER_TABLE - 1) - base + 1;
            let table = Table { at, entry_bytes: 4, check: TABLES };
            table.visit(self.source, range, &mut |slot, raw| {
                let (guest, host) = ((base + slot) * header.grain, offset(raw));
                if header.zeroed && host == SECTOR {
                    return Ok(());
                }
                let least = if header.compressed { MARKER_BYTES } else { header.grain_bytes(guest) };
                self.inside(host, least, GRAINS, "grain")?;
                visit(guest, host)
            })
        })
    }

    /// The range of the file a compressed grain's stream has, by the grain's marker.
    pub(super) fn stream(&self, guest: u64, host: u64) -> Result<Range<u64>, ImageError> {
        let mut marker = [0; MARKER_BYTES as usize];
        read_meta(self.source, &mut marker, host, GRAINS)?;
        let [a, b, c, d, e, f, g, h, size @ ..] = marker;
        let sector = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        require(sector == guest / SECTOR, Reason::Malformed, GRAINS, || {
            format!("the grain at {host:#x} says it is of sector {sector}, the table {}", guest / SECTOR)
        })?;
        // What does not compress grows a little. QEMU, too, reads no more than two grains.
        let (len, most) = (u64::from(u32::from_le_bytes(size)), 2 * self.header.grain - MARKER_BYTES);
        require((1..=most).contains(&len), Reason::Malformed, GRAINS, || {
            format!("a stream of {len} bytes at {host:#x}, at most {most} are accepted")
        })?;
        let start = host + MARKER_BYTES;
        self.inside(start, len, GRAINS, "stream")?;
        Ok(start..start + len)
    }
}
