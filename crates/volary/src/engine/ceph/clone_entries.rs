//! The object `rbd_children` of a namespace: which clones of format 1 it has, by the snapshot that each reads from.
//!
//! It is read where the header that would tell the same is gone.

use super::NO_LIMIT;
use super::children::{CHILDREN, change_list, strings};
use super::class::method;
use super::directory::{find, put_string, string};
use super::header;
use crate::{Namespace, Result, Target, VolumeId, VolumeSpec};
use rbd::{Errno, Pool};

/// As many entries as an OSD tells at a time. Their keys hold NUL bytes, so that no more can be asked for: librados' call takes C
/// strings.
const MOST_ENTRIES: u64 = 1024;

/// How many clones are named.
const MOST_NAMED: usize = 16;

/// A snapshot, and the clones that read from it.
struct Entry {
    /// The parent's pool, its id and the snapshot, as the methods of the class take them too.
    key: Vec<u8>,
    children: Vec<Vec<u8>>,
}

/// The parent's pool and id in a key.
fn parent(key: &[u8]) -> Option<(i64, &[u8])> {
    let (pool, rest) = key.split_first_chunk::<8>()?;
    let (id, snapshot) = string(rest)?;
    (snapshot.len() == 8).then_some((i64::from_le_bytes(*pool), id))
}

/// The entries that can be decoded, and whether there are more than were told.
async fn entries(pool: &Pool) -> Result<(Vec<Entry>, bool)> {
    let page = pool.omap_page(CHILDREN, b"", b"", MOST_ENTRIES, NO_LIMIT).await?;
    let decoded = page.entries.into_iter().filter_map(|(key, value)| {
        let children = strings(&value)?.into_iter().map(<[u8]>::to_vec).collect();
        Some(Entry { key, children })
    });
    Ok((decoded.collect(), page.more))
}

/// Takes a clone out of every entry that has it; `false` when there may be entries that were not seen.
pub(super) async fn forget(pool: &Pool, clone: &VolumeId) -> Result<bool> {
    let (entries, more) = entries(pool).await?;
    let id = clone.as_str().as_bytes();
    for entry in entries.into_iter().filter(|entry| entry.children.iter().any(|child| child == id)) {
        let remove = method(c"remove_child", [entry.key, put_string(id)]);
        match change_list(pool, remove).await {
            // Somebody else was first.
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            done => done?,
        }
    }
    Ok(!more)
}

/// The clones that say themselves that they read from a volume, as far as they are told, some of them.
pub(super) async fn clones_of(pool: &Pool, namespace: &Namespace, id: &VolumeId) -> Result<Vec<VolumeSpec>> {
    let wanted = (pool.id(), id.as_str().as_bytes());
    let (entries, _) = entries(pool).await?;
    let mut found = Vec::new();
    let of_it = entries.into_iter().filter(|entry| parent(&entry.key) == Some(wanted));
    for child in of_it.flat_map(|entry| entry.children) {
        let Ok(child) = VolumeId::new(String::from_utf8_lossy(&child)) else { continue };
        let header = header::read_whole(pool, &child).await?;
        let parent = header.as_ref().and_then(header::Header::parent);
        if parent.is_none_or(|of| (of.pool, of.id) != wanted) {
            continue;
        }
        found.push(match find(pool, &Target::Id(child.clone())).await? {
            Some(entry) => namespace.volume(entry.name),
            None => namespace.volume_by_id(child),
        });
        if found.len() == MOST_NAMED {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_and_never_past_their_end() {
        let key = b"\x07\0\0\0\0\0\0\0\x03\0\0\0abc\x04\0\0\0\0\0\0\0";
        assert_eq!(parent(key), Some((7, &b"abc"[..])));
        for len in 0..key.len() {
            assert_eq!(parent(&key[..len]), None, "{len}");
        }
    }
}
