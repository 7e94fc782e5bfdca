//! Interrupts: the first undoes and ends, the second ends at once, and so does the time for undoing.

use crate::failure;
use crate::output::Format;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use volary::{Error, ErrorKind};

/// What a command that was interrupted may take for what it still does; what is not undone by then stays pending.
pub(crate) const UNDO: Duration = Duration::from_millis(1200);
/// After so long a command ends whatever it is doing, as it does at a second signal.
const END: Duration = Duration::from_millis(1900);

/// The signals that end a command, by number, and the exit codes they ask for. `init` and `kill` send SIGTERM, a terminal that is closed
/// SIGHUP.
const SIGNALS: [(SignalKind, u32, u8); 3] = [
    (SignalKind::interrupt(), 2, 130),
    (SignalKind::terminate(), 15, 143),
    (SignalKind::hangup(), HANGUP, 129),
];
const HANGUP: u32 = 1;

/// Which signal came, as the exit code it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts {
    code: Arc<AtomicU8>,
    token: CancellationToken,
    /// How to say that the time is up, where it is bounded.
    late: Option<Format>,
    /// What catches them; whoever serves holds it.
    caught: Arc<Mutex<Vec<(Signal, u8)>>>,
}

impl Interrupts {
    /// Cancels `token` at the first SIGINT or SIGTERM, and ends the process at the second. Where there is a format to say so in, the first
    /// also ends it when its time is up, and SIGHUP is such a signal too. What was ignored when the process was started stays
    /// ignored: `nohup` asks for that.
    pub(crate) fn watch(token: CancellationToken, late: Option<Format>) -> Self {
        let ignored = ignored();
        let is_heard =
            |number: u32| ignored & (1 << (number - 1)) == 0 && (number != HANGUP || late.is_some());
        // Caught from here on, not from when the task is first run: what is begun meanwhile is to be undone too.
        let heard = SIGNALS.into_iter().filter(|&(_, number, _)| is_heard(number));
        let caught: std::io::Result<Vec<_>> =
            heard.map(|(kind, _, code)| Ok((signal(kind)?, code))).collect();
        let caught = caught.unwrap_or_else(|error| {
            tracing::warn!(%error, "signals cannot be caught: an interrupt will not clean up");
            Vec::new()
        });
        let (code, caught) = (Arc::default(), Arc::new(Mutex::new(caught)));
        let interrupts = Interrupts { code, token, late, caught };
        interrupts.serve();
        interrupts
    }

    /// Goes on watching on this runtime when the one before has ended; what came in between is not lost.
    pub(crate) fn serve(&self) {
        let Interrupts { code: seen, token, late, caught } = self.clone();
        tokio::spawn(async move {
            let mut caught = caught.lock().await;
            let first = match seen.load(Ordering::Relaxed) {
                0 => next(&mut caught).await,
                before => before,
            };
            seen.store(first, Ordering::Relaxed);
            token.cancel();
            let second = match late {
                Some(format) => tokio::time::timeout(END, next(&mut caught)).await.unwrap_or_else(|_| {
                    let late = "interrupted, and it has not ended in time: something may be half done";
                    let error = Error::new(ErrorKind::Partial, late);
                    failure::report(
                        &error.hint("`volary pending` shows what is left, `volary reap` settles it"),
                        format,
                        None,
                    )
                }),
                None => next(&mut caught).await,
            };
            // What is half done stays in the journal as pending. No exit handlers: Ceph's crash beside its threads.
            volary::engine::ceph::leave(second);
        });
    }

    /// The exit code that the signal asked for, if one came.
    pub(crate) fn code(&self) -> Option<u8> {
        Some(self.code.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }
}

/// Catches SIGHUP for a command that does not end by it; `None` where the process ignores it or cannot catch it.
pub(crate) fn hangups() -> Option<Signal> {
    if ignored() & (1 << (HANGUP - 1)) != 0 { None } else { signal(SignalKind::hangup()).ok() }
}

/// The exit code of the next signal; never returns where none is caught.
async fn next(caught: &mut [(Signal, u8)]) -> u8 {
    poll_fn(|context| {
        let came = caught
            .iter_mut()
            .find_map(|(signal, code)| signal.poll_recv(context).is_ready().then_some(*code));
        came.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// The signals that this process ignores, a bit each, as proc(5) has them; none where that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
