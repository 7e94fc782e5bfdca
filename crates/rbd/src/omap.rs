//! The key-value map of an object: pages of it, and changes that compare before they swap.

use crate::Errno;
use crate::call::text;
use crate::error::{Error, Place, Result};
use crate::object::WriteOp;
use crate::pool::{Io, Pool};
use crate::sys;
use std::ffi::{CString, c_char};
use std::ptr;
use std::time::Duration;

/// A page of an object's map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OmapPage {
    /// Keys and values, by key.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether more follow after the last key.
    pub more: bool,
}

/// A change of one key of an object's map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The key.
    pub key: Vec<u8>,
    /// What it must hold now; `None`: it must not be there.
    pub expected: Option<Vec<u8>>,
    /// What it shall hold; `None`: it shall not be there.
    pub new: Option<Vec<u8>>,
}

/// A read operation under construction; released when dropped.
struct ReadOp<'a>(sys::rados_read_op_t, &'a Io);

impl Drop for ReadOp<'_> {
    fn drop(&mut self) {
        if let Ok(release) = &self.1.on.library.table().rados_release_read_op {
            // SAFETY: made by rados_create_read_op, released once.
            unsafe { release(self.0) };
        }
    }
}

/// What a read operation writes keys and values to; ended when dropped, whatever the operation answered.
struct Entries<'a>(sys::rados_omap_iter_t, &'a Io);

impl Drop for Entries<'_> {
    fn drop(&mut self) {
        if let Ok(end) = &self.1.on.library.table().rados_omap_get_end {
            // SAFETY: made by a call that adds a step to a read operation, which has run or never will; ended once.
            unsafe { end(self.0) };
        }
    }
}

impl Pool {
    /// A page of the keys that start with `prefix` and come after `after`; empty when the object is not there.
    ///
    /// # Errors
    /// What the calls answer.
    ///
    /// C: `rados_read_op_omap_get_vals2`.
    #[doc(alias = "rados_read_op_omap_get_vals2")]
    pub async fn omap_page(
        &self,
        object: &[u8],
        after: &[u8],
        prefix: &[u8],
        most: u64,
        limit: Duration,
    ) -> Result<OmapPage> {
        let at = self.io.at.object(object);
        let object = text(object, "an object's name")?;
        let (after, prefix) = (text(after, "a key")?, text(prefix, "a prefix of keys")?);
        self.run("rados_read_op_omap_get_vals2", limit, move |io| {
            match read_page(io, &at, &object, &after, &prefix, most) {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(OmapPage::default()),
                page => page,
            }
        })
        .await
    }

    /// Every key that starts with `prefix` and its value, page by page.
    /// What changes meanwhile may or may not be seen.
    ///
    /// # Errors
    /// What the calls answer; `limit` holds for each page.
    ///
    /// C: `rados_read_op_omap_get_vals2`.
    #[doc(alias = "rados_read_op_omap_get_vals2")]
    pub async fn omap(
        &self,
        object: &[u8],
        prefix: &[u8],
        limit: Duration,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        // What an OSD answers at a time unless told otherwise (osd_max_omap_entries_per_request).
        const PAGE: u64 = 1024;
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone()).unwrap_or_default();
            let page = self.omap_page(object, &after, prefix, PAGE, limit).await?;
            let more = page.more && !page.entries.is_empty();
            all.extend(page.entries);
            if !more {
                return Ok(all);
            }
        }
    }

    /// The values of some keys, by key; keys that are not there are left out, all of them when the object is not there.
    ///
    /// # Errors
    /// What the calls answer.
    ///
    /// C: `rados_read_op_omap_get_vals_by_keys2`.
    #[doc(alias = "rados_read_op_omap_get_vals_by_keys2")]
    pub async fn omap_values(
        &self,
        object: &[u8],
        keys: Vec<Vec<u8>>,
        limit: Duration,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let at = self.io.at.object(object);
        let object = text(object, "an object's name")?;
        self.run("rados_read_op_omap_get_vals_by_keys2", limit, move |io| {
            match read_values(io, &at, &object, &keys) {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(Vec::new()),
                values => values,
            }
        })
        .await
    }

    /// Makes all changes, or none when one key does not hold what is expected; says whether it did.
    ///
    /// # Errors
    /// [`Error::Nul`] for an empty value, which RADOS compares like an absent one; what the operation answers, but for a
    /// mismatch.
    ///
    /// C: `rados_write_op_omap_cmp2`, `rados_write_op_omap_set2`, `rados_write_op_omap_rm_keys2` in one operation.
    #[doc(alias = "rados_write_op_omap_cmp2")]
    pub async fn omap_swap(&self, object: &[u8], swaps: Vec<Swap>, limit: Duration) -> Result<bool> {
        let at = self.io.at.object(object);
        let object = text(object, "an object's name")?;
        let values = swaps.iter().flat_map(|swap| [&swap.expected, &swap.new]).flatten();
        if values.into_iter().any(Vec::is_empty) {
            return Err(Error::Nul { what: "a value" });
        }
        self.run("rados_write_op_operate", limit, move |io| {
            // Comparing keys of an object that is not there answers ENOENT: it is made first when it may be absent.
            let may_be_absent = swaps.iter().all(|swap| swap.expected.is_none());
            let only_removes = swaps.iter().all(|swap| swap.new.is_none());
            match swap_now(io, &at, &object, &swaps, may_be_absent && !only_removes) {
                Err(error) if error.errno() == Some(Errno::ECANCELED) => Ok(false),
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(may_be_absent),
                done => done.map(|()| true),
            }
        })
        .await
    }
}

fn read_page(
    io: &Io,
    at: &Place,
    object: &CString,
    after: &CString,
    prefix: &CString,
    most: u64,
) -> Result<OmapPage> {
    let get = symbol!(io.on.library, rados_read_op_omap_get_vals2);
    let (after, prefix, mut more) = (after.as_ptr(), prefix.as_ptr(), 0);
    let entries = read_entries(io, at, object, "rados_read_op_omap_get_vals2", |op, made, answer| {
        // SAFETY: the C strings are copied; the three results outlive the operation, which has run when this function returns.
        unsafe { get(op, after, prefix, most, made, &mut more, answer) };
    })?;
    Ok(OmapPage { entries, more: more != 0 })
}

fn read_values(io: &Io, at: &Place, object: &CString, keys: &[Vec<u8>]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let get = symbol!(io.on.library, rados_read_op_omap_get_vals_by_keys2);
    let starts: Vec<*const c_char> = keys.iter().map(|key| key.as_ptr().cast()).collect();
    let lens: Vec<usize> = keys.iter().map(Vec::len).collect();
    read_entries(io, at, object, "rados_read_op_omap_get_vals_by_keys2", |op, made, answer| {
        // SAFETY: arrays of as many keys of the lengths told, copied; the results outlive the operation.
        unsafe { get(op, starts.as_ptr(), starts.len(), lens.as_ptr(), made, answer) };
    })
}

/// Runs a read operation with the one step that `add` gives it, and reads what that step found.
fn read_entries(
    io: &Io,
    at: &Place,
    object: &CString,
    step: &'static str,
    add: impl FnOnce(sys::rados_read_op_t, &mut sys::rados_omap_iter_t, &mut i32),
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let library = &io.on.library;
    let create = symbol!(library, rados_create_read_op);
    let next = symbol!(library, rados_omap_get_next2);
    // SAFETY: no arguments.
    let op = ReadOp(unsafe { create() }, io);
    let (mut made, mut answer) = (ptr::null_mut(), 0);
    add(op.0, &mut made, &mut answer);
    // librados has made this already, and frees it by no other call, also when the operation fails.
    let entries = Entries(made, io);
    // SAFETY: a live operation and context, a C string.
    unsafe { call!(library, at, rados_read_op_operate(op.0, io.raw.0, object.as_ptr(), 0)) }?;
    at.check(step, answer.into())?;
    let mut found = Vec::new();
    loop {
        let (mut key, mut value, mut key_len, mut value_len) = (ptr::null_mut(), ptr::null_mut(), 0, 0);
        // SAFETY: the iterator lives until it is dropped; both strings live as long and have the lengths told.
        let entry = unsafe {
            at.check(
                "rados_omap_get_next2",
                next(entries.0, &mut key, &mut value, &mut key_len, &mut value_len).into(),
            )
            .map(|_| (!key.is_null()).then(|| (copy(key, key_len), copy(value, value_len))))
        }?;
        match entry {
            Some(entry) => found.push(entry),
            None => return Ok(found),
        }
    }
}

/// # Safety
/// `start` is NULL or points to `len` bytes.
unsafe fn copy(start: *const c_char, len: usize) -> Vec<u8> {
    if start.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start.cast(), len) }.to_vec()
}

fn swap_now(io: &Io, at: &Place, object: &CString, swaps: &[Swap], make: bool) -> Result<()> {
    let library = &io.on.library;
    let make_object = symbol!(library, rados_write_op_create);
    let compare = symbol!(library, rados_write_op_omap_cmp2);
    let set = symbol!(library, rados_write_op_omap_set2);
    let remove = symbol!(library, rados_write_op_omap_rm_keys2);
    let op = WriteOp::new(io)?;
    // Comparing per key answers into this; the operation's own answer tells as much.
    let mut answers = vec![0; swaps.len()];
    if make {
        // SAFETY: a live operation; no category.
        unsafe { make_object(op.0, sys::LIBRADOS_CREATE_IDEMPOTENT as i32, ptr::null()) };
    }
    for (swap, answer) in swaps.iter().zip(&mut answers) {
        let expected = swap.expected.as_deref().unwrap_or_default();
        let equal = sys::LIBRADOS_CMPXATTR_OP_EQ as u8;
        let (key, key_len) = (swap.key.as_ptr().cast(), swap.key.len());
        // SAFETY: key and value have the lengths told and are copied; the answer outlives the operation.
        unsafe { compare(op.0, key, equal, expected.as_ptr().cast(), key_len, expected.len(), answer) };
    }
    for swap in swaps {
        let (keys, key_lens) = ([swap.key.as_ptr().cast::<c_char>()], [swap.key.len()]);
        // SAFETY: arrays of one key, and one value, of the lengths told; librados copies them.
        unsafe {
            match &swap.new {
                Some(new) => {
                    let (values, value_lens) = ([new.as_ptr().cast::<c_char>()], [new.len()]);
                    set(op.0, keys.as_ptr(), values.as_ptr(), key_lens.as_ptr(), value_lens.as_ptr(), 1);
                }
                None => remove(op.0, keys.as_ptr(), key_lens.as_ptr(), 1),
            }
        }
    }
    // SAFETY: a live operation and context, a C string; the time is the cluster's.
    unsafe { call!(library, at, rados_write_op_operate(op.0, io.raw.0, object.as_ptr(), ptr::null_mut(), 0)) }
        .map(drop)
}
