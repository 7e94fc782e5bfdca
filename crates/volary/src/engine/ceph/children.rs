//! The clones of an image as RBD's objects list them: the entries of clones that are not there any more, and clones that have
//! no entry.
//!
//! A clone of format 1 has an entry in the object `rbd_children` of its own namespace, under the pool, id and snapshot of its parent;
//! one of format 2 has it in the parent's header. librbd finds clones by them alone. Of a clone without entry it knows nothing,
//! and lets its parent be removed; at an entry without clone it ends with ENOENT, and keeps the parent for good.

use super::NO_LIMIT;
use super::class::{method, number};
use super::connection::Connection;
use super::directory::{DIRECTORY, put_string, string};
use super::header::{self, Header};
use super::trash::{self, TRASH};
use crate::engine::CloneEntry;
use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeId};
use futures::try_join;
use rbd::{Errno, Method, Pool};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

/// The object that lists a namespace's clones of format 1.
pub(super) const CHILDREN: &[u8] = b"rbd_children";

/// How many clones are looked for in one operation.
const AT_ONCE: usize = 512;

fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::Internal, "a list of clones cannot be understood").context("object", what)
}

/// The key of a parent's snapshot in `rbd_children`: encoded numbers, and the id between them.
fn key(pool: i64, parent: &VolumeId, snapshot: u64) -> Vec<u8> {
    [pool.to_le_bytes().to_vec(), put_string(parent.as_str().as_bytes()), number(snapshot)].concat()
}

/// The method that adds an entry of format 1 (`add_child`) or takes it away (`remove_child`).
pub(super) fn entry_change(
    name: &'static CStr,
    pool: i64,
    parent: &VolumeId,
    snapshot: u64,
    clone: &VolumeId,
) -> Method {
    method(name, [key(pool, parent, snapshot), put_string(clone.as_str().as_bytes())])
}

/// Changes a namespace's list of clones of format 1.
pub(super) async fn change_list(pool: &Pool, change: Method) -> rbd::Result<()> {
    pool.object_change(CHILDREN, false, vec![change], NO_LIMIT).await
}

/// A set of strings as Ceph encodes it.
pub(super) fn strings(value: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut rest) = value.split_first_chunk::<4>()?;
    let mut all = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (text, after) = string(rest)?;
        all.push(text);
        rest = after;
    }
    Some(all)
}

/// The clones of format 2 of one snapshot: a set of `cls::rbd::ChildImageSpec`.
fn in_header(snapshot: u64, value: &[u8]) -> Option<Vec<CloneEntry>> {
    let (count, mut rest) = value.split_first_chunk::<4>()?;
    let mut all = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (&[version, compatible], after) = rest.split_first_chunk::<2>()?;
        // The length of what follows, as before a string.
        let (fields, after) = string(after)?;
        let (pool, fields) = fields.split_first_chunk()?;
        let (id, fields) = string(fields)?;
        let namespace = if version > 1 { string(fields)?.0 } else { &[][..] };
        if compatible > 2 {
            return None;
        }
        let (pool, namespace) = (i64::from_le_bytes(*pool), Name::from_bytes(namespace));
        let id = VolumeId::new(String::from_utf8_lossy(id)).ok()?;
        all.push(CloneEntry { clone_format: 2, snapshot, pool, namespace, id });
        rest = after;
    }
    Some(all)
}

/// What may not be read, or went meanwhile, tells nothing. A pool that keeps no maps has no clones.
fn readable<T>(answer: rbd::Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error)
            if matches!(
                error.errno(),
                Some(Errno::ENOENT | Errno::EPERM | Errno::EACCES | Errno::EOPNOTSUPP)
            ) =>
        {
            Ok(None)
        }
        answer => Ok(Some(answer?)),
    }
}

/// The clones of format 1 of some snapshots, in the namespace of the parent's name in every pool: no other can have any.
async fn in_lists(
    on: &Connection,
    pool: i64,
    namespace: &Namespace,
    id: &VolumeId,
    snapshots: &[u64],
) -> Result<Vec<CloneEntry>> {
    let mut all = Vec::new();
    if snapshots.is_empty() {
        return Ok(all);
    }
    let keys: Vec<_> = snapshots.iter().map(|snapshot| key(pool, id, *snapshot)).collect();
    for name in on.cluster.pools(NO_LIMIT).await? {
        let read = async {
            let there = on.cluster.pool(&name, namespace.name.as_bytes(), NO_LIMIT).await?;
            let lists = there.omap_values(CHILDREN, keys.clone(), NO_LIMIT).await?;
            Ok::<_, rbd::Error>((there.id(), lists))
        };
        let Some((pool, lists)) = readable(read.await)? else { continue };
        for (snapshot, key) in snapshots.iter().zip(&keys) {
            let Some((_, list)) = lists.iter().find(|(found, _)| found == key) else { continue };
            for clone in strings(list).ok_or_else(|| malformed("rbd_children"))? {
                let id = VolumeId::new(String::from_utf8_lossy(clone))
                    .map_err(|error| malformed("rbd_children").because(error))?;
                let (snapshot, namespace) = (*snapshot, namespace.name.clone());
                all.push(CloneEntry { clone_format: 1, snapshot, pool, namespace, id });
            }
        }
    }
    Ok(all)
}

/// The entries of clones of an image that are not there any more. What this user may not read is not known to be gone.
pub(super) async fn stale(
    on: &Connection,
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
    header: &Header,
) -> Result<Vec<CloneEntry>> {
    let mut all = in_lists(on, pool.id(), namespace, id, &header.protected()).await?;
    for (snapshot, list) in header.clone_lists() {
        all.extend(in_header(snapshot, list).ok_or_else(|| malformed("rbd_header"))?);
    }
    let mut places: BTreeMap<(i64, Name), Vec<CloneEntry>> = BTreeMap::new();
    for entry in all {
        places.entry((entry.pool, entry.namespace.clone())).or_default().push(entry);
    }
    let mut stale = Vec::new();
    for ((pool, namespace), entries) in places {
        stale.extend(gone(on, pool, &namespace, entries).await?);
    }
    Ok(stale)
}

/// Those of some entries of clones in one namespace that nothing is left of: neither a name, nor an entry of the trash, nor a header.
async fn gone(
    on: &Connection,
    pool: i64,
    namespace: &Name,
    entries: Vec<CloneEntry>,
) -> Result<Vec<CloneEntry>> {
    let there = match on.cluster.pool_by_id(pool, namespace.as_bytes(), NO_LIMIT).await {
        // All that was in the pool has gone with it.
        Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(entries),
        there => there?,
    };
    Ok(readable(gone_from(&there, &entries).await)?.unwrap_or_default())
}

async fn gone_from(pool: &Pool, entries: &[CloneEntry]) -> rbd::Result<Vec<CloneEntry>> {
    let mut gone = Vec::new();
    for some in entries.chunks(AT_ONCE) {
        // The directory and the trash have the same keys.
        let keys: Vec<_> = some.iter().map(|of| trash::key(&of.id)).collect();
        let (named, trashed) = try_join!(
            pool.omap_values(DIRECTORY, keys.clone(), NO_LIMIT),
            pool.omap_values(TRASH, keys, NO_LIMIT)
        )?;
        let known: BTreeSet<Vec<u8>> = named.into_iter().chain(trashed).map(|(key, _)| key).collect();
        for entry in some {
            if known.contains(&trash::key(&entry.id)) {
                continue;
            }
            // It may have moved from one to the other between the two answers; its header stays where it is.
            if pool.object_stat(&header::object(&entry.id), NO_LIMIT).await?.is_none() {
                gone.push(entry.clone());
            }
        }
    }
    Ok(gone)
}

/// Takes the entry of a clone away if the clone is not there any more; says whether it did.
pub(super) async fn forget(
    on: &Connection,
    pool: &Pool,
    parent: &VolumeId,
    entry: &CloneEntry,
) -> Result<bool> {
    // A clone that is gone stays so: no other gets its id.
    if gone(on, entry.pool, &entry.namespace, vec![entry.clone()]).await?.is_empty() {
        return Ok(false);
    }
    let forgotten = if entry.clone_format == 1 {
        let list = on.cluster.pool_by_id(entry.pool, entry.namespace.as_bytes(), NO_LIMIT).await?;
        let remove = entry_change(c"remove_child", pool.id(), parent, entry.snapshot, &entry.id);
        change_list(&list, remove).await
    } else {
        let id = put_string(entry.id.as_str().as_bytes());
        let fields = [entry.pool.to_le_bytes().to_vec(), id, put_string(entry.namespace.as_bytes())].concat();
        let detach = method(c"child_detach", [number(entry.snapshot), vec![2, 1], put_string(&fields)]);
        pool.object_change(&header::object(parent), false, vec![detach], NO_LIMIT).await
    };
    match forgotten {
        // Somebody else did.
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
        forgotten => Ok(forgotten.map(|()| true)?),
    }
}

/// Whether an image is a clone of format 1 that has no entry in its namespace.
pub(super) async fn is_unlisted(pool: &Pool, id: &VolumeId, header: &Header) -> Result<bool> {
    let Some(parent) = header.parent().filter(|_| header.is_of_clone_format_1()) else { return Ok(false) };
    let Ok(parent_id) = VolumeId::new(String::from_utf8_lossy(parent.id)) else { return Ok(false) };
    let key = key(parent.pool, &parent_id, parent.snapshot);
    let found = pool.omap_values(CHILDREN, vec![key], NO_LIMIT).await?;
    let Some((_, list)) = found.first() else { return Ok(true) };
    let all = strings(list).ok_or_else(|| malformed("rbd_children"))?;
    Ok(!all.contains(&id.as_str().as_bytes()))
}

/// Adds the entry of a clone that has none, which nobody else may have open; says whether it did.
pub(super) async fn enter(pool: &Pool, id: &VolumeId) -> Result<bool> {
    let Some(header) = header::read_whole(pool, id).await? else { return Ok(false) };
    if !is_unlisted(pool, id, &header).await? {
        return Ok(false);
    }
    let Some(parent) = header.parent() else { return Ok(false) };
    let Ok(parent_id) = VolumeId::new(String::from_utf8_lossy(parent.id)) else { return Ok(false) };
    let add = entry_change(c"add_child", parent.pool, &parent_id, parent.snapshot, id);
    match change_list(pool, add).await {
        Err(error) if error.errno() == Some(Errno::EEXIST) => Ok(false),
        added => Ok(added.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_clones_are_decoded_and_never_past_their_end() {
        let list = b"\x02\0\0\0\x02\0\0\0ab\x01\0\0\0c";
        assert_eq!(strings(list), Some(vec![&b"ab"[..], b"c"]));
        let mut header = b"\x01\0\0\0\x02\x01\x14\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0ab\x02\0\0\0ns".to_vec();
        let id = VolumeId::new("ab").unwrap();
        let entry =
            CloneEntry { clone_format: 2, snapshot: 4, pool: 7, namespace: Name::from_bytes("ns"), id };
        assert_eq!(in_header(4, &header), Some(vec![entry]));
        for len in 0..list.len() {
            assert_eq!(strings(&list[..len]), None, "{len}");
        }
        for len in 0..header.len() {
            assert_eq!(in_header(4, &header[..len]), None, "{len}");
        }
        // A newer encoding that cannot be read as this one.
        header[5] = 3;
        assert_eq!(in_header(4, &header), None);
    }
}
