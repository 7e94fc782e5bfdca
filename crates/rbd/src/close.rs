//! Closing images: the one place that does, and never while a thread of librbd may still be inside one.
//!
//! librbd wakes the caller of a call before the thread that finished the call has let go of the image: opening at a snapshot ends
//! in a completion of librados that wakes the caller and then locks the image's state once more. `rbd_close` frees
//! that state, so a caller that closes at once makes that thread lock freed memory. librados runs the completions of a connection
//! one after another, on its completion strand; an empty completion that is queued there after the last call on an image therefore
//! runs only when every thread that finished such a call has left. Every image takes that way to its end, whether it is
//! closed, dropped, or was opened for a caller who has given up. No thread waits meanwhile.

use crate::call::Raw;
use crate::error::{Error, Place, Result};
use crate::leave::is_parked;
use crate::open::Handle;
use crate::pool::Io;
use crate::sys;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// An open image that nothing calls any more; dropping it closes it without blocking.
///
/// Whoever holds one knows that the completion strand was passed after the last call: only `passed` hands one out.
pub(crate) struct Idle {
    raw: Raw,
    io: Arc<Io>,
    at: Place,
    open: bool,
}

impl Idle {
    /// Closes; the image is gone whatever the answer. Blocks. C: `rbd_close`.
    fn close(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.open, false) {
            return Ok(());
        }
        // SAFETY: open until now, nobody else has it, and no thread of librbd is inside it any more.
        let closed = unsafe { call!(self.io.on.library, self.at, rbd_close(self.raw.0)) };
        self.io.on.open_images.fetch_sub(1, Ordering::Relaxed);
        closed.map(drop)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if self.open {
            let (io, at) = (Arc::clone(&self.io), self.at.clone());
            let mut rest = Idle { raw: self.raw, io, at, open: true };
            self.io.on.workers.submit(Box::new(move || drop(rest.close())));
        }
    }
}

/// An image on its way through the completion strand; librados has the pointer to it.
struct Passage {
    image: Idle,
    /// Who wants to close it behind the strand.
    closer: Option<oneshot::Sender<Idle>>,
}

/// The callback of librados, on its strand: it must not block.
///
/// # Safety
/// `argument` is a leaked `Box<Passage>` that nobody else takes back; `completion` is its completion.
unsafe extern "C" fn passed(completion: sys::rados_completion_t, argument: *mut c_void) {
    // SAFETY: the caller's promise.
    let Passage { image, closer } = *unsafe { Box::from_raw(argument.cast::<Passage>()) };
    if let Ok(release) = &image.io.on.library.table().rados_aio_release {
        // SAFETY: the only release; librados holds a reference of its own while the callback runs.
        unsafe { release(completion) };
    }
    match closer {
        // A closer who has given up does not take the image: it is dropped, and so closed, here.
        Some(closer) => drop(closer.send(image)),
        None => drop(image),
    }
}

/// Queues an empty completion on the strand of the image's connection; the image goes on when that runs.
///
/// When it never runs, or librados refuses it, the image stays open and keeps its connection: that is safe, closing it is not.
///
/// C: `rados_aio_create_completion2`, `rados_aio_flush_async`.
fn pass(image: Idle, closer: Option<oneshot::Sender<Idle>>) -> Result<()> {
    let (io, at) = (Arc::clone(&image.io), image.at.clone());
    let passage = Box::into_raw(Box::new(Passage { image, closer }));
    let mut completion = ptr::null_mut();
    let (argument, made) = (passage.cast(), &mut completion);
    // SAFETY: the argument is the leaked passage, which is left leaked when this fails; a place for the completion.
    unsafe { call!(io.on.library, at, rados_aio_create_completion2(argument, Some(passed), made)) }?;
    // SAFETY: a live context of the connection that opened the image, and a completion made for this call. From here on the
    // callback owns completion and passage; it may have run before the call returns.
    unsafe { call!(io.on.library, at, rados_aio_flush_async(io.raw.0, completion)) }.map(drop)
}

impl Handle {
    /// Closes behind the completion strand, and waits for it until `limit`.
    ///
    /// # Errors
    /// What `rbd_close` answers. [`GivenUp`](Error::GivenUp) when the strand or the call takes longer; the image is closed when
    /// the connection answers again, and kept when it never does.
    pub(crate) async fn close(mut self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let workers = Arc::clone(&self.io.on.workers);
        let (closer, idle) = oneshot::channel();
        self.closer = Some(closer);
        drop(self);
        let given_up = Error::GivenUp { symbol: "rados_aio_flush_async", after: limit };
        let idle = tokio::time::timeout(limit, idle).await;
        let Ok(Ok(mut idle)) = idle else { return Err(given_up) };
        let left = limit.saturating_sub(begun.elapsed());
        workers.run("rbd_close", left, move || idle.close()).await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let (io, at) = (Arc::clone(&self.io), self.at.clone());
        if is_parked() {
            // The image stays open, so its connection stays, too.
            std::mem::forget(io);
            return;
        }
        let image = Idle { raw: self.raw, io, at, open: true };
        // What librados refuses stays open; there is nobody to tell, and `Cluster::open_images` counts it.
        drop(pass(image, self.closer.take()));
    }
}
