//! Object maps, read from their objects: which objects of an image are there, without librbd working through its copy of the map.
//!
//! The object `rbd_object_map.ID`, or `rbd_object_map.ID.SNAPSHOT`, is a `BitVector<2>` of librbd: a header with the number of
//! objects, two bits for each of them, the first in the highest bits, and a footer with checksums.

use super::NO_LIMIT;
use super::class::{method, number};
use super::header::Header;
use crate::{Result, VolumeId};
use std::collections::VecDeque;
use std::ops::Range;

/// Where the bits begin: behind the header's length, two versions, another length and the number of objects.
const BITS_AT: usize = 18;

/// An object that is not there, one that is, and one that has not changed since the last snapshot (`OBJECT_NONEXISTENT`,
/// `OBJECT_EXISTS`, `OBJECT_EXISTS_CLEAN`).
const NONEXISTENT: u8 = 0;
pub(super) const EXISTS: u8 = 1;
const EXISTS_CLEAN: u8 = 3;

/// Objects of which the map is read in one go: 1 MiB of it, 16 TiB of an image. That of a larger one is left to librbd.
const MAX_OBJECTS: u64 = 4 << 20;

/// How many ranges are told at once, beyond what was asked for: a map may alternate from object to object.
const MAX_RANGES: usize = 16 << 10;

/// The objects of a head or snapshot, in sizes that both are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects {
    pub(super) size_bytes: u64,
    pub(super) object_bytes: u64,
}

impl Objects {
    fn number(self) -> u64 {
        self.size_bytes.div_ceil(self.object_bytes)
    }

    /// How much of an object is inside the image; the last one may reach past the end.
    fn len(self, object: u64) -> u64 {
        self.object_bytes.min(self.size_bytes - object * self.object_bytes)
    }
}

/// How a map stands beside the head or snapshot that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has as many objects as there are.
    Fits,
    /// There is none.
    Missing,
    /// It is of another size, or cut off.
    Differs,
}

/// How many objects of a map are changed in one step: as many as librbd changes, since the OSD holds up other work meanwhile.
const UPDATED_AT_ONCE: u64 = 256 << 10;

/// How much of a map is read to see whether it fits: of larger ones the length alone is asked for.
const READ_TO_FIT: u64 = 64 << 10;

pub(super) struct ObjectMap {
    objects: Objects,
    bytes: Vec<u8>,
}

/// The object that keeps the map of a head or snapshot.
fn map_object(id: &VolumeId, snapshot: Option<u64>) -> Vec<u8> {
    let mut map = [b"rbd_object_map.", id.as_str().as_bytes()].concat();
    if let Some(snapshot) = snapshot {
        map.extend(format!(".{snapshot:016x}").bytes());
    }
    map
}

/// Makes the map of a head without any object, or resizes one that is there.
pub(super) async fn make(pool: &rbd::Pool, id: &VolumeId, objects: u64) -> Result<()> {
    let resize = method(c"object_map_resize", [number(objects), vec![NONEXISTENT]]);
    Ok(pool.object_change(&map_object(id, None), false, vec![resize], NO_LIMIT).await?)
}

/// Changes the state of some objects in the map of a head, whatever it is now.
pub(super) async fn update(pool: &rbd::Pool, id: &VolumeId, objects: Range<u64>, state: u8) -> Result<()> {
    let any_state = vec![0];
    let update =
        method(c"object_map_update", [number(objects.start), number(objects.end), vec![state], any_state]);
    Ok(pool.object_change(&map_object(id, None), false, vec![update], NO_LIMIT).await?)
}

/// Leaves the map of a head without any object; makes one for so many objects where there is none.
pub(super) async fn empty(pool: &rbd::Pool, id: &VolumeId, objects: u64) -> Result<()> {
    let head = pool.object_read(&map_object(id, None), BITS_AT, NO_LIMIT).await?;
    let Some(objects) = head.and_then(|head| number_told(&head)) else {
        return make(pool, id, objects).await;
    };
    let mut next = 0;
    while next < objects {
        let end = next.saturating_add(UPDATED_AT_ONCE).min(objects);
        update(pool, id, next..end, NONEXISTENT).await?;
        next = end;
    }
    Ok(())
}

/// Whether the map of a head or snapshot is there and as long as it must be for so many objects.
pub(super) async fn fit(pool: &rbd::Pool, id: &VolumeId, snapshot: Option<u64>, objects: u64) -> Result<Fit> {
    let map = map_object(id, snapshot);
    let len = (BITS_AT as u64).saturating_add(objects.div_ceil(4));
    let read = len.min(READ_TO_FIT);
    let bytes = pool.object_read(&map, usize::try_from(read).unwrap_or(BITS_AT), NO_LIMIT).await?;
    let Some(bytes) = bytes else { return Ok(Fit::Missing) };
    let there = match len > read {
        true => pool.object_stat(&map, NO_LIMIT).await?.map_or(0, |stat| stat.size_bytes),
        false => bytes.len() as u64,
    };
    Ok(if there >= len && number_told(&bytes) == Some(objects) { Fit::Fits } else { Fit::Differs })
}

/// How many objects a map says it is of.
fn number_told(bytes: &[u8]) -> Option<u64> {
    let told = u64::from_le_bytes(bytes.get(BITS_AT - 8..BITS_AT)?.try_into().ok()?);
    (bytes.get(..6)? == [14, 0, 0, 0, 1, 1]).then_some(told)
}

impl ObjectMap {
    /// `None` when there is none, or it is of another size, as while the image is resized: only librbd can tell then.
    pub(super) async fn read(
        pool: &rbd::Pool,
        id: &VolumeId,
        snapshot: Option<u64>,
        objects: Objects,
    ) -> Result<Option<Self>> {
        let Some(len) = len_of(objects.number()) else { return Ok(None) };
        let bytes = pool.object_read(&map_object(id, snapshot), len, NO_LIMIT).await?;
        Ok(bytes.and_then(|bytes| Self::of(bytes, objects)))
    }

    fn of(bytes: Vec<u8>, objects: Objects) -> Option<Self> {
        let whole = bytes.len() == len_of(objects.number())? && number_told(&bytes) == Some(objects.number());
        whole.then_some(ObjectMap { objects, bytes })
    }

    /// Whether an object may be there: it exists, or is being removed.
    fn may_exist(&self, object: u64) -> bool {
        self.state(object) != 0
    }

    fn state(&self, object: u64) -> u8 {
        let at = usize::try_from(object / 4).ok().and_then(|at| at.checked_add(BITS_AT));
        let byte = at.and_then(|at| self.bytes.get(at)).copied().unwrap_or_default();
        byte >> (6 - 2 * (object % 4)) & 3
    }

    /// Whether an object is there, and not on its way out.
    pub(super) fn exists(&self, object: u64) -> bool {
        matches!(self.state(object), EXISTS | EXISTS_CLEAN)
    }

    fn used_bytes(&self) -> u64 {
        let all = 0..self.objects.number();
        all.filter(|object| self.may_exist(*object)).map(|object| self.objects.len(object)).sum()
    }

    /// The ranges that may hold data from `offset` on, the first perhaps from before it, and up to where all of them are told: the
    /// end of the image, or at least `end`.
    pub(super) fn data(&self, offset: u64, end: u64) -> (VecDeque<rbd::Extent>, u64) {
        let mut ranges: VecDeque<rbd::Extent> = VecDeque::new();
        for object in offset / self.objects.object_bytes..self.objects.number() {
            let at = object * self.objects.object_bytes;
            if at >= end && ranges.len() >= MAX_RANGES {
                return (ranges, at);
            }
            if self.may_exist(object) {
                let len = self.objects.len(object);
                match ranges.back_mut().filter(|last| last.offset + last.len == at) {
                    Some(last) => last.len += len,
                    None => ranges.push_back(rbd::Extent { offset: at, len, data: true }),
                }
            }
        }
        (ranges, self.objects.size_bytes.max(end))
    }
}

/// Bytes of the objects that are there, as librbd's fast diff counts them, of a head that is not opened; `None` when only librbd
/// can tell.
pub(super) async fn used_bytes(pool: &rbd::Pool, id: &VolumeId, header: &Header) -> Result<Option<u64>> {
    let Some(object_bytes) = header.mapped_object_bytes() else { return Ok(None) };
    let objects = Objects { size_bytes: header.size_bytes, object_bytes };
    Ok(ObjectMap::read(pool, id, None, objects).await?.map(|map| map.used_bytes()))
}

fn len_of(objects: u64) -> Option<usize> {
    let bits = usize::try_from(objects.min(MAX_OBJECTS).div_ceil(4)).ok()?;
    (objects <= MAX_OBJECTS).then_some(BITS_AT + bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(objects: u64, bits: &[u8]) -> Vec<u8> {
        [&[14, 0, 0, 0, 1, 1, 8, 0, 0, 0][..], &objects.to_le_bytes(), bits].concat()
    }

    // Objects of four bytes: there, not there, being removed, there and clean; then the last, of one byte.
    const BITS: [u8; 2] = [0b0100_1011, 0b0100_0000];

    fn of(size_bytes: u64, bytes: Vec<u8>) -> Option<ObjectMap> {
        ObjectMap::of(bytes, Objects { size_bytes, object_bytes: 4 })
    }

    #[test]
    fn objects_that_are_there_are_counted_and_a_map_of_another_size_is_not_believed() {
        let used = |size, bytes| of(size, bytes).map(|map| map.used_bytes());
        let small = of(17, map(5, &BITS)).unwrap();
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|object| small.exists(object)),
            [true, false, false, true, true, false]
        );
        assert_eq!(used(17, map(5, &BITS)), Some(4 + 4 + 4 + 1));
        assert_eq!(used(17, map(5, &[0, 0])), Some(0));
        assert_eq!(used(17, map(6, &BITS)), None);
        assert_eq!(used(17, map(5, &BITS[..1])), None);
        assert_eq!(used(0, map(0, &[])), Some(0));
        for len in 0..map(5, &BITS).len() {
            assert_eq!(used(17, map(5, &BITS)[..len].to_vec()), None, "{len}");
        }
    }

    #[test]
    fn data_is_told_by_whole_objects_to_the_end_or_a_bounded_number_of_them() {
        let data = |map: &ObjectMap, offset, end| {
            let (found, until) = map.data(offset, end);
            (found.iter().map(|range| (range.offset, range.len)).collect::<Vec<_>>(), until)
        };
        let small = of(17, map(5, &BITS)).unwrap();
        assert_eq!(data(&small, 0, 4), (vec![(0, 4), (8, 9)], 17));
        assert_eq!(data(&small, 5, 6), (vec![(8, 9)], 17));
        assert_eq!(data(&small, 17, 17), (vec![(16, 1)], 17));
        let every_other = of(160_000, map(40_000, &[0b0100_0100; 10_000])).unwrap();
        let (found, until) = every_other.data(8, 12);
        assert_eq!((found.len(), until), (MAX_RANGES, 8 + MAX_RANGES as u64 * 8 - 4));
        let (found, until) = every_other.data(8, 152_000);
        assert_eq!((found.len(), until), (18_999, 152_000));
    }
}
