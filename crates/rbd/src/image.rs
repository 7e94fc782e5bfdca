//! An open image: what it is, and its size.

use crate::call::{first_string, grow, time};
use crate::error::Result;
use crate::gate::{Gate, Held};
use crate::open::Handle;
use crate::progress::{Progress, told};
use crate::sys;
use crate::workers::Workers;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// An open image, at its head or at a snapshot.
///
/// Dropping it closes it in the background; [`close`](Self::close) waits, and returns what that answers.
pub struct Image {
    pub(crate) gate: Gate<Handle>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) in_flight_bytes: usize,
}

/// What an open image is like, at the head or snapshot that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageStat {
    /// Its size.
    pub size_bytes: u64,
    /// The size of the objects its data is in.
    pub object_bytes: u64,
    /// How many objects that makes.
    pub objects: u64,
}

/// Features of an image as bits, and their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u64);

macro_rules! features {
    ($($name:ident = $word:literal, $doc:literal;)*) => {
        impl Features {
            $(#[doc = $doc] pub const $name: u64 = sys::$name as u64;)*

            /// The names of the features that are set, as Ceph writes them; unknown ones are left out.
            pub fn names(self) -> Vec<&'static str> {
                [$((Self::$name, $word)),*].iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| *word).collect()
            }
        }
    };
}

features! {
    RBD_FEATURE_LAYERING = "layering", "It can be cloned.";
    RBD_FEATURE_STRIPINGV2 = "striping", "Its data is striped over objects.";
    RBD_FEATURE_EXCLUSIVE_LOCK = "exclusive-lock", "One client writes at a time.";
    RBD_FEATURE_OBJECT_MAP = "object-map", "It is known which objects are there.";
    RBD_FEATURE_FAST_DIFF = "fast-diff", "It is known which objects changed.";
    RBD_FEATURE_DEEP_FLATTEN = "deep-flatten", "Flattening reaches snapshots.";
    RBD_FEATURE_JOURNALING = "journaling", "Writes are journaled.";
    RBD_FEATURE_DATA_POOL = "data-pool", "Data is in a pool of its own.";
    RBD_FEATURE_OPERATIONS = "operations", "It has state that old clients do not understand.";
    RBD_FEATURE_MIGRATING = "migrating", "It is being migrated.";
    RBD_FEATURE_NON_PRIMARY = "non-primary", "It is a mirror.";
    RBD_FEATURE_DIRTY_CACHE = "dirty-cache", "A client's cache holds writes.";
}

macro_rules! number {
    ($(#[$doc:meta])* $method:ident, $c:ident) => {
        $(#[$doc])*
        pub async fn $method(&self, limit: Duration) -> Result<u64> {
            self.run(stringify!($c), limit, |image| {
                let mut number = 0;
                // SAFETY: an open image and a number to fill.
                unsafe { call!(image.io.on.library, image.at, $c(image.raw.0, &mut number)) }?;
                Ok(number)
            })
            .await
        }
    };
}

macro_rules! date {
    ($(#[$doc:meta])* $method:ident, $c:ident) => {
        $(#[$doc])*
        pub async fn $method(&self, limit: Duration) -> Result<Option<SystemTime>> {
            self.run(stringify!($c), limit, |image| {
                let mut date = sys::timespec { tv_sec: 0, tv_nsec: 0 };
                // SAFETY: an open image and a time to fill.
                unsafe { call!(image.io.on.library, image.at, $c(image.raw.0, &mut date)) }?;
                Ok(time(date.tv_sec, date.tv_nsec).filter(|date| *date != SystemTime::UNIX_EPOCH))
            })
            .await
        }
    };
}

impl Image {
    /// Runs a blocking call on the image.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        symbol: &'static str,
        limit: Duration,
        work: impl FnOnce(&Held<Handle>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let held = self.gate.hold()?;
        self.workers.run(symbol, limit, move || work(&held)).await
    }

    number! {
        /// The size in bytes at the open head or snapshot.
        ///
        /// C: `rbd_get_size`.
        #[doc(alias = "rbd_get_size")]
        size, rbd_get_size
    }
    number! {
        /// How much of the image, from its start, can read from its parent.
        ///
        /// C: `rbd_get_overlap`.
        #[doc(alias = "rbd_get_overlap")]
        overlap, rbd_get_overlap
    }
    number! {
        /// Flags: whether object map or fast diff are invalid, at the open head or snapshot.
        ///
        /// C: `rbd_get_flags`.
        #[doc(alias = "rbd_get_flags")]
        flags, rbd_get_flags
    }
    number! {
        /// Features of operations on it, such as being a clone of format 2.
        ///
        /// C: `rbd_get_op_features`.
        #[doc(alias = "rbd_get_op_features")]
        op_features, rbd_get_op_features
    }
    date! {
        /// When it was made.
        ///
        /// C: `rbd_get_create_timestamp`.
        #[doc(alias = "rbd_get_create_timestamp")]
        created, rbd_get_create_timestamp
    }
    date! {
        /// When it was last written, as exactly as `rbd_mtime_update_interval` says.
        ///
        /// C: `rbd_get_modify_timestamp`.
        #[doc(alias = "rbd_get_modify_timestamp")]
        modified, rbd_get_modify_timestamp
    }

    /// Size and object size.
    ///
    /// C: `rbd_stat`.
    #[doc(alias = "rbd_stat")]
    pub async fn stat(&self, limit: Duration) -> Result<ImageStat> {
        self.run("rbd_stat", limit, |image| stat_now(image)).await
    }

    /// The features.
    ///
    /// C: `rbd_get_features`.
    #[doc(alias = "rbd_get_features")]
    pub async fn features(&self, limit: Duration) -> Result<Features> {
        self.run("rbd_get_features", limit, |image| {
            let mut bits = 0;
            // SAFETY: an open image and a number to fill.
            unsafe { call!(image.io.on.library, image.at, rbd_get_features(image.raw.0, &mut bits)) }?;
            Ok(Features(bits))
        })
        .await
    }

    /// The id.
    ///
    /// C: `rbd_get_id`.
    #[doc(alias = "rbd_get_id")]
    pub async fn id(&self, limit: Duration) -> Result<Vec<u8>> {
        self.run("rbd_get_id", limit, |image| {
            grow(64, |len| {
                let mut buffer = vec![0_u8; *len];
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: an open image and a buffer of the length told.
                unsafe { call!(image.io.on.library, image.at, rbd_get_id(image.raw.0, start, *len)) }?;
                Ok(first_string(buffer))
            })
        })
        .await
    }

    /// The name.
    ///
    /// C: `rbd_get_name`.
    #[doc(alias = "rbd_get_name")]
    pub async fn name(&self, limit: Duration) -> Result<Vec<u8>> {
        self.run("rbd_get_name", limit, |image| {
            grow(256, |len| {
                let mut buffer = vec![0_u8; *len];
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: an open image and a buffer of the length told.
                unsafe { call!(image.io.on.library, image.at, rbd_get_name(image.raw.0, start, len)) }?;
                Ok(first_string(buffer))
            })
        })
        .await
    }

    /// The id of the pool its data is in.
    ///
    /// C: `rbd_get_data_pool_id`.
    #[doc(alias = "rbd_get_data_pool_id")]
    pub async fn data_pool(&self, limit: Duration) -> Result<i64> {
        self.run("rbd_get_data_pool_id", limit, |image| {
            let get = symbol!(image.io.on.library, rbd_get_data_pool_id);
            // SAFETY: an open image.
            let id = unsafe { get(image.raw.0) };
            image.at.check("rbd_get_data_pool_id", id).map(|_| id)
        })
        .await
    }

    /// Grows the image, or shrinks it if `shrink` allows.
    ///
    /// # Errors
    /// EINVAL for shrinking not allowed; EROFS at a snapshot.
    ///
    /// C: `rbd_resize2`.
    #[doc(alias = "rbd_resize2")]
    pub async fn resize(
        &self,
        size_bytes: u64,
        shrink: bool,
        progress: &Progress,
        limit: Duration,
    ) -> Result<()> {
        let (watched, _give_up) = progress.watch();
        self.run("rbd_resize2", limit, move |image| {
            image.size.store(0, Ordering::Relaxed);
            // SAFETY: an open image; the callback's argument lives through the call.
            let done = unsafe {
                let (raw, argument) = (image.raw.0, watched.argument());
                call!(
                    image.io.on.library,
                    image.at,
                    rbd_resize2(raw, size_bytes, shrink, Some(told), argument)
                )
            };
            watched.outcome("rbd_resize2", done)
        })
        .await
    }

    /// Makes the object map anew, of the open head or snapshot, by asking for every object; it is valid afterwards.
    ///
    /// # Errors
    /// EINVAL without the object-map feature; EROFS on a handle opened to read.
    ///
    /// C: `rbd_rebuild_object_map`.
    #[doc(alias = "rbd_rebuild_object_map")]
    pub async fn rebuild_object_map(&self, progress: &Progress, limit: Duration) -> Result<()> {
        let (watched, _give_up) = progress.watch();
        self.run("rbd_rebuild_object_map", limit, move |image| {
            // SAFETY: an open image; the callback's argument lives through the call.
            let done = unsafe {
                let (raw, argument) = (image.raw.0, watched.argument());
                call!(image.io.on.library, image.at, rbd_rebuild_object_map(raw, Some(told), argument))
            };
            watched.outcome("rbd_rebuild_object_map", done)
        })
        .await
    }

    /// Copies in what is read from the parent, and parts with it.
    ///
    /// # Errors
    /// EINVAL for an image without parent.
    ///
    /// C: `rbd_flatten_with_progress`.
    #[doc(alias = "rbd_flatten_with_progress")]
    pub async fn flatten(&self, progress: &Progress, limit: Duration) -> Result<()> {
        let (watched, _give_up) = progress.watch();
        self.run("rbd_flatten_with_progress", limit, move |image| {
            // SAFETY: an open image; the callback's argument lives through the call.
            let done = unsafe {
                let (raw, argument) = (image.raw.0, watched.argument());
                call!(image.io.on.library, image.at, rbd_flatten_with_progress(raw, Some(told), argument))
            };
            watched.outcome("rbd_flatten_with_progress", done)
        })
        .await
    }
}

/// Blocks.
pub(crate) fn stat_now(image: &Handle) -> Result<ImageStat> {
    // SAFETY: the struct is plain numbers and arrays of characters.
    let mut info: sys::rbd_image_info_t = unsafe { std::mem::zeroed() };
    let len = size_of::<sys::rbd_image_info_t>();
    // SAFETY: an open image and a struct of the size told.
    unsafe { call!(image.io.on.library, image.at, rbd_stat(image.raw.0, &mut info, len)) }?;
    Ok(ImageStat { size_bytes: info.size, object_bytes: info.obj_size, objects: info.num_objs })
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.gate.hold().map(|handle| handle.at.clone());
        f.debug_struct("Image").field("at", &at).finish_non_exhaustive()
    }
}
