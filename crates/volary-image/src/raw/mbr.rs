//! DOS partition tables: how many partitions there are, and whether they are in the disk (UEFI specification, section 5.2.1 "Legacy
//! Master Boot Record (MBR)").
//!
//! Only the four primary entries are looked at, in sectors of 512 bytes, the smallest: a disk of larger ones is never told wrong.

use crate::inspect::Report;
use crate::metadata::read_failed;
use crate::refusal::ImageError;
use crate::source::ReadAt;

/// Notes the partitions, and those that leave the disk; nothing is refused for them.
pub(super) fn look(source: &dyn ReadAt, report: &mut Report) -> Result<(), ImageError> {
    let mut sector = [0; 512];
    source.read_exact_at(&mut sector, 0).map_err(read_failed)?;
    let sectors = source.len() / 512;
    let mut count = 0;
    let mut outside = Vec::new();
    for (number, entry) in (1..).zip(sector[446..510].chunks_exact(16)) {
        let field = |at: usize| u64::from(entry[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b)));
        let (start, len) = (field(8), field(12));
        if entry[4] == 0 || len == 0 {
            continue;
        }
        count += 1;
        if start + len > sectors {
            outside.push(format!("partition {number} ends at sector {} of {sectors}", start + len));
        }
    }
    report.note("mbr.partitions", count);
    for detail in outside {
        report.note("mbr.bounds", detail);
    }
    Ok(())
}
