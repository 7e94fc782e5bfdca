//! The snapshots of an open image.

use crate::call::{bytes, grow, text, time};
use crate::error::Result;
use crate::image::Image;
use crate::progress::{Progress, told};
use crate::sys;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// A snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id in the image; never used again.
    pub id: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// The image's size when it was made.
    pub size_bytes: u64,
}

/// Who made a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotKind {
    /// A user.
    User,
    /// A group's snapshot.
    Group,
    /// A snapshot removed while it has clones of format 2: it goes with the last of them.
    Trash,
    /// Mirroring.
    Mirror,
    /// Something newer than this crate.
    Other(u32),
}

macro_rules! verb {
    ($(#[$doc:meta])* $method:ident, $c:ident) => {
        $(#[$doc])*
        pub async fn $method(&self, snapshot: &[u8], limit: Duration) -> Result<()> {
            let (name, snapshot) = (text(snapshot, "a snapshot's name")?, snapshot.to_vec());
            self.run(stringify!($c), limit, move |image| {
                let at = image.at.snapshot(&snapshot);
                // SAFETY: an open image and a C string.
                unsafe { call!(image.io.on.library, at, $c(image.raw.0, name.as_ptr())) }.map(drop)
            })
            .await
        }
    };
}

impl Image {
    verb! {
        /// Keeps the image as it is now.
        ///
        /// # Errors
        /// EEXIST; what the call answers.
        ///
        /// C: `rbd_snap_create`.
        #[doc(alias = "rbd_snap_create")]
        create_snapshot, rbd_snap_create
    }
    verb! {
        /// Protects a snapshot from removal.
        ///
        /// # Errors
        /// ENOENT; EBUSY when it is protected already.
        ///
        /// C: `rbd_snap_protect`.
        #[doc(alias = "rbd_snap_protect")]
        protect_snapshot, rbd_snap_protect
    }
    verb! {
        /// Ends a snapshot's protection.
        ///
        /// # Errors
        /// ENOENT; EBUSY while it has children; EINVAL when it is not protected.
        ///
        /// C: `rbd_snap_unprotect`.
        #[doc(alias = "rbd_snap_unprotect")]
        unprotect_snapshot, rbd_snap_unprotect
    }

    /// The snapshots of every kind, oldest first.
    ///
    /// C: `rbd_snap_list`.
    #[doc(alias = "rbd_snap_list")]
    pub async fn snapshots(&self, limit: Duration) -> Result<Vec<Snapshot>> {
        self.run("rbd_snap_list", limit, |image| {
            let library = &image.io.on.library;
            let end = symbol!(library, rbd_snap_list_end);
            grow(32, |len| {
                let mut infos = vec![sys::rbd_snap_info_t { id: 0, size: 0, name: ptr::null() }; *len];
                let mut most = c_int::try_from(*len).unwrap_or(c_int::MAX);
                // SAFETY: an open image and an array of at least the length told.
                let count = unsafe {
                    call!(library, image.at, rbd_snap_list(image.raw.0, infos.as_mut_ptr(), &mut most))
                };
                *len = usize::try_from(most).unwrap_or(0);
                let count = usize::try_from(count?).unwrap_or(0);
                let copy = |info: &sys::rbd_snap_info_t| Snapshot {
                    id: info.id,
                    // SAFETY: so many entries are filled with C strings of librbd's own.
                    name: unsafe { bytes(info.name) },
                    size_bytes: info.size,
                };
                let mut snapshots: Vec<Snapshot> = infos.iter().take(count).map(copy).collect();
                // SAFETY: freed once, after the copy; the list ends with an entry without name.
                unsafe { end(infos.as_mut_ptr()) };
                snapshots.sort_unstable_by_key(|snapshot| snapshot.id);
                Ok(snapshots)
            })
        })
        .await
    }

    /// Whether a snapshot is protected.
    ///
    /// # Errors
    /// ENOENT.
    ///
    /// C: `rbd_snap_is_protected`.
    #[doc(alias = "rbd_snap_is_protected")]
    pub async fn is_protected(&self, snapshot: &[u8], limit: Duration) -> Result<bool> {
        let (name, snapshot) = (text(snapshot, "a snapshot's name")?, snapshot.to_vec());
        self.run("rbd_snap_is_protected", limit, move |image| {
            let (mut is, at) = (0, image.at.snapshot(&snapshot));
            // SAFETY: an open image, a C string, a number to fill.
            unsafe {
                call!(image.io.on.library, at, rbd_snap_is_protected(image.raw.0, name.as_ptr(), &mut is))
            }?;
            Ok(is != 0)
        })
        .await
    }

    /// When a snapshot was made.
    ///
    /// # Errors
    /// ENOENT.
    ///
    /// C: `rbd_snap_get_timestamp`.
    #[doc(alias = "rbd_snap_get_timestamp")]
    pub async fn snapshot_created(&self, id: u64, limit: Duration) -> Result<Option<SystemTime>> {
        self.run("rbd_snap_get_timestamp", limit, move |image| {
            let mut date = sys::timespec { tv_sec: 0, tv_nsec: 0 };
            let at = image.at.with(format!("snapshot id {id}"));
            // SAFETY: an open image and a time to fill.
            unsafe { call!(image.io.on.library, at, rbd_snap_get_timestamp(image.raw.0, id, &mut date)) }?;
            Ok(time(date.tv_sec, date.tv_nsec))
        })
        .await
    }

    /// Who made a snapshot.
    ///
    /// # Errors
    /// ENOENT.
    ///
    /// C: `rbd_snap_get_namespace_type`.
    #[doc(alias = "rbd_snap_get_namespace_type")]
    pub async fn snapshot_kind(&self, id: u64, limit: Duration) -> Result<SnapshotKind> {
        self.run("rbd_snap_get_namespace_type", limit, move |image| {
            let (mut kind, at) = (0, image.at.with(format!("snapshot id {id}")));
            // SAFETY: an open image and a number to fill.
            unsafe {
                call!(image.io.on.library, at, rbd_snap_get_namespace_type(image.raw.0, id, &mut kind))
            }?;
            Ok(match kind {
                sys::RBD_SNAP_NAMESPACE_TYPE_USER => SnapshotKind::User,
                sys::RBD_SNAP_NAMESPACE_TYPE_GROUP => SnapshotKind::Group,
                sys::RBD_SNAP_NAMESPACE_TYPE_TRASH => SnapshotKind::Trash,
                sys::RBD_SNAP_NAMESPACE_TYPE_MIRROR => SnapshotKind::Mirror,
                other => SnapshotKind::Other(other),
            })
        })
        .await
    }

    /// Gives a snapshot another name.
    ///
    /// # Errors
    /// ENOENT; EEXIST for the new name.
    ///
    /// C: `rbd_snap_rename`.
    #[doc(alias = "rbd_snap_rename")]
    pub async fn rename_snapshot(&self, from: &[u8], to: &[u8], limit: Duration) -> Result<()> {
        let at = from.to_vec();
        let (from, to) = (text(from, "a snapshot's name")?, text(to, "a snapshot's name")?);
        self.run("rbd_snap_rename", limit, move |image| {
            let at = image.at.snapshot(&at);
            // SAFETY: an open image and C strings.
            unsafe {
                call!(image.io.on.library, at, rbd_snap_rename(image.raw.0, from.as_ptr(), to.as_ptr()))
            }
            .map(drop)
        })
        .await
    }

    /// Removes a snapshot, and nothing else: no unprotecting, no flattening.
    ///
    /// # Errors
    /// ENOENT; EBUSY while it is protected.
    ///
    /// C: `rbd_snap_remove2`.
    #[doc(alias = "rbd_snap_remove2")]
    pub async fn remove_snapshot(&self, snapshot: &[u8], progress: &Progress, limit: Duration) -> Result<()> {
        let (name, snapshot) = (text(snapshot, "a snapshot's name")?, snapshot.to_vec());
        let (watched, _give_up) = progress.watch();
        self.run("rbd_snap_remove2", limit, move |image| {
            let at = image.at.snapshot(&snapshot);
            // SAFETY: an open image, a C string; the callback's argument lives through the call.
            let done = unsafe {
                let (name, argument) = (name.as_ptr(), watched.argument());
                call!(image.io.on.library, at, rbd_snap_remove2(image.raw.0, name, 0, Some(told), argument))
            };
            watched.outcome("rbd_snap_remove2", done)
        })
        .await
    }

    /// Removes a snapshot by its id: one of kind [`Trash`](SnapshotKind::Trash) cannot be named.
    ///
    /// # Errors
    /// ENOENT; EBUSY while it is protected or has children.
    ///
    /// C: `rbd_snap_remove_by_id`.
    #[doc(alias = "rbd_snap_remove_by_id")]
    pub async fn remove_snapshot_by_id(&self, id: u64, limit: Duration) -> Result<()> {
        self.run("rbd_snap_remove_by_id", limit, move |image| {
            let at = image.at.with(format!("snapshot id {id}"));
            // SAFETY: an open image.
            unsafe { call!(image.io.on.library, at, rbd_snap_remove_by_id(image.raw.0, id)) }.map(drop)
        })
        .await
    }

    /// From now on reads this handle at a snapshot of any kind.
    ///
    /// # Errors
    /// ENOENT.
    ///
    /// C: `rbd_snap_set_by_id`.
    #[doc(alias = "rbd_snap_set_by_id")]
    pub async fn set_snapshot(&self, id: u64, limit: Duration) -> Result<()> {
        self.run("rbd_snap_set_by_id", limit, move |image| {
            image.size.store(0, Ordering::Relaxed);
            let at = image.at.with(format!("snapshot id {id}"));
            // SAFETY: an open image.
            unsafe { call!(image.io.on.library, at, rbd_snap_set_by_id(image.raw.0, id)) }.map(drop)
        })
        .await
    }

    /// Sets the head's content and size back to a snapshot's.
    ///
    /// # Errors
    /// ENOENT; EROFS at a snapshot.
    ///
    /// C: `rbd_snap_rollback_with_progress`.
    #[doc(alias = "rbd_snap_rollback_with_progress")]
    pub async fn rollback(&self, snapshot: &[u8], progress: &Progress, limit: Duration) -> Result<()> {
        let (name, snapshot) = (text(snapshot, "a snapshot's name")?, snapshot.to_vec());
        let (watched, _give_up) = progress.watch();
        self.run("rbd_snap_rollback_with_progress", limit, move |image| {
            image.size.store(0, Ordering::Relaxed);
            let at = image.at.snapshot(&snapshot);
            // SAFETY: an open image, a C string; the callback's argument lives through the call.
            let done = unsafe {
                let (raw, name, argument) = (image.raw.0, name.as_ptr(), watched.argument());
                call!(
                    image.io.on.library,
                    at,
                    rbd_snap_rollback_with_progress(raw, name, Some(told), argument)
                )
            };
            watched.outcome("rbd_snap_rollback_with_progress", done)
        })
        .await
    }
}
