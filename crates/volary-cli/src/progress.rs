//! The progress bar: how much, how fast, how long still. Drawn on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use volary::{Phase, Progress};

/// A bar on standard error, made anew for each phase.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that shows itself with the first phase.
    pub(crate) fn new() -> Self {
        Bar(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden()))
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn phase(&self, phase: Phase, total_bytes: Option<u64>) {
        let word = match phase {
            Phase::Spool => "reading",
            Phase::Copy => "copying",
            Phase::Verify => "verifying",
            Phase::Flatten => "flattening",
            Phase::Remove => "removing",
            Phase::Check => "checking",
            _ => "working",
        };
        let template = match total_bytes {
            _ if phase == Phase::Check => "{msg:>10} {spinner} {human_pos} volumes",
            Some(_) => "{msg:>10} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
            None => "{msg:>10} {spinner} {bytes} {bytes_per_sec}",
        };
        self.0.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style.progress_chars("=> "));
        }
        self.0.set_message(word);
        self.0.reset();
        match total_bytes {
            Some(total) => self.0.set_length(total),
            None => self.0.unset_length(),
        }
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}
