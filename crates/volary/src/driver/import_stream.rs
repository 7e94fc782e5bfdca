//! Import of a raw stream: its bytes go into the volume as they come, and it is published when they have all come.

use super::audit::audited;
use super::checksum::Checksum;
use super::fill::Fill;
use super::import::{ImportReport, ImportRequest, SourceReport, seal};
use super::raw_stream::{Begun, MAX_UNTOLD_BYTES, RawStream, begin};
use super::sectors::{SECTOR_BYTES, require_whole};
use super::staging::{Origin, Staging};
use super::store::Store;
use super::transfer::{Pass, VolumeBlocks};
use crate::digest::ContentDigest;
use crate::engine::Volume;
use crate::{Ctl, Error, ErrorKind, Phase, Result};
use serde_json::json;
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

/// What a volume begins with whose size is not told.
const FIRST_ROOM_BYTES: u64 = 1 << 30;

impl Store {
    /// [`import`](Store::import) of what is declared raw and comes as a stream.
    pub(super) async fn import_stream(
        &self,
        request: &ImportRequest,
        stream: &File,
        ctl: &Ctl,
    ) -> Result<ImportReport> {
        let expected = request.checksum.as_ref().map(Checksum::to_string);
        let details = json!({
            "path": "-",
            "declared": "raw",
            "size": request.size_bytes,
            "expected": expected,
            "expected_bytes": request.expected_bytes,
        });
        let work = async {
            let imported = self.import_straight(request, stream, ctl).await;
            imported.map_err(|error| error.context("volume", &request.spec))
        };
        audited("import", &request.spec, details, work, |report| ("done", json!(report))).await
    }

    async fn import_straight(
        &self,
        request: &ImportRequest,
        stream: &File,
        ctl: &Ctl,
    ) -> Result<ImportReport> {
        let started = Instant::now();
        let (max_volume_bytes, _) = self.check_target(request, ctl).await?;
        request.size_bytes.map_or(Ok(()), require_whole)?;
        let limit = request.size_bytes.unwrap_or(MAX_UNTOLD_BYTES.min(max_volume_bytes));
        if limit > max_volume_bytes {
            return Err(Error::new(ErrorKind::Usage, "larger than the store's largest volume")
                .context("size", limit)
                .context("most", max_volume_bytes));
        }
        let stream = begin(stream, ctl).await.map_err(|error| error.context("path", "-"))?;
        let room = request.size_bytes.unwrap_or(FIRST_ROOM_BYTES.min(limit));
        let origin = Origin::Empty { size_bytes: room };
        let staging = Staging::begin(self, "import", &request.spec, origin, ctl).await?;
        let (staging, volume) = staging.opened(ctl).await?;
        let filled = fill(request, stream, &volume, (room, limit), ctl).await;
        drop(volume);
        let (fill, digest, source) = match filled {
            Ok(filled) => filled,
            Err(error) => return Err(staging.undo(error, ctl).await),
        };
        let id = staging.publish(ctl).await?;
        Ok(ImportReport {
            volume: request.spec.clone(),
            id,
            size_bytes: fill.size_bytes,
            data_bytes: fill.data_bytes,
            digest,
            verified: fill.verify,
            snapshot: fill.snapshot,
            seconds: started.elapsed().as_secs_f64(),
            source,
        })
    }
}

/// Moves the stream into the volume, gives that its size, and seals it.
async fn fill(
    request: &ImportRequest,
    stream: Begun,
    volume: &Arc<dyn Volume>,
    (room, limit): (u64, u64),
    ctl: &Ctl,
) -> Result<(Fill, ContentDigest, SourceReport)> {
    ctl.phase(Phase::Copy, request.expected_bytes.or(request.size_bytes));
    let stream = RawStream::new(stream, volume.clone(), room, limit, request);
    let (stream, sink) = (Arc::new(stream), Arc::new(VolumeBlocks::new(volume.clone(), limit)));
    let pass = Pass { step: "copy", size_bytes: request.size_bytes, in_order: false, record_leaves: true };
    let digest = pass.run(Arc::new(stream.clone()), Some(sink), ctl).await?;
    let (format, notes, checksums, file_bytes) =
        stream.finish().map_err(|error| error.context("path", "-"))?;
    request.require_length(file_bytes).map_err(|error| error.context("path", "-"))?;
    let fill = Fill {
        // Zeros have filled up the last sector.
        size_bytes: request.size_bytes.unwrap_or(file_bytes.next_multiple_of(SECTOR_BYTES)),
        data_bytes: file_bytes,
        verify: request.verify,
        snapshot: request.snapshot.clone(),
        protect: request.protect,
        record: true,
        record_leaves: true,
    };
    stream.fit(fill.size_bytes, ctl).await?;
    let (path, format) = ("-".to_owned(), format.to_string());
    let source = SourceReport { path, format, compression: None, file_bytes, sha256: None, notes };
    let source = seal(&fill, volume, request, source, (digest, &checksums), ctl).await?;
    Ok((fill, digest, source))
}
