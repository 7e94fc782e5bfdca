//! The block map (`block/vdi.c`, `VDI_UNALLOCATED`, `VDI_DISCARDED` and the use of `bmap`): one little-endian number for each block
//! of the disk.
//!
//! Validation, extents and reading all walk through here, so an entry is never used unchecked, even when the file changes after it
//! was validated.

use super::header::{BLOCK, Header};
use crate::claimed::Claimed;
use crate::inspect::Report;
use crate::metadata::Table;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;
use std::ops::Range;

const CHECK: &str = "vdi.block_map";
/// From here on an entry names no block: never written, or discarded. Both read as zeros.
const DISCARDED: u32 = 0xffff_fffe;

/// Visits the allocated blocks that a byte range of the disk touches, in rising order: the offset each begins at, and its index in
/// the file.
pub(super) fn blocks(
    header: &Header,
    source: &dyn ReadAt,
    window: Range<u64>,
    visit: &mut dyn FnMut(u64, u64) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let table = Table { at: header.map_offset, entry_bytes: 4, check: CHECK };
    // An entry of zero bits is the file's first block, also in a hole of the file: none may be skipped.
    table.visit_every(source, window.start / BLOCK..window.end.div_ceil(BLOCK), &mut |index, raw| {
        let entry = raw.first_chunk().map_or(0, |raw| u32::from_le_bytes(*raw));
        if entry >= DISCARDED {
            return Ok(());
        }
        let block = u64::from(entry);
        require(block < header.allocated, Reason::Malformed, CHECK, || {
            format!("entry {index} names block {block} of {} allocated", header.allocated)
        })?;
        visit(index * BLOCK, block)
    })
}

/// The validating pass; returns the bytes mapped to data. Each block may be named once, so a map that is all zero bits, as in a hole
/// of the file, ends at its second entry, and the work follows the blocks the file really has.
pub(super) fn validate(header: &Header, source: &dyn ReadAt, report: &mut Report) -> Result<u64, ImageError> {
    let mut claimed = Claimed::new(header.allocated * BLOCK, BLOCK.trailing_zeros(), CHECK);
    let (mut data, mut named) = (0, 0);
    blocks(header, source, 0..header.size, &mut |guest, block| {
        claimed.claim(block * BLOCK, BLOCK, "block of the data area")?;
        named += 1;
        data += BLOCK.min(header.size - guest);
        Ok(())
    })?;
    require(named == header.allocated, Reason::Malformed, "vdi.blocks_allocated", || {
        format!("the header counts {}, the map names {named}", header.allocated)
    })?;
    report.pass("vdi.blocks_allocated", named);
    report.pass(CHECK, format_args!("{data} bytes of data, each block named once"));
    Ok(data)
}
