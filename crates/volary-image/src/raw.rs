//! Raw content: the file is the disk. Its length comes from the descriptor, its holes from the file system.
//!
//! An ISO 9660 file system must also agree with itself (ECMA-119, 8.4): both-endian fields equal, blocks of 2,048 bytes, the volume
//! inside the file.

use crate::format::Format;
use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_failed;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

/// Nothing is mapped: the file is the disk.
struct Raw;

/// Checks the length and what an ISO says of itself.
pub(crate) fn open(
    source: &dyn ReadAt,
    format: Format,
    limits: &Limits,
    report: &mut Report,
) -> Result<Opened, ImageError> {
    let size = source.len();
    report.virtual_size = Some(size);
    require(size > 0, Reason::Truncated, "raw.size", || "the file is empty".to_owned())?;
    let most = limits.max_virtual_bytes;
    require(size <= most, Reason::Limit, "raw.size", || {
        format!("{size} bytes, at most {most} are accepted")
    })?;
    report.pass("raw.size", size);
    if format == Format::Iso {
        check_iso(source, size)?;
        report.pass("iso.descriptor", "consistent");
    }
    let (mut data, mut at) = (0, 0);
    while let Some(range) = source.next_data(at).map_err(read_failed)? {
        data += range.end - range.start;
        at = range.end;
    }
    Ok(Opened { size, data, mapped: Box::new(Raw) })
}

fn check_iso(source: &dyn ReadAt, size: u64) -> Result<(), ImageError> {
    const CHECK: &str = "iso.descriptor";
    const SECTOR: u64 = 2048;
    let malformed = |detail: &str| refused(Reason::Malformed, CHECK, detail);
    // ECMA-119 puts the set from sector 16 on, ended by type 255; the primary one is nearly always first.
    for sector in 16..32_u64 {
        let start = sector * SECTOR;
        if start + SECTOR > size {
            return Err(refused(Reason::Truncated, CHECK, "the volume descriptors leave the file"));
        }
        let mut d = [0_u8; SECTOR as usize];
        source.read_exact_at(&mut d, start).map_err(read_failed)?;
        if &d[1..6] != b"CD001" || d[0] == 255 {
            break;
        }
        if d[0] != 1 {
            continue;
        }
        let blocks = u32::from_le_bytes([d[80], d[81], d[82], d[83]]);
        if blocks != u32::from_be_bytes([d[84], d[85], d[86], d[87]]) || (d[128], d[129]) != (d[131], d[130])
        {
            return Err(malformed("both-endian fields disagree"));
        }
        if u16::from_le_bytes([d[128], d[129]]) != 2048 {
            return Err(malformed("the block size is not 2048"));
        }
        return require(u64::from(blocks) * SECTOR <= size, Reason::Truncated, CHECK, || {
            format!("the file system has {blocks} blocks of 2048, the file {size} bytes")
        });
    }
    Err(malformed("no primary volume descriptor"))
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
        source.read_exact_at(buffer, offset).map_err(read_failed)
    }
}
