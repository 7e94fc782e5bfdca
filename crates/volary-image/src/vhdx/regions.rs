//! The region tables (\[MS-VHDX\] 2.2.3).
//!
//! Both tables must be valid and alike. Readers differ in which they take when they are not, and there is no sequence number to tell.

use super::{Guid, Space, crc32c, guid, guid_at, u32_at, u64_at};
use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::collections::HashSet;
use std::ops::Range;

const CHECK: &str = "vhdx.regions";
const PLACES: [u64; 2] = [192 << 10, 256 << 10];
const BYTES: usize = 64 << 10;
const MAX_ENTRIES: u32 = 2047;
const BAT: Guid = guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const METADATA: Guid = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);

/// Where the known regions are: the block allocation table, and the metadata.
pub(super) struct Regions {
    pub(super) bat: Range<u64>,
    pub(super) metadata: Range<u64>,
}

/// Reads both tables and claims every region.
pub(super) fn read(space: &mut Space<'_>, report: &mut Report) -> Result<Regions, ImageError> {
    let [first, second] = PLACES;
    let (table, copy) = (read_table(space.source, first)?, read_table(space.source, second)?);
    require(table == copy, Reason::Malformed, CHECK, || "the two region tables differ".to_owned())?;
    let entries = u32_at(&table, 8);
    require(entries <= MAX_ENTRIES, Reason::Malformed, CHECK, || {
        format!("{entries} regions, at most {MAX_ENTRIES}")
    })?;
    let (mut bat, mut metadata, mut seen) = (None, None, HashSet::new());
    for entry in table[16..].chunks_exact(32).map(Entry::new).take(entries as usize) {
        let Entry { id, at, bytes, required } = entry;
        require(seen.insert(id), Reason::Malformed, CHECK, || format!("region {id:02x?} comes twice"))?;
        require(required <= 1, Reason::Malformed, CHECK, || {
            format!("unknown flags {required:#x} of region {id:02x?}")
        })?;
        // QEMU does not mark the regions it writes as required; the flag only matters of those that are not known.
        let known = match id {
            BAT => Some(&mut bat),
            METADATA => Some(&mut metadata),
            _ => None,
        };
        require(known.is_some() || required == 0, Reason::UnknownFeature, CHECK, || {
            format!("unknown required region {id:02x?}")
        })?;
        let region = space.claim(at, bytes, "region", CHECK)?;
        known.map(|known| known.insert(region));
    }
    let (Some(bat), Some(metadata)) = (bat, metadata) else {
        return Err(refused(Reason::Malformed, CHECK, "no block allocation table, or no metadata"));
    };
    report.pass(CHECK, format_args!("{entries}, aligned, disjoint, inside the file"));
    Ok(Regions { bat, metadata })
}

struct Entry {
    id: Guid,
    at: u64,
    bytes: u64,
    required: u32,
}

impl Entry {
    fn new(raw: &[u8]) -> Self {
        Self {
            id: guid_at(raw),
            at: u64_at(raw, 16),
            bytes: u64::from(u32_at(raw, 24)),
            required: u32_at(raw, 28),
        }
    }
}

fn read_table(source: &dyn ReadAt, at: u64) -> Result<Vec<u8>, ImageError> {
    let mut table = vec![0; BYTES];
    read_meta(source, &mut table, at, CHECK)?;
    let valid = table.starts_with(b"regi") && crc32c::holds(&table);
    require(valid, Reason::Malformed, CHECK, || format!("the region table at {at:#x} is not valid"))?;
    Ok(table)
}
