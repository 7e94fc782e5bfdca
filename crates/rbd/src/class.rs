//! Methods of object classes: code at the OSDs that reads and changes an object.

use crate::Errno;
use crate::call::text;
use crate::error::{Place, Result};
use crate::object::WriteOp;
use crate::pool::{Io, Pool};
use crate::sys;
use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

/// The class that keeps RBD's own objects (`cls_rbd`).
const CLASS: &CStr = c"rbd";

/// A method of the class `rbd` and its input, encoded as Ceph encodes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The method's name.
    pub name: &'static CStr,
    /// What it is given.
    pub input: Vec<u8>,
}

impl Pool {
    /// Calls a method of the class `rbd` that answers at most `len` bytes, and returns them.
    ///
    /// # Errors
    /// What the method answers; ENOENT when it needs the object and that is not there.
    ///
    /// C: `rados_exec`.
    #[doc(alias = "rados_exec")]
    pub async fn object_ask(
        &self,
        object: &[u8],
        method: Method,
        len: usize,
        limit: Duration,
    ) -> Result<Vec<u8>> {
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        self.run("rados_exec", limit, move |io| {
            let mut answer = vec![0_u8; len];
            let (class, name) = (CLASS.as_ptr(), method.name.as_ptr());
            let (input, input_len) = (method.input.as_ptr().cast(), method.input.len());
            let start = answer.as_mut_ptr().cast();
            // SAFETY: a live context, C strings, an input and a buffer of the lengths told.
            let told = unsafe {
                call!(
                    io.on.library,
                    at,
                    rados_exec(io.raw.0, object.as_ptr(), class, name, input, input_len, start, len)
                )
            }?;
            answer.truncate(usize::try_from(told).unwrap_or(usize::MAX));
            Ok(answer)
        })
        .await
    }

    /// Calls methods of the class `rbd` that change an object, all or none; with `new` the object must not be there.
    ///
    /// A method sees the object as it was before the first of them.
    ///
    /// # Errors
    /// EEXIST for an object that was to be new; what the methods answer.
    ///
    /// C: `rados_write_op_exec`, with `rados_write_op_create` before it.
    #[doc(alias = "rados_write_op_exec")]
    pub async fn object_change(
        &self,
        object: &[u8],
        new: bool,
        methods: Vec<Method>,
        limit: Duration,
    ) -> Result<()> {
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        self.run("rados_write_op_operate", limit, move |io| change(io, &at, &object, new, &methods)).await
    }
}

impl Pool {
    /// Whether anybody watches an object: sends those who do an empty notification, which librbd and the kernel's client take
    /// for a change of an image's header, and says whether any is there to answer it within `patience`.
    ///
    /// # Errors
    /// ENOENT for an object that is not there; what the call answers, but for who does not answer in time.
    ///
    /// C: `rados_notify2`.
    #[doc(alias = "rados_notify2")]
    pub async fn object_is_watched(
        &self,
        object: &[u8],
        patience: Duration,
        limit: Duration,
    ) -> Result<bool> {
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.run("rados_notify2", limit, move |io| {
            let free = symbol!(io.on.library, rados_buffer_free);
            let (mut out, mut len) = (ptr::null_mut(), 0);
            let (answers, answers_len) = (&mut out, &mut len);
            // SAFETY: a live context, a C string, nothing to send, and places for a buffer of librados'.
            let told = unsafe {
                let (io_ctx, object, nothing) = (io.raw.0, object.as_ptr(), ptr::null());
                call!(
                    io.on.library,
                    at,
                    rados_notify2(io_ctx, object, nothing, 0, patience, answers, answers_len)
                )
            };
            let mut heard = false;
            if !out.is_null() {
                // SAFETY: librados' buffer of the length it told, freed once.
                unsafe {
                    // The number of answers, them, the number of those who did not answer in time.
                    heard = std::slice::from_raw_parts(out.cast::<u8>(), len).iter().any(|byte| *byte != 0);
                    free(out);
                }
            }
            match told {
                Err(error) if error.errno() == Some(Errno::ETIMEDOUT) => Ok(true),
                told => told.map(|_| heard),
            }
        })
        .await
    }
}

fn change(io: &Io, at: &Place, object: &CString, new: bool, methods: &[Method]) -> Result<()> {
    let library = &io.on.library;
    let create = symbol!(library, rados_write_op_create);
    let exec = symbol!(library, rados_write_op_exec);
    let op = WriteOp::new(io)?;
    // Each method answers into this; the operation's own answer tells as much.
    let mut answers = vec![0; methods.len()];
    if new {
        // SAFETY: a live operation; no category.
        unsafe { create(op.0, sys::LIBRADOS_CREATE_EXCLUSIVE as i32, ptr::null()) };
    }
    for (Method { name, input }, answer) in methods.iter().zip(&mut answers) {
        let (start, len) = (input.as_ptr().cast(), input.len());
        // SAFETY: a live operation, C strings, an input of the length told; the answer outlives the operation.
        unsafe { exec(op.0, CLASS.as_ptr(), name.as_ptr(), start, len, answer) };
    }
    let time = ptr::null_mut();
    // SAFETY: a live operation and context, a C string; the time is the cluster's.
    unsafe { call!(library, at, rados_write_op_operate(op.0, io.raw.0, object.as_ptr(), time, 0)) }.map(drop)
}
