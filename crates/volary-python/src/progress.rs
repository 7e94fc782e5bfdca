//! Progress, gathered by the threads that work and told by the one that waits: no worker ever waits for Python.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use volary::Phase;

/// How far an operation is.
#[derive(Default)]
pub(crate) struct Gathered {
    phase: Mutex<Option<(Phase, Option<u64>)>>,
    done_bytes: AtomicU64,
}

/// What is told of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) phase: &'static str,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: Option<u64>,
}

impl Gathered {
    /// As it is now; nothing before the first phase.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let (phase, total_bytes) = (*self.phase.lock().unwrap_or_else(PoisonError::into_inner))?;
        let phase = match phase {
            Phase::Spool => "spool",
            Phase::Copy => "copy",
            Phase::Verify => "verify",
            Phase::Flatten => "flatten",
            Phase::Remove => "remove",
            Phase::Check => "check",
            _ => "work",
        };
        Some(Seen { phase, done_bytes: self.done_bytes.load(Ordering::Relaxed), total_bytes })
    }
}

impl volary::Progress for Gathered {
    fn phase(&self, phase: Phase, total_bytes: Option<u64>) {
        let mut now = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Some((phase, total_bytes));
        self.done_bytes.store(0, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
