//! The phases of an operation in the log, at `INFO`: each, when it has ended, with how long it took.

use crate::Phase;
use std::cell::RefCell;
use std::time::Instant;

tokio::task_local! {
    /// The phase that the operation of this task is in.
    static PHASE: RefCell<Option<Running>>;
}

/// Runs an operation whose phases are logged.
pub(crate) async fn logged<T>(operation: impl Future<Output = T>) -> T {
    PHASE.scope(RefCell::default(), operation).await
}

/// A phase begins, which ends the one before. Outside of an operation none is logged.
pub(crate) fn begin(phase: Phase, total_bytes: Option<u64>) {
    let running = Running { phase, total_bytes, since: Instant::now() };
    // What it was before is dropped, and logged, when it is no longer borrowed.
    let _ = PHASE.try_with(|of| drop(of.replace(Some(running))));
}

/// The phase that the operation is in has ended, and what follows is in none.
pub(crate) fn end() {
    let _ = PHASE.try_with(|of| drop(of.take()));
}

struct Running {
    phase: Phase,
    total_bytes: Option<u64>,
    since: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        let seconds = self.since.elapsed().as_secs_f64();
        // What a check counts are volumes.
        let bytes = self.total_bytes.filter(|_| self.phase != Phase::Check);
        tracing::info!(target: "volary::engine", bytes, seconds, "{}", self.phase.word());
    }
}
