//! The header of an image (`cls_rbd`), read without opening it: a map of plain values, each under its own key.

use super::NO_LIMIT;
use super::directory::{FEATURES, put_string, string};
use crate::{Name, Namespace, Result, VolumeId};
use rbd::Features;

/// An image that tells by its map which objects are there.
const MAPPED: u64 = Features::RBD_FEATURE_OBJECT_MAP | Features::RBD_FEATURE_FAST_DIFF;

/// What is about the image alone.
const PLAIN: u64 = FEATURES
    | Features::RBD_FEATURE_STRIPINGV2
    | Features::RBD_FEATURE_DATA_POOL
    | Features::RBD_FEATURE_OPERATIONS;

/// What `op_features` may say of an image that is plain: it has clones or is one, and snapshots in trash.
const PLAIN_OPERATIONS: u64 = 0b1011;

/// A protected snapshot's status; lower ones are on their way there or back.
const PROTECTED: u8 = 2;

/// A header of an image that is not being migrated, with its size.
pub(super) struct Header {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) size_bytes: u64,
}

/// A snapshot as a header tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot<'a> {
    pub(super) id: u64,
    pub(super) name: &'a [u8],
    pub(super) size_bytes: u64,
}

/// What a clone's header tells of its parent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParentSpec<'a> {
    pub(super) pool: i64,
    pub(super) namespace: &'a [u8],
    pub(super) id: &'a [u8],
    pub(super) snapshot: u64,
    pub(super) overlap_bytes: u64,
}

pub(super) fn object(id: &VolumeId) -> Vec<u8> {
    [b"rbd_header.", id.as_str().as_bytes()].concat()
}

/// `None` when there is none, or it says more than is read here.
pub(super) async fn read(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<Header>> {
    let page = pool.omap_page(&object(id), b"", b"", 512, NO_LIMIT).await?;
    let header = Header { entries: page.entries, size_bytes: 0 };
    // One that is being migrated reads from elsewhere.
    let whole = !page.more && header.value(b"migration").is_none();
    let size_bytes = header.number(b"size").filter(|_| whole);
    Ok(size_bytes.map(|size_bytes| Header { size_bytes, ..header }))
}

/// Whether a snapshot is protected now; one that is not there is not.
pub(super) async fn is_protected(pool: &rbd::Pool, id: &VolumeId, snapshot: u64) -> Result<bool> {
    let status = rbd::Method { name: c"get_protection_status", input: snapshot.to_le_bytes().to_vec() };
    match pool.object_ask(&object(id), status, 1, NO_LIMIT).await {
        Err(error) if error.errno() == Some(rbd::Errno::ENOENT) => Ok(false),
        answer => Ok(answer? == [PROTECTED]),
    }
}

/// Sets keys of an image's metadata in one change. librbd takes the exclusive lock for each, and tells all who have the image
/// open; what it keeps in mind of metadata is configuration alone, which has no place here.
pub(super) async fn set_metadata<'a>(
    pool: &rbd::Pool,
    id: &VolumeId,
    pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<()> {
    let pairs: Vec<_> =
        pairs.into_iter().map(|(key, value)| [put_string(key), put_string(value)].concat()).collect();
    let count = u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes();
    let set = rbd::Method { name: c"metadata_set", input: [&count, pairs.concat().as_slice()].concat() };
    Ok(pool.object_change(&object(id), false, vec![set], NO_LIMIT).await?)
}

fn take<const N: usize>(from: &[u8]) -> Option<([u8; N], &[u8])> {
    from.split_first_chunk().map(|(head, rest)| (*head, rest))
}

/// `cls_rbd_snap`: version, compatible version, length, number, name, size, and what does not matter here.
fn snapshot(value: &[u8]) -> Option<Snapshot<'_>> {
    let (id, rest) = take(value.get(6..)?)?;
    let (name, rest) = string(rest)?;
    let (size, _) = take(rest)?;
    Some(Snapshot { id: u64::from_le_bytes(id), name, size_bytes: u64::from_le_bytes(size) })
}

/// `cls_rbd_parent` of version 2: pool, namespace, id, snapshot, and how much of the head it underlies, if any.
fn parent(value: &[u8]) -> Option<ParentSpec<'_>> {
    let (&[2, _, ..], rest) = value.split_at_checked(6)? else { return None };
    let (pool, rest) = take(rest)?;
    let (namespace, rest) = string(rest)?;
    let (id, rest) = string(rest)?;
    let (snapshot, rest) = take(rest)?;
    let ([1], rest) = take(rest)? else { return None };
    let (overlap, _) = take(rest)?;
    let spec = ParentSpec {
        pool: i64::from_le_bytes(pool),
        namespace,
        id,
        snapshot: u64::from_le_bytes(snapshot),
        overlap_bytes: u64::from_le_bytes(overlap),
    };
    (spec.overlap_bytes > 0).then_some(spec)
}

impl Header {
    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_slice())
    }

    fn number(&self, key: &[u8]) -> Option<u64> {
        Some(u64::from_le_bytes(self.value(key)?.try_into().ok()?))
    }

    /// Whether it has none of the features but these.
    pub(super) fn has_only(&self, features: u64) -> bool {
        self.number(b"features").is_some_and(|has| has & !features == 0)
    }

    /// Whether it keeps no journal and is in no group, and nothing in it is unknown here.
    pub(super) fn is_plain(&self) -> bool {
        let operations = self.value(b"op_features").map(|_| self.number(b"op_features"));
        self.has_only(PLAIN)
            && operations.is_none_or(|of| of.is_some_and(|of| of & !PLAIN_OPERATIONS == 0))
            && self.value(b"rbd_group_ref").is_none()
    }

    /// The size of its objects is two to this power.
    pub(super) fn order(&self) -> Option<u8> {
        self.value(b"order")?.first().copied().filter(|order| *order < 32)
    }

    /// The size of its objects, if there is a map of them that holds: no flag is set.
    pub(super) fn mapped_object_bytes(&self) -> Option<u64> {
        let mapped = self.number(b"features").is_some_and(|features| features & MAPPED == MAPPED);
        let valid = self.value(b"flags").is_none_or(|flags| flags.iter().all(|byte| *byte == 0));
        self.order().filter(|_| mapped && valid).map(|order| 1 << order)
    }

    pub(super) fn has_parent(&self) -> bool {
        self.value(b"parent").is_some()
    }

    /// What it is a clone of; `None` when it is none, or tells it otherwise than is read here.
    pub(super) fn parent(&self) -> Option<ParentSpec<'_>> {
        parent(self.value(b"parent")?)
    }

    pub(super) fn has_snapshots(&self) -> bool {
        self.entries.iter().any(|(key, _)| key.starts_with(b"snapshot_"))
    }

    /// Its snapshots, of every kind; those that are told otherwise than is read here are not among them.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = Snapshot<'_>> {
        let all = self.entries.iter().filter(|(key, _)| key.starts_with(b"snapshot_"));
        all.filter_map(|(_, value)| snapshot(value))
    }

    /// Its metadata.
    pub(super) fn metadata(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(b"metadata_")?, value.as_slice())))
    }
}

impl ParentSpec<'_> {
    /// Where the parent is, given its pool's name.
    pub(super) fn namespace(&self, pool: Name) -> Namespace {
        Namespace { pool, name: Name::from_bytes(self.namespace) }
    }
}

#[cfg(test)]
impl Header {
    pub(super) fn of(size_bytes: u64, entries: &[(&str, &[u8])]) -> Header {
        let entries = entries.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec()));
        Header { entries: entries.collect(), size_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_and_a_snapshot_are_decoded_and_never_past_their_end() {
        let mut bytes = vec![2, 2, 43, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        bytes.extend_from_slice(b"ns\x03\0\0\0abc\x04\0\0\0\0\0\0\0\x01\0\x10\0\0\0\0\0\0");
        let spec = ParentSpec { pool: 7, namespace: b"ns", id: b"abc", snapshot: 4, overlap_bytes: 4096 };
        assert_eq!(parent(&bytes), Some(spec));
        for len in 0..bytes.len() {
            assert_eq!(parent(&bytes[..len]), None, "{len}");
        }
        // An older encoding, and one that underlies nothing.
        assert_eq!(parent(&[&[1, 1], &bytes[2..]].concat()), None);
        let mut parted = bytes.clone();
        parted[39 - 4] = 0;
        assert_eq!(parent(&parted), None);
        let snap = b"\x08\x08\x14\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0s\0\0\x10\0\0\0\0\0";
        assert_eq!(snapshot(snap), Some(Snapshot { id: 4, name: b"s", size_bytes: 1 << 20 }));
        for len in 0..snap.len() {
            assert_eq!(snapshot(&snap[..len]), None, "{len}");
        }
    }

    #[test]
    fn a_map_is_believed_with_its_features_and_without_flags() {
        let mapped = |features: u8, flags: u8| {
            let (features, flags) = ([features, 0, 0, 0, 0, 0, 0, 0], [flags, 0, 0, 0, 0, 0, 0, 0]);
            let entries: &[(&str, &[u8])] = &[("features", &features), ("order", &[22]), ("flags", &flags)];
            Header::of(1 << 30, entries).mapped_object_bytes()
        };
        assert_eq!(mapped(0b1_1100, 0), Some(4 << 20));
        assert_eq!((mapped(0b0_1100, 0), mapped(0b1_1100, 1), mapped(0b1_1100, 2)), (None, None, None));
    }
}
