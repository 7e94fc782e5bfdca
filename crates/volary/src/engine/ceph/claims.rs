//! Objects that the object map has and nobody made: what a refused change leaves behind.
//!
//! librbd notes an object in the map before it writes it, and keeps the note when the write fails. The map then has an object that
//! the pool lacks, as it has after an object was lost, and [`lost`](super::lost) would take the one for the other. So after a
//! change that failed the map is marked invalid, as librbd marks a map that it could not update.

use super::NO_LIMIT;
use super::class::{method, number};
use super::extents::INVALID;
use super::header;
use super::reading::HEAD;
use super::volume::Handle;
use crate::{ErrorKind, Result};
use rbd::Features;

impl Handle {
    /// Carries out a change of content; when it fails, the object map of the head is marked invalid before the error is returned.
    ///
    /// A process that is killed in between, or that the cluster no longer answers, cannot mark it.
    pub(super) async fn change_content<T>(&self, change: impl Future<Output = Result<T>>) -> Result<T> {
        let changed = change.await;
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
}
