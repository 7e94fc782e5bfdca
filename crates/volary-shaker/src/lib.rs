//! Pauses threads at random around the locks that Ceph's libraries take, so that races between their threads and their callers
//! show in seconds instead of months. To be preloaded into tests (`LD_PRELOAD`); nothing that users run knows of it.
//!
//! | variable | is |
//! |---|---|
//! | `VOLARY_SHAKE` | `ONE_IN:MICROSECONDS:SEED`: every how many locks a thread pauses on average, for how long at most, and what draws both |
//! | `VOLARY_SHAKE_PROGRAMS` | programs below this path are shaken; the others that inherit the variables run as always |
//! | `VOLARY_SHAKE_TOLD` | a file to which each process that paused appends a line |
//!
//! The first two belong together: without them nothing is shaken. The same seed draws the same pauses for each thread, counted in
//! the order of their first lock; how the threads take turns remains the kernel's business.

mod callers;
mod pause;
mod settings;

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of the C library, found when it is first called.
struct Real {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Real {
    const fn new(name: &'static CStr) -> Self {
        Real { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Calls it on a lock.
    ///
    /// # Safety
    /// `lock` is what a caller of the function gave.
    unsafe fn call(&self, lock: *mut c_void) -> c_int {
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: a C string; the next library after this one that has the name is the C library.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.found.store(found, Ordering::Relaxed);
        }
        if found.is_null() {
            return libc::ENOSYS;
        }
        // SAFETY: each function named below takes a pointer to its lock and returns an error number.
        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> c_int>(found)(lock) }
    }
}

/// Puts a function of the same name before the C library's: it learns where it was called from, and pauses.
macro_rules! interpose {
    ($($name:ident $then:ident $when:ident;)*) => {$(
        #[doc = concat!("The C library's `", stringify!($name), "`, with pauses.")]
        ///
        /// # Safety
        /// As for the C library's.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(lock: *mut c_void) -> c_int {
            // The address to return to becomes the second argument; the first stays where it is.
            #[cfg(target_arch = "x86_64")]
            std::arch::naked_asm!("mov rsi, [rsp]", "jmp {}", sym $then);
            #[cfg(target_arch = "aarch64")]
            std::arch::naked_asm!("mov x1, x30", "b {}", sym $then);
        }

        unsafe extern "C" fn $then(lock: *mut c_void, caller: usize) -> c_int {
            static REAL: Real = Real::new(match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => c"",
            });
            if Place::$when == Place::Before {
                pause::perhaps(caller);
            }
            // SAFETY: the caller's promise to the C library's function.
            let done = unsafe { REAL.call(lock) };
            if Place::$when == Place::After {
                pause::perhaps(caller);
            }
            done
        }
    )*};
}

/// When a thread pauses: before it takes a lock, or after it has let go of one. While it holds one, others would just wait.
#[derive(PartialEq)]
enum Place {
    Before,
    After,
}

interpose! {
    pthread_mutex_lock mutex_lock Before;
    pthread_mutex_unlock mutex_unlock After;
    pthread_rwlock_rdlock rwlock_rdlock Before;
    pthread_rwlock_wrlock rwlock_wrlock Before;
    pthread_rwlock_unlock rwlock_unlock After;
}
