//! TODO: one line.

use crate::image::Opened;
use crate::inspect::Report;
use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, refused};
use crate::source::ReadAt;

/// TODO
pub(crate) fn open(
    _source: &dyn ReadAt,
    _limits: &Limits,
    _report: &mut Report,
) -> Result<Opened, ImageError> {
    Err(refused(Reason::Malformed, "vhdx.header", "not read yet"))
}
