//! Numbers drawn from a seed.

use std::time::Duration;

pub(crate) struct Draw(u64);

impl Draw {
    /// Draws that differ by seed and by thread.
    pub(crate) fn new(seed: u64, thread: u64) -> Self {
        Draw((seed << 32 | thread).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % end
    }

    /// A limit so short that a call may be given up before it begins, in its middle, or not at all.
    pub(crate) fn short(&mut self) -> Duration {
        let scale = self.below(15);
        Duration::from_micros(self.below(1 << scale))
    }
}
