//! Ending the process while Ceph's threads may still be at work.

use std::ffi::c_int;

// SAFETY: the declaration is that of POSIX.
unsafe extern "C" {
    /// Never unsafe to call: it runs nothing of this process any more.
    safe fn _exit(code: c_int) -> !;
}

/// Ends the process at once, without the exit handlers that [`std::process::exit`] and returning from `main` run.
///
/// Those of Ceph's libraries tear down what a thread inside them may still use, and the process crashes instead of telling its exit
/// code. So a program that gave up a call, or did not see [`shutdown`](crate::Cluster::shutdown) succeed, ends like this,
/// after flushing what it wrote.
///
/// ```no_run
/// rbd::leave(8);
/// ```
///
/// C: `_exit`.
#[doc(alias = "_exit")]
pub fn leave(code: u8) -> ! {
    _exit(code.into())
}
