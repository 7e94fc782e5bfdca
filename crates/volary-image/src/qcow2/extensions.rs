//! The header extensions (`docs/interop/qcow2`, section "Header extensions").

use super::header::Header;
use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

/// Walks them: bounded, none twice, none that names another file or a key.
pub(super) fn check(source: &dyn ReadAt, header: &Header, report: &mut Report) -> Result<(), ImageError> {
    const CHECK: &str = "qcow2.extensions";
    let (mut at, end) = (header.length, header.cluster_size());
    let mut seen: Vec<u32> = Vec::new();
    while at + 8 <= end {
        let mut head = [0_u8; 8];
        read_meta(source, &mut head, at, CHECK)?;
        let kind = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let len = u64::from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
        match kind {
            0 => break,
            0x4441_5441 => {
                return Err(refused(Reason::DataFile, "qcow2.data_file", "an extension names a data file"));
            }
            0x0537_be77 => {
                return Err(refused(
                    Reason::Encrypted,
                    "qcow2.encryption",
                    "an extension holds a LUKS header",
                ));
            }
            _ => {}
        }
        at += 8 + len.next_multiple_of(8);
        require(at <= end, Reason::Malformed, CHECK, || {
            format!("extension {kind:#x} leaves the header cluster")
        })?;
        require(!seen.contains(&kind), Reason::Malformed, CHECK, || {
            format!("extension {kind:#x} comes twice")
        })?;
        require(seen.len() < 64, Reason::Limit, CHECK, || "more than 64".to_owned())?;
        seen.push(kind);
    }
    report.pass(CHECK, seen.len());
    // The check of its own name, so that a reader of the list sees it was made.
    report.pass("qcow2.data_file", "none");
    Ok(())
}
