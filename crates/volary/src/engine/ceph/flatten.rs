//! Flattening that trusts no object map.
//!
//! librbd notes an object as existing before it writes it. A writer that is killed in between leaves a map that claims
//! an object which is not there, no flag tells, and rebuilding the map keeps the claim. Releases before 18.2.5 and 19.2.1
//! skip such an object when they flatten, and the parent's data is lost with the parent. A write does not believe the
//! claim: it finds the object missing and copies the parent's data up first. So every object that may hold data is
//! touched before librbd flattens.

use super::NO_LIMIT;
use super::volume::{Handle, progress};
use crate::engine::MAX_EXTENTS_WINDOW_BYTES;
use crate::{Ctl, Error, ErrorKind, Phase, Result};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

/// Objects touched at a time.
const AT_ONCE: usize = 16;
/// How much of an object is written back: less is rounded up by the disks below anyway.
const TOUCH_BYTES: u64 = 512;

impl Handle {
    /// Copies in what is still read from the parent, and parts with it.
    pub(super) async fn flatten_all(&self, ctl: &Ctl) -> Result<()> {
        if self.image.parent(NO_LIMIT).await?.is_none() {
            return Err(Error::new(ErrorKind::Usage, "the volume has no parent"));
        }
        let overlap = self.image.overlap(NO_LIMIT).await?;
        let object_bytes = self.image.stat(NO_LIMIT).await?.object_bytes.max(TOUCH_BYTES);
        ctl.phase(Phase::Flatten, Some(overlap));
        let mut next = 0;
        while next < overlap {
            let window = MAX_EXTENTS_WINDOW_BYTES.min(overlap - next);
            let found = self.ahead.window(self, next, window).await?;
            let objects = found.into_iter().filter(|extent| extent.data).flat_map(|extent| {
                let end = extent.offset.saturating_add(extent.len);
                (extent.offset / object_bytes)..end.div_ceil(object_bytes)
            });
            let touched = stream::iter(objects.map(|object| self.touch(object * object_bytes, overlap, ctl)));
            touched.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
            next += window;
        }
        Ok(self.image.flatten(&progress(ctl, object_bytes), NO_LIMIT).await?)
    }

    /// Writes back what the start of an object reads as: nobody else writes while this handle does.
    async fn touch(&self, offset: u64, overlap: u64, ctl: &Ctl) -> Result<()> {
        ctl.check("flatten")?;
        let len = usize::try_from(TOUCH_BYTES.min(overlap.saturating_sub(offset))).unwrap_or(0);
        let data = self.image.read(offset, len).await?;
        self.image.write(offset, Bytes::from(data)).await?;
        ctl.touch();
        Ok(())
    }
}
