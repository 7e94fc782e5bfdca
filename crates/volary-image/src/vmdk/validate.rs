//! The validating pass: the whole mapping, before anything is read or created (section "Hosted Sparse Extents").
//!
//! Every structure claims its sectors in a bitmap that is sized by the file, so time and memory follow the file's length whatever the
//! header claims. Streams begin at a sector of their own, so they claim theirs too, and add up to less than the file. A grain has its whole
//! length also where the disk ends inside it: a writer that knows the image may fill it.

use super::SECTOR;
use super::header::Header;
use super::mapping::{Mapping, TABLE_BYTES};
use crate::claimed::Claimed;
use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const CHECK: &str = "vmdk.mapping";
const REDUNDANT: &str = "vmdk.redundant";
/// The marker types of a grain table and of a directory.
const TABLE: u32 = 1;
const DIRECTORY: u32 = 2;

/// Walks everything the disk's size reaches; returns the bytes mapped to data.
pub(super) fn validate(header: &Header, source: &dyn ReadAt, report: &mut Report) -> Result<u64, ImageError> {
    let (mapping, tables) = (Mapping { header, source }, header.tables());
    let mut claimed = Claimed::new(source.len(), SECTOR.ilog2(), CHECK);
    claimed.claim(0, SECTOR, "header")?;
    claimed.claim(SECTOR, header.descriptor_bytes, "descriptor")?;
    if let Some(footer) = header.footer {
        claimed.claim(footer, 3 * SECTOR, "footer")?;
    }
    claim_marked(&mapping, header.directory, tables * 4, DIRECTORY, &mut claimed)?;
    mapping.tables(header.directory, 0..tables, &mut |_, at| {
        claim_marked(&mapping, at, TABLE_BYTES, TABLE, &mut claimed)
    })?;
    report.pass("vmdk.tables", "inside the file, each once");
    if let Some(copy) = header.redundant {
        claim_marked(&mapping, copy, tables * 4, DIRECTORY, &mut claimed)?;
        check_redundant(&mapping, copy, &mut claimed)?;
        report.pass(REDUNDANT, "maps the same");
    }

    let mut data = 0;
    mapping.grains(0..header.size, &mut |guest, host| {
        // Before a marker is read, which on another part would only be called malformed.
        let taken = host < header.overhead || claimed.is_claimed(host, SECTOR);
        require(!taken, Reason::Overlap, CHECK, || {
            format!("the grain at {host:#x} overlaps another part, or what is kept for tables")
        })?;
        data += header.grain_bytes(guest);
        let end = if header.compressed {
            mapping.stream(guest, host)?.end
        } else {
            source.len().min(host + header.grain)
        };
        claimed.claim(host, end - host, "grain")
    })?;
    report.pass("vmdk.grains", "inside the file, each once");
    report.pass(CHECK, format_args!("{data} bytes of data, nothing overlaps"));
    Ok(data)
}

/// Claims a directory or table, and in a stream the marker in the sector before it. Not all writers put one there: whoever keeps tables in
/// front has none.
fn claim_marked(
    mapping: &Mapping<'_>,
    at: u64,
    bytes: u64,
    kind: u32,
    claimed: &mut Claimed,
) -> Result<(), ImageError> {
    claimed.claim(at, bytes, if kind == TABLE { "grain table" } else { "grain directory" })?;
    if mapping.header.compressed {
        let (before, mut found) = (at.saturating_sub(SECTOR), [0; 16]);
        read_meta(mapping.source, &mut found, before, CHECK)?;
        // The sectors that follow, a size of 0, the type.
        let marker = u128::from(bytes.div_ceil(SECTOR)) | u128::from(kind) << 96;
        if u128::from_le_bytes(found) == marker {
            claimed.claim(before, SECTOR, "marker")?;
        }
    }
    Ok(())
}

/// The copy must name a table of its own wherever the directory does, with the same entries: readers may use either, and must not see two
/// different disks.
fn check_redundant(mapping: &Mapping<'_>, copy: u64, claimed: &mut Claimed) -> Result<(), ImageError> {
    let (header, source) = (mapping.header, mapping.source);
    let differs = |index: u64| {
        refused(Reason::Malformed, REDUNDANT, format!("directory entry {index} and its copy map differently"))
    };
    let mut copies = 0_u64;
    mapping.tables(copy, 0..header.tables(), &mut |_, at| {
        copies += 1;
        claim_marked(mapping, at, TABLE_BYTES, TABLE, claimed)
    })?;
    let (mut one, mut two) = ([0; TABLE_BYTES as usize], [0; TABLE_BYTES as usize]);
    mapping.tables(header.directory, 0..header.tables(), &mut |index, at| {
        let mut other = None;
        mapping.tables(copy, index..index + 1, &mut |_, at| {
            other = Some(at);
            Ok(())
        })?;
        copies = copies.checked_sub(1).ok_or_else(|| differs(index))?;
        read_meta(source, &mut one, at, REDUNDANT)?;
        read_meta(source, &mut two, other.ok_or_else(|| differs(index))?, REDUNDANT)?;
        if one == two { Ok(()) } else { Err(differs(index)) }
    })?;
    require(copies == 0, Reason::Malformed, REDUNDANT, || {
        format!("{copies} tables are named by the copy alone")
    })
}
