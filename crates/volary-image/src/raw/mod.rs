//! Raw content: the file is the disk. Its length comes from the descriptor, its holes from the file system.
//!
//! What is on the disk is its guest's own business, so a partition table that is broken is told in notes and never refused: an
//! operator may have cut or grown the disk, and the guest may be able to repair it. Nothing here decides how anything is read. An
//! ISO 9660 volume, which nobody repairs, must agree with itself.

mod file_system;
mod gpt;
mod iso;
mod mbr;

use crate::format::Format;
use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_failed;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

pub(crate) use file_system::is_formatted;

/// Disks have whole sectors: QEMU aborts at the end of a volume that has a part of one.
pub(crate) const SECTOR: u64 = 512;

/// Nothing is mapped: the file is the disk, or begins with it.
pub(crate) struct Raw;

/// Checks the length, which is rounded up to a whole sector, and looks at what the content says of itself.
pub(crate) fn open(
    source: &dyn ReadAt,
    format: Format,
    limits: &Limits,
    report: &mut Report,
) -> Result<Opened, ImageError> {
    let (file, most) = (source.len(), limits.max_virtual_bytes);
    require(file > 0, Reason::Truncated, "raw.size", || "the file is empty".to_owned())?;
    let size = file.checked_next_multiple_of(SECTOR).filter(|&size| size <= most).ok_or_else(|| {
        refused(Reason::Limit, "raw.size", format!("{file} bytes, at most {most} are accepted"))
    })?;
    report.virtual_size = Some(size);
    report.pass("raw.size", size);
    if size > file {
        let detail =
            format!("the file's {file} bytes end within a sector: {} of zeros follow them", size - file);
        report.note("raw.padding", detail);
    }
    match format {
        Format::Iso => iso::check(source, report)?,
        Format::Gpt => gpt::look(source, report)?,
        Format::Mbr => mbr::look(source, report)?,
        _ => {}
    }
    Ok(Opened { size, data: data_bytes(source, size)?, mapped: Box::new(Raw) })
}

/// How many of the first `size` bytes of the file are not in holes.
pub(crate) fn data_bytes(source: &dyn ReadAt, size: u64) -> Result<u64, ImageError> {
    let (mut data, mut at) = (0, 0);
    while at < size {
        let Some(range) = source.next_data(at).map_err(read_failed)? else { break };
        data += range.end.min(size).saturating_sub(range.start);
        at = range.end;
    }
    Ok(data)
}

impl Mapped for Raw {
    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
        while runs.at < runs.end {
            match source.next_data(runs.at).map_err(read_failed)? {
                Some(range) if range.start < runs.end => runs.data(range.start, range.end),
                _ => break,
            }
        }
        Ok(())
    }

    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        // A last sector that the file does not hold whole ends with zeros.
        let there = usize::try_from(source.len().saturating_sub(offset))
            .map_or(buffer.len(), |n| n.min(buffer.len()));
        let (held, padding) = buffer.split_at_mut(there);
        padding.fill(0);
        if held.is_empty() {
            return Ok(());
        }
        source.read_exact_at(held, offset).map_err(read_failed)
    }
}
