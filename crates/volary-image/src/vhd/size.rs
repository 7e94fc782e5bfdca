//! Which of the footer's two sizes the disk has (section "Hard Disk Footer Format", fields "Current Size" and "Disk Geometry", and
//! the appendix on the geometry).
//!
//! Virtual PC shows the disk the geometry makes, which the appendix rounds down by less than a cylinder; every other program the current
//! size. What is taken is what QEMU takes, and only where no reader can see another disk by more than that cylinder.

use super::footer::{Footer, Kind};
use super::{MAX_BYTES, SECTOR};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, require};

const SIZE: &str = "vhd.size";
const GEOMETRY: &str = "vhd.geometry";
/// The largest geometry says nothing about larger disks; QEMU writes it too to say that the current size counts.
const SATURATED: u64 = 65_535 * 16 * 255 * SECTOR;
/// Writers that do not look at the geometry: Hyper-V, QEMU with `force_size`, Disk2vhd, XenServer, XenConverter, Azure, VirtualBox.
const BY_CURRENT_SIZE: [&[u8]; 7] = [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0", b"vbox"];
/// Virtual PC, and QEMU in its place.
const BY_GEOMETRY: [&[u8]; 2] = [b"vpc ", b"qemu"];

/// The size of the disk.
pub(super) fn check(footer: &Footer, limits: &Limits, report: &mut Report) -> Result<u64, ImageError> {
    let (current, creator) = (footer.current_size(), &footer.bytes[28..32]);
    require(current > 0 && current.is_multiple_of(SECTOR), Reason::Malformed, SIZE, || {
        format!("{current} bytes are not whole sectors, at least one")
    })?;
    let [high, low, heads, sectors] = [56, 57, 58, 59].map(|at: usize| u64::from(footer.bytes[at]));
    let (cylinders, cylinder) = (high << 8 | low, heads * sectors * SECTOR);
    let geometry = cylinders * cylinder;
    let size = if geometry == SATURATED || BY_CURRENT_SIZE.contains(&creator) {
        current
    } else {
        require(geometry.abs_diff(current) < cylinder, Reason::Malformed, GEOMETRY, || {
            let by = creator.escape_ascii();
            format!("made by '{by}': {current} bytes, but a geometry of {geometry}")
        })?;
        if BY_GEOMETRY.contains(&creator) { geometry } else { current }
    };
    // Behind its current size a fixed disk has no bytes.
    let there = size > 0 && (footer.kind == Kind::Dynamic || size <= current);
    require(there, Reason::Malformed, GEOMETRY, || {
        format!("a geometry of {geometry} bytes for a disk of {current}")
    })?;
    let most = limits.max_virtual_bytes.min(MAX_BYTES);
    require(current <= MAX_BYTES && size <= most, Reason::Limit, SIZE, || {
        format!("{} bytes, at most {most} are accepted", size.max(current))
    })?;
    report.virtual_size = Some(size);
    report.pass(SIZE, size);
    match geometry {
        _ if geometry == current => report.pass(GEOMETRY, "agrees"),
        SATURATED => report.pass(GEOMETRY, "the largest there is"),
        _ => report.note(
            GEOMETRY,
            format_args!("{geometry} bytes by the geometry, {current} by the current size; {size} are taken"),
        ),
    }
    Ok(size)
}
