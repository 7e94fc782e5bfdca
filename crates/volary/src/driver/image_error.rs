//! Errors of source images, as errors of this crate; the one place where they become kinds.

use crate::{Error, ErrorKind};
use volary_image::{ImageError, Reason};

/// What to do about a refusal.
pub(crate) fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::NestedHeader => "--allow-nested accepts it, if nothing ever probes the volume for its format",
        _ => "`volary inspect` shows every check of the source",
    }
}

/// A refusal keeps its stable code as the context `reason`; anything else is the operating system's.
pub(crate) fn image_error(error: ImageError) -> Error {
    image_error_of(error, remedy)
}

/// The same with another remedy for a refusal.
pub(crate) fn image_error_of(error: ImageError, remedy: impl Fn(Reason) -> &'static str) -> Error {
    match error {
        ImageError::Refused(refusal) => Error::new(ErrorKind::Refused, refusal.detail.clone())
            .context("reason", refusal.reason)
            .context("check", refusal.check)
            .hint(remedy(refusal.reason)),
        ImageError::Io { doing, source } if source.kind() == std::io::ErrorKind::InvalidFilename => {
            Error::new(ErrorKind::NotFound, doing).because(source)
        }
        ImageError::Io { doing, source } => Error::io(doing, source),
        other => Error::new(ErrorKind::Internal, "reading the source").because(other),
    }
}
