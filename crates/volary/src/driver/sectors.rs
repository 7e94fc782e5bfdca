//! Whole sectors: the sizes that a volume may be given, and what is said of one that somebody gave another.

use crate::{Error, ErrorKind, Result, VolumeSpec};

/// The unit in which guests read and write a disk.
pub(super) const SECTOR_BYTES: u64 = 512;

/// Refuses a size that ends within a sector: QEMU aborts when it reads the last one of such a volume.
pub(super) fn require_whole(size_bytes: u64) -> Result<()> {
    if size_bytes.is_multiple_of(SECTOR_BYTES) {
        return Ok(());
    }
    let what = "the size is no whole number of sectors of 512 bytes";
    let error = Error::new(ErrorKind::Usage, what).context("size", size_bytes);
    Err(match size_bytes.checked_next_multiple_of(SECTOR_BYTES) {
        Some(next) => error.hint(format!("the next larger one is {next}B")),
        None => error,
    })
}

/// The note on a volume that ends within a sector, with the command that makes it whole; of a snapshot there is none.
pub(super) fn notes(spec: &VolumeSpec, size_bytes: u64) -> Vec<String> {
    let next = match size_bytes.checked_next_multiple_of(SECTOR_BYTES) {
        Some(next) if next > size_bytes => next,
        _ => return Vec::new(),
    };
    let told = format!("its {size_bytes} bytes end within a sector of 512, at which QEMU aborts");
    vec![match spec.snapshot {
        None => format!("{told}: `volary resize {spec} --size {next}B` fills that up with zeros"),
        Some(_) => told,
    }]
}
