//! The C interface, as `cargo xtask bindings` generates it from the headers of the oldest release supported.

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::expect_used,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
mod bindings;

pub(crate) use bindings::*;

/// The type of `rbd_aio_get_return_value`.
pub(crate) type AnswerOf = unsafe extern "C" fn(rbd_completion_t) -> isize;

/// The type of `rbd_aio_release`.
pub(crate) type ReleaseOf = unsafe extern "C" fn(rbd_completion_t);
