//! Inspection: what a source is, before anybody trusts it.

use super::image_error::image_error;
use super::source::ImportSource;
use super::transfer::on_thread;
use super::ways;
use crate::{Ctl, Error, ErrorKind, Result, escape};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use volary_image::{Format, Limits, ReadAt, Reason, Verdict};

/// How a source is looked at.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct InspectOptions {
    /// The format it must have; `None` accepts the one detected.
    pub format: Option<Format>,
    /// Whether the disk inside may begin as an image format itself.
    pub allow_nested: bool,
}

/// Looks at a source: its format, its sizes, every named check. Reads only, and needs no store.
///
/// # Errors
/// `NotFound`, `Permission` when it cannot be opened; what fetching it or taking its compression off fails with; an image that would be
/// refused is a report, not an error.
pub async fn inspect(source: &ImportSource, options: &InspectOptions, ctl: &Ctl) -> Result<InspectReport> {
    let (declared, limits) = (options.format, Limits::default().with_nested(options.allow_nested));
    let open = source.open(options.format, ctl).await?;
    let file: Arc<dyn ReadAt> = open.content.clone();
    let (shown, unwraps) = (open.shown.clone(), open.unwraps);
    let (inspection, hint) = on_thread("inspecting the source", move || {
        let inspection = volary_image::inspect(&file, declared, &limits).map_err(image_error)?;
        let failed = inspection.checks.last().map_or("", |check| check.name.as_str());
        let way = |reason| ways::way(reason, failed, &*file, &shown, unwraps);
        let hint = inspection.reason.and_then(way);
        Ok((inspection, hint))
    })
    .await
    .map_err(|error| open.explain(error))?;
    let misnamed = open.misnamed(inspection.format).map(|detail| CheckReport {
        name: "source.name".to_owned(),
        verdict: Verdict::Note.to_string(),
        detail,
    });
    let checks = inspection.checks.into_iter().map(|check| CheckReport {
        name: check.name,
        verdict: check.verdict.to_string(),
        detail: escape(check.detail.as_bytes()).into_owned(),
    });
    Ok(InspectReport {
        path: open.shown.clone(),
        format: inspection.format.to_string(),
        virtual_size_bytes: inspection.virtual_size_bytes,
        compression: open.compression.map(|format| format.to_string()),
        file_bytes: open.file_bytes(),
        safe: inspection.safe,
        reason: inspection.reason,
        consequence: inspection.reason.map(|reason| reason.consequence().to_owned()),
        hint,
        checks: misnamed.into_iter().chain(checks).collect(),
    })
}

/// What a source is, and what speaks for and against importing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InspectReport {
    /// The path, escaped, or the URL without its query; `-` for a stream.
    pub path: String,
    /// The format that was detected.
    pub format: String,
    /// The compression that was taken off the file as a whole.
    pub compression: Option<String>,
    /// The size of the disk in it, when it could be read.
    pub virtual_size_bytes: Option<u64>,
    /// The length of the file, compressed as it is.
    pub file_bytes: u64,
    /// Whether `import` would accept it.
    pub safe: bool,
    /// Why not: a stable code.
    pub reason: Option<Reason>,
    /// What accepting it would have meant.
    pub consequence: Option<String>,
    /// What to do then, where there is a way.
    pub hint: Option<String>,
    /// Every check that was made.
    pub checks: Vec<CheckReport>,
}

impl InspectReport {
    /// The refusal, when `import` would not accept the source.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let reason = self.reason?;
        let failed = self.checks.iter().filter(|check| check.verdict == Verdict::Fail.as_str());
        let failed: Vec<_> = failed.map(|check| check.name.as_str()).collect();
        let error = Error::new(ErrorKind::Refused, "the source is refused")
            .context("path", &self.path)
            .context("reason", reason)
            .context("failed", failed.join(" "));
        // Every check has just been shown.
        Some(match &self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }
}

/// One check of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckReport {
    /// Its stable name.
    pub name: String,
    /// How it went.
    pub verdict: String,
    /// What was seen, escaped.
    pub detail: String,
}
