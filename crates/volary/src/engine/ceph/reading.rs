//! What a handle open to read depends on, and whether it is still there.
//!
//! Such a handle has no watch: librbd does not learn that the image, its snapshot or its parent's snapshot was removed, and reads
//! an object that is gone as zeros, or as what the parent has there. So the headers are asked once more after the last read.

use super::NO_LIMIT;
use super::class::{method, number};
use super::directory::{malformed, string};
use super::header;
use super::volume::{Handle, id_of};
use super::{extents, trash};
use crate::engine::{TrashState, shrunk, vanished};
use crate::{Error, Result, VolumeId};
use futures::future::try_join_all;
use rbd::Errno;
use std::ffi::CStr;
use std::sync::atomic::Ordering;

/// The head, where a method asks for a snapshot's number (`CEPH_NOSNAP`).
pub(super) const HEAD: u64 = u64::MAX - 1;

/// The kinds of snapshot that are told apart here (`cls::rbd::SnapshotNamespaceType`).
const USER: u32 = 0;
const TRASH: u32 = 2;

/// More than a snapshot's names take.
const ANSWER_BYTES: usize = 256 << 10;

/// A snapshot that a clone, or its parent, reads from.
pub(super) struct Below {
    pool: rbd::Pool,
    id: VolumeId,
    snapshot: u64,
}

/// What a header tells of a snapshot (`cls::rbd::SnapshotInfo`).
#[derive(Debug, PartialEq, Eq)]
struct Found {
    kind: u32,
    children: u32,
}

impl Found {
    fn decode(bytes: &[u8]) -> Option<Found> {
        // Versions, length and number; then versions and length of the kind, and what belongs to it.
        let (head, rest) = bytes.get(14..)?.split_at_checked(6)?;
        let len = usize::try_from(u32::from_le_bytes(head.get(2..)?.try_into().ok()?)).ok()?;
        let (kind, rest) = rest.split_at_checked(len)?;
        let (_name, rest) = string(rest)?;
        // Its size and its time stand before the number of clones.
        let (children, _) = rest.get(16..)?.split_first_chunk()?;
        Some(Found {
            kind: u32::from_le_bytes(*kind.first_chunk()?),
            children: u32::from_le_bytes(*children),
        })
    }
}

/// What a method answers of an image's header; `None` for what is not there.
pub(super) async fn ask(
    pool: &rbd::Pool,
    id: &VolumeId,
    name: &'static CStr,
    input: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    match pool.object_ask(&header::object(id), method(name, input), ANSWER_BYTES, NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

async fn snapshot(pool: &rbd::Pool, id: &VolumeId, snapshot: u64) -> Result<Option<Found>> {
    let answer = ask(pool, id, c"snapshot_get", [number(snapshot)]).await?;
    answer.map(|bytes| Found::decode(&bytes).ok_or_else(|| malformed("rbd_header"))).transpose()
}

/// The size of a head; `None` when there is no such image.
async fn head_size(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<u64>> {
    let answer = ask(pool, id, c"get_size", [number(HEAD)]).await?;
    // The order of its objects comes first.
    let size = |bytes: Vec<u8>| Some(u64::from_le_bytes(*bytes.get(1..)?.first_chunk()?));
    answer.map(|bytes| size(bytes).ok_or_else(|| malformed("rbd_header"))).transpose()
}

/// The snapshot that an image is, or its snapshots are, a clone of.
async fn parent_of(below: &Below, on: &rbd::Cluster) -> Result<Option<Below>> {
    let Some(answer) = ask(&below.pool, &below.id, c"parent_get", []).await? else { return Ok(None) };
    let decode = |bytes: &[u8]| {
        let (pool, rest) = bytes.get(6..)?.split_first_chunk()?;
        let (namespace, rest) = string(rest)?;
        let (id, rest) = string(rest)?;
        let (snapshot, _) = rest.split_first_chunk()?;
        Some((i64::from_le_bytes(*pool), namespace.to_vec(), id.to_vec(), u64::from_le_bytes(*snapshot)))
    };
    let (pool, namespace, id, snapshot) = decode(&answer).ok_or_else(|| malformed("rbd_header"))?;
    if pool < 0 || id.is_empty() {
        return Ok(None);
    }
    let pool = on.pool_by_id(pool, &namespace, NO_LIMIT).await?;
    Ok(Some(Below { pool, id: id_of(&id)?, snapshot }))
}

impl Below {
    /// It may lie in trash while it has clones; without any it is on its way out of there.
    async fn confirm(&self) -> Result<()> {
        match snapshot(&self.pool, &self.id, self.snapshot).await? {
            Some(found) if found.kind != TRASH || found.children > 0 => Ok(()),
            _ => Err(vanished("a parent's snapshot").context("parent", &self.id)),
        }
    }
}

impl Handle {
    /// Notes what the handle reads from below itself, before the first read. Later a parent may have been parted with, and its
    /// snapshot removed, while a read was on its way there.
    pub(super) async fn note_below(&self) -> Result<&[Below]> {
        let note = async {
            self.require_data().await?;
            let mut all: Vec<Below> = Vec::new();
            if self.write || extents::overlap(&self.image).await? == 0 {
                return Ok::<_, Error>(all);
            }
            let cluster = &self.on.cluster;
            let mut next = match self.image.parent(NO_LIMIT).await? {
                None => None,
                Some(parent) => {
                    let pool = cluster.pool_by_id(parent.image.pool_id, &parent.image.namespace, NO_LIMIT);
                    let (pool, id) = (pool.await?, id_of(&parent.image.id)?);
                    Some(Below { pool, id, snapshot: parent.snapshot_id })
                }
            };
            while let Some(below) = next {
                next = parent_of(&below, cluster).await?;
                all.push(below);
            }
            Ok(all)
        };
        Ok(self.below.get_or_try_init(|| note).await?)
    }

    /// Whether all that was read is still there: two round trips, and one for what is below.
    ///
    /// A removal marks the image in trash before the first object goes, and takes that mark away last: so it is looked for first.
    /// One that has the volume open to write keeps it.
    pub(super) async fn confirm_read(&self, size_bytes: u64) -> Result<u64> {
        // Fails on a handle that is closed.
        self.image.size(NO_LIMIT).await?;
        if !self.write {
            let entry = trash::entry(&self.pool, &self.id).await?;
            if entry.is_some_and(|entry| entry.state == TrashState::Removing) {
                return Err(vanished("the volume").context("id", &self.id));
            }
            let (own, below) = futures::join!(self.confirm_own(size_bytes), self.confirm_below());
            own.and(below)?;
        }
        Ok(self.mismatched_bytes.load(Ordering::Relaxed))
    }

    async fn confirm_own(&self, size_bytes: u64) -> Result<()> {
        let Some(id) = self.snapshot_id else {
            return match head_size(&self.pool, &self.id).await? {
                None => Err(vanished("the volume").context("id", &self.id)),
                Some(now) if now < size_bytes => Err(shrunk(size_bytes, now).context("id", &self.id)),
                Some(_) => Ok(()),
            };
        };
        match snapshot(&self.pool, &self.id, id).await? {
            Some(found) if found.kind == USER => Ok(()),
            _ => Err(vanished("the snapshot").context("id", &self.id).context("snapshot_id", id)),
        }
    }

    async fn confirm_below(&self) -> Result<()> {
        let below = self.below.get().map(Vec::as_slice).unwrap_or_default();
        try_join_all(below.iter().map(Below::confirm)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_kind_and_clones_are_decoded_and_never_past_their_end() {
        let mut bytes = vec![1, 1, 60, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        // In trash: the kind, the name it had, and the kind it was.
        bytes.extend(b"\x01\x01\x0d\0\0\0\x02\0\0\0\x01\0\0\0s\0\0\0\0\x02\0\0\0id");
        bytes.extend([&[0; 16][..], &3_u32.to_le_bytes()].concat());
        assert_eq!(Found::decode(&bytes), Some(Found { kind: TRASH, children: 3 }));
        for len in 0..bytes.len() {
            assert_eq!(Found::decode(&bytes[..len]), None, "{len}");
        }
    }
}
