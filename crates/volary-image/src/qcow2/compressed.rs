//! Compressed clusters: raw deflate, or one zstd frame (`docs/interop/qcow2`, section "Compressed Clusters").
//!
//! The output is exactly one cluster and is itself the window, so memory does not depend on the stream. A zstd frame that asks for a
//! window above the cluster size is refused before anything is allocated for it.

use super::header::Compression;
use crate::refusal::{ImageError, Reason, refused, require};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

const CHECK: &str = "qcow2.compressed";

/// Decoder state that is worth keeping between the clusters of one read.
#[derive(Default)]
pub(super) struct Decoder {
    inflate: Option<Decompress>,
    zstd: Option<DCtx<'static>>,
}

impl Decoder {
    /// Decompresses exactly one cluster; what follows the stream is padding.
    pub(super) fn decode(&mut self, kind: Compression, from: &[u8], to: &mut [u8]) -> Result<(), ImageError> {
        match kind {
            Compression::Zlib => self.inflate(from, to),
            Compression::Zstd => self.unzstd(from, to),
        }
    }

    fn inflate(&mut self, from: &[u8], to: &mut [u8]) -> Result<(), ImageError> {
        let state = self.inflate.get_or_insert_with(|| Decompress::new_with_window_bits(false, 12));
        state.reset(false);
        let status =
            state.decompress(from, to, FlushDecompress::Finish).map_err(|e| broken(e.to_string()))?;
        let whole = state.total_out() == to.len() as u64;
        require(status == Status::StreamEnd && whole, Reason::Malformed, CHECK, || {
            format!("the deflate stream does not end with its cluster, {} bytes out", state.total_out())
        })
    }

    fn unzstd(&mut self, from: &[u8], to: &mut [u8]) -> Result<(), ImageError> {
        check_window(from, to.len() as u64)?;
        let state = match &mut self.zstd {
            Some(state) => state,
            none => none.insert(DCtx::try_create().ok_or_else(|| broken("no memory for zstd".to_owned()))?),
        };
        let named = |code| broken(zstd::zstd_safe::get_error_name(code).to_owned());
        state.reset(ResetDirective::SessionOnly).map_err(named)?;
        state.set_parameter(DParameter::WindowLogMax(to.len().ilog2().max(10))).map_err(named)?;
        let size = to.len();
        let (mut input, mut output) = (InBuffer::around(from), OutBuffer::around(to));
        loop {
            let before = (input.pos(), output.pos());
            let hint = state.decompress_stream(&mut output, &mut input).map_err(named)?;
            if hint == 0 {
                break;
            }
            require((input.pos(), output.pos()) != before, Reason::Malformed, CHECK, || {
                format!("the zstd frame does not end with its cluster, {} bytes out", output.pos())
            })?;
        }
        require(output.pos() == size, Reason::Malformed, CHECK, || {
            format!("the zstd frame holds {} bytes, a cluster is {size}", output.pos())
        })
    }
}

fn broken(detail: String) -> ImageError {
    refused(Reason::Malformed, CHECK, detail)
}

/// RFC 8878, 3.1.1.1: the window is the content size of a single-segment frame, else what its descriptor says.
fn check_window(frame: &[u8], cluster: u64) -> Result<(), ImageError> {
    let [0x28, 0xb5, 0x2f, 0xfd, flags, descriptor, ..] = *frame else {
        return Err(broken("not a zstd frame".to_owned()));
    };
    let window = if flags & 0x20 != 0 {
        // The decoder holds a single segment to the output it is given.
        0
    } else {
        let base = 1_u64 << (10 + (descriptor >> 3));
        base + base / 8 * u64::from(descriptor & 7)
    };
    // 1 KiB is the smallest window zstd can name.
    require(window <= cluster.max(1024), Reason::Limit, CHECK, || {
        format!("the zstd frame asks for a window of {window} bytes, the cluster is {cluster}")
    })
}
