//! The verdict on a source, as data.

use crate::format::Format;
use crate::image::Image;
use crate::limits::Limits;
use crate::names::named;
use crate::refusal::{ImageError, Reason, printable};
use crate::source::ReadAt;
use std::sync::Arc;

named! {
    /// How a check ended.
    pub enum Verdict {
        /// The rule holds.
        Pass = "pass",
        /// The rule is broken; the source is refused.
        Fail = "fail",
        /// Nothing is wrong, but the reader should know.
        Note = "note",
    }
}

/// One named check and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Check {
    /// The stable name of the check.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, printable on any terminal.
    pub detail: String,
}

/// What is known of a source: a refused one is data here, not an error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Inspection {
    /// The format; of a polyglot, the first that matched.
    pub format: Format,
    /// The size of the disk inside, when it could be told.
    pub virtual_size_bytes: Option<u64>,
    /// The length of the file.
    pub file_bytes: u64,
    /// Whether [`Image::open`] accepts it.
    pub safe: bool,
    /// Why not.
    pub reason: Option<Reason>,
    /// Every check made, in order; the first that fails is the last.
    pub checks: Vec<Check>,
}

/// What the checks write down on their way.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) format: Format,
    pub(crate) virtual_size: Option<u64>,
    pub(crate) checks: Vec<Check>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { format: Format::Raw, virtual_size: None, checks: Vec::new() }
    }

    fn push(&mut self, name: &str, verdict: Verdict, detail: &str) {
        self.checks.push(Check { name: name.to_owned(), verdict, detail: printable(detail) });
    }

    pub(crate) fn pass(&mut self, name: &str, detail: impl std::fmt::Display) {
        self.push(name, Verdict::Pass, &detail.to_string());
    }

    pub(crate) fn note(&mut self, name: &str, detail: impl std::fmt::Display) {
        self.push(name, Verdict::Note, &detail.to_string());
    }
}

/// Runs every check of [`Image::open`], by the same code, and tells each by name.
///
/// # Errors
/// `Io` only, when the source cannot be read; a refusal is part of the answer.
pub fn inspect(
    source: &Arc<dyn ReadAt>,
    declared: Option<Format>,
    limits: &Limits,
) -> Result<Inspection, ImageError> {
    let mut report = Report::new();
    let reason = match Image::assess(Arc::clone(source), declared, limits, &mut report) {
        Ok(_) => None,
        Err(ImageError::Refused(refusal)) => {
            report.push(refusal.check, Verdict::Fail, &refusal.detail);
            Some(refusal.reason)
        }
        Err(error) => return Err(error),
    };
    Ok(Inspection {
        format: report.format,
        virtual_size_bytes: report.virtual_size,
        file_bytes: source.len(),
        safe: reason.is_none(),
        reason,
        checks: report.checks,
    })
}
