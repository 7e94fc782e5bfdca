//! Errors of source images, as errors of this crate; the one place where they become kinds.

use crate::{Error, ErrorKind};
use volary_image::{ImageError, Refusal};

/// A refusal keeps its stable code as the context `reason`; anything else is the operating system's.
pub(crate) fn image_error(error: ImageError) -> Error {
    image_error_with(error, |_| None)
}

/// The same with the way out of a refusal, where there is one.
pub(crate) fn image_error_with(error: ImageError, way: impl Fn(&Refusal) -> Option<String>) -> Error {
    match error {
        ImageError::Refused(refusal) => {
            let inspect = || "`volary inspect` shows every check of the source".to_owned();
            let hint = way(&refusal).unwrap_or_else(inspect);
            Error::new(ErrorKind::Refused, refusal.detail)
                .context("reason", refusal.reason)
                .context("check", refusal.check)
                .hint(hint)
        }
        ImageError::Io { doing, source } if source.kind() == std::io::ErrorKind::InvalidFilename => {
            Error::new(ErrorKind::NotFound, doing).because(source)
        }
        ImageError::Io { doing, source } => Error::io(doing, source),
        other => Error::new(ErrorKind::Internal, "reading the source").because(other),
    }
}
