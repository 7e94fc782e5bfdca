//! Pausing a thread at random.

use crate::callers::is_ceph;
use crate::settings::{MOST, ONE_IN, SEED, tell};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static THREADS: AtomicU64 = AtomicU64::new(1);
static TOLD: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The state of this thread's draws; 0: none has been made. Without destructor: threads take locks until their very end.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
    /// Whether this thread is in here already: what finding out and pausing call may take locks too.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Pauses, if Ceph's code at `caller` takes a lock and the draw says so.
pub(crate) fn perhaps(caller: usize) {
    let one_in = ONE_IN.load(Ordering::Relaxed);
    if one_in == 0 || INSIDE.replace(true) {
        return;
    }
    if is_ceph(caller) {
        let drawn = draw();
        if (drawn >> 40).is_multiple_of(u64::from(one_in)) {
            if !TOLD.swap(true, Ordering::Relaxed) {
                tell();
            }
            pause(drawn % u64::from(MOST.load(Ordering::Relaxed)));
        }
    }
    INSIDE.set(false);
}

fn draw() -> u64 {
    let mut state = DRAWN.get();
    if state == 0 {
        // Neighbouring seeds and threads begin far from each other.
        let thread = THREADS.fetch_add(1, Ordering::Relaxed);
        state = (SEED.load(Ordering::Relaxed) << 32 | thread).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    DRAWN.set(state);
    state
}

fn pause(microseconds: u64) {
    let nanoseconds = i64::try_from(microseconds % 1_000_000 * 1000).unwrap_or(0);
    let time = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
    // SAFETY: this thread's own variable, which pausing must not change, since taking a lock does not; a time, and no place for the rest.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::nanosleep(&time, std::ptr::null_mut());
        *errno = before;
    }
}
