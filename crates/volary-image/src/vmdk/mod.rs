//! VMware sparse disks in one file, by the "VMware Virtual Disk Format 5.0" technical note: `monolithicSparse` and `streamOptimized`.
//!
//! A disk of several files, a text descriptor, a parent, a key or a feature that is not known is refused. The names the embedded
//! descriptor holds are looked at, never opened. Of the markers of a stream only those of grains are needed: the tables say where everything
//! is. The others are looked for where they belong, so that no grain lies on them.

mod descriptor;
mod footer;
mod header;
mod inflate;
mod mapping;
mod text;
mod validate;

use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_failed;
use crate::output::Output;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use header::Header;
use inflate::Decoder;
use mapping::Mapping;

/// What a number of sectors counts in.
const SECTOR: u64 = 512;

/// A validated image's header; its tables are read as they are needed.
struct Vmdk {
    header: Header,
}

/// Checks header, footer, descriptor and the whole mapping.
pub(crate) fn open(source: &dyn ReadAt, limits: &Limits, report: &mut Report) -> Result<Opened, ImageError> {
    text::refuse_detached(source)?;
    let mut header = Header::parse(source, limits, report)?;
    let size = descriptor::check(source, &header, report)?;
    if size < header.size {
        let detail = format!(
            "{size} bytes by the descriptor are taken, {} by the header are whole grains",
            header.size
        );
        report.note("vmdk.size", detail);
        // As many grains, the last of which the disk has in part.
        (header.size, report.virtual_size) = (size, Some(size));
    }
    let data = validate::validate(&header, source, report)?;
    Ok(Opened { size: header.size, data, mapped: Box::new(Vmdk { header }) })
}

impl Mapped for Vmdk {
    fn unit_bytes(&self) -> usize {
        usize::try_from(self.header.grain).unwrap_or(0)
    }

    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
        let mapping = Mapping { header: &self.header, source };
        mapping.grains(runs.at..runs.end, &mut |guest, _| {
            runs.data(guest, guest + self.header.grain);
            Ok(())
        })
    }

    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let (header, mapping) = (&self.header, Mapping { header: &self.header, source });
        let mut output = Output::new(source, offset, buffer);
        let (window, mut decoder, mut stream) = (output.window(), Decoder::default(), Vec::new());
        mapping.grains(window.clone(), &mut |guest, host| {
            let end = guest + header.grain;
            if !header.compressed {
                let run = guest.max(window.start)..end.min(window.end);
                return output.plain(&run, host + (run.start - guest));
            }
            let packed = mapping.stream(guest, host)?;
            stream.resize(usize::try_from(packed.end - packed.start).unwrap_or(0), 0);
            source.read_exact_at(&mut stream, packed.start).map_err(read_failed)?;
            let least = usize::try_from(header.grain_bytes(guest)).unwrap_or(0);
            output.decoded(&(guest..end), &mut |part| decoder.decode(&stream, part, least))
        })?;
        output.finish()
    }
}
