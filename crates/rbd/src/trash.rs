//! Images whose name was taken away, kept for a while.

use crate::Errno;
use crate::call::{bytes, grow, text, time};
use crate::directory::image_name;
use crate::error::Result;
use crate::pool::Pool;
use crate::progress::{Progress, told};
use crate::sys;
use std::time::{Duration, SystemTime};

/// An image in trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashEntry {
    /// The image's id.
    pub id: Vec<u8>,
    /// The name it had.
    pub name: Vec<u8>,
    /// Who put it there.
    pub source: TrashSource,
    /// When it was put there.
    pub deleted: Option<SystemTime>,
    /// Until when it is kept.
    pub until: Option<SystemTime>,
}

/// Who put an image into trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrashSource {
    /// A user.
    User,
    /// Mirroring.
    Mirroring,
    /// Migration.
    Migration,
    /// Its removal, which began and did not end.
    Removing,
    /// A user, for as long as it has clones.
    UserParent,
    /// Something newer than this crate.
    Other(u32),
}

impl TrashSource {
    /// Ceph's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mirroring => "mirroring",
            Self::Migration => "migration",
            Self::Removing => "removing",
            Self::UserParent => "user_parent",
            Self::Other(_) => "unknown",
        }
    }
}

impl TrashEntry {
    /// # Safety
    /// The entry's strings are NULL or C strings.
    unsafe fn copy(info: &sys::rbd_trash_image_info_t) -> Self {
        // SAFETY: the caller's promise.
        let (id, name) = unsafe { (bytes(info.id), bytes(info.name)) };
        let source = match info.source {
            sys::RBD_TRASH_IMAGE_SOURCE_USER => TrashSource::User,
            sys::RBD_TRASH_IMAGE_SOURCE_MIRRORING => TrashSource::Mirroring,
            sys::RBD_TRASH_IMAGE_SOURCE_MIGRATION => TrashSource::Migration,
            sys::RBD_TRASH_IMAGE_SOURCE_REMOVING => TrashSource::Removing,
            sys::RBD_TRASH_IMAGE_SOURCE_USER_PARENT => TrashSource::UserParent,
            other => TrashSource::Other(other),
        };
        TrashEntry {
            id,
            name,
            source,
            deleted: time(info.deletion_time, 0),
            until: time(info.deferment_end_time, 0),
        }
    }
}

impl Pool {
    /// Puts an image into trash, kept until `keep` has passed.
    ///
    /// # Errors
    /// ENOENT; EBUSY while it is open elsewhere; EUCLEAN for one that is half moved: repeating it finishes the move.
    ///
    /// C: `rbd_trash_move`.
    #[doc(alias = "rbd_trash_move")]
    pub async fn trash_move(&self, name: &[u8], keep: Duration, limit: Duration) -> Result<()> {
        let (at, name) = (self.io.at.object(name), image_name(name)?);
        self.run("rbd_trash_move", limit, move |io| {
            // SAFETY: a live context and a C string.
            unsafe { call!(io.on.library, at, rbd_trash_move(io.raw.0, name.as_ptr(), keep.as_secs())) }
                .map(drop)
        })
        .await
    }

    /// Everything in trash, half-removed images too.
    ///
    /// How far an entry is on its way in or out is not told: that is in the object `rbd_trash`.
    ///
    /// C: `rbd_trash_list`.
    #[doc(alias = "rbd_trash_list")]
    pub async fn trash(&self, limit: Duration) -> Result<Vec<TrashEntry>> {
        self.run("rbd_trash_list", limit, |io| {
            let clean = symbol!(io.on.library, rbd_trash_list_cleanup);
            grow(256, |len| {
                // SAFETY: numbers and pointers; zero is valid for each.
                let mut infos: Vec<sys::rbd_trash_image_info_t> = vec![unsafe { std::mem::zeroed() }; *len];
                // SAFETY: a live context and an array of the length told.
                unsafe { call!(io.on.library, io.at, rbd_trash_list(io.raw.0, infos.as_mut_ptr(), len)) }?;
                // SAFETY: so many entries are filled with strings of librbd's own, freed once after the copy.
                unsafe {
                    let entries = infos.iter().take(*len).map(|info| TrashEntry::copy(info)).collect();
                    clean(infos.as_mut_ptr(), *len);
                    Ok(entries)
                }
            })
        })
        .await
    }

    /// One image in trash, or `None`.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rbd_trash_get`.
    #[doc(alias = "rbd_trash_get")]
    pub async fn trash_entry(&self, id: &[u8], limit: Duration) -> Result<Option<TrashEntry>> {
        let (at, id) = (self.io.at.id(id), text(id, "an image's id")?);
        self.run("rbd_trash_get", limit, move |io| {
            let clean = symbol!(io.on.library, rbd_trash_get_cleanup);
            // SAFETY: numbers and pointers; zero is valid for each.
            let mut info: sys::rbd_trash_image_info_t = unsafe { std::mem::zeroed() };
            // SAFETY: a live context, a C string, a struct to fill.
            match unsafe { call!(io.on.library, at, rbd_trash_get(io.raw.0, id.as_ptr(), &mut info)) } {
                Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(None),
                answer => answer?,
            };
            // SAFETY: filled with strings of librbd's own, freed once after the copy.
            unsafe {
                let entry = TrashEntry::copy(&info);
                clean(&mut info);
                Ok(Some(entry))
            }
        })
        .await
    }

    /// Brings an image back under a name, also one that is open.
    ///
    /// # Errors
    /// ENOENT; EEXIST for the name. Repeating it finishes one that was interrupted.
    ///
    /// C: `rbd_trash_restore`.
    #[doc(alias = "rbd_trash_restore")]
    pub async fn trash_restore(&self, id: &[u8], name: &[u8], limit: Duration) -> Result<()> {
        let (at, id, name) = (self.io.at.id(id), text(id, "an image's id")?, image_name(name)?);
        self.run("rbd_trash_restore", limit, move |io| {
            // SAFETY: a live context and C strings.
            unsafe { call!(io.on.library, at, rbd_trash_restore(io.raw.0, id.as_ptr(), name.as_ptr())) }
                .map(drop)
        })
        .await
    }

    /// Removes an image in trash for good; `force`: before its time too.
    ///
    /// # Errors
    /// ENOENT; EPERM before its time; ENOTEMPTY while it has snapshots; EBUSY while it is open, or half restored.
    ///
    /// C: `rbd_trash_remove_with_progress`.
    #[doc(alias = "rbd_trash_remove_with_progress")]
    pub async fn trash_remove(
        &self,
        id: &[u8],
        force: bool,
        progress: &Progress,
        limit: Duration,
    ) -> Result<()> {
        let (at, id) = (self.io.at.id(id), text(id, "an image's id")?);
        let (watched, _give_up) = progress.watch();
        self.run("rbd_trash_remove_with_progress", limit, move |io| {
            // SAFETY: a live context, a C string; the callback's argument lives through the call.
            let done = unsafe {
                let (raw, id, argument) = (io.raw.0, id.as_ptr(), watched.argument());
                call!(io.on.library, at, rbd_trash_remove_with_progress(raw, id, force, Some(told), argument))
            };
            watched.outcome("rbd_trash_remove_with_progress", done)
        })
        .await
    }
}
