//! Calls on the store, watched: one that makes no progress is reported while other work goes on.

use crate::metrics::Gauge;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use volary::{Ctl, Phase, Progress};

/// When a call last moved.
struct Moved(Mutex<Instant>);

impl Moved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Moved {
    fn phase(&self, _: Phase, _: Option<u64>) {
        self.now();
    }

    fn advance(&self, _: u64) {
        self.now();
    }
}

/// One call on the store.
pub(crate) struct Call {
    operation: &'static str,
    subject: String,
    moved: Arc<Moved>,
    /// The bounds of this call: a stall is its own.
    pub(crate) ctl: Ctl,
}

/// Counted as stuck for as long as it lives.
struct Stuck<'a>(&'a Gauge, &'static str);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.add(&[self.1], -1.0);
    }
}

impl Call {
    /// A call under the limits and the cancel token of `ctl`, on what `subject` says.
    pub(crate) fn new(operation: &'static str, subject: impl ToString, ctl: &Ctl) -> Call {
        let moved = Arc::new(Moved(Mutex::new(Instant::now())));
        let ctl = Ctl::new()
            .timeout(ctl.call_limit())
            .stall(ctl.stall_limit())
            .cancelled_by(ctl.cancel_token().clone())
            .watched_by(moved.clone());
        Call { operation, subject: subject.to_string(), moved, ctl }
    }

    /// Waits for it however long it takes, and tells, `each` too, when it has not moved for so long.
    pub(crate) async fn watch<T>(
        &self,
        limit: Duration,
        stuck: &Gauge,
        each: impl Fn(&str),
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let late = self.moved.last() + limit;
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(late) => {}
            }
            if self.moved.last() + limit > late {
                continue;
            }
            stuck.add(&[self.operation], 1.0);
            let counted = Stuck(stuck, self.operation);
            let (operation, subject, seconds) = (self.operation, &self.subject, limit.as_secs_f64());
            tracing::warn!(operation, %subject, seconds, "a call is stuck");
            each(&format!("{operation} of {subject} has been stuck for {seconds} s"));
            let moves = async {
                while self.moved.last() + limit <= Instant::now() {
                    tokio::time::sleep(limit).await;
                }
            };
            tokio::select! {
                done = &mut work => {
                    tracing::warn!(operation, %subject, "a call that was stuck has ended");
                    return done;
                }
                () = moves => drop(counted),
            }
        }
    }
}
