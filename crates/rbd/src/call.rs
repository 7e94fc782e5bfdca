//! How C functions are called: looked up in the table, their answers checked, their buffers grown, strings passed.

use crate::errno::Errno;
use crate::error::{Error, Result};
use std::ffi::{CStr, CString, c_char, c_void};
use std::time::{Duration, SystemTime};

/// The function pointer of a symbol; leaves the function with `Unsupported` when the library lacks it.
macro_rules! symbol {
    ($library:expr, $name:ident) => {
        match &$library.table().$name {
            Ok(function) => *function,
            Err(_) => return Err($crate::Error::Unsupported { symbol: stringify!($name) }),
        }
    };
}

/// Calls a C function, logs it where that is wanted, and checks its answer; the caller's `unsafe` says why that is sound.
macro_rules! call {
    ($library:expr, $at:expr, $name:ident($($argument:expr),* $(,)?)) => {
        match &$library.table().$name {
            Ok(function) => {
                let begun = $crate::trace::begin();
                let answer = function($($argument),*) as i64;
                $crate::trace::returned(begun, stringify!($name), &$at, answer);
                $at.check(stringify!($name), answer)
            }
            Err(_) => Err($crate::Error::Unsupported { symbol: stringify!($name) }),
        }
    };
}

/// A pointer that Ceph's libraries allow any thread to use.
#[derive(Clone, Copy)]
pub(crate) struct Raw(pub(crate) *mut c_void);
// SAFETY: librados' and librbd's handles are thread-safe by their documentation.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

/// Bytes as a C string.
pub(crate) fn text(bytes: &[u8], what: &'static str) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::Nul { what })
}

/// A C string's bytes; none for NULL.
///
/// # Safety
/// `pointer` is NULL or a C string that lives through the call.
pub(crate) unsafe fn bytes(pointer: *const c_char) -> Vec<u8> {
    if pointer.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_bytes().to_vec()
}

/// The strings in a buffer of strings that each end with NUL.
pub(crate) fn strings(buffer: &[u8]) -> Vec<Vec<u8>> {
    buffer.split_inclusive(|byte| *byte == 0).map(|part| part[..part.len() - 1].to_vec()).collect()
}

/// The string at a buffer's start.
pub(crate) fn first_string(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.truncate(buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len()));
    buffer
}

/// The longest list or string asked for: beyond it the answer is ERANGE itself.
const MOST: usize = 1 << 26;

/// Repeats a call that answers ERANGE with a longer buffer until it fits; `call` may write the length it needs.
pub(crate) fn grow<T>(start: usize, mut call: impl FnMut(&mut usize) -> Result<T>) -> Result<T> {
    let mut len = start;
    loop {
        let mut wanted = len;
        match call(&mut wanted) {
            Err(error) if error.errno() == Some(Errno::ERANGE) && len < MOST => {
                len = wanted.max(len.saturating_mul(2)).min(MOST);
            }
            done => return done,
        }
    }
}

/// A time of C, which counts from 1970.
pub(crate) fn time(seconds: i64, nanoseconds: i64) -> Option<SystemTime> {
    let since = Duration::new(
        u64::try_from(seconds).ok()?,
        u32::try_from(nanoseconds).ok().filter(|n| *n < 1 << 30)?,
    );
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::{first_string, grow, strings, text};
    use crate::error::{Error, Place};

    #[test]
    fn a_buffer_grows_to_what_the_call_wants_and_only_for_erange() {
        let mut asked = Vec::new();
        let fits = grow(4, |len| {
            asked.push(*len);
            let enough = *len >= 100;
            *len = 10.max(*len);
            Place::default().check("f", if enough { 7 } else { -34 })
        });
        assert_eq!(fits, Ok(7));
        assert_eq!(asked, [4, 10, 20, 40, 80, 160]);
        let mut calls = 0;
        let refused = grow(4, |_| {
            calls += 1;
            Place::default().check("f", -2)
        });
        assert!(matches!(refused, Err(Error::Failed { symbol: "f", .. })));
        assert_eq!(calls, 1);
        assert!(grow(4, |_| Place::default().check("f", -34)).is_err());
    }

    #[test]
    fn strings_are_bytes_and_nul_is_refused() {
        assert_eq!(strings(b"a\0\xff\0\0"), [b"a".to_vec(), b"\xff".to_vec(), Vec::new()]);
        assert_eq!(first_string(b"ab\0c".to_vec()), b"ab");
        assert_eq!(text(b"a\0b", "a name"), Err(Error::Nul { what: "a name" }));
    }
}
