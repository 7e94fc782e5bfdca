//! The images of a pool's namespace: listed, made, cloned, renamed, removed.

use crate::call::{bytes, grow, text};
use crate::error::Result;
use crate::pool::{Io, Pool};
use crate::progress::{Progress, told};
use crate::sys;
use std::ffi::CString;
use std::ptr;
use std::time::Duration;

/// An image in its pool's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageEntry {
    /// The name it has now.
    pub name: Vec<u8>,
    /// The id it has for life.
    pub id: Vec<u8>,
}

/// How to make an image; what is `None` is as the cluster does by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageOptions {
    /// Feature bits ([`Features`](crate::Features)).
    pub features: Option<u64>,
    /// Objects of 2^order bytes.
    pub order: Option<u8>,
    /// The pool that keeps the data.
    pub data_pool: Option<Vec<u8>>,
    /// 1: the parent's snapshot must be protected; 2: it need not.
    pub clone_format: Option<u8>,
}

/// Options in C's own form; destroyed when dropped.
struct Options<'a>(sys::rbd_image_options_t, &'a Io);

impl Drop for Options<'_> {
    fn drop(&mut self) {
        if let Ok(destroy) = &self.1.on.library.table().rbd_image_options_destroy {
            // SAFETY: made by rbd_image_options_create, destroyed once.
            unsafe { destroy(self.0) };
        }
    }
}

impl<'a> Options<'a> {
    /// C: `rbd_image_options_create`, `rbd_image_options_set_uint64`, `rbd_image_options_set_string`.
    fn new(io: &'a Io, from: &ImageOptions) -> Result<Self> {
        let create = symbol!(io.on.library, rbd_image_options_create);
        let mut raw = ptr::null_mut();
        // SAFETY: a place for the handle.
        unsafe { create(&mut raw) };
        let options = Options(raw, io);
        let numbers = [
            (sys::RBD_IMAGE_OPTION_FEATURES, from.features),
            (sys::RBD_IMAGE_OPTION_ORDER, from.order.map(u64::from)),
            (sys::RBD_IMAGE_OPTION_CLONE_FORMAT, from.clone_format.map(u64::from)),
        ];
        for (option, number) in numbers {
            let (Some(number), option) = (number, option as i32) else { continue };
            // SAFETY: live options.
            unsafe { call!(io.on.library, io.at, rbd_image_options_set_uint64(raw, option, number)) }?;
        }
        if let Some(pool) = &from.data_pool {
            let (pool, option) = (text(pool, "a pool's name")?, sys::RBD_IMAGE_OPTION_DATA_POOL as i32);
            // SAFETY: live options and a C string, which is copied.
            unsafe { call!(io.on.library, io.at, rbd_image_options_set_string(raw, option, pool.as_ptr())) }?;
        }
        Ok(options)
    }
}

/// The name of an image; librbd would take an empty one for "none".
pub(crate) fn image_name(name: &[u8]) -> Result<CString> {
    if name.is_empty() {
        return Err(crate::Error::Nul { what: "an image's name" });
    }
    text(name, "an image's name")
}

impl Pool {
    /// The images, without those in trash.
    ///
    /// C: `rbd_list2`.
    #[doc(alias = "rbd_list2")]
    pub async fn images(&self, limit: Duration) -> Result<Vec<ImageEntry>> {
        self.run("rbd_list2", limit, |io| {
            let clean = symbol!(io.on.library, rbd_image_spec_list_cleanup);
            grow(1024, |len| {
                let mut specs =
                    vec![sys::rbd_image_spec_t { id: ptr::null_mut(), name: ptr::null_mut() }; *len];
                // SAFETY: a live context and an array of the length told.
                unsafe { call!(io.on.library, io.at, rbd_list2(io.raw.0, specs.as_mut_ptr(), len)) }?;
                let found = specs.iter().take(*len);
                // SAFETY: librbd filled so many entries with C strings of its own.
                let images = found
                    .map(|spec| unsafe { ImageEntry { name: bytes(spec.name), id: bytes(spec.id) } })
                    .collect();
                // SAFETY: freed once, after the copy.
                unsafe { clean(specs.as_mut_ptr(), *len) };
                Ok(images)
            })
        })
        .await
    }

    /// Makes an image that reads as zeros.
    ///
    /// # Errors
    /// EEXIST; EINVAL for options out of range; what the call answers.
    ///
    /// C: `rbd_create4`.
    #[doc(alias = "rbd_create4")]
    pub async fn create(
        &self,
        name: &[u8],
        size_bytes: u64,
        options: &ImageOptions,
        limit: Duration,
    ) -> Result<()> {
        let (c_name, at, options) = (image_name(name)?, self.io.at.object(name), options.clone());
        self.run("rbd_create4", limit, move |io| {
            let options = Options::new(io, &options)?;
            // SAFETY: a live context and live options; a C string.
            unsafe { call!(io.on.library, at, rbd_create4(io.raw.0, c_name.as_ptr(), size_bytes, options.0)) }
                .map(drop)
        })
        .await
    }

    /// Makes an image in `to` whose content is that of a snapshot of an image here.
    ///
    /// # Errors
    /// ENOENT for parent or snapshot; EEXIST; EINVAL when the snapshot is not protected and must be.
    ///
    /// C: `rbd_clone3`.
    #[doc(alias = "rbd_clone3")]
    pub async fn clone_image(
        &self,
        parent: &[u8],
        snapshot: &[u8],
        to: &Pool,
        name: &[u8],
        options: &ImageOptions,
        limit: Duration,
    ) -> Result<()> {
        let at = to.io.at.object(name).snapshot(snapshot);
        let (parent, c_name) = (image_name(parent)?, image_name(name)?);
        let (snapshot, options, to) = (text(snapshot, "a snapshot's name")?, options.clone(), to.clone());
        self.run("rbd_clone3", limit, move |io| {
            let options = Options::new(&to.io, &options)?;
            // SAFETY: two live contexts of one connection, live options, C strings.
            unsafe {
                let (parent, snapshot, name) = (parent.as_ptr(), snapshot.as_ptr(), c_name.as_ptr());
                let to = to.io.raw.0;
                call!(io.on.library, at, rbd_clone3(io.raw.0, parent, snapshot, to, name, options.0))
            }
            .map(drop)
        })
        .await
    }

    /// As [`clone_image`](Self::clone_image), with the snapshot by its id.
    ///
    /// # Errors
    /// As there; [`Unsupported`](crate::Error::Unsupported) before release 20.
    ///
    /// C: `rbd_clone4`, .
    #[doc(alias = "rbd_clone4")]
    pub async fn clone_image_by_snapshot_id(
        &self,
        parent: &[u8],
        snapshot: u64,
        to: &Pool,
        name: &[u8],
        options: &ImageOptions,
        limit: Duration,
    ) -> Result<()> {
        let at = to.io.at.object(name).with(format!("snapshot id {snapshot}"));
        let (parent, c_name) = (image_name(parent)?, image_name(name)?);
        let (options, to) = (options.clone(), to.clone());
        self.run("rbd_clone4", limit, move |io| {
            let options = Options::new(&to.io, &options)?;
            // SAFETY: two live contexts of one connection, live options, C strings.
            unsafe {
                let (parent, name, to) = (parent.as_ptr(), c_name.as_ptr(), to.io.raw.0);
                call!(io.on.library, at, rbd_clone4(io.raw.0, parent, snapshot, to, name, options.0))
            }
            .map(drop)
        })
        .await
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// ENOENT; EEXIST for the new name.
    ///
    /// C: `rbd_rename`.
    #[doc(alias = "rbd_rename")]
    pub async fn rename(&self, from: &[u8], to: &[u8], limit: Duration) -> Result<()> {
        let (at, from, to) = (self.io.at.object(from), image_name(from)?, image_name(to)?);
        self.run("rbd_rename", limit, move |io| {
            // SAFETY: a live context and C strings.
            unsafe { call!(io.on.library, at, rbd_rename(io.raw.0, from.as_ptr(), to.as_ptr())) }.map(drop)
        })
        .await
    }

    /// Removes an image and its data for good.
    ///
    /// # Errors
    /// ENOENT; ENOTEMPTY while it has snapshots; EBUSY while somebody has it open.
    ///
    /// C: `rbd_remove_with_progress`.
    #[doc(alias = "rbd_remove_with_progress")]
    pub async fn remove(&self, name: &[u8], progress: &Progress, limit: Duration) -> Result<()> {
        let (at, name) = (self.io.at.object(name), image_name(name)?);
        let (watched, _give_up) = progress.watch();
        self.run("rbd_remove_with_progress", limit, move |io| {
            // SAFETY: a live context, a C string; the callback's argument lives through the call.
            let done = unsafe {
                let (name, argument) = (name.as_ptr(), watched.argument());
                call!(io.on.library, at, rbd_remove_with_progress(io.raw.0, name, Some(told), argument))
            };
            watched.outcome("rbd_remove_with_progress", done)
        })
        .await
    }
}
