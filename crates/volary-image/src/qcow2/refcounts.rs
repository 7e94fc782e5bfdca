//! Where the refcount blocks are (`docs/interop/qcow2`, section "Host cluster management"): what they count is not looked at.

use super::header::Header;
use crate::claimed::Claimed;
use crate::metadata::Table;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const CHECK: &str = "qcow2.refcount_blocks";
const RESERVED: u64 = 0x1ff;

/// Claims every block that the refcount table names, behind all that the disk is made of.
pub(super) fn claim(header: &Header, source: &dyn ReadAt, claimed: &mut Claimed) -> Result<(), ImageError> {
    let (cluster, file) = (header.cluster_size(), source.len());
    let table = Table { at: header.refcount_offset, entry_bytes: 8, check: CHECK };
    table.visit(source, 0..header.refcount_bytes / 8, &mut |_, raw| {
        let entry = raw.first_chunk().map_or(0, |raw| u64::from_be_bytes(*raw));
        if entry & RESERVED != 0 || !entry.is_multiple_of(cluster) {
            return Err(refused(
                Reason::Malformed,
                CHECK,
                format!("a misaligned offset in entry {entry:#018x}"),
            ));
        }
        require(entry.checked_add(cluster).is_some_and(|end| end <= file), Reason::Truncated, CHECK, || {
            format!("the refcount block at {entry:#x} leaves the file")
        })?;
        claimed.claim(entry, cluster, "refcount block")
    })
}
