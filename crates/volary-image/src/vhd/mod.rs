//! Virtual PC disks, fixed and dynamic, by Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0.
//!
//! A fixed disk is its bytes and a footer. A dynamic disk is a copy of the footer, a header, a table of blocks and the footer again;
//! each block follows a bitmap of its sectors. A differencing disk needs another file and is refused.

mod bitmap;
mod blocks;
mod footer;
mod header;
mod size;

use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::output::Output;
use crate::raw;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use footer::{Footer, Kind};
use header::Dynamic;

/// Every structure lies on whole sectors.
const SECTOR: u64 = 512;
/// What QEMU and Hyper-V take too: a table entry is a sector of 32 bits.
const MAX_BYTES: u64 = 2040 << 30;

/// Checks the footer and, of a dynamic disk, its copy, the header and the whole table.
pub(crate) fn open(source: &dyn ReadAt, limits: &Limits, report: &mut Report) -> Result<Opened, ImageError> {
    let footer = Footer::read(source, limits, report)?;
    let size = size::check(&footer, limits, report)?;
    match footer.kind {
        Kind::Fixed => {
            footer.check_fixed(source, report)?;
            Ok(Opened { size, data: raw::data_bytes(source, size)?, mapped: Box::new(raw::Raw) })
        }
        Kind::Dynamic => {
            footer.check_copy(source, report)?;
            let disk = Dynamic::read(&footer, size, source, report)?;
            let data = blocks::validate(&disk, source, report)?;
            Ok(Opened { size, data, mapped: Box::new(disk) })
        }
    }
}

impl Mapped for Dynamic {
    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
        blocks::visit(self, source, self.touched(&(runs.at..runs.end)), &mut |index, _| {
            runs.data(index * self.block, (index + 1) * self.block);
            Ok(())
        })
    }

    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let mut output = Output::new(source, offset, &mut *buffer);
        let (window, mut parts) = (output.window(), Vec::new());
        blocks::visit(self, source, self.touched(&window), &mut |index, host| {
            let start = index * self.block;
            let run = window.start.max(start)..window.end.min(start + self.block);
            parts.push((run.clone(), start, host));
            output.plain(&run, host + SECTOR + (run.start - start))
        })?;
        output.finish()?;
        parts
            .iter()
            .try_for_each(|(run, start, host)| bitmap::check(source, run, *start, *host, offset, buffer))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

/// Whether the one's complement of the sum of all bytes but the checksum's own is what stands at `at` (section "Checksum").
fn checksum_holds(bytes: &[u8], at: usize) -> bool {
    let own = at..at + 4;
    let others = bytes.iter().enumerate().filter(|(index, _)| !own.contains(index));
    // At most 1,024 bytes: the sum cannot overflow.
    let sum: u32 = others.map(|(_, &byte)| u32::from(byte)).sum();
    u32_at(bytes, at) == !sum
}
