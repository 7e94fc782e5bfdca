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
        /// Nothing is recognised in the file, and it is not as long as a disk is.
        Unrecognised = "unrecognised",
        /// The path is not a regular file or block device.
        NotAFile = "not_a_file",
    }
}

impl Reason {
    /// What accepting such a source would have meant, in one sentence for whoever has to explain the refusal.
    #[must_use]
    pub fn consequence(self) -> &'static str {
        match self {
            Self::BackingFile => "whoever opens it would read the named file of the host into the volume",
            Self::DataFile => {
                "whoever opens it would read, and later write, the named file of the host as the disk"
            }
            Self::UnknownFeature => {
                "a reader that passes over the feature would take other bytes for the disk than its writer meant"
            }
            Self::Encrypted => {
                "the volume would hold what cannot be read without a key that it does not have"
            }
            Self::Truncated => {
                "what is missing would become zeros or the bytes of another file, without any error"
            }
            Self::Overlap => {
                "a few bytes could stand for any number of disks' worth, and tables could be read as data"
            }
            Self::Bomb => "a small file would fill the pool and keep the importer busy for hours",
            Self::Polyglot => {
                "two programs would find two different disks in it: one is checked, the other is run"
            }
            Self::FormatMismatch => {
                "it would be read as something else than what was asked for, checked or paid for"
            }
            Self::NestedHeader => {
                "whoever probes the volume would take the guest's bytes for an image and open what they name"
            }
            Self::Limit => {
                "reading it would cost more memory, time or space than a stranger's file is granted"
            }
            Self::Malformed => "programs would disagree about what is in it, and some would leave its bounds",
            Self::BannedFormat => {
                "its wrapping would become the disk's content, or a format without strict rules be trusted"
            }
            Self::Unrecognised => {
                "whatever came instead of a disk, such as an error page, would be called a verified volume"
            }
            Self::NotAFile => {
                "opening it could block, set off a device, or lead to a file that was not named"
            }
        }
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
