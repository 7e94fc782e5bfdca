//! Where an image may hold data, by whole objects.

use super::NO_LIMIT;
use crate::Result;
use crate::engine::{Extent, MAX_EXTENTS_WINDOW_BYTES};
use rbd::{DiffOptions, Image};

/// `RBD_FLAG_OBJECT_MAP_INVALID` and `RBD_FLAG_FAST_DIFF_INVALID`: what the object map says is not to be believed.
const INVALID: u64 = 1 | 2;

async fn diff(image: &Image, offset: u64, len: u64, parent: bool) -> Result<Vec<rbd::Extent>> {
    let mut options = DiffOptions::default();
    options.parent = parent;
    options.whole_object = image.flags(NO_LIMIT).await? & INVALID == 0;
    let mut all = image.diff(offset, len, &options, NO_LIMIT).await?;
    all.sort_by_key(|extent| extent.offset);
    Ok(all)
}

pub(super) async fn window(image: &Image, offset: u64, len: u64) -> Result<Vec<Extent>> {
    let found = diff(image, offset, len, true).await?;
    Ok(cover(offset, offset.saturating_add(len), found.into_iter().filter(|extent| extent.data)))
}

/// Fills the gaps between ranges of data, which are in order, and merges neighbours.
fn cover(start: u64, end: u64, data: impl Iterator<Item = rbd::Extent>) -> Vec<Extent> {
    let mut all: Vec<Extent> = Vec::new();
    let mut at = start;
    let mut push = |from: u64, to: u64, data: bool| match all.last_mut() {
        _ if from >= to => {}
        Some(last) if last.data == data => last.len += to - from,
        _ => all.push(Extent { offset: from, len: to - from, data }),
    };
    for extent in data {
        let (from, to) =
            (extent.offset.clamp(at, end), extent.offset.saturating_add(extent.len).clamp(at, end));
        push(at, from, false);
        push(from, to, true);
        at = to;
    }
    push(at, end, false);
    all
}

pub(super) async fn used_bytes(image: &Image, size: u64) -> Result<u64> {
    let (mut offset, mut used) = (0, 0_u64);
    while offset < size {
        let len = MAX_EXTENTS_WINDOW_BYTES.min(size - offset);
        let found = diff(image, offset, len, false).await?;
        used = found
            .iter()
            .filter(|extent| extent.data)
            .fold(used, |sum, extent| sum.saturating_add(extent.len));
        offset += len;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_window_merged_and_without_gaps() {
        let data = [(0, 6), (6, 2), (12, 20)];
        let data = data.map(|(offset, len)| rbd::Extent { offset, len, data: true });
        let shown: Vec<_> =
            cover(4, 16, data.into_iter()).iter().map(|e| (e.offset, e.len, e.data)).collect();
        assert_eq!(shown, [(4, 4, true), (8, 4, false), (12, 4, true)]);
        assert_eq!(cover(4, 4, data.into_iter()), []);
    }
}
