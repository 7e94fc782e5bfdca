//! What the environment asks for, read once when the library is loaded.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Every how many locks a thread pauses on average; 0: never.
pub(crate) static ONE_IN: AtomicU32 = AtomicU32::new(0);
/// For how many microseconds at most.
pub(crate) static MOST: AtomicU32 = AtomicU32::new(0);
/// What draws both.
pub(crate) static SEED: AtomicU64 = AtomicU64::new(0);

/// The loader calls this before the program's `main`, while there is one thread.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    let Some(parts) = variable(c"VOLARY_SHAKE").and_then(|text| std::str::from_utf8(text).ok()) else {
        return;
    };
    let mut parts = parts.split(':');
    let (one_in, most, seed) = (parts.next(), parts.next(), parts.next());
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
    let (Some(one_in), Some(most), Some(seed)) = (number(one_in), number(most), number(seed)) else { return };
    let programs = variable(c"VOLARY_SHAKE_PROGRAMS").map(|path| Path::new(OsStr::from_bytes(path)));
    let this = std::fs::read_link("/proc/self/exe");
    let (Some(programs), Ok(this)) = (programs, this) else { return };
    if !this.starts_with(programs) {
        return;
    }
    MOST.store(most.max(1), Ordering::Relaxed);
    SEED.store(u64::from(seed), Ordering::Relaxed);
    ONE_IN.store(one_in, Ordering::Relaxed);
}

fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: a C string; it runs while there is one thread, and what it answers is not changed before it has been read.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: as above.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}

/// Appends a line to the file that is to be told that this process has paused.
pub(crate) fn tell() {
    let Some(path) = variable(c"VOLARY_SHAKE_TOLD") else { return };
    let line = format!("{} {}\n", std::process::id(), SEED.load(Ordering::Relaxed));
    let file = std::fs::OpenOptions::new().append(true).create(true).open(OsStr::from_bytes(path));
    // What cannot be told is missed by whoever reads the file.
    drop(file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes())));
}
