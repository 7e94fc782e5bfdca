//! Opening images and letting them go.

use crate::call::{Raw, text};
use crate::close::Idle;
use crate::directory::image_name;
use crate::error::{Place, Result};
use crate::gate::Gate;
use crate::image::Image;
use crate::pool::{Io, Pool};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// An open handle of librbd. Dropping it closes it without blocking, behind the connection's completion strand (`close.rs`).
pub(crate) struct Handle {
    pub(crate) raw: Raw,
    pub(crate) io: Arc<Io>,
    pub(crate) at: Place,
    /// Who waits to close it; otherwise it is closed in the background.
    pub(crate) closer: Option<oneshot::Sender<Idle>>,
    /// The size as last seen; zero: not seen. Writes are held against it without asking librbd, which may block.
    pub(crate) size: AtomicU64,
}

impl Handle {
    /// Takes over what librbd has just opened.
    fn new(raw: *mut c_void, io: &Arc<Io>, at: Place) -> Self {
        io.on.open_images.fetch_add(1, Ordering::Relaxed);
        Handle { raw: Raw(raw), io: Arc::clone(io), at, closer: None, size: AtomicU64::new(0) }
    }
}

macro_rules! open {
    ($(#[$doc:meta])* $method:ident, $c:ident, $text:path, $at:ident) => {
        $(#[$doc])*
        ///
        /// At `snapshot`, or at the head.
        ///
        /// # Errors
        /// ENOENT for the image or the snapshot.
        pub async fn $method(&self, image: &[u8], snapshot: Option<&[u8]>, limit: Duration) -> Result<Image> {
            let mut at = self.io.at.$at(image);
            let image = $text(image)?;
            let snapshot = match snapshot {
                Some(name) => {
                    at = at.snapshot(name);
                    Some(text(name, "a snapshot's name")?)
                }
                None => None,
            };
            let handle = self.run(stringify!($c), limit, move |io| {
                let mut raw = ptr::null_mut();
                let snapshot = snapshot.as_ref().map_or(ptr::null(), |name| name.as_ptr());
                // SAFETY: a live context, C strings (NULL: the head), and a place for the handle.
                unsafe { call!(io.on.library, at, $c(io.raw.0, image.as_ptr(), &mut raw, snapshot)) }?;
                // From here on dropping the handle closes it, also when asking for the size fails.
                let handle = Handle::new(raw, io, at);
                let mut size = 0;
                // SAFETY: the image is open; a number to fill.
                unsafe { call!(io.on.library, handle.at, rbd_get_size(raw, &mut size)) }?;
                handle.size.store(size, Ordering::Relaxed);
                Ok(handle)
            });
            Ok(Image::new(handle.await?))
        }
    };
}

fn image_id(id: &[u8]) -> Result<std::ffi::CString> {
    text(id, "an image's id")
}

impl Pool {
    open! {
        /// Opens an image to read and write.
        ///
        /// C: `rbd_open`.
        #[doc(alias = "rbd_open")]
        open, rbd_open, image_name, object
    }
    open! {
        /// Opens an image to read; its watch does not keep others from removing it.
        ///
        /// C: `rbd_open_read_only`.
        #[doc(alias = "rbd_open_read_only")]
        open_read_only, rbd_open_read_only, image_name, object
    }
    open! {
        /// Opens an image by id, in trash too, to read and write.
        ///
        /// C: `rbd_open_by_id`.
        #[doc(alias = "rbd_open_by_id")]
        open_by_id, rbd_open_by_id, image_id, id
    }
    open! {
        /// Opens an image by id, in trash too, to read.
        ///
        /// C: `rbd_open_by_id_read_only`.
        #[doc(alias = "rbd_open_by_id_read_only")]
        open_by_id_read_only, rbd_open_by_id_read_only, image_id, id
    }
}

impl Image {
    pub(crate) fn new(handle: Handle) -> Self {
        let on = &handle.io.on;
        let (workers, in_flight, in_flight_bytes) =
            (Arc::clone(&on.workers), Arc::clone(&on.in_flight), on.in_flight_bytes);
        Image { gate: Gate::new(handle), workers, in_flight, in_flight_bytes }
    }

    /// Closes the image when everything in flight has ended; closing again does nothing.
    ///
    /// No call may come back to it after an error: what is not closed by then is closed in the background as soon as the
    /// connection answers.
    ///
    /// # Errors
    /// What the call answers: it flushes. [`GivenUp`](crate::Error::GivenUp) after `limit`; the image is still open, and can be
    /// closed again, when something was in flight all that time.
    ///
    /// C: `rbd_close`, after `rados_aio_flush_async`.
    #[doc(alias = "rbd_close")]
    pub async fn close(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let Some(handle) = self.gate.take("rbd_close", limit).await? else { return Ok(()) };
        handle.close(limit.saturating_sub(begun.elapsed())).await
    }
}
