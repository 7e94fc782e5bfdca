//! Ending the process while Ceph's threads may still be at work.

use crate::load::Library;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

// SAFETY: the declaration is that of POSIX.
unsafe extern "C" {
    /// Never unsafe to call: it runs nothing of this process any more.
    safe fn _exit(code: c_int) -> !;
}

// SAFETY: the declaration is that of glibc.
unsafe extern "C" {
    fn on_exit(handler: unsafe extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
}

/// Whether the process has left Ceph's libraries to themselves.
static PARKED: AtomicBool = AtomicBool::new(false);

/// Leaves what is open as it is, for good: a thread of this crate that would call Ceph's libraries from now on waits for ever
/// instead, and what is dropped is neither closed nor disconnected.
///
/// For code in a process that is not its own to end, such as a module of Python, when that process is about to end: exit handlers then
/// destroy what Ceph's libraries use, and a call given up that returns late must not go on beside them. Shut down first what can be.
/// It cannot be undone, and calling it again does nothing.
pub fn park() {
    PARKED.store(true, Ordering::SeqCst);
}

/// Whether [`park`] was called: what is dropped is then left as it is.
pub(crate) fn is_parked() -> bool {
    PARKED.load(Ordering::SeqCst)
}

/// Waits for ever once [`park`] was called: every call of Ceph's libraries comes by here.
pub(crate) fn wait_if_parked() {
    while is_parked() {
        thread::park();
    }
}

/// The first exit handler that runs; none runs after it.
unsafe extern "C" fn leave_with(code: c_int, _argument: *mut c_void) {
    _exit(code)
}

impl Library {
    /// From now on the process ends as by [`leave`] wherever it returns from `main` or calls [`std::process::exit`], with the same
    /// exit code: none of the exit handlers that are registered by now runs, Ceph's among them.
    ///
    /// For a program whose end is not its own to write, such as a test's harness. It has no place in a library: a host's exit
    /// handlers are the host's. Calling it again does nothing.
    ///
    /// C: `on_exit`, with `_exit`.
    #[doc(alias = "on_exit")]
    pub fn leave_at_exit(&self) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Exit handlers run newest first: the library, which is loaded, has registered its own before. It fails without memory
            // only, and then the process ends as it would have.
            // SAFETY: a function that lives as long as the process, and takes no argument.
            let _ = unsafe { on_exit(leave_with, ptr::null_mut()) };
        });
    }
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
