//! Compression around a whole source: taken off into an unnamed file, one layer of it, with bounds on what comes out.

mod decoder;

use super::fetch::refused;
use super::image_error::image_error;
use super::source::ImportSource;
use super::spool::unnamed;
use super::transfer::on_thread;
use crate::digest::is_zero;
use crate::{Ctl, Error, Phase, Result};
use decoder::Wrapped;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use volary_image::{FileSource, Format, Limits, ReadAt};

/// Whatever the ratio, so much may come out.
const FREE_BYTES: u64 = 1 << 30;
/// So much is decompressed at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Zeros of a whole block of a file system are left out: the spool has a hole there.
const HOLE_BYTES: usize = 4096;

/// A source of which compression is taken off when its first bytes say that there is some: gzip, xz, zstd or bzip2, one layer.
///
/// A checksum is that of the compressed file, as lists of checksums have it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unwrap {
    /// The source as it is.
    pub source: Box<ImportSource>,
    /// The directory for the unnamed file with what was in it.
    pub spool_dir: PathBuf,
    /// The most bytes that may be in it; the largest container an image may be, unless told otherwise.
    pub max_bytes: u64,
}

impl Unwrap {
    /// Takes compression off `source`; what is in it is kept in an unnamed file in `spool_dir` meanwhile.
    pub fn new(source: ImportSource, spool_dir: impl Into<PathBuf>) -> Self {
        let max_bytes = Limits::default().max_container_bytes;
        Unwrap { source: Box::new(source), spool_dir: spool_dir.into(), max_bytes }
    }
}

/// The compression that a file's first bytes name, if the file is nothing else too.
pub(super) fn compression(file: &dyn ReadAt) -> Result<Option<Format>> {
    let seen = volary_image::detect(file).map_err(image_error)?.single();
    Ok(seen.filter(|format| ratio(*format).is_some()))
}

/// How many times as long as the file its content may be. Deflate cannot exceed 1,032; disks that are nearly empty stay under 20,000 in
/// the others.
fn ratio(format: Format) -> Option<u64> {
    match format {
        Format::Gzip => Some(1_100),
        Format::Xz | Format::Zstd | Format::Bzip2 => Some(20_000),
        _ => None,
    }
}

/// What is in a compressed file, and by what it was compressed; `None` when it is not.
pub(super) async fn unwrap(
    source: &Arc<FileSource>,
    how: &Unwrap,
    ctl: &Ctl,
) -> Result<Option<(Format, FileSource)>> {
    let file = source.clone();
    let Some(format) = on_thread("detecting compression", move || compression(&*file)).await? else {
        return Ok(None);
    };
    let proportionate = source.len().saturating_mul(ratio(format).unwrap_or(1)).max(FREE_BYTES);
    let bounds = Bounds { most: how.max_bytes, proportionate };
    ctl.phase(Phase::Spool, Some(source.len()));
    // Ends the thread also when nobody waits for it any more.
    let stop = ctl.cancel_token().child_token();
    let thread_ctl = ctl.clone().cancelled_by(stop.clone());
    let _stop = stop.drop_guard();
    let (file, directory) = (source.clone(), how.spool_dir.clone());
    let work = on_thread("decompressing the source", move || {
        let spool = decompress(&file, format, &directory, &bounds, &thread_ctl)
            .map_err(|error| error.context("compression", format))?;
        FileSource::from_file(spool).map_err(image_error)
    });
    Ok(Some((format, ctl.transfer("decompress", work).await?)))
}

/// What may come out.
struct Bounds {
    most: u64,
    proportionate: u64,
}

impl Bounds {
    fn check(&self, bytes: u64) -> Result<()> {
        if bytes > self.most {
            return Err(
                refused("limit", "the decompressed file is too large").context("most_bytes", self.most)
            );
        }
        if bytes > self.proportionate {
            return Err(refused(
                "bomb",
                "the decompressed file is out of all proportion to the compressed one",
            )
            .context("most_bytes", self.proportionate)
            .hint("if it is what was meant, decompress it with another program, and import the file"));
        }
        Ok(())
    }
}

fn decompress(
    file: &Arc<FileSource>,
    format: Format,
    directory: &Path,
    bounds: &Bounds,
    ctl: &Ctl,
) -> Result<File> {
    let spool = unnamed(directory).map_err(|error| error.context("directory", directory.display()))?;
    let wrapped = Wrapped::new(file.clone(), ctl);
    let mut decoder = decoder::of(format, wrapped).map_err(failed)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0_u64;
    loop {
        ctl.check("decompress")?;
        let filled = fill(&mut *decoder, &mut piece).map_err(failed)?;
        let next = at.saturating_add(filled as u64);
        bounds.check(next)?;
        keep(&spool, &piece[..filled], at).map_err(|error| Error::io("writing the spool", error))?;
        ctl.touch();
        at = next;
        if filled < piece.len() {
            spool.set_len(at).map_err(|error| Error::io("writing the spool", error))?;
            return Ok(spool);
        }
    }
}

/// Fills the piece, or as much of it as there is.
fn fill(decoder: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match decoder.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes what is not zero.
fn keep(spool: &File, piece: &[u8], at: u64) -> io::Result<()> {
    let mut data = 0..0;
    for start in (0..piece.len()).step_by(HOLE_BYTES) {
        let end = piece.len().min(start + HOLE_BYTES);
        if is_zero(&piece[start..end]) {
            continue;
        }
        if data.end != start {
            spool.write_all_at(&piece[data.clone()], at + data.start as u64)?;
            data.start = start;
        }
        data.end = end;
    }
    spool.write_all_at(&piece[data.clone()], at + data.start as u64)
}

/// What a decoder's error means: the operation's own end, the file's, or bytes that are no such compression.
fn failed(error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(own) => return own,
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return refused("truncated", "the compressed file ends too early")
            .because(error)
            .hint("it is not all of it: fetch it again");
    }
    if decoder::wants_memory(&error) {
        return refused("limit", "decompressing takes more memory than is given").because(error);
    }
    refused("malformed", "the compressed file is damaged, or something follows it").because(error)
}
