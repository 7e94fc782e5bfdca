//! Where internal snapshots keep their tables (`docs/interop/qcow2`, section "Snapshots"): their data, which they share with the disk,
//! is never read.

use super::header::Header;
use crate::claimed::Claimed;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;

const CHECK: &str = "qcow2.snapshots";
/// The fixed part of an entry; extra data, id and name follow it.
const FIXED: u64 = 40;
/// QEMU's bounds: on an entry's extra data, and on a whole table.
const MAX_EXTRA: u64 = 1024;
const MAX_TABLE: u64 = 64 << 20;
const MAX_L1_BYTES: u64 = 32 << 20;

/// Claims the table of snapshots and the L1 table of each.
pub(super) fn claim(header: &Header, source: &dyn ReadAt, claimed: &mut Claimed) -> Result<(), ImageError> {
    let (cluster, file, start) = (header.cluster_size(), source.len(), header.snapshots_offset);
    let mut at = start;
    for index in 0..header.snapshots {
        let mut entry = [0; FIXED as usize];
        read_meta(source, &mut entry, at, CHECK)?;
        let (l1, l1_bytes) = (u64::from_be_bytes(field(&entry, 0)), u64::from(u32_at(&entry, 8)) * 8);
        let extra = u64::from(u32_at(&entry, 36));
        require(extra <= MAX_EXTRA && l1_bytes <= MAX_L1_BYTES, Reason::Limit, CHECK, || {
            format!("snapshot {index} has {extra} bytes of extra data and an L1 table of {l1_bytes} bytes")
        })?;
        if l1_bytes > 0 {
            require(l1.is_multiple_of(cluster), Reason::Malformed, CHECK, || {
                format!("the L1 table of snapshot {index} at {l1:#x} is misaligned")
            })?;
            require(
                l1.checked_add(l1_bytes).is_some_and(|end| end <= file),
                Reason::Truncated,
                CHECK,
                || format!("the L1 table of snapshot {index} at {l1:#x} leaves the file"),
            )?;
            claimed.claim(l1, l1_bytes, "L1 table of a snapshot")?;
        }
        let names = u64::from(u16::from_be_bytes(field(&entry, 12)))
            + u64::from(u16::from_be_bytes(field(&entry, 14)));
        // Each entry is padded to a multiple of 8 bytes.
        at += (FIXED + extra + names).next_multiple_of(8);
        require(at - start <= MAX_TABLE, Reason::Limit, CHECK, || {
            format!("the table of snapshots is longer than {MAX_TABLE} bytes")
        })?;
        // The last entry may end where the file does, without its padding.
        require(at <= file.next_multiple_of(8), Reason::Truncated, CHECK, || {
            format!("the table of snapshots leaves the file in entry {index}")
        })?;
    }
    if header.snapshots > 0 {
        claimed.claim(start, (at - start).min(file - start), "table of snapshots")?;
    }
    Ok(())
}

fn field<const N: usize>(entry: &[u8; FIXED as usize], at: usize) -> [u8; N] {
    entry.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

fn u32_at(entry: &[u8; FIXED as usize], at: usize) -> u32 {
    u32::from_be_bytes(field(entry, at))
}
