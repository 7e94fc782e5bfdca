//! The metadata table and its items (\[MS-VHDX\] 2.6).

use super::{Guid, MIB, guid, guid_at, u16_at, u32_at, u64_at};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::collections::HashSet;
use std::ops::Range;

const CHECK: &str = "vhdx.metadata";
const TABLE_BYTES: usize = 64 << 10;
const MAX_ENTRIES: u16 = 2047;
const MAX_USER_ENTRIES: usize = 1024;
const MAX_SIZE: u64 = 64 << 40;

const USER: u32 = 1;
const REQUIRED: u32 = 1 << 2;
const KNOWN_FLAGS: u32 = 7;
const FIXED: u32 = 1;
const HAS_PARENT: u32 = 2;

const PARENT_LOCATOR: Guid = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
/// The items every image has, and how long they are: file parameters, virtual disk size, virtual disk id (SCSI page 83), logical and
/// physical sector size.
const ITEMS: [(Guid, u64); 5] = [
    (guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b), 8),
    (guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8), 8),
    (guid(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746), 16),
    (guid(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f), 4),
    (guid(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556), 4),
];

/// What mapping needs, all of it checked.
pub(super) struct Parameters {
    /// Log2 of the block size.
    pub(super) block_bits: u32,
    /// Log2 of how many payload blocks one sector bitmap is for.
    pub(super) chunk_bits: u32,
    /// The size of the disk.
    pub(super) size: u64,
}

/// Reads the items; the region is inside the file.
pub(super) fn read(
    source: &dyn ReadAt,
    region: &Range<u64>,
    limits: &Limits,
    report: &mut Report,
) -> Result<Parameters, ImageError> {
    let places = places(source, region)?;
    report.pass(CHECK, "items known, apart, inside their region");
    report.pass("vhdx.backing_file", "no parent locator");
    let mut items = [[0_u8; 16]; ITEMS.len()];
    for ((item, place), (_, bytes)) in items.iter_mut().zip(places).zip(ITEMS) {
        let place = place.ok_or_else(|| refused(Reason::Malformed, CHECK, "an item is missing"))?;
        read_meta(source, &mut item[..bytes as usize], region.start + place, CHECK)?;
    }
    let [parameters, size, _, logical, physical] = items;

    let (block, flags) = (u32_at(&parameters, 0), u32_at(&parameters, 4));
    require(flags & HAS_PARENT == 0, Reason::BackingFile, "vhdx.backing_file", || {
        "the image needs its parent".to_owned()
    })?;
    require(flags & !FIXED == 0, Reason::UnknownFeature, "vhdx.parameters", || {
        format!("unknown flags {flags:#x}")
    })?;
    report.pass("vhdx.parameters", if flags & FIXED == 0 { "dynamic" } else { "fixed" });
    let sized = block.is_power_of_two() && (MIB..=256 * MIB).contains(&u64::from(block));
    require(sized, Reason::Malformed, "vhdx.block_size", || {
        format!("{block} is not a power of two from 1 MiB to 256 MiB")
    })?;
    report.pass("vhdx.block_size", block);

    let (logical, physical) = (u32_at(&logical, 0), u32_at(&physical, 0));
    let known = |bytes| matches!(bytes, 512 | 4096);
    require(known(logical) && known(physical), Reason::Malformed, "vhdx.sector_size", || {
        format!("sectors of {logical} bytes, physically {physical}; 512 and 4096 are known")
    })?;
    report.pass("vhdx.sector_size", logical);
    let (size, most) = (u64_at(&size, 0), limits.max_virtual_bytes.min(MAX_SIZE));
    report.virtual_size = Some(size);
    require(size > 0 && size.is_multiple_of(u64::from(logical)), Reason::Malformed, "vhdx.size", || {
        format!("{size} bytes in sectors of {logical}")
    })?;
    require(size <= most, Reason::Limit, "vhdx.size", || {
        format!("{size} bytes, at most {most} are accepted")
    })?;
    report.pass("vhdx.size", size);

    // A sector bitmap has 2^23 bits, one a sector, so it is for 16 blocks at least.
    let (block_bits, chunk_bits) = (block.ilog2(), 23 + logical.ilog2() - block.ilog2());
    Ok(Parameters { block_bits, chunk_bits, size })
}

/// Walks the table: where in the region each of [`ITEMS`] is.
fn places(source: &dyn ReadAt, region: &Range<u64>) -> Result<[Option<u64>; ITEMS.len()], ImageError> {
    let mut table = vec![0; TABLE_BYTES];
    read_meta(source, &mut table, region.start, CHECK)?;
    let entries = u16_at(&table, 10);
    let headed = table.starts_with(b"metadata") && entries <= MAX_ENTRIES;
    require(headed, Reason::Malformed, CHECK, || {
        format!("no metadata table of at most {MAX_ENTRIES} entries")
    })?;
    let (mut found, mut seen, mut users, mut taken) = ([None; ITEMS.len()], HashSet::new(), 0, Vec::new());
    for raw in table[32..].chunks_exact(32).take(usize::from(entries)) {
        let (id, at, bytes) = (guid_at(raw), u64::from(u32_at(raw, 16)), u64::from(u32_at(raw, 20)));
        let flags = u32_at(raw, 24);
        let user = flags & USER != 0;
        require(id != PARENT_LOCATOR, Reason::BackingFile, "vhdx.backing_file", || {
            "the image names a parent".to_owned()
        })?;
        require(seen.insert((id, user)), Reason::Malformed, CHECK, || format!("item {id:02x?} comes twice"))?;
        require(flags & !KNOWN_FLAGS == 0, Reason::Malformed, CHECK, || {
            format!("unknown flags {flags:#x} of item {id:02x?}")
        })?;
        users += usize::from(user);
        require(users <= MAX_USER_ENTRIES, Reason::Limit, CHECK, || {
            format!("more than {MAX_USER_ENTRIES} user items")
        })?;
        // Behind the table, and an empty item nowhere.
        let placed = if bytes == 0 { at == 0 } else { at >= TABLE_BYTES as u64 && bytes <= MIB };
        require(placed, Reason::Malformed, CHECK, || format!("item {id:02x?} of {bytes} bytes at {at:#x}"))?;
        require(at + bytes <= region.end - region.start, Reason::Truncated, CHECK, || {
            format!("item {id:02x?} leaves the metadata region")
        })?;
        if bytes > 0 {
            taken.push(at..at + bytes);
        }
        match ITEMS.iter().position(|(known, _)| *known == id) {
            Some(which) => {
                // Not all readers look at the flag, so a user's item must not pass for one of these.
                require(!user && bytes == ITEMS[which].1, Reason::Malformed, CHECK, || {
                    format!("item {id:02x?} is a user's, or has {bytes} bytes")
                })?;
                found[which] = Some(at);
            }
            None => require(flags & REQUIRED == 0, Reason::UnknownFeature, CHECK, || {
                format!("unknown required item {id:02x?}")
            })?,
        }
    }
    taken.sort_by_key(|item| item.start);
    let apart = taken.is_sorted_by(|one, next| one.end <= next.start);
    require(apart, Reason::Overlap, CHECK, || "two items overlap".to_owned())?;
    Ok(found)
}
