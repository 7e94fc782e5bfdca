//! ISO 9660 volumes (ECMA-119, 8 "Volume descriptors", and 9.1 for the root directory's record).
//!
//! The set of descriptors is ended by its terminator, both-endian fields agree, blocks are of 2,048 bytes, the volume is inside the
//! file and its root directory inside the volume. Boot records (El Torito) and other descriptors are left alone.

use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const CHECK: &str = "iso.descriptor";
const ROOT: &str = "iso.root_directory";
const SECTOR: usize = 2048;
/// The descriptors begin behind the system area.
const FIRST: u64 = 16;
/// Most that are looked through for the terminator; volumes have two to five.
const MOST: u64 = 16;
const PRIMARY: u8 = 1;
const TERMINATOR: u8 = 255;

fn malformed(check: &'static str, detail: &str) -> ImageError {
    refused(Reason::Malformed, check, detail)
}

/// Checks every descriptor up to the terminator.
pub(super) fn check(source: &dyn ReadAt, report: &mut Report) -> Result<(), ImageError> {
    let mut primary = false;
    for sector in FIRST..FIRST + MOST {
        let mut descriptor = [0; SECTOR];
        read_meta(source, &mut descriptor, sector * SECTOR as u64, CHECK)?;
        if &descriptor[1..6] != b"CD001" {
            break;
        }
        match descriptor[0] {
            PRIMARY => {
                let blocks = check_primary(&descriptor, source.len())?;
                check_root(&descriptor[156..190], blocks)?;
                primary = true;
            }
            TERMINATOR if primary => {
                report.pass(CHECK, "consistent");
                report.pass(ROOT, "inside the volume");
                return Ok(());
            }
            TERMINATOR => return Err(malformed(CHECK, "no primary volume descriptor")),
            _ => {}
        }
    }
    Err(malformed(CHECK, "the volume descriptors have no terminator"))
}

/// Returns the volume's blocks.
fn check_primary(d: &[u8; SECTOR], file: u64) -> Result<u64, ImageError> {
    let disagree = || malformed(CHECK, "both-endian fields disagree");
    let blocks = both_endian(&d[80..]).ok_or_else(disagree)?;
    if (d[128], d[129]) != (d[131], d[130]) {
        return Err(disagree());
    }
    if u16::from_le_bytes([d[128], d[129]]) != 2048 {
        return Err(malformed(CHECK, "the block size is not 2048"));
    }
    require(blocks * SECTOR as u64 <= file, Reason::Truncated, CHECK, || {
        format!("the file system has {blocks} blocks of 2048, the file {file} bytes")
    })?;
    Ok(blocks)
}

/// Checks the record of the root directory: a directory, with its extent behind the system area and inside the volume.
fn check_root(record: &[u8], blocks: u64) -> Result<(), ImageError> {
    const DIRECTORY: u8 = 2;
    if record[0] < 34 || record[25] & DIRECTORY == 0 {
        return Err(malformed(ROOT, "its record is not that of a directory"));
    }
    let disagree = || malformed(ROOT, "both-endian fields disagree");
    let (start, bytes) =
        (both_endian(&record[2..]).ok_or_else(disagree)?, both_endian(&record[10..]).ok_or_else(disagree)?);
    // Its extended attributes, in blocks, come before it.
    let end = start + u64::from(record[1]) + bytes.div_ceil(SECTOR as u64);
    require(bytes > 0 && start >= FIRST && end <= blocks, Reason::Malformed, ROOT, || {
        format!("{bytes} bytes from block {start} on are not in the volume's {blocks} blocks")
    })
}

/// A number stored little endian, then big endian; none when the two differ.
fn both_endian(bytes: &[u8]) -> Option<u64> {
    let (little, big) = (bytes.first_chunk()?, bytes.get(4..)?.first_chunk()?);
    let number = u32::from_le_bytes(*little);
    (number == u32::from_be_bytes(*big)).then_some(number.into())
}
