//! Single RADOS objects: whether they are there, what is in them, and taking them away.

use crate::Errno;
use crate::call::text;
use crate::error::{Place, Result};
use crate::pool::{Apart, Io, Pool};
use crate::sys;
use std::ffi::CStr;
use std::ptr;
use std::time::Duration;

/// A write operation under construction; released when dropped.
pub(crate) struct WriteOp<'a>(pub(crate) sys::rados_write_op_t, &'a Io);

impl<'a> WriteOp<'a> {
    pub(crate) fn new(io: &'a Io) -> Result<Self> {
        let create = symbol!(io.on.library, rados_create_write_op);
        // SAFETY: no arguments.
        Ok(WriteOp(unsafe { create() }, io))
    }
}

impl Drop for WriteOp<'_> {
    fn drop(&mut self) {
        if let Ok(release) = &self.1.on.library.table().rados_release_write_op {
            // SAFETY: made by rados_create_write_op, released once.
            unsafe { release(self.0) };
        }
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectStat {
    /// Its size.
    pub size_bytes: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified_seconds: i64,
}

/// Reads the first bytes of an object by a context of the connection that `io` belongs to.
fn read(io: &Io, by: sys::rados_ioctx_t, at: Place, object: &CStr, len: usize) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0_u8; len];
    let start = buffer.as_mut_ptr().cast();
    // SAFETY: a live context, a C string, and a buffer of the length told.
    match unsafe { call!(io.on.library, at, rados_read(by, object.as_ptr(), start, len, 0)) } {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
        answer => {
            buffer.truncate(usize::try_from(answer?).unwrap_or(usize::MAX));
            Ok(Some(buffer))
        }
    }
}

impl Pool {
    /// Whether an object is there, and its size.
    ///
    /// One round trip: a stat of `rbd_id.NAME` tells whether an image has that name.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_stat`.
    #[doc(alias = "rados_stat")]
    pub async fn object_stat(&self, object: &[u8], limit: Duration) -> Result<Option<ObjectStat>> {
        let (name, object) = (text(object, "an object's name")?, object.to_vec());
        self.run("rados_stat", limit, move |io| {
            let mut stat = ObjectStat { size_bytes: 0, modified_seconds: 0 };
            let (size, modified) = (&mut stat.size_bytes, &mut stat.modified_seconds);
            let at = io.at.object(&object);
            // SAFETY: a live context, a C string, and two numbers to fill.
            match unsafe { call!(io.on.library, at, rados_stat(io.raw.0, name.as_ptr(), size, modified)) } {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
                answer => answer.map(|_| Some(stat)),
            }
        })
        .await
    }

    /// An object's first bytes, at most `len`, or `None` when it is not there.
    ///
    /// One round trip: `rbd_id.NAME` holds an image's id behind its length (32 bits, little endian).
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_read`.
    #[doc(alias = "rados_read")]
    pub async fn object_read(&self, object: &[u8], len: usize, limit: Duration) -> Result<Option<Vec<u8>>> {
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        self.run("rados_read", limit, move |io| read(io, io.raw.0, at, &object, len)).await
    }

    /// The same with the object's version, which every change raises; one that is removed and made again has a higher one.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_read`, `rados_get_last_version`.
    #[doc(alias = "rados_get_last_version")]
    pub async fn object_read_versioned(
        &self,
        object: &[u8],
        len: usize,
        limit: Duration,
    ) -> Result<Option<(Vec<u8>, u64)>> {
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        self.run("rados_read", limit, move |io| {
            let version = symbol!(io.on.library, rados_get_last_version);
            let apart = Apart::from(io)?;
            let read = read(io, apart.0, at, &object, len)?;
            // SAFETY: a live context, on which the read was the only call.
            Ok(read.map(|bytes| (bytes, unsafe { version(apart.0) })))
        })
        .await
    }

    /// Takes an object away if it begins with `content`; says whether it did.
    ///
    /// An object that is not there, or begins otherwise, is left: nobody's new `rbd_id.NAME` is taken for an old one.
    ///
    /// # Errors
    /// What the operation answers, but for ENOENT and a mismatch.
    ///
    /// C: `rados_write_op_cmpext`, `rados_write_op_remove` in one operation.
    #[doc(alias = "rados_write_op_remove")]
    pub async fn object_remove_if(&self, object: &[u8], content: Vec<u8>, limit: Duration) -> Result<bool> {
        // The lowest errno that tells where the content differs (librados' MAX_ERRNO).
        const MISMATCH: i32 = 4095;
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        self.run("rados_write_op_operate", limit, move |io| {
            let library = &io.on.library;
            let compare = symbol!(library, rados_write_op_cmpext);
            let remove = symbol!(library, rados_write_op_remove);
            let op = WriteOp::new(io)?;
            let mut answer = 0;
            // SAFETY: a live operation; the content has the length told, and it and the answer outlive the operation.
            unsafe { compare(op.0, content.as_ptr().cast(), content.len(), 0, &mut answer) };
            // SAFETY: a live operation.
            unsafe { remove(op.0) };
            let (op, time) = (op.0, ptr::null_mut());
            // SAFETY: a live operation and context, a C string; the time is the cluster's.
            let done =
                unsafe { call!(library, at, rados_write_op_operate(op, io.raw.0, object.as_ptr(), time, 0)) };
            match done {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
                Err(error) if error.errno().is_some_and(|errno| errno.number() >= MISMATCH) => Ok(false),
                done => done.map(|_| true),
            }
        })
        .await
    }
}
