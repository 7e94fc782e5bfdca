//! The decoders: what each accepts is what its tool accepts, streams one after the other, without what may follow them.

use crate::{Ctl, Error};
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use volary_image::{FileSource, Format, ReadAt};

/// So much is read at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// What `xz -9` needs is 65 MiB.
const XZ_MEMORY_BYTES: u64 = 128 << 20;
/// A window of 128 MiB: the most that `zstd` itself reads without being told to.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The compressed file from its start; counted, and ended with the operation.
pub(super) struct Wrapped {
    file: Arc<FileSource>,
    at: u64,
    ctl: Ctl,
}

impl Wrapped {
    pub(super) fn new(file: Arc<FileSource>, ctl: &Ctl) -> Self {
        Wrapped { file, at: 0, ctl: ctl.clone() }
    }
}

impl Read for Wrapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ctl.check("decompress").map_err(io::Error::other)?;
        let len = (self.file.len() - self.at).min(buffer.len() as u64) as usize;
        // An error of the file's own, which no decoder's is mistaken for.
        let failed = |error| io::Error::other(Error::io("reading the source", error));
        self.file.read_exact_at(&mut buffer[..len], self.at).map_err(failed)?;
        self.at += len as u64;
        self.ctl.advance(len as u64);
        Ok(len)
    }
}

/// The decoder of a compression.
pub(super) fn of(format: Format, wrapped: Wrapped) -> io::Result<Box<dyn Read>> {
    let input = BufReader::with_capacity(BUFFER_BYTES, wrapped);
    Ok(match format {
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Format::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// Whether a decoder gave up because of its bound on memory.
pub(super) fn wants_memory(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<liblzma::stream::Error>());
    // What zstd says is text only.
    matches!(cause, Some(liblzma::stream::Error::MemLimit)) || error.to_string().contains("too much memory")
}
