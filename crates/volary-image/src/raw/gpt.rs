//! GUID partition tables: whether the primary header agrees with itself and with the disk (UEFI specification, section 5.3 "GUID
//! Partition Table (GPT) Disk Layout").

use crate::inspect::Report;
use crate::metadata::read_failed;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use flate2::Crc;

const HEADER: &str = "gpt.header";
const ENTRIES: &str = "gpt.entries";
/// The fields end here; what follows is reserved.
const LEAST: u64 = 92;
/// Largest entry array that is read; the usual one is of 16 KiB.
const MOST_ENTRY_BYTES: u64 = 1 << 20;
/// Largest sector a header is looked for at.
const LARGEST: usize = 4096;

/// Where the entries are and what they add up to.
struct Entries {
    at: u64,
    count: u64,
    bytes: u64,
    crc: u32,
}

/// Notes what is wrong with the table; nothing is refused for it. The signature tells the sector size, which a disk does not.
pub(super) fn look(source: &dyn ReadAt, report: &mut Report) -> Result<(), ImageError> {
    for sector in [512, LARGEST] {
        let at = sector as u64;
        let there = usize::try_from(source.len().saturating_sub(at).min(at)).unwrap_or(0);
        if there == 0 {
            continue;
        }
        // A header the file does not hold whole has zeros for the rest: that is wrong in one way or another.
        let mut header = vec![0; sector];
        source.read_exact_at(&mut header[..there], at).map_err(read_failed)?;
        if !header.starts_with(b"EFI PART") {
            continue;
        }
        match check_header(&header, source.len()) {
            Err(wrong) => report.note(HEADER, wrong),
            Ok(entries) => {
                report.pass(HEADER, format_args!("{} entries, sectors of {sector}", entries.count));
                check_entries(source, &entries, report)?;
            }
        }
    }
    Ok(())
}

/// Checks the header sector of a disk of `disk` bytes; says what is wrong.
fn check_header(header: &[u8], disk: u64) -> Result<Entries, String> {
    let u32_at = |at| u32_at(header, at);
    let u64_at = |at| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let sector = header.len() as u64;
    let length = u64::from(u32_at(12));
    if !(LEAST..=sector).contains(&length) {
        return Err(format!("a header of {length} bytes is not in {LEAST}..={sector}"));
    }
    let mut crc = Crc::new();
    crc.update(&header[..16]);
    crc.update(&[0; 4]);
    crc.update(&header[20..usize::try_from(length).unwrap_or(LARGEST)]);
    if crc.sum() != u32_at(16) {
        return Err("the header's checksum is wrong".to_owned());
    }
    if u64_at(24) != 1 {
        return Err(format!("the header says it is at sector {}, not 1", u64_at(24)));
    }
    let (backup, first, last, sectors) = (u64_at(32), u64_at(40), u64_at(48), disk / sector);
    if backup >= sectors {
        return Err(format!("the backup header at sector {backup} is not in the disk of {sectors}"));
    }
    if first > last || last >= sectors {
        return Err(format!("the usable sectors {first} to {last} are not in the disk of {sectors}"));
    }
    let (start, count, each) = (u64_at(72), u64::from(u32_at(80)), u64::from(u32_at(84)));
    if each < 128 || !each.is_power_of_two() || count == 0 {
        return Err(format!("{count} entries of {each} bytes"));
    }
    let bytes = count.saturating_mul(each);
    let at = start.saturating_mul(sector);
    if start < 2 || at.saturating_add(bytes) > disk {
        return Err(format!("{count} entries of {each} bytes at sector {start} are not in the disk"));
    }
    Ok(Entries { at, count, bytes, crc: u32_at(88) })
}

fn check_entries(source: &dyn ReadAt, entries: &Entries, report: &mut Report) -> Result<(), ImageError> {
    if entries.bytes > MOST_ENTRY_BYTES {
        report.note(ENTRIES, format_args!("{} bytes of entries are too many to check", entries.bytes));
        return Ok(());
    }
    let mut bytes = vec![0; usize::try_from(entries.bytes).unwrap_or(0)];
    source.read_exact_at(&mut bytes, entries.at).map_err(read_failed)?;
    let mut crc = Crc::new();
    crc.update(&bytes);
    if crc.sum() == entries.crc {
        report.pass(ENTRIES, "their checksum agrees");
    } else {
        report.note(ENTRIES, "their checksum is wrong");
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
