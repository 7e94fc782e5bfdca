//! The host's clock beside the time that passes: after a jump forward nothing leaves the trash before its date.

use crate::Metrics;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A step of more than this between two looks is a jump; what keeps a clock right in passing makes none.
const JUMP: SignedDuration = SignedDuration::from_mins(1);
/// A clock that has not jumped for so long is believed, so that an operator has a working day to set it right.
const STEADY: Duration = Duration::from_secs(24 * 3600);

/// Both clocks as they were last seen.
#[derive(Debug)]
struct Seen {
    instant: Instant,
    time: Timestamp,
    /// How much later than the time that is believed the clock is, by jumps; never negative.
    ahead: SignedDuration,
    /// When it last jumped, if it has.
    jumped: Option<Instant>,
}

/// What the clock says, and what of that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// The host's time.
    pub(crate) time: Timestamp,
    /// The time that decides which volumes leave the trash; for a day after a jump forward, the time without the jump.
    pub(crate) believed: Timestamp,
}

/// This host's clock.
pub(crate) struct Clock {
    read: Box<dyn Fn() -> Timestamp + Send + Sync>,
    seen: Mutex<Seen>,
}

impl Clock {
    /// One that is read so, and believed as it is now: without a look before this there is nothing to compare it with.
    pub(crate) fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        let seen = Seen { instant: Instant::now(), time: read(), ahead: SignedDuration::ZERO, jumped: None };
        Clock { read: Box::new(read), seen: Mutex::new(seen) }
    }

    /// Looks at it; a jump since the last look is counted and logged.
    pub(crate) fn look(&self, metrics: &Metrics) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (instant, time) = (Instant::now(), (self.read)());
        let passed = instant.saturating_duration_since(seen.instant);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let step = time.duration_since(seen.time).saturating_sub(passed);
        (seen.instant, seen.time) = (instant, time);
        if step > JUMP || step < -JUMP {
            let direction = if step.is_negative() { "backward" } else { "forward" };
            let ahead = seen.ahead.saturating_add(step);
            // Set right to the minute, it is right.
            seen.ahead = if ahead > JUMP { ahead } else { SignedDuration::ZERO };
            seen.jumped = Some(instant);
            metrics.clock_jumps.add(&[direction], 1);
            let (seconds, ahead_seconds) = (step.as_secs(), seen.ahead.as_secs());
            tracing::warn!(
                seconds,
                ahead_seconds,
                %time,
                "the clock of this host has jumped {direction}: `timedatectl` shows whether it is right now"
            );
        } else if seen.jumped.is_some_and(|jumped| instant.saturating_duration_since(jumped) >= STEADY) {
            (seen.ahead, seen.jumped) = (SignedDuration::ZERO, None);
            tracing::info!(%time, "the clock of this host has been steady for a day and is believed");
        }
        metrics.clock_ahead.set(&[], seen.ahead.as_secs_f64());
        Look { time, believed: time.checked_sub(seen.ahead).unwrap_or(Timestamp::MIN) }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("seen", &self.seen).finish_non_exhaustive()
    }
}
