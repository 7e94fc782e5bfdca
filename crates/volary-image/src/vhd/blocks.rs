//! The table of blocks, and the pass over all of it (sections "Block Allocation Table and Data Blocks" and "Implementing a Dynamic
//! Disk").

use super::header::Dynamic;
use super::{SECTOR, u32_at};
use crate::inspect::Report;
use crate::metadata::Table;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::ops::Range;

const ENTRIES: &str = "vhd.entries";
const MAPPING: &str = "vhd.mapping";
/// The entry of a block without a place in the file.
const UNALLOCATED: u32 = u32::MAX;

/// Visits the index of each allocated block of a range, in rising order, with the place of its bitmap, behind which its data is.
pub(super) fn visit(
    disk: &Dynamic,
    source: &dyn ReadAt,
    range: Range<u64>,
    visit: &mut dyn FnMut(u64, u64) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let (file, mut seen) = (source.len(), 0);
    let table = Table { at: disk.table, entry_bytes: 4, check: ENTRIES };
    table.visit(source, range.clone(), &mut |index, raw| {
        seen += 1;
        let sector = u32_at(raw, 0);
        if sector == UNALLOCATED {
            return Ok(());
        }
        let host = u64::from(sector) * SECTOR;
        let whole = host..host + SECTOR + disk.block;
        require(whole.end <= file, Reason::Truncated, ENTRIES, || {
            format!("block {index} at {host:#x} leaves the file")
        })?;
        if let Some(part) = disk.overlapped(&whole, file) {
            return Err(refused(
                Reason::Overlap,
                ENTRIES,
                format!("block {index} at {host:#x} overlaps the {part}"),
            ));
        }
        visit(index, host)
    })?;
    // The walk skips zero bits, which here are no gap but a block in sector 0.
    require(seen == range.end - range.start, Reason::Overlap, ENTRIES, || {
        "a block in the first sector, on the footer's copy".to_owned()
    })
}

/// Checks every entry of the table, and that no two blocks share a byte; returns the bytes mapped to data.
pub(super) fn validate(disk: &Dynamic, source: &dyn ReadAt, report: &mut Report) -> Result<u64, ImageError> {
    let (mut starts, mut data) = (Starts::new(source.len(), SECTOR + disk.block), 0);
    visit(disk, source, 0..disk.entries, &mut |index, host| {
        starts.claim(index, host)?;
        data += disk.block.min(disk.size.saturating_sub(index * disk.block));
        Ok(())
    })?;
    report.pass(ENTRIES, "inside the file, off its other parts");
    report.pass(MAPPING, format_args!("{data} bytes of data, nothing overlaps"));
    Ok(data)
}

/// Where blocks start, one slot for each length of a block with its bitmap: two starts in one slot overlap, and so do starts in
/// neighbouring slots that are too near. Blocks lie on any sector, and a bit for each would take 128 times the memory.
struct Starts {
    /// The sector; 0, the footer's copy, is no block's.
    slots: Vec<u32>,
    stride: u64,
}

impl Starts {
    fn new(file: u64, stride: u64) -> Self {
        // An entry reaches no further, however long the file.
        let reach = file.min(u64::from(u32::MAX) * SECTOR);
        Self { slots: vec![0; usize::try_from(reach / stride + 1).unwrap_or(0)], stride }
    }

    fn claim(&mut self, index: u64, host: u64) -> Result<(), ImageError> {
        let slot = usize::try_from(host / self.stride).unwrap_or(usize::MAX);
        let near = slot.saturating_sub(1)..self.slots.len().min(slot.saturating_add(2));
        let free = self.slots.get(near).is_some_and(|near| {
            let mut taken = near.iter().filter(|&&sector| sector != 0);
            taken.all(|&sector| (u64::from(sector) * SECTOR).abs_diff(host) >= self.stride)
        });
        let place = self.slots.get_mut(slot).filter(|_| free);
        let claimed = place.map(|place| *place = u32::try_from(host / SECTOR).unwrap_or(u32::MAX)).is_some();
        require(claimed, Reason::Overlap, MAPPING, || format!("block {index} at {host:#x} overlaps another"))
    }
}
