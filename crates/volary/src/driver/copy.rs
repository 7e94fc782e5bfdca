//! Copy: a new, independent volume with the content of a head or snapshot.

use super::audit::audited;
use super::comparison::{Compared, Recorded};
use super::fill::Fill;
use super::import::require_room;
use super::staging::{Origin, Staging};
use super::store::Store;
use super::transfer::VolumeBlocks;
use super::verify::data_bytes;
use super::{notes, sectors};
use crate::digest::ContentDigest;
use crate::engine::Volume;
use crate::{Ctl, Error, Result, VolumeId, VolumeSpec};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// How to copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether to take content that is not what was recorded, or that is known to be damaged, as it is. The digest of such content is
    /// not recorded with the copy.
    pub accept_mismatch: bool,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CopyReport {
    /// The new volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// Its size.
    pub size_bytes: u64,
    /// How much of it may be data.
    pub data_bytes: u64,
    /// The digest of its content.
    pub digest: ContentDigest,
    /// The digest that was recorded of what was copied, if any.
    pub expected: Option<ContentDigest>,
    /// Whether the two are the same; of a head that may have been written since, a difference is no error.
    #[serde(rename = "match")]
    pub matches: Option<bool>,
    /// How many bytes did not match what the store knows of them, and were taken all the same.
    pub mismatched_bytes: u64,
    /// Whether anything was taken only because mismatches were accepted: then no digest is recorded with the copy.
    pub mismatch_accepted: bool,
    /// Whether it was read back and compared.
    pub verified: bool,
    /// Notes on the volume that do not prevent the copy, such as a size that ends within a sector, writes that are not in the
    /// source's content yet, and that it is encrypted.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// What was copied.
    pub source: VolumeSpec,
}

impl Store {
    /// Copies a head or snapshot to a new volume, by the same way as an import: complete and checked, or not at all
    /// (`rbd_copy4`).
    ///
    /// Snapshots and metadata are not copied.
    ///
    /// # Errors
    /// `NotFound` for the source, also when it was removed while it was read; `Mismatch` when its content is not what was recorded of a
    /// snapshot, or of a head that surely was not written since; `AlreadyExists` for the name; `NoSpace`; `Interrupted`; in each case
    /// nothing is left, or else `Partial`.
    pub async fn copy(
        &self,
        from: &VolumeSpec,
        to: &VolumeSpec,
        options: CopyOptions,
        ctl: &Ctl,
    ) -> Result<CopyReport> {
        let asked = json!({ "source": from.to_string(), "accept_mismatch": options.accept_mismatch });
        let work = async {
            let copied = self.copy_audited(from, to, options, ctl).await;
            copied.map_err(|error| error.context("from", from).context("volume", to))
        };
        audited("copy", to, asked, work, |report| ("done", json!(report))).await
    }

    async fn copy_audited(
        &self,
        from: &VolumeSpec,
        to: &VolumeSpec,
        options: CopyOptions,
        ctl: &Ctl,
    ) -> Result<CopyReport> {
        self.require_new(to, ctl).await?;
        let source = self.open_to_take(from, options.accept_mismatch, ctl).await?;
        let copied = self.copy_open(from, &source, to, options, ctl).await;
        let closed = source.close(&ctl.for_cleanup()).await;
        if let (Ok(_), Err(error)) = (&copied, &closed) {
            tracing::warn!(error = error.report(), "closing the source of a copy");
        }
        copied
    }

    async fn copy_open(
        &self,
        from: &VolumeSpec,
        source: &Arc<dyn Volume>,
        to: &VolumeSpec,
        options: CopyOptions,
        ctl: &Ctl,
    ) -> Result<CopyReport> {
        let started = Instant::now();
        let stat = source.stat(ctl).await?;
        let recorded = Recorded::of(&**source, &stat, ctl).await?;
        let mut notes = sectors::notes(to, stat.size_bytes);
        notes.extend(notes::of_content(&**source, ctl).await?);
        let data_bytes = data_bytes(&**source, stat.size_bytes, ctl).await?;
        let room = self.engine().pool_info(&to.namespace.pool, ctl).await?;
        require_room(data_bytes, room.as_ref())?;
        let fill = Fill {
            size_bytes: stat.size_bytes,
            data_bytes,
            verify: true,
            snapshot: None,
            protect: false,
            record: true,
            record_leaves: !options.accept_mismatch,
        };
        let origin = Origin::Empty { size_bytes: stat.size_bytes };
        let (staging, volume) = Staging::begin(self, "copy", to, origin, ctl).await?.opened(ctl).await?;
        let filled: Result<(ContentDigest, Compared, Option<String>), Error> = async {
            let blocks = Arc::new(VolumeBlocks::new(source.clone(), stat.size_bytes));
            let digest = fill.copy_in(&volume, blocks.clone(), ctl).await?;
            let (mismatched_bytes, accept) = (blocks.mismatched_bytes(), options.accept_mismatch);
            let compared = recorded.compare(digest, mismatched_bytes, accept, &**source, ctl).await?;
            let provenance = json!({
                "volume": from.to_string(),
                "id": stat.id,
                "snapshot_id": stat.snapshot.as_ref().map(|snapshot| snapshot.id),
                "copied": Timestamp::now(),
                "mismatch_accepted": compared.accepted,
                "by": concat!("volary ", env!("CARGO_PKG_VERSION")),
            });
            let fill = Fill { record: !compared.accepted, ..fill };
            fill.seal(&volume, digest, &provenance, ctl).await?;
            Ok((digest, compared, notes::of_encryption(blocks.first_bytes())))
        }
        .await;
        drop(volume);
        let (digest, compared, encrypted) = match filled {
            Ok(filled) => filled,
            Err(error) => return Err(staging.undo(error, ctl).await),
        };
        notes.extend(encrypted.map(|note| format!("{note}; its bytes are copied as they are")));
        Ok(CopyReport {
            volume: to.clone(),
            id: staging.publish(ctl).await?,
            size_bytes: stat.size_bytes,
            data_bytes,
            digest,
            expected: compared.expected,
            matches: compared.matches,
            mismatched_bytes: compared.mismatched_bytes,
            mismatch_accepted: compared.accepted,
            verified: true,
            notes,
            seconds: started.elapsed().as_secs_f64(),
            source: from.clone(),
        })
    }
}
