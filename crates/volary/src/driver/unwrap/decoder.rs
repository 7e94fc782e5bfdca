//! The decoders: what each accepts is what its tool accepts. Streams may follow one another, frames that say nothing are passed over,
//! and zeros may follow the last stream of gzip and bzip2, as they do on tapes; of xz liblzma takes care. Anything else that follows is
//! an error, also where a tool only warns of it.

use crate::{Ctl, Error};
use std::io::{self, BufRead, BufReader, Read};
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
        Format::Gzip => Box::new(Streams::<flate2::bufread::GzDecoder<Input>>::new(input)),
        Format::Bzip2 => Box::new(Streams::<bzip2::bufread::BzDecoder<Input>>::new(input)),
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

type Input = BufReader<Wrapped>;

/// A decoder of one stream, which gives back what follows it.
trait OneStream: Read {
    fn begin(input: Input) -> Self;
    fn end(self) -> Input;
}

impl OneStream for flate2::bufread::GzDecoder<Input> {
    fn begin(input: Input) -> Self {
        Self::new(input)
    }
    fn end(self) -> Input {
        self.into_inner()
    }
}

impl OneStream for bzip2::bufread::BzDecoder<Input> {
    fn begin(input: Input) -> Self {
        Self::new(input)
    }
    fn end(self) -> Input {
        self.into_inner()
    }
}

/// Streams one after the other, and zeros behind the last.
struct Streams<D>(Option<D>);

impl<D: OneStream> Streams<D> {
    fn new(input: Input) -> Self {
        Streams(Some(D::begin(input)))
    }
}

impl<D: OneStream> Read for Streams<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(stream) = &mut self.0 {
            let read = stream.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.0.take().map(D::end) else { break };
            if !only_zeros_follow(&mut rest)? {
                self.0 = Some(D::begin(rest));
            }
        }
        Ok(0)
    }
}

/// Whether nothing follows but zeros, which are taken then.
fn only_zeros_follow(input: &mut Input) -> io::Result<bool> {
    let mut zeros = false;
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(true);
        }
        let len = bytes.len();
        if bytes.iter().any(|&byte| byte != 0) {
            let mixed = zeros || bytes[0] == 0;
            return if mixed {
                Err(io::Error::new(io::ErrorKind::InvalidData, "something follows the zeros"))
            } else {
                Ok(false)
            };
        }
        zeros = true;
        input.consume(len);
    }
}

/// Whether a decoder gave up because of its bound on memory.
pub(super) fn wants_memory(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<liblzma::stream::Error>());
    // What zstd says is text only.
    matches!(cause, Some(liblzma::stream::Error::MemLimit)) || error.to_string().contains("too much memory")
}
