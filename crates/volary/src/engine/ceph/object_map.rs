//! What an image's head takes up, read from its object map without opening the image.
//!
//! The object `rbd_object_map.ID` is a `BitVector<2>` of librbd: a header with the number of objects, two bits for each of
//! them, the first in the highest bits, and a footer with checksums.

use super::NO_LIMIT;
use super::header::Header;
use crate::{Result, VolumeId};

/// Where the bits begin: behind the header's length, two versions, another length and the number of objects.
const BITS_AT: usize = 18;

/// Objects of which the map is read in one go: 1 MiB of it, 16 TiB of an image. That of a larger one is left to librbd.
const MAX_OBJECTS: u64 = 4 << 20;

/// Bytes of the objects that are there, as librbd's fast diff counts them; `None` when only librbd can tell.
pub(super) async fn used_bytes(pool: &rbd::Pool, id: &VolumeId, header: &Header) -> Result<Option<u64>> {
    let objects = match header.mapped_object_bytes() {
        Some(object_bytes) => header.size_bytes.div_ceil(object_bytes),
        None => return Ok(None),
    };
    let Some(len) = len_of(objects) else { return Ok(None) };
    let map = [b"rbd_object_map.", id.as_str().as_bytes()].concat();
    let map = pool.object_read(&map, len, NO_LIMIT).await?;
    Ok(map.and_then(|map| count(&map, header)))
}

fn len_of(objects: u64) -> Option<usize> {
    let bits = usize::try_from(objects.min(MAX_OBJECTS).div_ceil(4)).ok()?;
    (objects <= MAX_OBJECTS).then_some(BITS_AT + bits)
}

fn count(map: &[u8], header: &Header) -> Option<u64> {
    let object_bytes = header.mapped_object_bytes()?;
    let objects = header.size_bytes.div_ceil(object_bytes);
    let told = u64::from_le_bytes(map.get(BITS_AT - 8..BITS_AT)?.try_into().ok()?);
    // Of another number while it is being resized.
    if map.len() != len_of(objects)? || map.get(..6)? != [14, 0, 0, 0, 1, 1] || told != objects {
        return None;
    }
    let bits = map.get(BITS_AT..)?;
    let state = |object: u64| {
        let at = usize::try_from(object / 4).unwrap_or(usize::MAX);
        bits.get(at).map_or(0, |byte| byte >> (6 - 2 * (object % 4)) & 3)
    };
    // The last object may reach past the end.
    let len = |object: u64| object_bytes.min(header.size_bytes - object * object_bytes);
    Some((0..objects).filter(|object| state(*object) != 0).map(len).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(objects: u64, bits: &[u8]) -> Vec<u8> {
        [&[14, 0, 0, 0, 1, 1, 8, 0, 0, 0][..], &objects.to_le_bytes(), bits].concat()
    }

    #[test]
    fn objects_that_are_there_are_counted_and_a_map_of_another_size_is_not_believed() {
        // Of features only the map and what it needs, and objects of four bytes.
        let entries: &[(&str, &[u8])] = &[("features", &[0b1_1100, 0, 0, 0, 0, 0, 0, 0]), ("order", &[2])];
        let header = |size_bytes| Header::of(size_bytes, entries);
        // There, not there, being removed, there and clean; then the last, of one byte.
        let bits = [0b0100_1011, 0b0100_0000];
        assert_eq!(count(&map(5, &bits), &header(17)), Some(4 + 4 + 4 + 1));
        assert_eq!(count(&map(5, &[0, 0]), &header(17)), Some(0));
        assert_eq!(count(&map(6, &bits), &header(17)), None);
        assert_eq!(count(&map(5, &bits[..1]), &header(17)), None);
        assert_eq!(count(&map(0, &[]), &header(0)), Some(0));
        for len in 0..map(5, &bits).len() {
            assert_eq!(count(&map(5, &bits)[..len], &header(17)), None, "{len}");
        }
    }
}
