//! QEMU copy-on-write, versions 2 and 3.
use crate::{image::Runs, inspect::Report, limits::Limits, refusal::*, source::ReadAt};
pub(crate) struct Qcow2 {
    size: u64,
}
impl Qcow2 {
    pub(crate) fn open(_: &dyn ReadAt, _: &Limits, _: &mut Report) -> Result<(Self, u64), ImageError> {
        Err(refused(Reason::UnsupportedFormat, "qcow2.header", "not read yet"))
    }
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
    pub(crate) fn extents(&self, _: &dyn ReadAt, _: &mut Runs) -> Result<(), ImageError> {
        Ok(())
    }
    pub(crate) fn read(&self, _: &dyn ReadAt, _: u64, _: &mut [u8]) -> Result<(), ImageError> {
        Ok(())
    }
}
