//! The bitmap before a block: which of its sectors were written (section "Block Allocation Table and Data Blocks").
//!
//! By the specification a sector without its bit is zeros, and VirtualBox reads it so; QEMU does not look at the bitmap. Writers set
//! every bit (QEMU, Hyper-V) or leave zeros in the sectors without (VirtualBox, Xen), so both readings give one disk. Of a file where
//! they would not, no byte is given out. This is looked at where the sectors are read, since it costs nothing there: the bitmap lies
//! before its block, but looking at each one first would be a seek for every block of the file.

use super::SECTOR;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;
use std::ops::Range;

const CHECK: &str = "vhd.bitmap";

/// Refuses unless every sector of `run`, a part of the block at `start` of the disk and at `host` in the file, has its bit or is zeros in
/// `buffer`, which holds the disk from `offset`.
pub(super) fn check(
    source: &dyn ReadAt,
    run: &Range<u64>,
    start: u64,
    host: u64,
    offset: u64,
    buffer: &[u8],
) -> Result<(), ImageError> {
    let sectors = (run.start - start) / SECTOR..(run.end - start).div_ceil(SECTOR);
    // The largest block has 4,096 sectors.
    let mut bitmap = [0; SECTOR as usize];
    let first = sectors.start / 8;
    let used = &mut bitmap[..to_usize(sectors.end.div_ceil(8) - first)];
    read_meta(source, used, host + first, CHECK)?;
    if used.iter().all(|&bits| bits == 0xff) {
        return Ok(());
    }
    for sector in sectors {
        if used.get(to_usize(sector / 8 - first)).is_some_and(|bits| bits << (sector % 8) & 0x80 != 0) {
            continue;
        }
        let at = start + sector * SECTOR;
        let (from, to) = (at.max(run.start) - offset, (at + SECTOR).min(run.end) - offset);
        let zeros = buffer.get(to_usize(from)..to_usize(to)).is_some_and(|part| part.iter().all(|&b| b == 0));
        require(zeros, Reason::Malformed, CHECK, || {
            format!("the sector at {at:#x} of the disk has data and no bit in its block's bitmap")
        })?;
    }
    Ok(())
}

/// At most what a buffer holds.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
