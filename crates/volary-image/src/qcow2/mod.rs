//! QEMU copy-on-write, versions 2 and 3, by `docs/interop/qcow2` in QEMU's tree.
//!
//! An image that needs another file (a backing file, an external data file), a key, or a feature that is not known is refused, as is
//! every structure that breaks the specification. Refcounts are not needed to read and are not read. Internal snapshots are bounded
//! and counted, never read.

mod compressed;
mod extensions;
mod header;
mod mapping;
mod read;
mod validate;

use crate::image::Runs;
use crate::inspect::Report;
use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, refused};
use crate::source::ReadAt;
use header::Header;
use mapping::{Cluster, Mapping};

/// A validated image.
pub(crate) struct Qcow2 {
    header: Header,
}

impl Qcow2 {
    /// Checks header, extensions and the whole mapping; returns the bytes mapped to data beside it.
    pub(crate) fn open(
        source: &dyn ReadAt,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<(Self, u64), ImageError> {
        let header = Header::parse(source, limits, report)?;
        extensions::check(source, &header, report)?;
        let data = validate::validate(&header, source, limits, report)?;
        Ok((Self { header }, data))
    }

    pub(crate) fn size(&self) -> u64 {
        self.header.size
    }

    pub(crate) fn cluster_bytes(&self) -> usize {
        1 << self.header.cluster_bits
    }

    pub(crate) fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
        let (cluster, window) = (self.header.cluster_size(), runs.at..runs.end);
        let mapping = Mapping { header: &self.header, source };
        mapping.clusters(window.clone(), &mut |guest, found| {
            if let Cluster::Compressed { .. } = found {
                runs.data(guest, guest + cluster);
            }
            found.plain_runs(guest, cluster, &window, &mut |run, _| {
                runs.data(run.start, run.end);
                Ok(())
            })
        })
    }

    pub(crate) fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        read::read(&self.header, source, offset, buffer)
    }
}

fn read_failed(source: std::io::Error) -> ImageError {
    ImageError::Io { doing: "reading the source", source }
}

/// Reads metadata: a short read is a refusal, never zeros.
fn read_meta(source: &dyn ReadAt, bytes: &mut [u8], at: u64, check: &'static str) -> Result<(), ImageError> {
    if at.checked_add(bytes.len() as u64).is_none_or(|end| end > source.len()) {
        let detail = format!("{} bytes at {at:#x} are not in the file", bytes.len());
        return Err(refused(Reason::Truncated, check, detail));
    }
    source.read_exact_at(bytes, at).map_err(read_failed)
}
