//! Why an image does not open, or cannot be renamed: librbd answers the same few errnos for whatever is missing.

use super::NO_LIMIT;
use super::connection::Connection;
use super::directory::{both, find, id_of, no_volume, rados};
use super::header::{self, Header, ParentSpec};
use super::object_map::{Fit, fit};
use super::trash;
use crate::engine::VolumeEntry;
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use futures::try_join;
use rbd::{Errno, Pool};

/// Further up than clones of clones are made.
const MOST_ANCESTORS: usize = 64;

/// Where the parent that a clone names stands.
pub(super) enum ParentState {
    /// It is there, with the snapshot.
    There { pool: Pool, namespace: Namespace, id: VolumeId, header: Header },
    /// It is not: what exactly is missing.
    Missing(String),
    /// What the user may not read is not known to be missing: its pool.
    Unreadable(Name),
}

/// What it means that opening an image, at a snapshot or not, fails with "no such file" or "not permitted".
pub(super) async fn why(
    on: &Connection,
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
    snapshot: Option<&Name>,
    error: rbd::Error,
) -> Error {
    if !matches!(error.errno(), Some(Errno::ENOENT | Errno::EPERM | Errno::EACCES)) {
        return error.into();
    }
    match found(on, pool, namespace, id, snapshot).await {
        Ok(Some(found)) => found.because(error),
        // What cannot be read explains nothing.
        Ok(None) | Err(_) => error.into(),
    }
}

/// What is wrong with an image, if anything is that keeps it from being opened.
async fn found(
    on: &Connection,
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
    snapshot: Option<&Name>,
) -> Result<Option<Error>> {
    let by_id = Target::Id(id.clone());
    let (header, entry) = try_join!(header::read_whole(pool, id), find(pool, &by_id))?;
    let Some(header) = header else {
        return Ok(Some(match entry {
            None => no_volume(format!("id:{id}")),
            Some(entry) => without_header(&namespace.volume(entry.name), id),
        }));
    };
    if entry.is_none() && is_unlisted(pool, id).await? {
        return Ok(Some(unlisted("the volume", namespace, id)));
    }
    if let Some(key) = header.lacks() {
        let what =
            format!("the header of the volume is damaged: it has no {key}, or one that cannot be decoded");
        return Ok(Some(Error::new(ErrorKind::Mismatch, what).hint(format!(
            "restore a backup; `{} listomapvals rbd_header.{id}` shows what is left of the header",
            rados(namespace)
        ))));
    }
    // One that is being migrated reads from elsewhere.
    if header.is_migrated() {
        return Ok(None);
    }
    let spec = entry.map_or_else(|| namespace.volume_by_id(id.clone()), |entry| namespace.volume(entry.name));
    if let Some(name) = snapshot
        && let Some(at) = header.snapshots().find(|of| of.name == name.as_bytes())
        && let Some(objects) = header.objects(at.size_bytes).filter(|_| header.has_map())
        && fit(pool, id, Some(at.id), objects).await? == Fit::Missing
    {
        let error = Error::new(ErrorKind::Mismatch, "the object map of the snapshot is missing");
        return Ok(Some(error.hint(format!("`volary check --repair {namespace}` rebuilds it"))));
    }
    above(on, &spec, id, header).await
}

/// What is wrong with what a clone reads from, its parent or one further up.
async fn above(on: &Connection, spec: &VolumeSpec, id: &VolumeId, header: Header) -> Result<Option<Error>> {
    let ways = ways_without_parent(spec, id, &header);
    let mut below = header;
    for _ in 0..MOST_ANCESTORS {
        let Some(parent) = below.parent() else { break };
        let state = parent_state(on, &parent).await?;
        below = match state {
            ParentState::There { pool, namespace, id, header } => {
                if is_unlisted(&pool, &id).await? {
                    return Ok(Some(unlisted("its parent", &namespace, &id)));
                }
                header
            }
            ParentState::Missing(what) => {
                let error = Error::new(ErrorKind::Mismatch, format!("its parent is missing: {what}"));
                return Ok(Some(error.hint(ways)));
            }
            ParentState::Unreadable(pool) => {
                let error = Error::new(ErrorKind::Permission, "the pool of its parent may not be read");
                return Ok(Some(error.context("parent_pool", &pool).hint(format!(
                    "let the administrator add osd 'profile rbd-read-only pool={pool}' to the rights of this user: \
                     `ceph auth get` shows what it has, and `ceph auth caps` replaces all of it"
                ))));
            }
        };
    }
    Ok(None)
}

/// Looks for the parent that a clone's header names, and for the snapshot.
pub(super) async fn parent_state(on: &Connection, parent: &ParentSpec<'_>) -> Result<ParentState> {
    let id = VolumeId::new(String::from_utf8_lossy(parent.id))?;
    let number = parent.pool;
    let name = match on.cluster.pool_name(number, NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => None,
        name => Some(Name::from_bytes(name?)),
    };
    let pool = match on.cluster.pool_by_id(number, parent.namespace, NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => {
            return Ok(ParentState::Missing(format!("the pool with the number {number} was deleted")));
        }
        pool => pool?,
    };
    let name = name.unwrap_or_else(|| Name::from_bytes(number.to_string()));
    let namespace = parent.namespace(name.clone());
    let header = match header::read_whole(&pool, &id).await {
        Err(error) if error.kind() == ErrorKind::Permission => return Ok(ParentState::Unreadable(name)),
        header => header?,
    };
    let by_id = namespace.volume_by_id(id.clone());
    Ok(match header {
        None => ParentState::Missing(format!("{by_id} is not there")),
        Some(header) if !header.has_snapshot(parent.snapshot) => {
            let snapshot = parent.snapshot;
            ParentState::Missing(format!("the snapshot with the number {snapshot} of {by_id} is not there"))
        }
        Some(header) => ParentState::There { pool, namespace, id, header },
    })
}

/// What can be done about a clone whose parent is missing.
pub(super) fn ways_without_parent(spec: &VolumeSpec, id: &VolumeId, header: &Header) -> String {
    let rados = rados(&spec.namespace);
    let key = format!("`{rados} rmomapkey rbd_header.{id} parent`");
    if header.has_snapshots() {
        // librbd cannot remove the snapshots of what it cannot open.
        return format!(
            "restore the parent from a backup; else {key} makes the volume readable, with zeros where it read from its \
             parent, and then `volary rm --purge-snapshots {spec}` removes it"
        );
    }
    format!(
        "restore the parent from a backup; else `volary rm {spec}` removes the volume, or {key} makes it readable, with \
         zeros where it read from its parent"
    )
}

fn without_header(spec: &VolumeSpec, id: &VolumeId) -> Error {
    Error::new(ErrorKind::Mismatch, "the volume has no header any more")
        .context("object", format!("rbd_header.{id}"))
        .hint(format!(
            "restore a backup; `volary rm {spec}` removes its name and id, not its data, objects rbd_data.{id}.*"
        ))
}

/// Whether an image has a header and no name, and is not in trash.
///
/// A removal takes the header away before the directory's entry or that of trash, and whoever moves or restores one always leaves it
/// in one of the two: none of them looks like this at each of these reads.
async fn is_unlisted(pool: &Pool, id: &VolumeId) -> Result<bool> {
    if header::read_whole(pool, id).await?.is_none() || trash::entry(pool, id).await?.is_some() {
        return Ok(false);
    }
    let named = find(pool, &Target::Id(id.clone())).await?.is_some();
    Ok(!named && header::read_whole(pool, id).await?.is_some())
}

/// Refuses to take an image for absent of which the directory alone has lost the name.
///
/// # Errors
/// `Mismatch`.
pub(super) async fn require_absent(pool: &Pool, namespace: &Namespace, id: &VolumeId) -> Result<()> {
    if is_unlisted(pool, id).await? { Err(unlisted("the volume", namespace, id)) } else { Ok(()) }
}

/// What has a header, and no name that the directory leads to.
fn unlisted(whose: &str, namespace: &Namespace, id: &VolumeId) -> Error {
    let what = format!("the directory does not lead from the id of {whose} to a name");
    Error::new(ErrorKind::Mismatch, what).context("id", id).hint(format!(
        "`volary check --repair {namespace}` completes the directory where its other entry is left; where none is, `rbd rm` \
         by its name removes it, and `{} setomapval rbd_directory` lists it again",
        rados(namespace)
    ))
}

/// Refuses to rename a volume of which not all is there that a rename changes: librbd would give up halfway.
pub(super) async fn require_names(pool: &Pool, namespace: &Namespace, entry: &VolumeEntry) -> Result<()> {
    let (leads_to, listed) = try_join!(id_of(pool, &entry.name), both(pool, entry))?;
    let missing = match (leads_to, listed.forward, listed.backward) {
        (None, ..) => format!("the object rbd_id.{} is missing", entry.name),
        (_, None, _) => "the directory does not lead from the name of the volume to its id".to_owned(),
        (.., None) => return Err(unlisted("the volume", namespace, &entry.id)),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Mismatch, missing)
        .context("id", &entry.id)
        .hint(format!("`volary check --repair {namespace}` makes it anew")))
}
