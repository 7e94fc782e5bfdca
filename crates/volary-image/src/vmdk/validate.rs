//! The validating pass: the whole mapping, before anything is read or created (section "Hosted Sparse Extents").
//!
//! Every structure claims its sectors in a bitmap that is sized by the file, so time and memory follow the file's length whatever the
//! header claims. Streams begin at a sector of their own, so they claim theirs too, and add up to less than the file.

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

/// Walks everything the disk's size reaches; returns the bytes mapped to data.
pub(super) fn validate(header: &Header, source: &dyn ReadAt, report: &mut Report) -> Result<u64, ImageError> {
    let (mapping, tables) = (Mapping { header, source }, header.tables());
    let mut claimed = Claimed::new(source.len(), SECTOR.ilog2(), CHECK);
    claimed.claim(0, SECTOR, "header")?;
    claimed.claim(SECTOR, header.descriptor_bytes, "descriptor")?;
    if let Some(footer) = header.footer {
        claimed.claim(footer, 3 * SECTOR, "footer")?;
    }
    claimed.claim(header.directory, tables * 4, "grain directory")?;
    mapping
        .tables(header.directory, 0..tables, &mut |_, at| claimed.claim(at, TABLE_BYTES, "grain table"))?;
    report.pass("vmdk.tables", "inside the file, each once");
    if let Some(copy) = header.redundant {
        claimed.claim(copy, tables * 4, "redundant grain directory")?;
        check_redundant(&mapping, copy, &mut claimed)?;
        report.pass(REDUNDANT, "maps the same");
    }

    let mut data = 0;
    mapping.grains(0..header.size, &mut |guest, host| {
        let bytes = header.grain_bytes(guest);
        data += bytes;
        let end = if header.compressed { mapping.stream(guest, host)?.end } else { host + bytes };
        claimed.claim(host, end - host, "grain")
    })?;
    report.pass("vmdk.grains", "inside the file, each once");
    report.pass(CHECK, format_args!("{data} bytes of data, nothing overlaps"));
    Ok(data)
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
        claimed.claim(at, TABLE_BYTES, "redundant grain table")
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
