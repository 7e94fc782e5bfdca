//! Images that nobody may change though the user has the right to: the secondary of a mirror, one whose journal is gone, and one
//! of which another client has the lock.
//!
//! librbd refuses a change of each with EROFS and says no more. What is written past it, such as metadata and locks, it does
//! not refuse at all.

use super::volume::Handle;
use super::{NO_LIMIT, lockers};
use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeId, VolumeSpec};
use rbd::{Errno, Features, Image, Pool};
use std::error::Error as _;

/// Refuses to change the secondary of a mirror: it would differ from its primary.
///
/// # Errors
/// `Blocked` for a secondary; what the calls answer.
pub(super) async fn require_primary(image: &Image, namespace: &Namespace) -> Result<()> {
    if is_secondary(image).await? {
        return Err(secondary(&named(image, namespace).await?));
    }
    Ok(())
}

async fn is_secondary(image: &Image) -> Result<bool> {
    let features = image.features(NO_LIMIT).await?.0;
    if features & Features::RBD_FEATURE_NON_PRIMARY != 0 {
        return Ok(true);
    }
    if features & Features::RBD_FEATURE_JOURNALING == 0 {
        return Ok(false);
    }
    // Of an image that is mirrored by its journal only the journal tells. One that cannot be read tells nothing; librbd then
    // refuses what it must.
    Ok(image.mirror(NO_LIMIT).await.is_ok_and(|mirror| mirror.enabled && !mirror.primary))
}

async fn named(image: &Image, namespace: &Namespace) -> Result<VolumeSpec> {
    Ok(namespace.volume(Name::from_bytes(image.name(NO_LIMIT).await?)))
}

fn secondary(spec: &VolumeSpec) -> Error {
    Error::new(ErrorKind::Blocked, "it is the secondary of a mirror").hint(format!(
        "`rbd mirror image promote {spec}` makes it writable (with --force when the other side is lost)"
    ))
}

/// What it means that librbd refuses a change of an open image with EROFS; every other error stays as it is.
async fn explained(
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
    own: u64,
    image: &Image,
    error: Error,
) -> Error {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<rbd::Error>()).cloned();
    let Some(cause) = cause.filter(|cause| cause.errno() == Some(Errno::EROFS)) else { return error };
    // What cannot be read explains nothing.
    let Ok(spec) = named(image, namespace).await else { return error };
    if matches!(is_secondary(image).await, Ok(true)) {
        return secondary(&spec).because(cause);
    }
    let features = image.features(NO_LIMIT).await;
    let journaled = features.is_ok_and(|of| of.0 & Features::RBD_FEATURE_JOURNALING != 0);
    let journal = format!("journal.{id}");
    if journaled && matches!(pool.object_stat(journal.as_bytes(), NO_LIMIT).await, Ok(None)) {
        return Error::new(ErrorKind::Mismatch, "its journal is missing")
            .context("object", journal)
            .hint(format!(
                "`rbd feature disable {spec} journaling` lets it be changed again; \
                 `rbd feature enable {spec} journaling` then makes a new journal"
            ))
            .because(cause);
    }
    // librbd changes nothing without its exclusive lock either.
    match lockers::why_not_taken(pool, id, own).await {
        Ok(Some(holder)) => holder.because(cause),
        _ => error,
    }
}

/// The same of an image that is not open.
pub(super) async fn explained_closed(
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
    own: u64,
    error: rbd::Error,
) -> Error {
    if error.errno() != Some(Errno::EROFS) {
        return error.into();
    }
    let Ok(image) = pool.open_by_id_read_only(id.as_str().as_bytes(), None, NO_LIMIT).await else {
        return error.into();
    };
    let told = explained(pool, namespace, id, own, &image, error.into()).await;
    if let Err(error) = image.close(NO_LIMIT).await {
        tracing::warn!(%id, %error, "closing a volume that was opened to explain an error");
    }
    told
}

impl Handle {
    /// Carries out a change; one that is refused because the image is read-only fails with the reason.
    pub(super) async fn change<T>(&self, change: impl Future<Output = Result<T>>) -> Result<T> {
        match change.await {
            Err(error) => {
                let (pool, namespace, own) = (&self.pool, &self.namespace, self.on.client);
                Err(explained(pool, namespace, &self.id, own, &self.image, error).await)
            }
            done => done,
        }
    }
}
