//! What is recorded with a volume: the digest of its content, and where it came from.

use crate::digest::ContentDigest;
use crate::engine::{Stat, Volume};
use crate::{Ctl, Error, ErrorKind, Result, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The key of the provenance record.
pub(crate) const SOURCE_KEY: &str = "volary.source";

/// The digest of a head or snapshot. One of another volume was inherited with the metadata, and says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestRecord {
    pub(crate) digest: ContentDigest,
    pub(crate) volume_id: VolumeId,
    pub(crate) snapshot_id: Option<u64>,
    pub(crate) size_bytes: u64,
    pub(crate) time: Timestamp,
    /// When the content had last changed then; an older or newer time now means that it changed since.
    pub(crate) modified: Option<Timestamp>,
}

impl DigestRecord {
    /// The record of a digest computed just now of what `stat` describes.
    pub(crate) fn new(digest: ContentDigest, stat: &Stat) -> Self {
        DigestRecord {
            digest,
            volume_id: stat.id.clone(),
            snapshot_id: stat.snapshot.as_ref().map(|snapshot| snapshot.id),
            size_bytes: stat.size_bytes,
            time: Timestamp::now(),
            modified: stat.modified,
        }
    }

    fn key(snapshot_id: Option<u64>) -> String {
        match snapshot_id {
            None => "volary.digest.head".to_owned(),
            Some(id) => format!("volary.digest.snap.{id}"),
        }
    }

    /// Keeps the record with the volume, open to write.
    pub(crate) async fn write(&self, volume: &dyn Volume, ctl: &Ctl) -> Result<()> {
        set_json(volume, &Self::key(self.snapshot_id), self, ctl).await
    }

    /// Takes away the record of a snapshot that is gone; without it the record is merely of no use.
    pub(crate) async fn forget_snapshot(volume: &dyn Volume, snapshot_id: u64, ctl: &Ctl) {
        match volume.remove_metadata(Self::key(Some(snapshot_id)).as_bytes(), ctl).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::debug!(snapshot_id, error = error.report(), "a digest record stays behind");
            }
            _ => {}
        }
    }

    /// The snapshots of which a volume has a record, or has inherited one; `None` is the head.
    pub(crate) async fn snapshots(volume: &dyn Volume, ctl: &Ctl) -> Result<Vec<Option<u64>>> {
        let snapshot = |key: &[u8]| match key.strip_prefix(b"volary.digest.")? {
            b"head" => Some(None),
            of => std::str::from_utf8(of.strip_prefix(b"snap.")?).ok()?.parse().ok().map(Some),
        };
        Ok(volume.metadata(ctl).await?.iter().filter_map(|(key, _)| snapshot(key)).collect())
    }

    /// The record of what `stat` describes, unless there is none, or only an inherited one.
    ///
    /// # Errors
    /// `Internal` for a record that cannot be read.
    pub(crate) async fn read(volume: &dyn Volume, stat: &Stat, ctl: &Ctl) -> Result<Option<DigestRecord>> {
        let snapshot_id = stat.snapshot.as_ref().map(|snapshot| snapshot.id);
        let key = Self::key(snapshot_id);
        let metadata = volume.metadata(ctl).await?;
        let Some((_, value)) = metadata.iter().find(|(found, _)| found == key.as_bytes()) else {
            return Ok(None);
        };
        let record: DigestRecord = serde_json::from_slice(value).map_err(|error| {
            Error::new(ErrorKind::Internal, "the digest record cannot be read")
                .context("key", &key)
                .hint("`volary verify --record` replaces it")
                .because(error)
        })?;
        let ours = record.volume_id == stat.id && record.snapshot_id == snapshot_id;
        Ok(ours.then_some(record))
    }
}

/// Keeps a value as JSON in a volume's metadata.
pub(crate) async fn set_json(
    volume: &dyn Volume,
    key: &str,
    value: &impl Serialize,
    ctl: &Ctl,
) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "writing metadata").because(error))?;
    volume.set_metadata(key.as_bytes(), &text, ctl).await
}
