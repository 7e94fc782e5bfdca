//! Where an image may hold data.

use crate::call::text;
use crate::error::Result;
use crate::image::{Image, stat_now};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Duration;

/// The longest range one call answers for: librbd collects all extents before it tells the first.
pub const MAX_DIFF_WINDOW_BYTES: u64 = 1 << 30;

/// How many objects one call answers for at most when whole objects are told, if they are longer than
/// [`MAX_DIFF_WINDOW_BYTES`]. Each such call reads the object map of the whole image, so that long ranges are cheaper.
pub const MAX_DIFF_WINDOW_OBJECTS: u64 = 16384;

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

/// What to ask of a range ([`Image::diff`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiffOptions {
    /// What differs from this snapshot; without it, from nothing at all: what holds data.
    pub from: Option<Vec<u8>>,
    /// Whether data read from the parent counts too.
    pub parent: bool,
    /// Whether whole objects are told: fast with a valid object map, wrong with an invalid one ([`Image::flags`]).
    pub whole_object: bool,
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
    /// Where a range changed, or holds data.
    ///
    /// The range is cut to the image's size and to [`MAX_DIFF_WINDOW_BYTES`], or [`MAX_DIFF_WINDOW_OBJECTS`].
    ///
    /// # Errors
    /// ENOENT for the snapshot.
    ///
    /// C: `rbd_diff_iterate2`.
    #[doc(alias = "rbd_diff_iterate2")]
    pub async fn diff(
        &self,
        offset: u64,
        len: u64,
        options: &DiffOptions,
        limit: Duration,
    ) -> Result<Vec<Extent>> {
        let from = options.from.as_ref().map(|name| text(name, "a snapshot's name")).transpose()?;
        let (parent, whole) = (u8::from(options.parent), u8::from(options.whole_object));
        self.run("rbd_diff_iterate2", limit, move |image| {
            let library = &image.io.on.library;
            let stat = stat_now(image)?;
            let objects = stat.object_bytes.saturating_mul(MAX_DIFF_WINDOW_OBJECTS);
            let most = if whole == 0 { MAX_DIFF_WINDOW_BYTES } else { objects.max(MAX_DIFF_WINDOW_BYTES) };
            let len = len.min(most).min(stat.size_bytes.saturating_sub(offset));
            let mut extents: Vec<Extent> = Vec::new();
            if len == 0 {
                return Ok(extents);
            }
            let at = image.at.with(format!("{len} bytes at {offset}"));
            // SAFETY: an open image; a C string or NULL; the callback's argument is the vector, used by nobody else meanwhile.
            unsafe {
                let from = from.as_ref().map_or(ptr::null(), |name| name.as_ptr());
                let argument = ptr::from_mut(&mut extents).cast();
                let raw = image.raw.0;
                call!(
                    library,
                    at,
                    rbd_diff_iterate2(raw, from, offset, len, parent, whole, Some(found), argument)
                )
            }?;
            Ok(extents)
        })
        .await
    }
}
