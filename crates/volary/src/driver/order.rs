//! What stands in the journal for a removal: nothing until its plan holds, and in the end only what is not finished.

use super::journal::{Intent, Work, is_uncertain};
use super::outcome::{Outcome, Step, StepOutcome};
use super::plan::Subject;
use crate::{Ctl, Error, Result, Store};

/// An order to remove something, in the journal from its first step on.
pub(crate) struct Order {
    operation: &'static str,
    work: Work,
    intent: Option<Intent>,
    /// Whether it was found in the journal, and stays there until it is done.
    resumed: bool,
    /// Whether it goes into the journal when it is refused.
    pub(crate) retry_later: bool,
}

impl Order {
    /// An order that nobody knows of yet.
    pub(crate) fn new(operation: &'static str, work: Work) -> Order {
        Order { operation, work, intent: None, resumed: false, retry_later: false }
    }

    /// An order that was found in the journal.
    pub(crate) fn resumed(work: Work, intent: Intent) -> Order {
        Order { operation: "", work, intent: Some(intent), resumed: true, retry_later: false }
    }

    /// Whether it was found in the journal, where others than its user may have put it.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The intent, recorded now unless it is already.
    pub(crate) async fn intent(&mut self, store: &Store, subject: &Subject, ctl: &Ctl) -> Result<&Intent> {
        let intent = match self.intent.take() {
            Some(intent) => intent,
            None => {
                let (engine, id, work) = (store.shared_engine(), subject.id.clone(), self.work.clone());
                Intent::begin(engine, self.operation, &subject.shown, Some(id), work, ctl).await?
            }
        };
        Ok(self.intent.insert(intent))
    }

    /// Takes the order out of the journal, or leaves it there when part of it is not done; says whether it is left.
    ///
    /// # Errors
    /// When a refused order cannot be recorded for later.
    pub(crate) async fn close(
        mut self,
        store: &Store,
        subject: &Subject,
        outcome: Outcome,
        steps: &[Step],
        why: Option<&Error>,
        ctl: &Ctl,
    ) -> Result<bool> {
        let ctl = &ctl.for_cleanup();
        let done = matches!(outcome, Outcome::Removed | Outcome::Deferred | Outcome::Absent);
        let begun = steps.iter().any(|step| step.outcome == StepOutcome::Done)
            || why.is_some_and(|error| !steps.is_empty() && is_uncertain(error.kind()));
        let refused = self.retry_later && outcome == Outcome::Blocked;
        match why {
            Some(error) if !done && (begun || self.resumed || refused) => {
                // Asked for again, it is the same order: one is enough.
                if self.intent.is_none()
                    && !begun
                    && store.is_left(subject.namespace(), &subject.id, &self.work, ctl).await?
                {
                    return Ok(true);
                }
                self.intent(store, subject, ctl).await?;
                if let Some(intent) = self.intent {
                    intent.leave(error, ctl).await;
                }
                Ok(true)
            }
            _ => {
                if let Some(intent) = self.intent
                    && let Err(error) = intent.finish(ctl).await
                {
                    tracing::warn!(error = error.report(), "the order is settled, its intent is left");
                }
                Ok(false)
            }
        }
    }
}
