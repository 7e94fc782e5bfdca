//! A line of the log for each call of Ceph's libraries, at the level `TRACE`: the function, what it was called on, what it answered, and
//! how long it took. Where no subscriber wants that level, a call costs one check of the level.

use crate::errno::Errno;
use crate::error::Place;
use std::time::Instant;

/// The target of these lines.
const TARGET: &str = "rbd::call";

/// When a call began, if a subscriber wants its line.
pub(crate) fn begin() -> Option<Instant> {
    tracing::enabled!(target: TARGET, tracing::Level::TRACE).then(Instant::now)
}

/// Logs a call of this C function that began then and has returned.
pub(crate) fn returned(begun: Option<Instant>, function: &'static str, on: &Place, answer: i64) {
    log(begun, "returned", function, on, answer);
}

/// Logs an asynchronous call that was submitted then and is completed.
pub(crate) fn completed(begun: Option<Instant>, function: &'static str, on: &Place, answer: i64) {
    log(begun, "completed", function, on, answer);
}

fn log(begun: Option<Instant>, how: &str, function: &'static str, on: &Place, answer: i64) {
    let Some(begun) = begun else { return };
    let seconds = begun.elapsed().as_secs_f64();
    let on = on.to_string();
    let on = on.trim_start();
    // Functions answer what they found, or a negative error number.
    let errno = (answer < 0).then(|| Errno::from_answer(answer).to_string());
    tracing::trace!(target: TARGET, function, on, answer, errno, seconds, "{how}");
}
