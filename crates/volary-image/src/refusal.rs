//! Why a source is not accepted.

use crate::names::named;
use std::fmt::Display;

named! {
    /// The stable code of a refusal; scripts may rely on it.
    pub enum Reason {
        /// The image names another file as its base.
        BackingFile = "backing_file",
        /// The image keeps its data in another file.
        DataFile = "data_file",
        /// The image needs a feature that is not known, or is marked corrupt.
        UnknownFeature = "unknown_feature",
        /// The content is encrypted.
        Encrypted = "encrypted",
        /// The file ends before something it refers to.
        Truncated = "truncated",
        /// Two parts of the image claim the same bytes of the file.
        Overlap = "overlap",
        /// The content would be out of all proportion to the file.
        Bomb = "bomb",
        /// The file is several formats at once.
        Polyglot = "polyglot",
        /// The file is not of the format that was declared.
        FormatMismatch = "format_mismatch",
        /// The disk inside begins as an image format itself.
        NestedHeader = "nested_header",
        /// A configured or structural limit is exceeded.
        Limit = "limit",
        /// A field or structure breaks its specification.
        Malformed = "malformed",
        /// The format is never read.
        BannedFormat = "banned_format",
        /// The path is not a regular file or block device.
        NotAFile = "not_a_file",
    }
}

/// One refusal: its code, the check that failed and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} ({reason}, check {check})")]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// The name of the check that failed.
    pub check: &'static str,
    /// What was seen, printable on any terminal.
    pub detail: String,
}

/// What opening, inspecting or reading an image can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The source is not accepted.
    #[error("source refused: {0}")]
    Refused(#[from] Refusal),
    /// The source could not be read.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the operating system answered.
        source: std::io::Error,
    },
}

impl ImageError {
    /// The refusal, when it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Io { .. } => None,
        }
    }
}

/// A refusal as an error value; the detail is made printable here, once for all.
pub(crate) fn refused(reason: Reason, check: &'static str, detail: impl Display) -> ImageError {
    Refusal { reason, check, detail: printable(&detail.to_string()) }.into()
}

/// Refuses unless the condition holds.
pub(crate) fn require(
    holds: bool,
    reason: Reason,
    check: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), ImageError> {
    if holds { Ok(()) } else { Err(refused(reason, check, detail())) }
}

/// Escapes control characters, and those that reorder text, so that a header cannot speak to a terminal.
pub(crate) fn printable(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .flat_map(|c| if hides(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}
