//! What a volume is a clone of, and whether anything has to do with it, told without opening it where that is exact.

use super::connection::Connection;
use super::directory::find;
use super::header::{self, ParentSpec, is_protected};
use super::lockers;
use super::trash_move::plain_header;
use super::{NO_LIMIT, WATCHERS_ANSWER};
use crate::engine::Parent;
use crate::{ErrorKind, Name, Namespace, Result, Target, VolumeId};
use futures::try_join;

/// The parent, or that there is none; `None` when only opening the volume tells.
pub(super) async fn parent(
    on: &Connection,
    namespace: &Namespace,
    id: &VolumeId,
) -> Result<Option<Option<Parent>>> {
    let Some(header) = header::read(&on.enter(namespace).await?, id).await? else { return Ok(None) };
    if !header.has_parent() {
        return Ok(Some(None));
    }
    let Some(spec) = header.parent() else { return Ok(None) };
    match told(on, &spec).await {
        // Opening it tells what of the parent is missing, or may not be read.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Permission) => Ok(None),
        told => Ok(told?.map(Some)),
    }
}

/// The parent that a header names, where what it is called is told exactly.
async fn told(on: &Connection, spec: &ParentSpec<'_>) -> Result<Option<Parent>> {
    let pool = Name::from_bytes(on.cluster.pool_name(spec.pool, NO_LIMIT).await?);
    let there = spec.namespace(pool);
    let (pool, id) = (on.enter(&there).await?, VolumeId::new(String::from_utf8_lossy(spec.id))?);
    let target = Target::Id(id.clone());
    // A snapshot that is protected has its own name, and is in no trash.
    let (named, protected, parent) =
        try_join!(find(&pool, &target), is_protected(&pool, &id, spec.snapshot), header::read(&pool, &id))?;
    let (Some(named), true, Some(parent)) = (named, protected, parent) else { return Ok(None) };
    let snapshot = parent.snapshots().find(|of| of.id == spec.snapshot);
    Ok(snapshot.map(|snapshot| {
        let snapshot = Name::from_bytes(snapshot.name);
        let (volume, overlap_bytes) = (named.name, spec.overlap_bytes);
        Parent { namespace: there, volume, id, snapshot, overlap_bytes, trash: false }
    }))
}

/// Whether it surely has no snapshot, no lock, no group, no mirror, and nobody who has it open to write.
pub(super) async fn unheld(pool: &rbd::Pool, id: &VolumeId) -> Result<bool> {
    let by_id = Target::Id(id.clone());
    let (plain, lockers, named) =
        try_join!(plain_header(pool, id), lockers::of(pool, id), find(pool, &by_id))?;
    // What the directory has lost is for opening to tell.
    let alone = named.is_some() && lockers.is_empty() && plain.is_some_and(|header| !header.has_snapshots());
    Ok(alone && !pool.object_is_watched(&header::object(id), WATCHERS_ANSWER, NO_LIMIT).await?)
}
