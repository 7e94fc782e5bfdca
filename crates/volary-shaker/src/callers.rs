//! Who takes a lock: Ceph's libraries, or anybody else.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the files of Ceph's libraries are called.
const LIBRARIES: [&str; 3] = ["librbd.so", "librados.so", "libceph-common.so"];

const SLOTS: usize = 4096;

/// Pages of code as last looked up, each in one word so that no thread sees half of one: its number, and in the lowest bit whether
/// it is Ceph's.
static PAGES: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];

/// Whether an address is in the code of Ceph's libraries.
pub(crate) fn is_ceph(address: usize) -> bool {
    let page = address >> 12;
    let slot = &PAGES[page.wrapping_mul(0x9E37_79B1) % SLOTS];
    let known = slot.load(Ordering::Relaxed);
    if known >> 1 == page {
        return known & 1 == 1;
    }
    let ceph = look_up(address);
    slot.store(page << 1 | usize::from(ceph), Ordering::Relaxed);
    ceph
}

fn look_up(address: usize) -> bool {
    // SAFETY: pointers and numbers; zero is valid for each.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for; a struct to fill.
    let found = unsafe { libc::dladdr(address as *const c_void, &mut info) } != 0;
    if !found || info.dli_fname.is_null() {
        return false;
    }
    // SAFETY: the name of a library that is loaded, and whose code is just running.
    let file = unsafe { CStr::from_ptr(info.dli_fname) }.to_bytes();
    LIBRARIES.iter().any(|name| file.windows(name.len()).any(|part| part == name.as_bytes()))
}
