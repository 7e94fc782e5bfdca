//! Compressed grains: one zlib stream each (section "Stream-Optimized Compressed Sparse Extents"; RFC 1950 in what everybody writes).
//!
//! The output is a buffer of exactly one grain, so memory does not depend on the stream.

use crate::refusal::{ImageError, Reason, refused, require};
use flate2::{Decompress, FlushDecompress, Status};

const CHECK: &str = "vmdk.compressed";

/// Decoder state that is worth keeping between the grains of one read.
#[derive(Default)]
pub(super) struct Decoder(Option<Decompress>);

impl Decoder {
    /// Decompresses a whole grain, or the `least` bytes the disk has of its last one: some writers end it there.
    pub(super) fn decode(&mut self, from: &[u8], to: &mut [u8], least: usize) -> Result<(), ImageError> {
        let state = self.0.get_or_insert_with(|| Decompress::new(true));
        state.reset(true);
        let status = state
            .decompress(from, to, FlushDecompress::Finish)
            .map_err(|error| refused(Reason::Malformed, CHECK, error))?;
        let out = usize::try_from(state.total_out()).unwrap_or(usize::MAX);
        let whole = status == Status::StreamEnd && (out == to.len() || out == least);
        require(whole, Reason::Malformed, CHECK, || {
            format!("the stream does not end with its grain, {out} bytes out")
        })?;
        to[out..].fill(0);
        Ok(())
    }
}
