//! What one round came to.

use schemars::JsonSchema;
use serde::Serialize;
use volary::{Error, ErrorKind, Namespace, Outcome, ReapOutcome, ReapReport, RemoveReport};

/// What a round came to, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoundOutcome {
    /// Everything that was due is settled.
    Done,
    /// Something is left, or a namespace could not be worked on.
    Partial,
    /// The store does not answer.
    Failed,
}

impl RoundOutcome {
    /// The stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// A namespace that could not be worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FailedNamespace {
    /// The namespace; the pool, when its namespaces could not be listed.
    pub namespace: String,
    /// Why.
    pub error: String,
    /// The kind of error.
    pub error_kind: ErrorKind,
}

/// What one round came to.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RoundReport {
    /// In a word.
    pub outcome: RoundOutcome,
    /// How long it took.
    pub seconds: f64,
    /// How many namespaces there are to work on.
    pub namespaces: usize,
    /// The intents that were looked at.
    pub reaped: Vec<ReapReport>,
    /// The volumes in Volary's own trash that were due.
    pub purged: Vec<RemoveReport>,
    /// The namespaces that could not be worked on.
    pub failed: Vec<FailedNamespace>,
    /// The namespaces on which a call is still at work; they are left out of further rounds until it ends.
    pub at_work: Vec<String>,
}

impl RoundReport {
    pub(crate) fn new() -> RoundReport {
        RoundReport {
            outcome: RoundOutcome::Done,
            seconds: 0.0,
            namespaces: 0,
            reaped: Vec::new(),
            purged: Vec::new(),
            failed: Vec::new(),
            at_work: Vec::new(),
        }
    }

    pub(crate) fn fail(&mut self, namespace: &Namespace, error: &Error) {
        let (namespace, error_kind) = (namespace.to_string(), error.kind());
        self.failed.push(FailedNamespace { namespace, error: error.report(), error_kind });
    }

    /// Why the store is taken not to answer, if it is. One that is full has answered.
    pub(crate) fn unanswered(&self) -> Option<&FailedNamespace> {
        let silent = |of: &&FailedNamespace| {
            matches!(of.error_kind, ErrorKind::Deadline | ErrorKind::Unreachable)
                || (of.error_kind != ErrorKind::NoSpace && self.failed.len() >= self.namespaces)
        };
        self.failed.iter().find(silent)
    }

    /// Whether something that was due is left.
    pub(crate) fn is_left(&self) -> bool {
        let purged = |of: &RemoveReport| matches!(of.outcome, Outcome::Removed | Outcome::Absent);
        self.reaped.iter().any(|of| of.outcome == ReapOutcome::Pending)
            || !self.purged.iter().all(purged)
            || !self.failed.is_empty()
            || !self.at_work.is_empty()
    }
}
