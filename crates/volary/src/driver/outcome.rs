//! How a removal ended: one typed outcome, who blocked it, and every step.

use crate::engine::{Holder, HolderKind};
use crate::{Error, ErrorKind, Name, Namespace, VolumeId, VolumeSpec};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::error::Error as _;

/// How a removal ended; success is never reported while data stays that should be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It would be done: a dry run found nothing in the way.
    Planned,
    /// It is gone.
    Removed,
    /// It is in trash until its date.
    Deferred,
    /// It was not there.
    Absent,
    /// It stays: the blockers say why, and what would help.
    Blocked,
    /// It stays, or part of it does: the steps say how far it came.
    Failed,
}

impl Outcome {
    /// The stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Removed => "removed",
            Self::Deferred => "deferred",
            Self::Absent => "absent",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

/// How one step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// It would be taken.
    Planned,
    /// It was taken.
    Done,
    /// It was tried, and failed.
    Failed,
    /// It was not tried, because one before it failed.
    Skipped,
}

/// One step of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// What is done: `flatten`, `unprotect`, `remove_snapshot`, `move_to_trash`, `remove`; `remove_remains` for a volume that cannot be
    /// opened, such as one without header.
    pub action: String,
    /// To what.
    pub target: VolumeSpec,
    /// How it ended, the last time it was tried.
    pub outcome: StepOutcome,
    /// How often it was tried.
    pub tries: u32,
}

impl Step {
    /// Puts it where the same step stands already, or behind all.
    pub(crate) fn enter(mut self, steps: &mut Vec<Step>) {
        let same = |of: &&mut Step| of.action == self.action && of.target == self.target;
        match steps.iter_mut().find(same) {
            Some(before) => {
                self.tries = self.tries.saturating_add(before.tries);
                *before = self;
            }
            None => steps.push(self),
        }
    }
}

/// How the removal of a volume ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RemoveReport {
    /// The volume; by id when it is in trash.
    pub volume: VolumeSpec,
    /// Its id; unknown when it was not there.
    pub id: Option<VolumeId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether something is left that is settled later.
    pub pending: bool,
    /// Until when it is kept, if it was deferred.
    pub until: Option<Timestamp>,
    /// What is in the way.
    pub blockers: Vec<Holder>,
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// What its user should know beside that: why the volume cannot be opened, and what of it may be left, with the command that
    /// shows it.
    pub notes: Vec<String>,
    #[serde(skip)]
    pub(crate) failure: Option<Failure>,
}

/// How the removal of a snapshot ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SnapshotOutcome {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The snapshot.
    pub snapshot: Name,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether something is left that is settled later.
    pub pending: bool,
    /// What is in the way.
    pub blockers: Vec<Holder>,
    /// Every step, in order.
    pub steps: Vec<Step>,
    #[serde(skip)]
    pub(crate) failure: Option<Failure>,
}

/// Why a removal failed, in a form that a report can carry and show again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    contexts: Vec<(&'static str, String)>,
    /// What its causes say, each after the one that it has caused.
    causes: Option<String>,
    hint: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (mut causes, mut cause) = (Vec::new(), error.source());
        while let Some(of) = cause {
            causes.push(of.to_string());
            cause = of.source();
        }
        Failure {
            kind: error.kind(),
            message: error.message().to_owned(),
            contexts: error.contexts().map(|(key, value)| (key, value.to_owned())).collect(),
            causes: (!causes.is_empty()).then(|| causes.join(": ")),
            hint: error.remedy().map(Into::into),
        }
    }
}

impl Failure {
    pub(crate) fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        let error = self.contexts.iter().fold(error, |error, (key, value)| error.context(key, value));
        let error = match &self.causes {
            Some(causes) => error.because(causes.clone()),
            None => error,
        };
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

impl RemoveReport {
    pub(crate) fn new(volume: VolumeSpec, id: Option<VolumeId>, outcome: Outcome) -> Self {
        RemoveReport {
            volume,
            id,
            outcome,
            pending: false,
            until: None,
            blockers: Vec::new(),
            steps: Vec::new(),
            notes: Vec::new(),
            failure: None,
        }
    }

    pub(crate) fn failing(self, error: &Error) -> Self {
        RemoveReport { failure: Some(Failure::from(error)), ..self }
    }

    /// The error this outcome stands for; `None` when what was asked for is so.
    ///
    /// `absent` is an error unless the caller said that it may be.
    pub fn error(&self) -> Option<Error> {
        let error = match self.outcome {
            Outcome::Blocked => Some(blocked("the volume cannot be removed", &self.volume, &self.blockers)),
            _ => self.failure.as_ref().map(Failure::error),
        };
        error.map(|error| if self.pending { unfinished(error, &self.volume.namespace) } else { error })
    }

    /// The same in short, for whoever has shown the report: it does not repeat who is in the way and what would help.
    pub fn error_in_short(&self) -> Option<Error> {
        let short = Short { outcome: self.outcome, blockers: &self.blockers, steps: &self.steps };
        let Some(error) = short.error(&self.volume) else { return self.error() };
        Some(if self.pending { unfinished(error, &self.volume.namespace) } else { error })
    }
}

/// What the short error of a removal is made of.
struct Short<'a> {
    outcome: Outcome,
    blockers: &'a [Holder],
    steps: &'a [Step],
}

impl Short<'_> {
    /// That so many things hold it; `None` where that is not how it ended.
    fn error(&self, spec: &VolumeSpec) -> Option<Error> {
        if self.outcome != Outcome::Blocked || self.blockers.is_empty() {
            return None;
        }
        let kind = kind_of(self.blockers);
        let held = match self.blockers.len() {
            _ if kind == ErrorKind::Permission => format!("what holds {spec} may not be seen"),
            1 => format!("one thing holds {spec}"),
            count => format!("{count} things hold {spec}"),
        };
        let begun = self.steps.iter().any(|step| step.outcome == StepOutcome::Done);
        let rest = if begun { "it was not removed" } else { "nothing was removed" };
        Some(Error::new(kind, format!("{held}: {rest}")))
    }
}

/// What is left stands in the journal, so that trying by hand is not all that can be done.
fn unfinished(error: Error, namespace: &Namespace) -> Error {
    let hint = format!("`volary reap {namespace}` goes on with it, `volary pending ls {namespace}` shows it");
    let hint = match error.remedy() {
        Some(first) => format!("{first}; then {hint}"),
        None => hint,
    };
    Error::new(ErrorKind::Partial, "not finished, and pending").because(error).hint(hint)
}

impl SnapshotOutcome {
    /// The error this outcome stands for; `None` when the snapshot is gone.
    pub fn error(&self) -> Option<Error> {
        let spec = self.volume.at(self.snapshot.clone());
        let error = match self.outcome {
            Outcome::Blocked => Some(blocked("the snapshot cannot be removed", &spec, &self.blockers)),
            _ => self.failure.as_ref().map(Failure::error),
        };
        error.map(|error| if self.pending { unfinished(error, &self.volume.namespace) } else { error })
    }

    /// The same in short, as [`RemoveReport::error_in_short`].
    pub fn error_in_short(&self) -> Option<Error> {
        let short = Short { outcome: self.outcome, blockers: &self.blockers, steps: &self.steps };
        let spec = self.volume.at(self.snapshot.clone());
        let Some(error) = short.error(&spec) else { return self.error() };
        Some(if self.pending { unfinished(error, &self.volume.namespace) } else { error })
    }
}

/// One error for all blockers: each is named, the remedy is the first one's.
fn blocked(what: &str, spec: &VolumeSpec, blockers: &[Holder]) -> Error {
    const NAMED: usize = 5;
    let named: Vec<_> = blockers.iter().take(NAMED).map(|b| b.detail.as_str()).collect();
    let mut message = format!("{what}: {}", named.join("; "));
    if blockers.len() > NAMED {
        message.push_str(&format!("; and {} more", blockers.len() - NAMED));
    }
    let error = Error::new(kind_of(blockers), message).context("volume", spec);
    match blockers.first() {
        Some(first) => error.hint(first.remedy.clone()),
        None => error,
    }
}

/// What may not be seen is no holder that could be asked to let go, but a lack of rights.
fn kind_of(blockers: &[Holder]) -> ErrorKind {
    let unseen = !blockers.is_empty() && blockers.iter().all(|b| b.kind == HolderKind::Unknown);
    if unseen { ErrorKind::Permission } else { ErrorKind::Blocked }
}
