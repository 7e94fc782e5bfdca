//! Filling a staging volume: content in, read back, recorded, kept as a snapshot. Import and copy share it.

use super::content_record::{DigestRecord, SOURCE_KEY, set_json};
use super::transfer::{BlockSource, Pass, VolumeBlocks};
use super::verify::read_back;
use crate::digest::ContentDigest;
use crate::engine::{MAX_EXTENTS_WINDOW_BYTES, Volume};
use crate::{Ctl, Error, ErrorKind, Name, Phase, Result};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// How much of a source is looked through before the first write, for what is told to be written: beyond it looking twice would cost
/// more than it saves.
const EXPECTED_BYTES: u64 = 64 << 30;

/// What becomes of a staging volume.
pub(crate) struct Fill {
    pub(crate) size_bytes: u64,
    pub(crate) data_bytes: u64,
    pub(crate) verify: bool,
    pub(crate) snapshot: Option<Name>,
    pub(crate) protect: bool,
    /// Whether the digest is recorded with the volume.
    pub(crate) record: bool,
    /// Whether the leaves of its blocks are recorded: not when mismatches of the source are accepted.
    pub(crate) record_leaves: bool,
}

impl Fill {
    /// Writes the content of `from`, makes it durable, and returns its digest.
    pub(crate) async fn copy_in(
        &self,
        volume: &Arc<dyn Volume>,
        from: Arc<dyn BlockSource>,
        ctl: &Ctl,
    ) -> Result<ContentDigest> {
        ctl.phase(Phase::Copy, Some(self.data_bytes));
        volume.expect_writes(&expected(&*from, ctl).await?, ctl).await?;
        let sink = Arc::new(VolumeBlocks::new(volume.clone(), self.size_bytes));
        let pass = Pass {
            step: "copy",
            size_bytes: Some(self.size_bytes),
            in_order: false,
            record_leaves: self.record_leaves,
        };
        let digest = pass.run(from, Some(sink), ctl).await?;
        volume.expect_writes(&[], ctl).await?;
        Ok(digest)
    }

    /// Reads back what was written, takes the snapshot, and records digest and provenance.
    ///
    /// # Errors
    /// `Mismatch` when the volume does not hold what was written.
    pub(crate) async fn seal(
        &self,
        volume: &Arc<dyn Volume>,
        digest: ContentDigest,
        provenance: &Value,
        ctl: &Ctl,
    ) -> Result<()> {
        if self.verify {
            let blocks = VolumeBlocks::new(volume.clone(), self.size_bytes);
            let actual = read_back(Arc::new(blocks), ctl).await?;
            if actual != digest {
                return Err(Error::new(
                    ErrorKind::Mismatch,
                    "the volume does not hold what was written to it",
                )
                .context("expected", digest)
                .context("actual", actual)
                .hint("suspect the disk or the memory of the store"));
            }
        }
        let source = set_json(&**volume, SOURCE_KEY, provenance, ctl);
        let (kept, recorded) = futures::join!(source, self.record(volume, digest, ctl));
        kept.and(recorded)?;
        volume.flush(ctl).await
    }

    /// Takes the snapshot, and records the digest of head and snapshot if it is to be.
    async fn record(&self, volume: &Arc<dyn Volume>, digest: ContentDigest, ctl: &Ctl) -> Result<()> {
        if let Some(snapshot) = &self.snapshot {
            volume.create_snapshot(snapshot, ctl).await?;
            if self.protect {
                volume.protect_snapshot(snapshot, ctl).await?;
            }
        }
        if !self.record {
            return Ok(());
        }
        let head = DigestRecord::new(digest, &volume.stat(ctl).await?);
        for snapshot in volume.snapshots(ctl).await? {
            let record = DigestRecord { snapshot_id: Some(snapshot.id), ..head.clone() };
            record.write(&**volume, ctl).await?;
        }
        head.write(&**volume, ctl).await
    }
}

/// Where the first part of a source has data.
async fn expected(from: &dyn BlockSource, ctl: &Ctl) -> Result<Vec<Range<u64>>> {
    let (mut all, end) = (Vec::new(), from.size_bytes().min(EXPECTED_BYTES));
    for start in (0..end).step_by(MAX_EXTENTS_WINDOW_BYTES as usize) {
        all.extend(from.data(start..end.min(start + MAX_EXTENTS_WINDOW_BYTES), ctl).await?);
    }
    Ok(all)
}
