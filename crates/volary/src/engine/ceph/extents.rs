//! Where an image may hold data, by whole objects.

use super::NO_LIMIT;
use super::object_map::{ObjectMap, Objects};
use super::volume::Handle;
use crate::Result;
use crate::engine::Extent;
use rbd::{DiffOptions, Errno, Features, Image, MAX_DIFF_WINDOW_BYTES, MAX_DIFF_WINDOW_OBJECTS};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// `RBD_FLAG_OBJECT_MAP_INVALID` and `RBD_FLAG_FAST_DIFF_INVALID`: what the object map says is not to be believed.
pub(super) const INVALID: u64 = 1 | 2;

/// How long what was seen ahead is believed: others may write meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// What a look at the object map told beyond the window asked for. Each look costs by the size of the whole image, and a walk
/// over it is many windows: the one that goes on where the last one ended is answered from here.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Counts changes by this handle: a look that began before one is not kept.
    changes: u64,
    rest: Option<Rest>,
}

struct Rest {
    from: u64,
    until: u64,
    data: VecDeque<rbd::Extent>,
    at: Instant,
}

/// Held by whatever changes content through the same handle: what was seen before it ended is then forgotten.
pub(super) struct Changing<'a>(pub(super) &'a Ahead);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        (seen.changes, seen.rest) = (seen.changes.wrapping_add(1), None);
    }
}

impl Ahead {
    /// Where a window may hold data.
    pub(super) async fn window(&self, of: &Handle, offset: u64, len: u64) -> Result<Vec<Extent>> {
        let (image, end) = (&of.image, offset.saturating_add(len));
        if let Some(found) = self.seen().rest.as_mut().and_then(|rest| rest.take(offset, end)) {
            return Ok(cover(offset, end, found.into_iter()));
        }
        let changes = self.seen().changes;
        let whole = is_whole(image).await?;
        // What a clone reads from its parent its own map does not tell.
        let map = if whole && overlap(image).await? == 0 { map(of).await? } else { None };
        let (data, until) = match map {
            Some(map) => map.data(offset, end),
            None => {
                let objects =
                    image.stat(NO_LIMIT).await?.object_bytes.saturating_mul(MAX_DIFF_WINDOW_OBJECTS);
                let until = if whole { end.max(offset.saturating_add(objects)) } else { end };
                (diff(image, offset, until - offset, whole, true).await?.into(), until)
            }
        };
        let mut rest = Rest { from: offset, until, data, at: Instant::now() };
        let found = rest.take(offset, end).unwrap_or_default();
        let mut seen = self.seen();
        seen.rest = (whole && seen.changes == changes).then_some(rest);
        Ok(cover(offset, end, found.into_iter()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// The data of a window that begins where the last one ended; what lies beyond it stays.
    fn take(&mut self, offset: u64, end: u64) -> Option<Vec<rbd::Extent>> {
        if offset != self.from || end > self.until || self.at.elapsed() > FRESH {
            return None;
        }
        self.from = end;
        let mut found = Vec::new();
        while let Some(next) = self.data.front().copied().filter(|next| next.offset < end) {
            found.push(next);
            if next.offset.saturating_add(next.len) > end {
                break;
            }
            self.data.pop_front();
        }
        Some(found)
    }
}

pub(super) async fn is_whole(image: &Image) -> Result<bool> {
    Ok(image.flags(NO_LIMIT).await? & INVALID == 0)
}

/// How much of the image can be read from a parent.
pub(super) async fn overlap(image: &Image) -> Result<u64> {
    match image.overlap(NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(0),
        overlap => Ok(overlap?),
    }
}

/// The object map, when an object is one run of the image.
pub(super) async fn map(of: &Handle) -> Result<Option<ObjectMap>> {
    const TOLD: u64 = Features::RBD_FEATURE_OBJECT_MAP | Features::RBD_FEATURE_FAST_DIFF;
    let features = of.image.features(NO_LIMIT).await?.0;
    if features & (TOLD | Features::RBD_FEATURE_STRIPINGV2) != TOLD {
        return Ok(None);
    }
    let stat = of.image.stat(NO_LIMIT).await?;
    let objects = Objects { size_bytes: stat.size_bytes, object_bytes: stat.object_bytes };
    ObjectMap::read(&of.pool, &of.id, of.snapshot_id, objects).await
}

/// The ranges of data, in order.
async fn diff(image: &Image, offset: u64, len: u64, whole: bool, parent: bool) -> Result<Vec<rbd::Extent>> {
    let mut options = DiffOptions::default();
    (options.parent, options.whole_object) = (parent, whole);
    let mut all = image.diff(offset, len, &options, NO_LIMIT).await?;
    all.retain(|extent| extent.data);
    all.sort_by_key(|extent| extent.offset);
    Ok(all)
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
    let whole = is_whole(image).await?;
    let objects = image.stat(NO_LIMIT).await?.object_bytes.saturating_mul(MAX_DIFF_WINDOW_OBJECTS);
    let window = if whole { objects.max(MAX_DIFF_WINDOW_BYTES) } else { MAX_DIFF_WINDOW_BYTES };
    while offset < size {
        let len = window.min(size - offset);
        let found = diff(image, offset, len, whole, false).await?;
        used = found.iter().fold(used, |sum, extent| sum.saturating_add(extent.len));
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

    #[test]
    fn a_walk_is_answered_from_one_look_and_a_window_elsewhere_is_not() {
        let data = [(0, 8), (12, 8), (24, 8)].map(|(offset, len)| rbd::Extent { offset, len, data: true });
        let mut rest = Rest { from: 0, until: 32, data: data.into(), at: Instant::now() };
        let mut take =
            |from, to| rest.take(from, to).map(|found| found.iter().map(|e| e.offset).collect::<Vec<_>>());
        assert_eq!(take(0, 4), Some(vec![0]));
        assert_eq!(take(0, 4), None);
        assert_eq!(take(4, 16), Some(vec![0, 12]));
        assert_eq!(take(16, 24), Some(vec![12]));
        assert_eq!(take(24, 33), None);
        assert_eq!(take(24, 32), Some(vec![24]));
        let stale = Instant::now().checked_sub(2 * FRESH).unwrap();
        let mut rest = Rest { from: 0, until: 32, data: data.into(), at: stale };
        assert_eq!(rest.take(0, 4), None);
    }
}
