//! Long calls: how far they are, and how they are ended early.

use crate::error::{Error, Result};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Tell = dyn Fn(u64, u64) -> ControlFlow<()> + Send + Sync;

/// Told how far a long call is, in its own units: `(done, total)`; breaking ends the call with [`Error::Cancelled`].
///
/// It runs on Ceph's threads and must not block. A call that is given up is ended the same way.
///
/// ```
/// use std::ops::ControlFlow;
/// let quiet = rbd::Progress::default();
/// let never = rbd::Progress::new(|_done, _total| ControlFlow::Break(()));
/// ```
#[derive(Clone)]
pub struct Progress(Arc<Tell>);

impl Progress {
    /// Calls `tell` at each step.
    pub fn new(tell: impl Fn(u64, u64) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Progress(Arc::new(tell))
    }

    /// The two sides of one call: the thread's, and the caller's, whose drop ends the call.
    pub(crate) fn watch(&self) -> (Watched, GiveUp) {
        let given_up = Arc::new(AtomicBool::new(false));
        let watched =
            Watched { tell: self.clone(), given_up: Arc::clone(&given_up), stopped: AtomicBool::new(false) };
        (watched, GiveUp(given_up))
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new(|_, _| ControlFlow::Continue(()))
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

pub(crate) struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Watched {
    tell: Progress,
    given_up: Arc<AtomicBool>,
    stopped: AtomicBool,
}

impl Watched {
    /// The last argument of a call whose callback is [`told`]; it must not outlive `self`.
    pub(crate) fn argument(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// What a call's end means: an error after the callback asked for the end is the end asked for.
    pub(crate) fn outcome(&self, symbol: &'static str, done: Result<u64>) -> Result<()> {
        match done {
            Err(Error::Failed { .. }) if self.stopped.load(Ordering::Relaxed) => {
                Err(Error::Cancelled { symbol })
            }
            done => done.map(drop),
        }
    }

    fn go_on(&self, done: u64, total: u64) -> bool {
        if self.given_up.load(Ordering::Relaxed) {
            return false;
        }
        // A panic must not unwind into C.
        let told = catch_unwind(AssertUnwindSafe(|| (self.tell.0)(done, total)));
        matches!(told, Ok(ControlFlow::Continue(())))
    }
}

/// The callback of C: zero goes on, a negative error number ends the call.
///
/// # Safety
/// `argument` comes from [`Watched::argument`] of a value that lives through the call.
pub(crate) unsafe extern "C" fn told(done: u64, total: u64, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's promise; the value is shared, never written through.
    let watched = unsafe { &*argument.cast::<Watched>() };
    if watched.go_on(done, total) {
        return 0;
    }
    watched.stopped.store(true, Ordering::Relaxed);
    -crate::Errno::ECANCELED.number()
}

#[cfg(test)]
mod tests {
    use super::{Progress, told};
    use crate::error::{Error, Place};
    use std::ops::ControlFlow;

    #[test]
    fn a_call_ends_when_told_to_when_given_up_and_when_the_callback_panics() {
        let fails = || Place::default().check("f", -125);
        let (watched, give_up) = Progress::default().watch();
        // SAFETY: `watched` lives on.
        assert_eq!(unsafe { told(1, 2, watched.argument()) }, 0);
        assert!(matches!(watched.outcome("f", fails()), Err(Error::Failed { .. })));
        drop(give_up);
        // SAFETY: as above.
        assert_eq!(unsafe { told(1, 2, watched.argument()) }, -125);
        assert_eq!(watched.outcome("f", fails()), Err(Error::Cancelled { symbol: "f" }));
        assert_eq!(watched.outcome("f", Ok(0)), Ok(()));

        for stop in [Progress::new(|_, _| ControlFlow::Break(())), Progress::new(|_, _| panic!("on purpose"))]
        {
            let (watched, _give_up) = stop.watch();
            // SAFETY: as above.
            assert_eq!(unsafe { told(1, 2, watched.argument()) }, -125);
        }
    }
}
