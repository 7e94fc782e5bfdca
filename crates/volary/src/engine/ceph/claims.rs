//! Objects that the object map has and the pool never had: what a refused change leaves behind.
//!
//! librbd notes an object in the map before it writes the object, and keeps the note when the write fails. The map then has an
//! object that the pool lacks, as after an object was lost, and [`lost`](super::lost) cannot tell the one from the other. So after
//! a change that failed the map is marked invalid, as librbd marks a map that it could not update. A repair then makes the map anew.

use super::NO_LIMIT;
use super::class::{method, number};
use super::extents::INVALID;
use super::reading::HEAD;
use super::volume::{Handle, progress};
use super::{header, object_map};
use crate::{Ctl, Error, ErrorKind, Result};
use rbd::{Errno, Features};

impl Handle {
    /// Carries out a change of content; when it fails, the object map of the head is marked invalid before the error is returned.
    ///
    /// A process that is killed in between, or that the cluster no longer answers, cannot mark it.
    pub(super) async fn change_content<T>(&self, change: impl Future<Output = Result<T>>) -> Result<T> {
        let changed = self.change(change).await;
        if let Err(error) = &changed
            && matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Permission | ErrorKind::Internal)
            && let Err(error) = self.doubt_map().await
        {
            tracing::warn!(id = %self.id, %error, "the object map is not marked invalid after a change that failed");
        }
        changed
    }

    async fn doubt_map(&self) -> Result<()> {
        if self.image.features(NO_LIMIT).await?.0 & Features::RBD_FEATURE_OBJECT_MAP == 0 {
            return Ok(());
        }
        let mark = method(c"set_flags", [number(INVALID), number(INVALID), number(HEAD)]);
        Ok(self.pool.object_change(&header::object(&self.id), false, vec![mark], NO_LIMIT).await?)
    }

    /// Rebuilds the object map of the head from the objects that are there.
    ///
    /// librbd keeps an object that the old map has and the pool lacks, since somebody may just be writing it; where the old map is
    /// missing or damaged, it takes the map to have every object. So the old map is emptied first, while the exclusive lock keeps others
    /// from writing; librbd reads the empty map when it takes the lock a second time. Before that the map is marked invalid: if the
    /// work is interrupted, nobody trusts the map, and the next repair rebuilds it.
    ///
    /// # Errors
    /// `Blocked` while another client has the lock.
    pub(super) async fn rebuild_map(&self, ctl: &Ctl) -> Result<()> {
        self.lock_out_others().await?;
        self.doubt_map().await?;
        let header = header::read_whole(&self.pool, &self.id).await?;
        if let Some(objects) = header.and_then(|header| header.objects(header.size_bytes)) {
            object_map::empty(&self.pool, &self.id, objects).await?;
        }
        self.image.release_lock(NO_LIMIT).await?;
        ctl.touch();
        self.lock_out_others().await?;
        Ok(self.image.rebuild_object_map(&progress(ctl, 0), NO_LIMIT).await?)
    }

    async fn lock_out_others(&self) -> Result<()> {
        match self.image.acquire_lock(NO_LIMIT).await {
            Err(error) if error.errno() == Some(Errno::EROFS) => {
                Err(Error::new(ErrorKind::Blocked, "another client has the volume's exclusive lock")
                    .context("id", &self.id)
                    .hint("close the volume there, and try again")
                    .because(error))
            }
            locked => Ok(locked?),
        }
    }
}
