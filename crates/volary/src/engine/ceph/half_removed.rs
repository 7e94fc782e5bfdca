//! Snapshots whose removal was cut short.
//!
//! librbd first gives a snapshot a kind that no listing shows, then gives its number back to the pool, and takes it out of
//! the header last. A header killed in between names a number that the OSDs have trimmed and forgotten: whoever writes or
//! removes objects by it, librbd's own removal of the image too, makes clones of them which nobody ever trims. So the
//! removal is finished, and the header read anew, before anything else is done.

use super::connection::Connection;
use super::{NO_LIMIT, header, unopenable};
use crate::{Namespace, Result, VolumeId};
use rbd::{Errno, Image, Pool, SnapshotKind};

/// Finishes them, on an image that is open to write.
pub(super) async fn finish(pool: &Pool, id: &VolumeId, image: &Image) -> Result<()> {
    for snapshot in image.snapshots(NO_LIMIT).await? {
        let kind = match image.snapshot_kind(snapshot.id, NO_LIMIT).await {
            Err(error) if error.errno() == Some(Errno::ENOENT) => continue,
            kind => kind?,
        };
        if kind != SnapshotKind::Trash || has_children(pool, id, snapshot.id).await? {
            continue;
        }
        match image.remove_snapshot_by_id(snapshot.id, NO_LIMIT).await {
            // Gone, or cloned, meanwhile.
            Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EBUSY)) => {}
            done => {
                done?;
                tracing::info!(%id, snapshot = snapshot.id, "finished a snapshot's removal that was cut short");
            }
        }
    }
    Ok(())
}

/// The same before librbd removes the image, which is opened only when its header names any snapshot.
///
/// # Errors
/// `Mismatch` for one that has snapshots and cannot be opened: librbd cannot remove them, and would only say that they are there.
pub(super) async fn finish_before_removal(
    on: &Connection,
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
) -> Result<()> {
    let header = [b"rbd_header.", id.as_str().as_bytes()].concat();
    if pool.omap_page(&header, b"", b"snapshot_", 1, NO_LIMIT).await?.entries.is_empty() {
        return Ok(());
    }
    let image = match pool.open_by_id(id.as_str().as_bytes(), None, NO_LIMIT).await {
        Ok(image) => image,
        Err(error) => {
            // To librbd an image is gone whose header is, or lacks what every header has.
            if header::read_whole(pool, id).await?.is_none_or(|header| header.lacks().is_some()) {
                return Ok(());
            }
            return Err(unopenable::why(on, pool, namespace, id, None, error).await);
        }
    };
    let finished = finish(pool, id, &image).await;
    image.close(NO_LIMIT).await?;
    finished
}

/// Asked before, for librbd would cut a snapshot's own link to its parent before it sees that there are children.
async fn has_children(pool: &Pool, id: &VolumeId, snapshot: u64) -> Result<bool> {
    let at = pool.open_by_id_read_only(id.as_str().as_bytes(), None, NO_LIMIT).await?;
    let children = match at.set_snapshot(snapshot, NO_LIMIT).await {
        Ok(()) => at.children(NO_LIMIT).await,
        Err(error) => Err(error),
    };
    at.close(NO_LIMIT).await?;
    match children {
        Ok(children) => Ok(!children.is_empty()),
        // What is not there needs nothing; whose clones may not be seen is left alone.
        Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EPERM | Errno::EACCES)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
