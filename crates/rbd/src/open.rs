//! Opening images and letting them go.

use crate::call::{Raw, text};
use crate::directory::image_name;
use crate::error::{Place, Result};
use crate::gate::Gate;
use crate::image::Image;
use crate::pool::{Io, Pool};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An open handle of librbd; dropping it closes it without blocking.
pub(crate) struct Handle {
    pub(crate) raw: Raw,
    pub(crate) io: Arc<Io>,
    pub(crate) at: Place,
    open: bool,
    /// The size as last seen; zero: not seen. Writes are held against it without asking librbd, which may block.
    pub(crate) size: AtomicU64,
}

impl Handle {
    /// Closes; the handle is gone whatever the answer. C: `rbd_close`.
    pub(crate) fn close(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.open, false) {
            return Ok(());
        }
        // SAFETY: open until now, and nobody else holds it.
        unsafe { call!(self.io.on.library, self.at, rbd_close(self.raw.0)) }.map(drop)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.open {
            let mut rest = Handle {
                raw: self.raw,
                io: Arc::clone(&self.io),
                at: self.at.clone(),
                open: true,
                size: AtomicU64::new(0),
            };
            self.io.on.workers.submit(Box::new(move || drop(rest.close())));
        }
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
                let handle =
                    Handle { raw: Raw(raw), io: Arc::clone(io), at, open: true, size: AtomicU64::new(0) };
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
    /// # Errors
    /// What the call answers: it flushes. [`GivenUp`](crate::Error::GivenUp), with the image still open when
    /// something is in flight after `limit`.
    ///
    /// C: `rbd_close`.
    #[doc(alias = "rbd_close")]
    pub async fn close(&self, limit: Duration) -> Result<()> {
        let Some(mut handle) = self.gate.take("rbd_close", limit).await? else { return Ok(()) };
        self.workers.run("rbd_close", limit, move || handle.close()).await
    }
}
