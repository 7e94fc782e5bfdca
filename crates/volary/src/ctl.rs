//! How one operation is bounded and watched: deadlines, the stall limit, cancelling, progress.

use crate::{Error, ErrorKind, Result, steps};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What an operation is busy with, for those who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Taking in a source that cannot be read twice.
    Spool,
    /// Moving data.
    Copy,
    /// Reading back and comparing.
    Verify,
    /// Filling a clone from its parent.
    Flatten,
    /// Making space or taking data away: shrink, removal, rollback.
    Remove,
    /// Checking a store without reading data: progress counts volumes, not bytes.
    Check,
}

impl Phase {
    /// What the log calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Phase::Spool => "take in the source",
            Phase::Copy => "copy",
            Phase::Verify => "read back and compare",
            Phase::Flatten => "fill from the parent",
            Phase::Remove => "take data away",
            Phase::Check => "check",
        }
    }
}

/// Somebody who watches an operation; every method has a default that does nothing.
pub trait Progress: Send + Sync {
    /// A phase begins; `total_bytes` is what it will move, when that is known.
    fn phase(&self, _phase: Phase, _total_bytes: Option<u64>) {}
    /// More bytes of the phase are done; in [`Phase::Check`] it counts volumes.
    fn advance(&self, _bytes: u64) {}
}

struct Unwatched;
impl Progress for Unwatched {}

/// Bounds and watches one operation; the last argument of everything that can take time.
///
/// Cloning shares the cancel token, the watcher and the count of bytes moved.
///
/// ```
/// use std::time::Duration;
/// let ctl = volary::Ctl::new().timeout(Duration::from_secs(5));
/// ctl.cancel_token().cancel();
/// assert!(ctl.check("import").is_err());
/// ```
#[derive(Clone)]
pub struct Ctl {
    timeout: Duration,
    stall: Duration,
    cancel: CancellationToken,
    progress: Arc<dyn Progress>,
    moved: Arc<AtomicU64>,
    removes: bool,
    undo: Option<Duration>,
    /// When undoing must have ended: known once the operation was cancelled and something had to be undone.
    until: Arc<OnceLock<Instant>>,
}

impl Ctl {
    /// A call on metadata answers in milliseconds; thirty seconds outlast a failing-over monitor.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
    /// Twice what a recovering placement group usually blocks.
    pub const DEFAULT_STALL: Duration = Duration::from_secs(60);

    /// The default bounds, nobody watching, nobody cancelling.
    pub fn new() -> Self {
        Ctl {
            timeout: Self::DEFAULT_TIMEOUT,
            stall: Self::DEFAULT_STALL,
            cancel: CancellationToken::new(),
            progress: Arc::new(Unwatched),
            moved: Arc::default(),
            removes: false,
            undo: None,
            until: Arc::default(),
        }
    }

    /// Bounds connecting and each call on metadata.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long connecting and each call on metadata may take.
    pub fn call_limit(&self) -> Duration {
        self.timeout
    }

    /// Bounds how long a transfer may go without moving a byte.
    #[must_use]
    pub fn stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// How long a transfer may go without moving a byte.
    pub fn stall_limit(&self) -> Duration {
        self.stall
    }

    /// Bounds what a cancelled operation still does: how long calls in flight are waited for, and undoing takes, both together. What is
    /// not undone by then stays pending. Without this bound the operation ends when everything is undone.
    #[must_use]
    pub fn undo_within(mut self, limit: Duration) -> Self {
        self.undo = Some(limit);
        self
    }

    /// Ends the operation when this token is cancelled.
    #[must_use]
    pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
        (self.cancel, self.until) = (token, Arc::default());
        self
    }

    /// Tells this watcher how far the operation is.
    #[must_use]
    pub fn watched_by(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// The same bounds for undoing what a cancelled or failed operation began: not cancelled, not watched; it makes room as
    /// a removal does ([`for_removal`](Ctl::for_removal)). Of a cancelled operation it ends by [`undo_within`](Ctl::undo_within).
    #[must_use]
    pub fn for_cleanup(&self) -> Self {
        self.ends_by();
        let until = Arc::clone(&self.until);
        Ctl { timeout: self.timeout, stall: self.stall, until, ..Ctl::new() }.for_removal()
    }

    /// When undoing must have ended, if the operation was cancelled and is bounded; the time counts from the first time this is asked
    /// after the cancel.
    fn ends_by(&self) -> Option<Instant> {
        match self.undo {
            Some(limit) if self.cancel.is_cancelled() => {
                Some(*self.until.get_or_init(|| Instant::now() + limit))
            }
            _ => self.until.get().copied(),
        }
    }

    /// Whether this undoes what a cancelled operation began, and has no time left for it.
    pub(crate) fn is_late(&self) -> bool {
        self.until.get().is_some_and(|until| Instant::now() >= *until)
    }

    /// Waits for work that a cancel does not end, such as calls in flight, for as long as [`undo_within`](Ctl::undo_within) allows.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] when the time is up, or the work's own error.
    pub async fn finish<T>(&self, step: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let late = async {
            if self.until.get().is_none() {
                self.cancel.cancelled().await;
                self.ends_by();
            }
            self.out_of_time().await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = late => Err(interrupted(step)),
        }
    }

    /// The same for an operation that makes room: on a full disk a local store does its small steps, such as its records in the
    /// journal, in the room that is kept for that.
    #[must_use]
    pub fn for_removal(&self) -> Self {
        Ctl { removes: true, ..self.clone() }
    }

    /// Whether the operation makes room.
    pub(crate) fn removes(&self) -> bool {
        self.removes
    }

    /// The token that cancels this operation.
    pub fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Announces a phase to the watcher.
    pub fn phase(&self, phase: Phase, total_bytes: Option<u64>) {
        steps::begin(phase, total_bytes);
        self.progress.phase(phase, total_bytes);
    }

    /// Counts bytes as moved: the watcher hears of it, and the stall limit starts anew.
    pub fn advance(&self, bytes: u64) {
        self.touch();
        self.progress.advance(bytes);
    }

    /// Starts the stall limit anew without telling the watcher: work went on that it does not count.
    pub fn touch(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Fails if the operation was cancelled; for loops on threads.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub fn check(&self, step: &'static str) -> Result<()> {
        if self.cancel.is_cancelled() { Err(interrupted(step)) } else { Ok(()) }
    }

    /// Returns when this undoes a cancelled operation and its time is up.
    async fn out_of_time(&self) {
        match self.until.get() {
            Some(until) => tokio::time::sleep_until(*until).await,
            None => std::future::pending().await,
        }
    }

    /// Runs one call on metadata, no longer than the timeout, and gives it up when cancelled.
    ///
    /// Giving up drops the future; a blocking call behind it may still run to its end on its own thread.
    ///
    /// # Errors
    /// [`ErrorKind::Deadline`], [`ErrorKind::Interrupted`], or the call's own error.
    pub async fn call<T>(&self, step: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(interrupted(step)),
            () = self.out_of_time() => Err(late(step)),
            result = tokio::time::timeout(self.timeout, call) => result.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Deadline, "no answer within the timeout")
                    .context("step", step)
                    .context("timeout", format!("{:?}", self.timeout))
                    .hint("see whether the store is well, or give more time with --timeout"))
            }),
        }
    }

    /// Runs work that moves data for as long as bytes move: it fails when none did for the stall limit.
    ///
    /// # Errors
    /// [`ErrorKind::Deadline`], [`ErrorKind::Interrupted`], or the work's own error.
    pub async fn transfer<T>(&self, step: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(work);
        let mut seen = self.moved.load(Ordering::Relaxed);
        let mut limit = Instant::now() + self.stall;
        // Looked at more often than the limit, since a move counts from when it is seen.
        let look = (self.stall / 10).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(interrupted(step)),
                () = self.out_of_time() => return Err(late(step)),
                result = &mut work => return result,
                () = tokio::time::sleep_until(limit.min(Instant::now() + look)) => {
                    let now = self.moved.load(Ordering::Relaxed);
                    if now != seen {
                        (seen, limit) = (now, Instant::now() + self.stall);
                    } else if Instant::now() >= limit {
                        return Err(Error::new(ErrorKind::Deadline, "no data moved within the stall limit")
                            .context("step", step)
                            .context("stall", format!("{:?}", self.stall))
                            .hint("see whether the store is well, or give more time with --stall"));
                    }
                }
            }
        }
    }
}

/// What an operation ends with that undoes something and has no time left for it.
fn late(step: &'static str) -> Error {
    Error::new(ErrorKind::Deadline, "no time is left to undo it").context("step", step)
}

fn interrupted(step: &'static str) -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted").context("step", step)
}

impl Default for Ctl {
    fn default() -> Self {
        Ctl::new()
    }
}

impl std::fmt::Debug for Ctl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctl")
            .field("timeout", &self.timeout)
            .field("stall", &self.stall)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn s05_a_call_that_never_returns_ends_by_its_timeout() {
        let ctl = Ctl::new().timeout(Duration::from_secs(5));
        let before = Instant::now();
        let error = ctl.call("open", std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline);
        assert_eq!(before.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn s05_a_transfer_lasts_while_bytes_move_and_no_longer() {
        let ctl = Ctl::new().stall(Duration::from_secs(10));
        let mover = ctl.clone();
        let work = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                mover.advance(1);
            }
            std::future::pending::<Result<()>>().await
        };
        let before = Instant::now();
        assert_eq!(ctl.transfer("copy", work).await.unwrap_err().kind(), ErrorKind::Deadline);
        assert!(before.elapsed() >= Duration::from_secs(100) && before.elapsed() <= Duration::from_secs(101));
    }

    #[tokio::test(start_paused = true)]
    async fn s05_undoing_what_a_cancel_has_ended_takes_no_longer_than_it_may() {
        let never = std::future::pending::<Result<()>>;
        let ctl = Ctl::new().undo_within(Duration::from_secs(2));
        // Before the cancel nothing is bounded by it.
        assert_eq!(ctl.for_cleanup().call("undo", never()).await.unwrap_err().kind(), ErrorKind::Deadline);
        let cleanup = ctl.for_cleanup();
        let before = Instant::now();
        let (in_flight, ()) =
            tokio::join!(ctl.finish("copy", never()), async { ctl.cancel_token().cancel() });
        assert_eq!(in_flight.unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(before.elapsed(), Duration::from_secs(2));
        assert!(ctl.for_cleanup().is_late() && cleanup.is_late());
        assert_eq!(ctl.for_cleanup().call("undo", never()).await.unwrap_err().kind(), ErrorKind::Deadline);
        assert_eq!(
            ctl.for_cleanup().transfer("undo", never()).await.unwrap_err().kind(),
            ErrorKind::Deadline
        );
        assert_eq!(
            ctl.for_cleanup().finish("undo", never()).await.unwrap_err().kind(),
            ErrorKind::Interrupted
        );
        assert_eq!(before.elapsed(), Duration::from_secs(2), "there was no time left");
    }

    #[tokio::test(start_paused = true)]
    async fn s05_undoing_without_a_bound_ends_by_its_own_limits() {
        let ctl = Ctl::new().stall(Duration::from_secs(7));
        ctl.cancel_token().cancel();
        let before = Instant::now();
        let (cleanup, never) = (ctl.for_cleanup(), std::future::pending::<Result<()>>());
        assert_eq!(cleanup.transfer("undo", never).await.unwrap_err().kind(), ErrorKind::Deadline);
        assert_eq!(before.elapsed(), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn s05_cancelling_ends_a_call_at_once() {
        let ctl = Ctl::new();
        ctl.cancel_token().cancel();
        let error = ctl.call("open", std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
}
