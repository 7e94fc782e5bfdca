//! Trying again while something may go away by itself.

use crate::{Ctl, ErrorKind, Result};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How long agents leave alone what failed so often: doubling, up to an hour, [`somewhat_earlier`].
///
/// ```
/// assert!(volary::retry_pause(1).as_secs_f64() <= 10.0);
/// assert!(volary::retry_pause(40).as_secs_f64() >= 2700.0);
/// ```
pub fn retry_pause(attempts: u32) -> Duration {
    let pause = (FIRST_PAUSE * (1 << attempts.saturating_sub(1).min(10))).min(LONGEST_PAUSE);
    somewhat_earlier(pause)
}

/// How long to try again, with growing pauses.
pub(crate) struct Patience {
    until: Instant,
    next: Duration,
    tries: u32,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Patience { until: Instant::now() + wait, next: Duration::from_millis(100), tries: 0 }
    }

    /// Pauses and says yes, or says no when the time is up. The log has at `INFO` that a wait begins, for what and for how long at most, at
    /// `DEBUG` each try with `why` it has to be made again.
    pub(crate) async fn pause(&mut self, why: impl Display, ctl: &Ctl) -> Result<bool> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        if self.tries == 0 {
            tracing::info!(at_most_seconds = left.as_secs_f64(), %why, "wait until it is released");
        }
        self.tries = self.tries.saturating_add(1);
        let pause = somewhat_earlier(self.next).min(left);
        tracing::debug!(tries = self.tries, next_in_seconds = pause.as_secs_f64(), %why, "to be tried again");
        tokio::select! {
            () = ctl.cancel_token().cancelled() => ctl.check("wait")?,
            () = tokio::time::sleep(pause) => {}
        }
        self.next = (self.next * 2).min(Duration::from_secs(2));
        Ok(true)
    }
}

/// A pause of which up to a quarter is left out by chance, so that many do not come back at once.
pub fn somewhat_earlier(pause: Duration) -> Duration {
    let mut chance = [0; 2];
    // Without chance the pause is the longest.
    let _ = getrandom::fill(&mut chance);
    pause - pause / 4 * u32::from(u16::from_le_bytes(chance)) / u32::from(u16::MAX)
}

/// Tries again for so long while somebody holds what the work needs.
pub(crate) async fn patiently<T, F>(wait: Duration, ctl: &Ctl, mut work: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut patience = Patience::new(wait);
    loop {
        match work().await {
            Err(error)
                if error.kind() == ErrorKind::Blocked && patience.pause(error.report(), ctl).await? => {}
            ended => return ended,
        }
    }
}
