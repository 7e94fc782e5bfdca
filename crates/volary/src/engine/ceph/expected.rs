//! The object map of a fresh volume, marked in a few steps for all that is about to be written, where librbd would take one for
//! each object, and each object's first write would wait for its own.

use super::NO_LIMIT;
use super::object_map::{self, EXISTS};
use super::volume::Handle;
use crate::Result;
use rbd::Features;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many steps are taken at most, all side by side: the longest runs of objects, the others are left to librbd.
const MAX_RUNS: usize = 64;

/// Objects that are marked, and not written yet.
#[derive(Default)]
pub(super) struct Expected(Mutex<BTreeSet<u64>>);

impl Expected {
    fn objects(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The objects that ranges of bytes touch, of the first `objects`, as runs.
fn runs(ranges: &[Range<u64>], object_bytes: u64, objects: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        let touched = range.start / object_bytes..range.end.div_ceil(object_bytes).min(objects);
        match runs.last_mut().filter(|last| touched.start <= last.end) {
            Some(last) => last.end = last.end.max(touched.end),
            None if touched.is_empty() => {}
            None => runs.push(touched),
        }
    }
    runs
}

impl Handle {
    /// Marks what ranges, in order, touch. librbd reads the map with its first write, and finds it so.
    pub(super) async fn mark(&self, ranges: &[Range<u64>]) -> Result<()> {
        let stat = self.image.stat(NO_LIMIT).await?;
        let features = self.image.features(NO_LIMIT).await?.0;
        if features & (Features::RBD_FEATURE_OBJECT_MAP | Features::RBD_FEATURE_STRIPINGV2)
            != Features::RBD_FEATURE_OBJECT_MAP
        {
            return Ok(());
        }
        // A shorter last object is left out, since zeroing would not take its mark away again.
        let mut runs = runs(ranges, stat.object_bytes, stat.size_bytes / stat.object_bytes);
        runs.sort_by_key(|run| std::cmp::Reverse(run.end - run.start));
        runs.truncate(MAX_RUNS);
        // Known before they are marked: what is marked in the end is at most this.
        self.expected.objects().extend(runs.iter().cloned().flatten());
        let marked = runs.iter().map(|run| object_map::update(&self.pool, &self.id, run.clone(), EXISTS));
        // Each is awaited, also after another has failed.
        for marked in futures::future::join_all(marked).await {
            marked?;
        }
        Ok(())
    }

    /// Notes what was written.
    pub(super) async fn wrote(&self, offset: u64, len: u64) -> Result<()> {
        if self.expected.objects().is_empty() {
            return Ok(());
        }
        let object_bytes = self.image.stat(NO_LIMIT).await?.object_bytes;
        let mut expected = self.expected.objects();
        for object in offset / object_bytes..offset.saturating_add(len).div_ceil(object_bytes) {
            expected.remove(&object);
        }
        Ok(())
    }

    /// Lets the map know again that what was marked and not written is not there.
    pub(super) async fn unmark(&self) -> Result<()> {
        let left = std::mem::take(&mut *self.expected.objects());
        if left.is_empty() {
            return Ok(());
        }
        let object_bytes = self.image.stat(NO_LIMIT).await?.object_bytes;
        for object in left {
            let len = usize::try_from(object_bytes).unwrap_or(usize::MAX);
            self.image.write_zeroes(object * object_bytes, len).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_of_whole_objects_and_merged() {
        assert_eq!(runs(&[0..1, 3..5, 5..9, 12..12, 16..17, 24..32], 4, 9), [0..3, 4..5, 6..8]);
        assert_eq!(runs(&[0..9, 24..32, 40..48], 4, 7), [0..3, 6..7]);
    }
}
