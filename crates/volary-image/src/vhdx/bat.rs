//! The block allocation table (\[MS-VHDX\] 2.5): the one reader of its entries.
//!
//! Validation, extents and reading all walk through here, so an entry is never used unchecked, even when the file changes after it was
//! validated. A payload block is data in state 6 alone. In states 0 to 3 its content is nothing, undefined, zero or unmapped: all read
//! as zeros, which the specification allows for each, and what offset such an entry has kept means nothing. A partial block, which only
//! differencing images have, and the reserved states refuse. The entries of sector bitmaps mean nothing without a parent and are not
//! looked at: QEMU before 8.1 leaves stray bits in them when a disk has more than one chunk.

use super::MIB;
use super::parameters::Parameters;
use crate::metadata::Table;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::ops::Range;

pub(super) const CHECK: &str = "vhdx.bat";
const ENTRY_BYTES: u64 = 8;

/// Where the table is and how its entries map the disk.
pub(super) struct Bat {
    pub(super) at: u64,
    pub(super) parameters: Parameters,
}

impl Bat {
    /// A table that its region has room for.
    pub(super) fn new(region: &Range<u64>, parameters: Parameters) -> Result<Self, ImageError> {
        let bat = Self { at: region.start, parameters };
        let (needed, room) = (bat.index(bat.last_block()) + 1, (region.end - region.start) / ENTRY_BYTES);
        require(needed <= room, Reason::Malformed, CHECK, || {
            format!("the size needs {needed} entries, the table has {room}")
        })?;
        Ok(bat)
    }

    pub(super) fn block_bytes(&self) -> u64 {
        1 << self.parameters.block_bits
    }

    fn last_block(&self) -> u64 {
        (self.parameters.size - 1) >> self.parameters.block_bits
    }

    /// The entry of a payload block: after every chunk of them comes the entry of its sector bitmap.
    fn index(&self, block: u64) -> u64 {
        block + (block >> self.parameters.chunk_bits)
    }

    /// Visits the blocks of data that a byte range of the disk touches, in rising order: the whole range of the disk each one holds, and
    /// where that is in the file.
    pub(super) fn blocks(
        &self,
        source: &dyn ReadAt,
        window: &Range<u64>,
        visit: &mut dyn FnMut(Range<u64>, u64) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        if window.is_empty() {
            return Ok(());
        }
        let Parameters { block_bits, chunk_bits, size } = self.parameters;
        let entries = self.index(window.start >> block_bits)..self.index((window.end - 1) >> block_bits) + 1;
        let chunk = (1_u64 << chunk_bits) + 1;
        let table = Table { at: self.at, entry_bytes: ENTRY_BYTES, check: CHECK };
        table.visit(source, entries, &mut |index, raw| {
            let entry = super::u64_at(raw, 0);
            if index % chunk == chunk - 1 {
                return Ok(());
            }
            let (state, host, reserved) = (entry & 7, entry & !(MIB - 1), entry & (MIB - 8));
            let malformed = |what| refused(Reason::Malformed, CHECK, format!("{what}, entry {entry:#018x}"));
            if reserved != 0 {
                return Err(malformed("reserved bits"));
            }
            match state {
                0..=3 => Ok(()),
                6 => {
                    let start = (index - index / chunk) << block_bits;
                    let guest = start..size.min(start + self.block_bytes());
                    // Where the disk ends the file may, too.
                    let end = host.checked_add(guest.end - guest.start);
                    require(end.is_some_and(|end| end <= source.len()), Reason::Truncated, CHECK, || {
                        format!("the block at {host:#x} is not in the file")
                    })?;
                    visit(guest, host)
                }
                7 => Err(malformed("a partial block, but there is no parent")),
                _ => Err(malformed("a reserved state")),
            }
        })
    }
}
