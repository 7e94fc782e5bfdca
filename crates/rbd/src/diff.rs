//! Where an image may hold data.

use crate::call::text;
use crate::error::Result;
use crate::image::Image;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Duration;

/// The longest range one call answers for: librbd collects all extents before it tells the first.
pub const MAX_DIFF_WINDOW_BYTES: u64 = 1 << 30;

/// A range that changed: it holds data now, or it held some and reads as zeros now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Whether it may hold data.
    pub data: bool,
}

/// # Safety
/// `argument` points to a vector that nobody else uses during the call.
unsafe extern "C" fn found(offset: u64, len: usize, exists: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let extents = unsafe { &mut *argument.cast::<Vec<Extent>>() };
    extents.push(Extent { offset, len: len as u64, data: exists != 0 });
    0
}

impl Image {
    /// What differs from a snapshot, or from nothing at all, in a range; the parent's data counts too.
    ///
    /// The range is cut to the image's size and to [`MAX_DIFF_WINDOW_BYTES`]. `whole_object`: whole objects are told, which is
    /// fast with a valid object map and wrong with an invalid one ([`flags`](Self::flags)). C: `rbd_diff_iterate2`.
    ///
    /// # Errors
    /// ENOENT for the snapshot.
    #[doc(alias = "rbd_diff_iterate2")]
    pub async fn diff(
        &self,
        from: Option<&[u8]>,
        offset: u64,
        len: u64,
        whole_object: bool,
        limit: Duration,
    ) -> Result<Vec<Extent>> {
        let from = from.map(|name| text(name, "a snapshot's name")).transpose()?;
        self.run("rbd_diff_iterate2", limit, move |image| {
            let library = &image.io.on.library;
            let mut size = 0;
            // SAFETY: an open image and a number to fill.
            unsafe { call!(library, image.at, rbd_get_size(image.raw.0, &mut size)) }?;
            let len = len.min(MAX_DIFF_WINDOW_BYTES).min(size.saturating_sub(offset));
            let mut extents: Vec<Extent> = Vec::new();
            if len == 0 {
                return Ok(extents);
            }
            let at = image.at.with(format!("{len} bytes at {offset}"));
            // SAFETY: an open image; a C string or NULL; the callback's argument is the vector, used by nobody else meanwhile.
            unsafe {
                let from = from.as_ref().map_or(ptr::null(), |name| name.as_ptr());
                let (whole, argument) = (u8::from(whole_object), ptr::from_mut(&mut extents).cast());
                let raw = image.raw.0;
                call!(library, at, rbd_diff_iterate2(raw, from, offset, len, 1, whole, Some(found), argument))
            }?;
            Ok(extents)
        })
        .await
    }
}
