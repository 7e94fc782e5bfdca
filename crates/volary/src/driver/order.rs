//! What stands in the journal for a removal: nothing until its plan holds, and in the end only what is not finished.

use super::journal::{AsGiven, Intent, IntentRecord, Work, is_uncertain};
use super::outcome::{Outcome, Step, StepOutcome};
use super::plan::{Plan, Subject};
use crate::{Ctl, Error, Result, Store};

/// An order to remove something, in the journal from its first step on.
pub(crate) struct Order {
    operation: &'static str,
    work: Work,
    intent: Option<Intent>,
    /// What the journal says of it, if it was found there; it stays there until it is done.
    resumed: Option<Resumed>,
    /// What the volume was like when it was planned last.
    as_given: Option<AsGiven>,
    /// Whether it goes into the journal when it is refused.
    pub(crate) retry_later: bool,
}

/// An order that was found in the journal.
struct Resumed {
    record: IntentRecord,
    /// Whether somebody has confirmed it, whatever has become of the volume since.
    confirmed: bool,
    /// What has become of the volume since, for which it waits to be confirmed.
    unconfirmed: Option<String>,
}

impl Order {
    /// An order that nobody knows of yet.
    pub(crate) fn new(operation: &'static str, work: Work) -> Order {
        Order { operation, work, intent: None, resumed: None, as_given: None, retry_later: false }
    }

    /// An order that was found in the journal.
    pub(crate) fn resumed(record: &IntentRecord, intent: Intent, confirmed: bool) -> Order {
        let (work, record) = (record.work().clone(), record.clone());
        let resumed = Some(Resumed { record, confirmed, unconfirmed: None });
        Order { intent: Some(intent), resumed, ..Order::new("", work) }
    }

    /// Whether it was found in the journal, where others than its user may have put it.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// What the volume must still be like for the order to be carried out.
    pub(crate) fn expected(&self) -> Option<&AsGiven> {
        let resumed = self.resumed.as_ref().filter(|of| !of.confirmed)?;
        resumed.record.as_given()
    }

    /// Takes in what a plan found the volume to be like.
    ///
    /// # Errors
    /// `Blocked` when the volume is not as it was when the order was given: it waits to be confirmed.
    pub(crate) fn consider(&mut self, plan: &Plan) -> Result<()> {
        self.as_given.clone_from(&plan.as_given);
        match (&mut self.resumed, &plan.changed) {
            (Some(resumed), Some(why)) => {
                resumed.unconfirmed = Some(why.clone());
                Err(resumed.record.unconfirmed(why))
            }
            _ => Ok(()),
        }
    }

    /// The intent, recorded now unless it is already.
    pub(crate) async fn intent(&mut self, store: &Store, subject: &Subject, ctl: &Ctl) -> Result<&Intent> {
        let intent = match self.intent.take() {
            Some(intent) => intent,
            None => {
                let (engine, work, as_given) =
                    (store.shared_engine(), self.work.clone(), self.as_given.clone());
                Intent::begin_order(engine, self.operation, subject, work, as_given, ctl).await?
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
            Some(error) if !done && (begun || self.resumed.is_some() || refused) => {
                // Asked for again, it is the same order: one is enough.
                if self.intent.is_none()
                    && !begun
                    && store.is_left(subject.namespace(), &subject.id, &self.work, ctl).await?
                {
                    return Ok(true);
                }
                self.intent(store, subject, ctl).await?;
                if let Some(intent) = self.intent {
                    if let Some(Resumed { confirmed, unconfirmed, .. }) = self.resumed
                        && (confirmed || unconfirmed.is_some())
                    {
                        let as_given = self.as_given.filter(|_| confirmed);
                        if let Err(error) = intent.reconsider(unconfirmed, as_given, ctl).await {
                            tracing::warn!(
                                error = error.report(),
                                "that the order waits could not be recorded"
                            );
                        }
                    }
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
