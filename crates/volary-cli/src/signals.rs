//! Interrupts: the first undoes and ends, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Which signal came, as the exit code it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts {
    code: Arc<AtomicU8>,
    token: CancellationToken,
    /// What catches them; whoever serves holds it.
    caught: Option<Arc<Mutex<(Signal, Signal)>>>,
}

const SIGINT_CODE: u8 = 130;
const SIGTERM_CODE: u8 = 143;

impl Interrupts {
    /// Cancels `token` at the first SIGINT or SIGTERM, and ends the process at the second.
    pub(crate) fn watch(token: CancellationToken) -> Self {
        // Caught from here on, not from when the task is first run: what is begun meanwhile is to be undone too.
        let caught = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(int), Ok(term)) => Some(Arc::new(Mutex::new((int, term)))),
            _ => {
                tracing::warn!("signals cannot be caught: an interrupt will not clean up");
                None
            }
        };
        let interrupts = Interrupts { code: Arc::default(), token, caught };
        interrupts.serve();
        interrupts
    }

    /// Goes on watching on this runtime when the one before has ended; what came in between is not lost.
    pub(crate) fn serve(&self) {
        let Some(caught) = self.caught.clone() else { return };
        let (seen, token) = (self.code.clone(), self.token.clone());
        tokio::spawn(async move {
            let mut caught = caught.lock().await;
            let (int, term) = &mut *caught;
            loop {
                let code = tokio::select! {
                    _ = int.recv() => SIGINT_CODE,
                    _ = term.recv() => SIGTERM_CODE,
                };
                if token.is_cancelled() {
                    // What is half done stays in the journal as pending. No exit handlers: Ceph's crash beside its threads.
                    volary::engine::ceph::leave(code);
                }
                seen.store(code, Ordering::Relaxed);
                token.cancel();
            }
        });
    }

    /// The exit code that the signal asked for, if one came.
    pub(crate) fn code(&self) -> Option<u8> {
        Some(self.code.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }
}
