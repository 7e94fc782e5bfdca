//! QEMU copy-on-write, versions 2 and 3, by `docs/interop/qcow2` in QEMU's tree.
//!
//! An image that needs another file (a backing file, an external data file), a key, or a feature that is not known is refused, as is
//! every structure that breaks the specification. Refcounts are not needed to read: where their blocks are is looked at, what is in
//! them not. Internal snapshots are bounded and counted, and their data is never read.

mod compressed;
mod extensions;
mod header;
mod mapping;
mod read;
mod refcounts;
mod snapshots;
mod validate;

use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use header::Header;
use mapping::{Cluster, Mapping};

/// A validated image's header; its tables are read as they are needed.
struct Qcow2 {
    header: Header,
}

/// Checks header, extensions and the whole mapping.
pub(crate) fn open(source: &dyn ReadAt, limits: &Limits, report: &mut Report) -> Result<Opened, ImageError> {
    let header = Header::parse(source, limits, report)?;
    extensions::check(source, &header, report)?;
    let data = validate::validate(&header, source, limits, report)?;
    Ok(Opened { size: header.size, data, mapped: Box::new(Qcow2 { header }) })
}

impl Mapped for Qcow2 {
    fn unit_bytes(&self) -> usize {
        1 << self.header.cluster_bits
    }

    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
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

    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        read::read(&self.header, source, offset, buffer)
    }
}
