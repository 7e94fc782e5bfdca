//! The footer of a stream (section "Stream-Optimized Compressed Sparse Extents"): a marker, a copy of the header that knows where the
//! directory is, and the end-of-stream marker are the file's last three sectors.

use super::SECTOR;
use super::header::Sector;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const CHECK: &str = "vmdk.footer";
/// The marker type of a footer.
const FOOTER: u32 = 3;

/// Reads it and where it begins; refused unless it is the header but for what the end of a stream adds.
pub(super) fn read(source: &dyn ReadAt, head: &Sector) -> Result<(u64, Sector), ImageError> {
    let file = source.len();
    let at = file.checked_sub(3 * SECTOR).ok_or_else(|| {
        refused(Reason::Truncated, CHECK, format!("a file of {file} bytes does not end with a footer"))
    })?;
    let marker = Sector::read(source, at, CHECK)?;
    let footer = Sector::read(source, at + SECTOR, CHECK)?;
    let end = Sector::read(source, at + 2 * SECTOR, CHECK)?;
    // The value, size and type of each marker; a file that was cut ends with something else.
    let whole = marker.u32(8) == 0 && marker.u32(12) == FOOTER && end.0[..16] == [0; 16];
    require(whole, Reason::Truncated, CHECK, || "the file does not end with a footer".to_owned())?;
    // Magic to entries of a table, and the compression method: offsets may differ, the shape may not.
    let same = footer.0[..48] == head.0[..48] && footer.0[77..79] == head.0[77..79];
    require(same, Reason::Malformed, CHECK, || "the footer and the header disagree".to_owned())?;
    Ok((at, footer))
}
