//! Interrupts: the first undoes and ends, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Which signal came, as the exit code it asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts(Arc<AtomicU8>);

const SIGINT_CODE: u8 = 130;
const SIGTERM_CODE: u8 = 143;

impl Interrupts {
    /// Cancels `token` at the first SIGINT or SIGTERM, and ends the process at the second.
    pub(crate) fn watch(token: CancellationToken) -> Self {
        let interrupts = Interrupts::default();
        let seen = interrupts.clone();
        // Caught from here on, not from when the task is first run: what is begun meanwhile is to be undone too.
        let caught = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut int), Ok(mut term)) = caught else {
            tracing::warn!("signals cannot be caught: an interrupt will not clean up");
            return interrupts;
        };
        tokio::spawn(async move {
            loop {
                let code = tokio::select! {
                    _ = int.recv() => SIGINT_CODE,
                    _ = term.recv() => SIGTERM_CODE,
                };
                if token.is_cancelled() {
                    // What is half done stays in the journal as pending. No exit handlers: Ceph's crash beside its threads.
                    volary::engine::ceph::leave(code);
                }
                seen.0.store(code, Ordering::Relaxed);
                token.cancel();
            }
        });
        interrupts
    }

    /// The exit code that the signal asked for, if one came.
    pub(crate) fn code(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }
}
