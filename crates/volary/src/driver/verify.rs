//! Verification: a volume read back and compared with what was recorded of it.

use super::audit::audited;
use super::content_record::DigestRecord;
use super::notes;
use super::store::Store;
use super::transfer::{BlockSource, Pass, VolumeBlocks};
use crate::digest::ContentDigest;
use crate::engine::{Extent, MAX_EXTENTS_WINDOW_BYTES, Volume};
use crate::{Ctl, Error, ErrorKind, Phase, Result, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VerifyReport {
    /// The volume or snapshot.
    pub volume: VolumeSpec,
    /// The volume's id.
    pub id: VolumeId,
    /// The digest that was recorded.
    pub expected: ContentDigest,
    /// The digest of what is there.
    pub actual: ContentDigest,
    /// Whether they are the same.
    #[serde(rename = "match")]
    pub matches: bool,
    /// Whether the head is known to have been written, resized or rolled back since the record was made.
    pub modified: bool,
    /// Notes on the volume: writes that are not in its content yet, so that its digest does not hold for long, and that it is encrypted.
    pub notes: Vec<String>,
    /// Whether every change would be known: of a snapshot, and of a head where the store notes each.
    #[serde(skip)]
    pub exact: bool,
}

impl VerifyReport {
    /// The error that a difference stands for; its hint says who may have made it.
    pub fn error(&self) -> Option<Error> {
        if self.matches {
            return None;
        }
        let error = Error::new(ErrorKind::Mismatch, "the content is not what was recorded")
            .context("volume", &self.volume);
        Some(error.hint(match (self.modified, self.exact) {
            (true, _) => {
                "it was written, resized or rolled back since: verify a snapshot, or record it anew with --record"
            }
            (false, true) => "nobody has written: suspect the disk or the memory of the store",
            (false, false) => {
                "it may have been written since, for Ceph notes the time of a change once a minute, and the kernel's client \
                 never: verify a snapshot, or record it anew with --record"
            }
        }))
    }
}

impl Store {
    /// Reads a head or snapshot back and compares it with its record; `record` makes, or replaces, the record instead.
    ///
    /// A difference is a report, not an error. Content that the store itself knows to be damaged is an error.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::{Ctl, Store, StoreUrl};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let ctl = Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), &ctl).await?;
    /// let spec = "empty".parse()?;
    /// store.create(&spec, 1 << 20, &ctl).await?;
    /// assert_eq!(store.verify(&spec, false, &ctl).await.unwrap_err().kind(), volary::ErrorKind::NotFound);
    /// store.verify(&spec, true, &ctl).await?;
    /// assert!(store.verify(&spec, false, &ctl).await?.matches);
    /// # store.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the volume, also when it was removed while it was read, or when nothing was recorded of it; `Mismatch` for blocks
    /// that do not match their checksum, objects that are lost, or a head that was shrunk while it was read; `Blocked` when recording while another writes.
    #[tracing::instrument(skip_all, fields(volume = %spec, record))]
    pub async fn verify(&self, spec: &VolumeSpec, record: bool, ctl: &Ctl) -> Result<VerifyReport> {
        let work = async {
            let volume = self.open_to_read(spec, ctl).await?;
            let verified = self.verify_open(spec, &volume, record, ctl).await;
            let closed = volume.close(&ctl.for_cleanup()).await;
            let report = verified.map_err(|error| error.context("volume", spec))?;
            closed.map(|()| report)
        };
        // Reading alone changes nothing; a digest that is recorded is one that others will rely on.
        if record {
            audited("verify_record", spec, json!({}), work, |report| ("recorded", json!(report))).await
        } else {
            work.await
        }
    }

    async fn verify_open(
        &self,
        spec: &VolumeSpec,
        volume: &Arc<dyn Volume>,
        record: bool,
        ctl: &Ctl,
    ) -> Result<VerifyReport> {
        let stat = volume.stat(ctl).await?;
        let recorded = if record { None } else { DigestRecord::read(&**volume, &stat, ctl).await? };
        if recorded.is_none() && !record {
            return Err(Error::new(ErrorKind::NotFound, "no digest is recorded of this content")
                .hint(format!("`volary verify --record {spec}` records the digest of what is there now")));
        }
        let mut notes = notes::of_content(&**volume, ctl).await?;
        // A writer that is there while we read would make any record wrong: keep others out.
        let writer = if record { Some(self.open_to_write(&spec.head(), ctl).await?) } else { None };
        let blocks = Arc::new(VolumeBlocks::new(volume.clone(), stat.size_bytes).remembering());
        let read = read_back(blocks.clone(), ctl).await;
        let made = match (&writer, &read) {
            (Some(writer), Ok(actual)) => DigestRecord::new(*actual, &stat).write(&**writer, ctl).await,
            _ => Ok(()),
        };
        let right = match &recorded {
            Some(recorded) => read.as_ref().is_ok_and(|actual| *actual == recorded.digest),
            None => read.is_ok() && made.is_ok(),
        };
        // A head's leaves hold only where nobody else writes.
        let keeper = if stat.snapshot.is_some() { Some(volume) } else { writer.as_ref() };
        if let Some(keeper) = keeper.filter(|_| right)
            && let Err(error) = blocks.hand_over(&**keeper, ctl).await
        {
            // What was asked is answered: a store that can only be read keeps no checksums.
            tracing::debug!(error = error.report(), "checksums of blocks are not kept");
        }
        let closed = match writer {
            Some(writer) => writer.close(&ctl.for_cleanup()).await,
            None => Ok(()),
        };
        let actual = read?;
        made.and(closed)?;
        let expected = recorded.as_ref().map_or(actual, |recorded| recorded.digest);
        let modified = stat.snapshot.is_none()
            && recorded.is_some_and(|r| r.modified != stat.modified || r.size_bytes != stat.size_bytes);
        let exact = stat.snapshot.is_some() || stat.modified_is_exact;
        let (volume, id, matches) = (spec.clone(), stat.id, actual == expected);
        notes.extend(notes::of_encryption(blocks.first_bytes()));
        Ok(VerifyReport { volume, id, expected, actual, matches, modified, notes, exact })
    }
}

/// The digest of what an open volume holds, by its own extents and blocks.
pub(crate) async fn read_back(blocks: Arc<VolumeBlocks>, ctl: &Ctl) -> Result<ContentDigest> {
    let size_bytes = blocks.size_bytes();
    ctl.phase(Phase::Verify, Some(data_bytes(blocks.volume(), size_bytes, ctl).await?));
    let pass = Pass { step: "verify", size_bytes: Some(size_bytes), in_order: false, record_leaves: false };
    pass.run(blocks, None, ctl).await
}

/// How many bytes of an open volume may be data.
pub(crate) async fn data_bytes(volume: &dyn Volume, size_bytes: u64, ctl: &Ctl) -> Result<u64> {
    let mut bytes = 0;
    let mut offset = 0;
    while offset < size_bytes {
        let len = MAX_EXTENTS_WINDOW_BYTES.min(size_bytes - offset);
        let extents: Vec<Extent> = volume.extents(offset, len, ctl).await?;
        bytes += extents.iter().filter(|extent| extent.data).map(|extent| extent.len).sum::<u64>();
        offset += len;
    }
    Ok(bytes)
}
