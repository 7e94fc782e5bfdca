//! What a check of a store found, as it is reported.

use crate::driver::outcome::Failure;
use crate::engine::{Finding, FindingKind};
use crate::{Error, ErrorKind, Namespace, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;

/// Findings that one report holds; more are counted only, so that memory is bounded.
const MOST_FINDINGS: usize = 10_000;

/// How the repair of a finding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RepairOutcome {
    /// It would be made: a dry run changes nothing.
    Planned,
    /// It was made.
    Repaired,
    /// It was no longer needed: what was found has changed since.
    Absent,
    /// Nothing was changed, because the volume or store is in use.
    Blocked,
    /// It was tried and failed.
    Failed,
}

impl RepairOutcome {
    /// The outcome of a repair that ended with an error.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Blocked => Self::Blocked,
            _ => Self::Failed,
        }
    }

    /// The stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Repaired => "repaired",
            Self::Absent => "absent",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

/// The repair of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RepairReport {
    /// What is done.
    pub action: String,
    /// How it ended.
    pub outcome: RepairOutcome,
    /// Why it was not made.
    pub error: Option<String>,
}

/// Something that two looks, with a pause between them, found not to match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckFinding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// Whether it is only worth knowing and makes no check fail.
    pub notice: bool,
    /// The namespace; `null` for what belongs to the store as a whole.
    pub namespace: Option<Namespace>,
    /// The volume or snapshot, by id when it is in trash; `null` when the finding is about no volume.
    pub volume: Option<VolumeSpec>,
    /// The volume's id.
    pub id: Option<VolumeId>,
    /// What is wrong.
    pub detail: String,
    /// The remedy, as a whole command where there is one.
    pub remedy: String,
    /// The repair, when one was asked for and there is one.
    pub repair: Option<RepairReport>,
}

impl CheckFinding {
    pub(crate) fn of(namespace: Option<&Namespace>, finding: &Finding) -> Self {
        CheckFinding {
            kind: finding.kind,
            notice: finding.kind.is_notice(),
            namespace: namespace.cloned(),
            volume: finding.volume.clone(),
            id: finding.id.clone(),
            detail: finding.detail.clone(),
            remedy: finding.remedy.clone(),
            repair: None,
        }
    }

    /// Whether it was not repaired and makes a check fail.
    fn is_left(&self) -> bool {
        let settled =
            |of: &RepairReport| matches!(of.outcome, RepairOutcome::Repaired | RepairOutcome::Absent);
        !self.notice && !self.repair.as_ref().is_some_and(settled)
    }
}

/// What checking a store found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StoreCheckReport {
    /// What does not match, by namespace and volume.
    pub findings: Vec<CheckFinding>,
    /// Findings beyond the ten thousand that a report holds.
    pub omitted: u64,
    /// Volumes that were looked at, in trash too.
    pub volumes: u64,
    /// Objects that were looked at one by one.
    pub objects: u64,
    /// Heads and snapshots whose content was read and compared with the digest recorded of it.
    pub verified: u64,
    /// Bytes of data that were read.
    pub read_bytes: u64,
    /// Operations of the journal that have begun and are not finished; the volumes they work on are left to them.
    pub pending: u64,
    /// Whether everything that was asked for was looked at; if not, the error says why.
    pub complete: bool,
    /// How long it took.
    pub seconds: f64,
    /// How many of those that were left out make a check fail.
    #[serde(skip)]
    omitted_left: u64,
    #[serde(skip)]
    failure: Option<Failure>,
}

impl StoreCheckReport {
    pub(crate) fn new() -> Self {
        StoreCheckReport {
            findings: Vec::new(),
            omitted: 0,
            volumes: 0,
            objects: 0,
            verified: 0,
            read_bytes: 0,
            pending: 0,
            complete: true,
            seconds: 0.0,
            omitted_left: 0,
            failure: None,
        }
    }

    /// Adds a finding. In a report that is full it takes the place of one that makes no check fail, if it does itself.
    pub(crate) fn add(&mut self, finding: CheckFinding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
            return;
        }
        self.omitted = self.omitted.saturating_add(1);
        if !finding.is_left() {
            return;
        }
        // None is left to give way once one was left out itself.
        let gives_way = || self.findings.iter().rposition(|of| !of.is_left());
        match (self.omitted_left == 0).then(gives_way).flatten() {
            Some(at) => self.findings[at] = finding,
            None => self.omitted_left = self.omitted_left.saturating_add(1),
        }
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        self.complete = false;
        self.failure = Some(Failure::from(error));
    }

    /// The error that a check with this report ends with: what ended the check early, or `Mismatch` while anything is left that does not
    /// match; `None` when all is well or repaired.
    pub fn error(&self) -> Option<Error> {
        if let Some(failure) = &self.failure {
            return Some(failure.error());
        }
        let left: Vec<_> = self.findings.iter().filter(|of| of.is_left()).collect();
        let first = left.first()?;
        let count = (left.len() as u64).saturating_add(self.omitted_left);
        let what = if count == 1 {
            "one thing does not match".to_owned()
        } else {
            format!("{count} things do not match")
        };
        let error = Error::new(ErrorKind::Mismatch, what).context("first", &first.detail);
        let error = match &first.volume {
            Some(volume) => error.context("volume", volume),
            None => error,
        };
        Some(error.hint(first.remedy.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_by_the_thousand_hide_nothing_that_does_not_match() {
        let mut report = StoreCheckReport::new();
        let of = |kind| CheckFinding::of(None, &Finding::new(kind, "", "", ""));
        (0..MOST_FINDINGS).for_each(|_| report.add(of(FindingKind::ObjectLost)));
        assert_eq!((report.error().map(|of| of.kind()), report.omitted), (None, 0));
        report.add(of(FindingKind::RowMismatch));
        assert_eq!(report.error().map(|of| of.kind()), Some(ErrorKind::Mismatch));
        (0..MOST_FINDINGS).for_each(|_| report.add(of(FindingKind::RowMismatch)));
        assert_eq!((report.findings.len(), report.omitted), (MOST_FINDINGS, MOST_FINDINGS as u64 + 1));
        let told = report.error().map(|of| of.report()).unwrap_or_default();
        assert!(told.contains(&format!("{} things", MOST_FINDINGS + 1)), "{told}");
    }
}
