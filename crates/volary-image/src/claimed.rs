//! Which units of the file are spoken for.

use crate::refusal::{ImageError, Reason, require};

/// One bit for each unit (cluster, sector or grain) of the file, so that time and memory follow the file's length, whatever its
/// headers claim.
pub(crate) struct Claimed {
    bits: Vec<u64>,
    unit_bits: u32,
    check: &'static str,
}

impl Claimed {
    /// Nothing claimed yet, of a file of `file` bytes in units of `1 << unit_bits`; the caller has limited the file's length.
    pub(crate) fn new(file: u64, unit_bits: u32, check: &'static str) -> Self {
        let units = file.div_ceil(1 << unit_bits);
        // Zeroed memory is the kernel's until touched.
        Self { bits: vec![0; usize::try_from(units.div_ceil(64)).unwrap_or(0)], unit_bits, check }
    }

    /// The units of a byte range, as word and bit.
    fn places(&self, at: u64, bytes: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (first, last) = (at >> self.unit_bits, (at + bytes.max(1) - 1) >> self.unit_bits);
        (first..=last).map(|n| (usize::try_from(n / 64).unwrap_or(usize::MAX), 1 << (n % 64)))
    }

    /// Whether any unit of the range is claimed, or beyond the file.
    pub(crate) fn is_claimed(&self, at: u64, bytes: u64) -> bool {
        self.places(at, bytes).any(|(word, bit)| self.bits.get(word).is_none_or(|w| w & bit != 0))
    }

    /// Claims every unit the range touches; refused as an overlap when one is taken. The range must lie inside the file.
    pub(crate) fn claim(&mut self, at: u64, bytes: u64, what: &str) -> Result<(), ImageError> {
        for (word, bit) in self.places(at, bytes) {
            let free = self.bits.get_mut(word).filter(|w| **w & bit == 0);
            let taken = free.map(|w| *w |= bit).is_some();
            require(taken, Reason::Overlap, self.check, || {
                format!("the {what} at {at:#x} overlaps another part")
            })?;
        }
        Ok(())
    }
}
