//! The header of an image (`cls_rbd`), read without opening it: a map of plain values, each under its own key.

use super::directory::{FEATURES, put_string, string};
use super::migration::{self, MigrationSpec};
use super::{NO_LIMIT, WATCHERS_ANSWER};
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

/// What `op_features` says of a clone of format 2.
const CLONE_CHILD: u64 = 0b10;

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

/// What else a header tells of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotState {
    pub(super) flags: u64,
    /// Zero: it is not protected, nor on its way there or back.
    protection: u8,
    kind: u32,
}

impl SnapshotState {
    /// Whether its removal has begun: it is in trash, as the snapshots below clones are that need no protection.
    pub(super) fn is_in_trash(self) -> bool {
        self.kind == 2
    }
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

/// The key of a snapshot.
pub(super) fn snapshot_key(snapshot: u64) -> Vec<u8> {
    format!("snapshot_{snapshot:016x}").into_bytes()
}

pub(super) fn object(id: &VolumeId) -> Vec<u8> {
    [b"rbd_header.", id.as_str().as_bytes()].concat()
}

/// `None` when there is none, or it says more than is read here, or lacks what every header has: librbd tells what that means.
pub(super) async fn read(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<Header>> {
    let page = pool.omap_page(&object(id), b"", b"", 512, NO_LIMIT).await?;
    let header = Header { entries: page.entries, size_bytes: 0 };
    // One that is being migrated reads from elsewhere.
    let whole = !page.more && !header.is_migrated() && header.lacks().is_none();
    let size_bytes = header.number(b"size").filter(|_| whole);
    Ok(size_bytes.map(|size_bytes| Header { size_bytes, ..header }))
}

/// All of a header but the metadata, however it is: `None` when there is none.
pub(super) async fn read_whole(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<Header>> {
    const METADATA: &[u8] = b"metadata_";
    let (mut entries, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = pool.omap_page(&object(id), &after, b"", 512, NO_LIMIT).await?;
        let last = page.entries.last().filter(|_| page.more).map(|(key, _)| key.clone());
        entries.extend(page.entries.into_iter().filter(|(key, _)| !key.starts_with(METADATA)));
        match last {
            // Past all of it: somebody may have put megabytes there.
            Some(key) if key.starts_with(METADATA) => after = [METADATA, b"\xff"].concat().max(key),
            Some(key) => after = key,
            None => break,
        }
    }
    let header = Header { entries, size_bytes: 0 };
    let size_bytes = header.number(b"size").unwrap_or_default();
    Ok((!header.entries.is_empty()).then_some(Header { size_bytes, ..header }))
}

/// Whether an image has a header, and that tells of no migration.
pub(super) async fn tells_no_migration(pool: &rbd::Pool, id: &VolumeId) -> Result<bool> {
    let keys = vec![b"size".to_vec(), b"migration".to_vec()];
    let found = pool.omap_values(&object(id), keys, NO_LIMIT).await?;
    Ok(matches!(found.as_slice(), [(key, _)] if key == b"size"))
}

/// The highest number that a snapshot of an image ever had, of whatever kind: it stays when the snapshot goes.
pub(super) async fn snapshots_made(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<u64>> {
    let found = pool.omap_values(&object(id), vec![b"snap_seq".to_vec()], NO_LIMIT).await?;
    let number = |(_, value): (Vec<u8>, Vec<u8>)| Some(u64::from_le_bytes(value.try_into().ok()?));
    Ok(found.into_iter().find_map(number))
}

/// Whether anybody has an image open to write; nobody has one without header.
pub(super) async fn is_watched(pool: &rbd::Pool, id: &VolumeId) -> Result<bool> {
    match pool.object_is_watched(&object(id), WATCHERS_ANSWER, NO_LIMIT).await {
        Err(error) if error.errno() == Some(rbd::Errno::ENOENT) => Ok(false),
        watched => Ok(watched?),
    }
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

/// What `cls_rbd_snap` of version 8 has behind the size: the protection, the flags, and what kind of snapshot it is.
fn snapshot_state(value: &[u8]) -> Option<SnapshotState> {
    let (&[_, compatible, ..], rest) = value.split_at_checked(6)? else { return None };
    let (_, rest) = take::<8>(rest)?;
    let (_, rest) = string(rest)?;
    let (_, rest) = take::<8>(rest)?;
    let ([protection], rest) = take(rest)?;
    let (flags, rest) = take(rest)?;
    let (kind, _) = take(rest.get(6..)?)?;
    // Older ones have more in between.
    let (flags, kind) = (u64::from_le_bytes(flags), u32::from_le_bytes(kind));
    let state = SnapshotState { flags, protection, kind };
    (compatible >= 8).then_some(state)
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

    /// How many objects a head or snapshot of so many bytes has (`Striper::get_num_objects`); `None` where the header does not say.
    pub(super) fn objects(&self, size_bytes: u64) -> Option<u64> {
        let object_bytes = 1_u64 << self.order()?;
        let stripes = self.number(b"stripe_unit").zip(self.number(b"stripe_count"));
        let (unit, count) =
            stripes.filter(|(unit, count)| *unit > 0 && *count > 0).unwrap_or((object_bytes, 1));
        let set = object_bytes.checked_mul(count)?;
        // Stripes go over one set of objects after the other; of the last set only those are there that its stripes reach.
        let rest = (size_bytes % set).div_ceil(unit).min(count);
        (size_bytes / set).checked_mul(count)?.checked_add(rest)
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

    /// Whether it has a snapshot of this number, of whatever kind.
    pub(super) fn has_snapshot(&self, snapshot: u64) -> bool {
        self.value(&snapshot_key(snapshot)).is_some()
    }

    /// The number of the pool that its data is in, where that is not its own.
    pub(super) fn data_pool(&self) -> Option<i64> {
        Some(i64::from_le_bytes(self.value(b"data_pool_id")?.try_into().ok()?)).filter(|pool| *pool >= 0)
    }

    /// Whether what is written to it goes to a journal first.
    pub(super) fn has_journal(&self) -> bool {
        self.number(b"features").is_some_and(|features| features & Features::RBD_FEATURE_JOURNALING != 0)
    }

    /// Its snapshots, of every kind; those that are told otherwise than is read here are not among them.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = Snapshot<'_>> {
        let all = self.entries.iter().filter(|(key, _)| key.starts_with(b"snapshot_"));
        all.filter_map(|(_, value)| snapshot(value))
    }

    /// What else it tells of them, by the key of each; `None` for one that cannot be decoded. Of an older release's it is not
    /// told.
    pub(super) fn snapshot_states(
        &self,
    ) -> impl Iterator<Item = Option<(Snapshot<'_>, Option<SnapshotState>)>> {
        let all = self.entries.iter().filter(|(key, _)| key.starts_with(b"snapshot_"));
        all.map(|(key, value)| {
            let of = snapshot(value)?;
            (*key == snapshot_key(of.id)).then(|| (of, snapshot_state(value)))
        })
    }

    /// The numbers of the snapshots that may have clones of format 1: those that are protected, or on their way there or back.
    pub(super) fn protected(&self) -> Vec<u64> {
        let all = self.snapshot_states().flatten();
        // Of an older release's it is not told.
        let protected = all.filter(|(_, state)| state.is_none_or(|state| state.protection != 0));
        protected.map(|(of, _)| of.id).collect()
    }

    /// The lists of clones of format 2: each of the snapshot of this number.
    pub(super) fn clone_lists(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.entries.iter().filter_map(|(key, list)| {
            let number = std::str::from_utf8(key.strip_prefix(b"snap_children_")?).ok()?;
            Some((u64::from_str_radix(number, 16).ok()?, list.as_slice()))
        })
    }

    /// Whether the entry of the image, if it is a clone, is in the object `rbd_children` of its namespace.
    pub(super) fn is_of_clone_format_1(&self) -> bool {
        self.number(b"op_features").unwrap_or_default() & CLONE_CHILD == 0
    }

    /// Whether a snapshot has clones that need no protection.
    pub(super) fn has_clones_of(&self, snapshot: u64) -> bool {
        let key = format!("snap_children_{snapshot:016x}");
        self.entries.iter().any(|(found, _)| found == key.as_bytes())
    }

    /// What every image's header has and this one has not, or not so that it can be decoded.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        let prefix = |value: &[u8]| string(value).is_some_and(|(prefix, _)| !prefix.is_empty());
        let sound = [
            ("size", self.number(b"size").is_some()),
            ("order", self.order().is_some_and(|order| order >= 9)),
            ("features", self.number(b"features").is_some()),
            ("snap_seq", self.number(b"snap_seq").is_some()),
            ("object_prefix", self.value(b"object_prefix").is_some_and(prefix)),
        ];
        sound.into_iter().find(|(_, sound)| !sound).map(|(key, _)| key)
    }

    /// Whether it reads from elsewhere while it is being migrated.
    pub(super) fn is_migrated(&self) -> bool {
        self.value(b"migration").is_some()
    }

    /// The migration that it is the source or target of; `None` when there is none, or it is told otherwise than is read here.
    pub(super) fn migration(&self) -> Option<MigrationSpec<'_>> {
        migration::decode(self.value(b"migration")?)
    }

    /// Whether another reading says the same, whenever somebody read or wrote the data.
    pub(super) fn is_as(&self, other: &Header) -> bool {
        let lasting = |of: &Header| {
            let dates = [&b"access_timestamp"[..], b"modify_timestamp"];
            let all = of.entries.iter().filter(|(key, _)| !dates.contains(&key.as_slice()));
            all.cloned().collect::<Vec<_>>()
        };
        lasting(self) == lasting(other)
    }

    /// Whether its objects are kept track of in a map.
    pub(super) fn has_map(&self) -> bool {
        self.number(b"features").is_some_and(|features| features & Features::RBD_FEATURE_OBJECT_MAP != 0)
    }

    /// What does not hold of the head's map; zero: nothing.
    pub(super) fn flags(&self) -> u64 {
        self.number(b"flags").unwrap_or_default()
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
        let whole = b"\x08\x08\x35\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0s\0\0\0\x01\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x02\0\0\0";
        let state = snapshot_state(whole).unwrap();
        assert_eq!((state.flags, state.protection, state.is_in_trash()), (3, 0, true));
        for len in 0..whole.len() {
            assert_eq!(snapshot_state(&whole[..len]), None, "{len}");
        }
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

    #[test]
    fn objects_are_counted_by_stripes() {
        let number = |number: u64| number.to_le_bytes();
        let plain = Header::of(0, &[("order", &[22])]);
        assert_eq!([0, 1, 4 << 20, 10 << 20].map(|size| plain.objects(size)), [0, 1, 1, 3].map(Some));
        let (unit, count) = (number(64 << 10), number(4));
        let entries: &[(&str, &[u8])] = &[("order", &[22]), ("stripe_unit", &unit), ("stripe_count", &count)];
        let striped = Header::of(0, entries);
        let sizes = [0, 1, 65 << 10, 10 << 20, 16 << 20, (16 << 20) + 1];
        assert_eq!(sizes.map(|size| striped.objects(size)), [0, 1, 2, 4, 4, 5].map(Some));
        let huge = number(u64::MAX);
        let entries: &[(&str, &[u8])] = &[("order", &[22]), ("stripe_unit", &unit), ("stripe_count", &huge)];
        assert_eq!((Header::of(0, entries).objects(1), Header::of(0, &[]).objects(1)), (None, None));
    }
}
