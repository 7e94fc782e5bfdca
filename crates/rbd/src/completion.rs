//! Asynchronous reads and writes.
//!
//! An operation owns its buffer, keeps the image open and holds its share of the connection's bytes in flight until
//! librbd's callback has run: there is no way to take one back, so dropping the future only drops the result.

use crate::call::Raw;
use crate::error::{Error, Place, Result};
use crate::gate::Held;
use crate::image::Image;
use crate::load::Library;
use crate::open::Handle;
use crate::sys;
use crate::trace;
use bytes::Bytes;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Brings an operation's answer and its buffer.
type Answered<B> = oneshot::Receiver<(i64, B)>;

/// An operation in flight; librbd has the pointer to it, and to what its buffer points to.
struct Operation<B> {
    held: Held<Handle>,
    buffer: B,
    permit: OwnedSemaphorePermit,
    answer: sys::AnswerOf,
    release: sys::ReleaseOf,
    done: oneshot::Sender<(i64, B)>,
}

/// The callback of librbd, on a thread of its own: it must not block.
///
/// # Safety
/// `argument` is a leaked `Box<Operation<B>>` that nobody else takes back; `completion` is its completion.
unsafe extern "C" fn ended<B>(completion: sys::rbd_completion_t, argument: *mut c_void) {
    // SAFETY: the caller's promise.
    let operation = unsafe { Box::from_raw(argument.cast::<Operation<B>>()) };
    // SAFETY: the completion is done, and this is its only release.
    let answer = unsafe {
        let answer = (operation.answer)(completion);
        (operation.release)(completion);
        answer
    };
    let Operation { held, buffer, permit, done, .. } = *operation;
    drop(held);
    drop(permit);
    // Nobody waits any more when the future was dropped.
    drop(done.send((answer as i64, buffer)));
}

/// What a submission needs; nothing in it belongs to the operation, which the callback may free at any moment.
struct Request {
    library: Library,
    image: Raw,
    completion: Raw,
    start: *mut c_char,
    at: Place,
}

impl Image {
    /// Reads up to `len` bytes: fewer at the image's end.
    ///
    /// # Errors
    /// What the operation answers.
    ///
    /// C: `rbd_aio_read`.
    #[doc(alias = "rbd_aio_read")]
    pub async fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let (mut buffer, read) = self.read_into(offset, vec![0; len]).await?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Reads into a buffer of the caller's, and gives it back with how many of its bytes were read: fewer at the image's end.
    ///
    /// # Errors
    /// What the operation answers; the buffer is gone then.
    ///
    /// C: `rbd_aio_read`.
    #[doc(alias = "rbd_aio_read")]
    pub async fn read_into<B>(&self, offset: u64, mut buffer: B) -> Result<(B, usize)>
    where
        B: AsMut<[u8]> + Send + 'static,
    {
        let len = buffer.as_mut().len();
        if len == 0 {
            return self.gate.hold().map(|_| (buffer, 0));
        }
        let submit = |to: &Request| {
            let (image, start, completion) = (to.image.0, to.start, to.completion.0);
            // SAFETY: the operation keeps the image open and the buffer where it is until the callback has run. `operate` has
            // made sure of its length.
            unsafe { call!(to.library, to.at, rbd_aio_read(image, offset, len, start, completion)) }
        };
        let start = |buffer: &mut B| {
            let bytes = buffer.as_mut();
            // A buffer that changes its length from call to call gets no more than it has.
            (bytes.len() == len).then_some(bytes.as_mut_ptr().cast())
        };
        let (read, buffer) = self.operate("rbd_aio_read", offset, len, buffer, start, submit).await?;
        Ok((buffer, usize::try_from(read).unwrap_or(len)))
    }

    /// Writes; durable after [`flush`](Self::flush).
    ///
    /// # Errors
    /// EINVAL for a range beyond the end, which librbd would cut off silently; what the operation answers.
    ///
    /// C: `rbd_aio_write`.
    #[doc(alias = "rbd_aio_write")]
    pub async fn write(&self, offset: u64, data: Bytes) -> Result<()> {
        let len = data.len();
        self.within("rbd_aio_write", offset, len as u64).await?;
        if len == 0 {
            return Ok(());
        }
        let submit = |to: &Request| {
            let (image, start, completion) = (to.image.0, to.start, to.completion.0);
            // SAFETY: the operation keeps the image open and the data alive until the callback has run.
            unsafe { call!(to.library, to.at, rbd_aio_write(image, offset, len, start, completion)) }
        };
        // librbd only reads what is to be written.
        let start = |data: &mut Bytes| Some(data.as_ptr().cast_mut().cast());
        self.operate("rbd_aio_write", offset, len, data, start, submit).await.map(drop)
    }

    /// Makes a range read as zeros, over a parent too, and frees what it can.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// C: `rbd_aio_write_zeroes`.
    #[doc(alias = "rbd_aio_write_zeroes")]
    pub async fn write_zeroes(&self, offset: u64, len: usize) -> Result<()> {
        self.within("rbd_aio_write_zeroes", offset, len as u64).await?;
        if len == 0 {
            return Ok(());
        }
        let submit = |to: &Request| {
            // SAFETY: the operation keeps the image open until the callback has run.
            unsafe {
                call!(to.library, to.at, rbd_aio_write_zeroes(to.image.0, offset, len, to.completion.0, 0, 0))
            }
        };
        self.operate("rbd_aio_write_zeroes", offset, len, (), |()| Some(ptr::null_mut()), submit)
            .await
            .map(drop)
    }

    /// Makes durable what was written before.
    ///
    /// It can succeed although a write before it failed: each write's own answer counts.
    ///
    /// # Errors
    /// What the operation answers.
    ///
    /// C: `rbd_aio_flush`.
    #[doc(alias = "rbd_aio_flush")]
    pub async fn flush(&self) -> Result<()> {
        let submit = |to: &Request| {
            // SAFETY: the operation keeps the image open until the callback has run.
            unsafe { call!(to.library, to.at, rbd_aio_flush(to.image.0, to.completion.0)) }
        };
        self.operate("rbd_aio_flush", 0, 0, (), |()| Some(ptr::null_mut()), submit).await.map(drop)
    }

    /// Refuses a range that librbd would cut at the image's end. The size is asked for, off the async threads, only when
    /// the one last seen would refuse.
    async fn within(&self, symbol: &'static str, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len);
        let fits = |size: u64| end.is_some_and(|end| end <= size);
        if fits(self.gate.hold()?.size.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let size = self.size(Duration::MAX).await?;
        let image = self.gate.hold()?;
        image.size.store(size, Ordering::Relaxed);
        if fits(size) {
            return Ok(());
        }
        let beyond = image.at.with(format!("{len} bytes at {offset}, of {size}"));
        beyond.check(symbol, -i64::from(crate::Errno::EINVAL.number())).map(drop)
    }

    /// `start` tells where the buffer's bytes are, and `None` when they are not as many as before.
    async fn operate<B: Send + 'static>(
        &self,
        symbol: &'static str,
        offset: u64,
        len: usize,
        buffer: B,
        start: impl FnOnce(&mut B) -> Option<*mut c_char>,
        submit: impl FnOnce(&Request) -> Result<u64>,
    ) -> Result<(u64, B)> {
        // More than the connection may have in flight goes alone.
        let share = u32::try_from(len.min(self.in_flight_bytes)).unwrap_or(u32::MAX);
        let permit =
            Arc::clone(&self.in_flight).acquire_many_owned(share).await.map_err(|_| Error::Closed)?;
        let begun = trace::begin();
        let (at, receiver) = self.submit(buffer, permit, start, submit)?;
        let (answer, buffer) = receiver.await.map_err(|_| Error::Closed)?;
        let at = at.with(format!("{len} bytes at {offset}"));
        trace::completed(begun, symbol, &at, answer);
        let count = at.check(symbol, answer)?;
        if count > len as u64 {
            return Err(Error::Malformed { symbol, detail: format!("{count} of {len} bytes") });
        }
        Ok((count, buffer))
    }

    fn submit<B: Send + 'static>(
        &self,
        buffer: B,
        permit: OwnedSemaphorePermit,
        start: impl FnOnce(&mut B) -> Option<*mut c_char>,
        submit: impl FnOnce(&Request) -> Result<u64>,
    ) -> Result<(Place, Answered<B>)> {
        let held = self.gate.hold()?;
        let (library, image, at) = (held.io.on.library.clone(), held.raw, held.at.clone());
        let answer = symbol!(library, rbd_aio_get_return_value);
        let release = symbol!(library, rbd_aio_release);
        let (done, answered) = oneshot::channel();
        let operation = Box::into_raw(Box::new(Operation { held, buffer, permit, answer, release, done }));
        // Where it stays: what the buffer points to may be in the buffer itself.
        // SAFETY: leaked just now, and nobody else has the pointer.
        let Some(start) = start(unsafe { &mut (*operation).buffer }) else {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(operation) });
            let detail = "the buffer's length changes".to_owned();
            return Err(Error::Malformed { symbol: "rbd_aio_read", detail });
        };
        let mut completion = ptr::null_mut();
        // SAFETY: the argument is the leaked operation, and a place for the completion.
        let made = unsafe {
            call!(library, at, rbd_aio_create_completion(operation.cast(), Some(ended::<B>), &mut completion))
        };
        if let Err(error) = made {
            // SAFETY: without a completion no callback runs; nobody else has the pointer.
            drop(unsafe { Box::from_raw(operation) });
            return Err(error);
        }
        let request = Request { library, image, completion: Raw(completion), start, at };
        if let Err(error) = submit(&request) {
            // SAFETY: what was refused has no callback: completion and operation are ours again.
            unsafe {
                release(completion);
                drop(Box::from_raw(operation));
            }
            return Err(error);
        }
        Ok((request.at, answered))
    }
}
