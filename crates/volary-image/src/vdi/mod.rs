//! VirtualBox disks of version 1.1, dynamic and fixed, by the layout that `block/vdi.c` in QEMU's tree documents (`VdiHeader`, block
//! map), which is that of VirtualBox's own `VDICore.h`.
//!
//! An image that needs a parent is refused, as is every field that breaks the layout. Block sizes other than 1 MiB and blocks with
//! extra bytes, which VirtualBox could make but does not, are refused too: QEMU does not read them, so nothing would tell a misreading.

mod header;
mod mapping;

use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::output::Output;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use header::{BLOCK, Header};

/// A validated image's header; its block map is read as it is needed.
struct Vdi {
    header: Header,
}

/// Checks the header and the whole block map.
pub(crate) fn open(source: &dyn ReadAt, limits: &Limits, report: &mut Report) -> Result<Opened, ImageError> {
    let header = Header::parse(source, limits, report)?;
    let data = mapping::validate(&header, source, report)?;
    Ok(Opened { size: header.size, data, mapped: Box::new(Vdi { header }) })
}

impl Mapped for Vdi {
    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
        mapping::blocks(&self.header, source, runs.at..runs.end, &mut |guest, _| {
            runs.data(guest, guest + BLOCK);
            Ok(())
        })
    }

    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let mut output = Output::new(source, offset, buffer);
        let window = output.window();
        mapping::blocks(&self.header, source, window.clone(), &mut |guest, block| {
            let start = window.start.max(guest);
            let run = start..window.end.min(guest + BLOCK);
            output.plain(&run, self.header.host(block) + (start - guest))
        })?;
        output.finish()
    }
}
