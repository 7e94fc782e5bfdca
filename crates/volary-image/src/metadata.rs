//! Reading an image's own structures: a short read is a refusal, never zeros.

use crate::budget;
use crate::refusal::{ImageError, Reason, refused};
use crate::source::ReadAt;
use std::ops::Range;

/// What an error of the source means: a spent budget is a refusal.
pub(crate) fn read_failed(source: std::io::Error) -> ImageError {
    budget::spent(&source).unwrap_or(ImageError::Io { doing: "reading the source", source })
}

/// Fills `bytes` from `at`; refused as truncated under the name `check` when the file ends first.
pub(crate) fn read_meta(
    source: &dyn ReadAt,
    bytes: &mut [u8],
    at: u64,
    check: &'static str,
) -> Result<(), ImageError> {
    if at.checked_add(bytes.len() as u64).is_none_or(|end| end > source.len()) {
        let detail = format!("{} bytes at {at:#x} are not in the file", bytes.len());
        return Err(refused(Reason::Truncated, check, detail));
    }
    source.read_exact_at(bytes, at).map_err(read_failed)
}

/// A table of equal entries somewhere in the file.
pub(crate) struct Table {
    /// Where it starts in the file.
    pub(crate) at: u64,
    /// The bytes of one entry; they divide [`PIECE`].
    pub(crate) entry_bytes: u64,
    /// The check that names what is wrong with it.
    pub(crate) check: &'static str,
}

/// Takes an entry's index and bytes.
pub(crate) type VisitEntry<'a> = dyn FnMut(u64, &[u8]) -> Result<(), ImageError> + 'a;

/// How much of a table is in memory at once.
const PIECE: u64 = 64 << 10;

impl Table {
    /// Visits the entries of a range that are not all zero bits, in order. What lies in a hole of the file is not read, so the work
    /// follows the bytes the file really has.
    pub(crate) fn visit(
        &self,
        source: &dyn ReadAt,
        range: Range<u64>,
        visit: &mut VisitEntry<'_>,
    ) -> Result<(), ImageError> {
        self.walk(source, range, true, visit)
    }

    /// Visits every entry of a range in order, also those of zero bits and those in a hole of the file: for tables in which zero
    /// bits mean something. The caller keeps the work bounded by refusing what comes too often.
    pub(crate) fn visit_every(
        &self,
        source: &dyn ReadAt,
        range: Range<u64>,
        visit: &mut VisitEntry<'_>,
    ) -> Result<(), ImageError> {
        self.walk(source, range, false, visit)
    }

    fn walk(
        &self,
        source: &dyn ReadAt,
        range: Range<u64>,
        skip_zeros: bool,
        visit: &mut VisitEntry<'_>,
    ) -> Result<(), ImageError> {
        let (mut index, per_piece) = (range.start, PIECE / self.entry_bytes);
        let mut piece = vec![0_u8; to_usize((range.end - range.start).min(per_piece) * self.entry_bytes)];
        while index < range.end {
            let end = range.end.min(index + per_piece);
            let (start, stop) = (self.at + index * self.entry_bytes, self.at + end * self.entry_bytes);
            let hole = skip_zeros
                && stop <= source.len()
                && source.next_data(start).map_err(read_failed)?.is_none_or(|data| data.start >= stop);
            if !hole {
                let bytes = &mut piece[..to_usize(stop - start)];
                read_meta(source, bytes, start, self.check)?;
                for (slot, raw) in (index..).zip(bytes.chunks_exact(to_usize(self.entry_bytes))) {
                    if !skip_zeros || raw.iter().any(|&byte| byte != 0) {
                        visit(slot, raw)?;
                    }
                }
            }
            index = end;
        }
        Ok(())
    }
}

/// A piece of a table is at most [`PIECE`] bytes.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}
