//! Input of the object classes' methods, as librbd encodes it.

use rbd::Method;
use std::ffi::CStr;

/// A method and what it is given, one value after the other.
pub(super) fn method(name: &'static CStr, input: impl IntoIterator<Item = Vec<u8>>) -> Method {
    Method { name, input: input.into_iter().collect::<Vec<_>>().concat() }
}

pub(super) fn number(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}
