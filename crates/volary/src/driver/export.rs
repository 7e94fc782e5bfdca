//! Export: a volume becomes a file, complete and synced, or not at all.

use super::audit::audited;
use super::block::Block;
use super::checksum::{Algorithm, Checksum, digest_file};
use super::comparison::Recorded;
use super::image_error::image_error;
use super::output_file::{OutputFile, write_behind};
use super::qcow2_writer::Qcow2Writer;
use super::store::Store;
use super::stream_sink::StreamSink;
use super::transfer::{BlockSink, Pass, VolumeBlocks, on_thread};
use super::verify::data_bytes;
use super::{notes, sectors};
use crate::digest::ContentDigest;
use crate::direct::DirectFile;
use crate::engine::Volume;
use crate::{Ctl, Error, ErrorKind, Phase, Result, VolumeId, VolumeSpec, escape};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use volary_image::FileSource;

/// The format of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// The bytes as they are, sparse.
    #[default]
    Raw,
    /// qcow2 version 3, not compressed.
    Qcow2,
}

/// Where an export goes.
#[non_exhaustive]
pub enum ExportTarget {
    /// A file, made with mode 0600.
    File(PathBuf),
    /// A descriptor such as standard output: a pipe, a socket, a file. Raw only, and without the promise of all or nothing. The export
    /// ends well only when every byte was taken: of a pipe, when its reader has read it.
    Stream(File),
}

/// What to export and how.
#[non_exhaustive]
pub struct ExportRequest {
    /// The head or snapshot.
    pub spec: VolumeSpec,
    /// Where to.
    pub target: ExportTarget,
    /// The format.
    pub format: ExportFormat,
    /// Whether to replace a file.
    pub force: bool,
    /// A digest of the file to compute.
    pub file_digest: Option<Algorithm>,
    /// Whether to take content that is not what was recorded, or that is known to be damaged, as it is.
    pub accept_mismatch: bool,
}

impl ExportRequest {
    /// Exports `spec` to `target`: raw, replacing nothing, without a digest of the file, refusing what does not match.
    pub fn new(spec: VolumeSpec, target: ExportTarget) -> Self {
        let format = ExportFormat::Raw;
        ExportRequest { spec, target, format, force: false, file_digest: None, accept_mismatch: false }
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ExportReport {
    /// The volume or snapshot.
    pub volume: VolumeSpec,
    /// The volume's id.
    pub id: VolumeId,
    /// The path, escaped; `-` for a stream.
    pub path: String,
    /// The format.
    pub format: ExportFormat,
    /// The size of the volume.
    pub size_bytes: u64,
    /// How much of it may be data.
    pub data_bytes: u64,
    /// The length of the file.
    pub file_bytes: u64,
    /// The digest of the content.
    pub digest: ContentDigest,
    /// The digest that was recorded of it, if any.
    pub expected: Option<ContentDigest>,
    /// Whether the two are the same; of a head that may have been written since, a difference is no error.
    #[serde(rename = "match")]
    pub matches: Option<bool>,
    /// How many bytes did not match what the store knows of them, and were taken all the same.
    pub mismatched_bytes: u64,
    /// Whether anything was taken only because mismatches were accepted.
    pub mismatch_accepted: bool,
    /// The digest of the file, `sha256:HEX`, when one was asked for.
    pub file_digest: Option<String>,
    /// Notes on the volume that do not prevent the export, such as a size that ends within a sector, writes that are not in its
    /// content yet, and that it is encrypted.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Store {
    /// Exports a head or snapshot to a file that appears complete and synced, or not at all.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::{Ctl, Store, StoreUrl, ExportRequest, ExportTarget};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let ctl = Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), &ctl).await?;
    /// store.create(&"web".parse()?, 1 << 20, &ctl).await?;
    /// let file = dir.path().join("web.raw");
    /// store.export(ExportRequest::new("web".parse()?, ExportTarget::File(file.clone())), &ctl).await?;
    /// assert_eq!(std::fs::metadata(&file).unwrap().len(), 1 << 20);
    /// # store.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the volume, also when it was removed while it was read; `Mismatch` when the content is not what was recorded of a
    /// snapshot, or of a head that surely was not written since; `AlreadyExists` for the file; `Usage` for qcow2 to a stream; `NoSpace`;
    /// `Interrupted`; `Internal` when the reader of a stream has gone. A stream may have got a part then, or all: the context `taken_bytes`
    /// says how many bytes it took.
    pub async fn export(&self, request: ExportRequest, ctl: &Ctl) -> Result<ExportReport> {
        let spec = request.spec.clone();
        let path = match &request.target {
            ExportTarget::File(path) => escape(path.as_os_str().as_bytes()).into_owned(),
            ExportTarget::Stream(_) => "-".to_owned(),
        };
        let (force, accept_mismatch) = (request.force, request.accept_mismatch);
        let asked = json!({ "path": path, "force": force, "accept_mismatch": accept_mismatch });
        let work = async {
            self.export_audited(request, path, ctl).await.map_err(|error| error.context("volume", &spec))
        };
        audited("export", &spec, asked, work, |report| ("done", json!(report))).await
    }

    async fn export_audited(&self, request: ExportRequest, path: String, ctl: &Ctl) -> Result<ExportReport> {
        let started = Instant::now();
        let spec = request.spec.clone();
        let volume = self.open_to_take(&spec, request.accept_mismatch, ctl).await?;
        let exported = export_open(request, &volume, &path, ctl).await;
        let closed = volume.close(&ctl.for_cleanup()).await;
        if let Err(error) = &closed {
            tracing::warn!(error = error.report(), "closing an exported volume");
        }
        exported.map(|written| ExportReport {
            volume: spec,
            path,
            seconds: started.elapsed().as_secs_f64(),
            ..written
        })
    }
}

async fn export_open(
    request: ExportRequest,
    volume: &Arc<dyn Volume>,
    path: &str,
    ctl: &Ctl,
) -> Result<ExportReport> {
    let ExportRequest { spec, target, format, force, file_digest, accept_mismatch } = request;
    let stat = volume.stat(ctl).await?;
    let recorded = Recorded::of(&**volume, &stat, ctl).await?;
    let size_bytes = stat.size_bytes;
    let mut notes = sectors::notes(&spec, size_bytes);
    notes.extend(notes::of_content(&**volume, ctl).await?);
    let data_bytes = data_bytes(&**volume, size_bytes, ctl).await?;
    let source = Arc::new(VolumeBlocks::new(volume.clone(), size_bytes));
    ctl.phase(Phase::Copy, Some(data_bytes));
    let pass = Pass {
        step: "export",
        size_bytes: Some(size_bytes),
        in_order: matches!(target, ExportTarget::Stream(_)),
        record_leaves: false,
    };
    let compare = async |digest: ContentDigest, source: &VolumeBlocks| {
        recorded.compare(digest, source.mismatched_bytes(), accept_mismatch, &**volume, ctl).await
    };
    let (digest, file_bytes, checksum, compared) = match target {
        ExportTarget::Stream(_) if format != ExportFormat::Raw => {
            return Err(Error::new(ErrorKind::Usage, "only raw can be written to a stream"));
        }
        ExportTarget::Stream(stream) => {
            let sink = Arc::new(StreamSink::new(stream, size_bytes, file_digest, ctl));
            let digest = pass.run(source.clone(), Some(sink.clone()), ctl).await?;
            let checksum = ctl.transfer("export", sink.finish()).await?;
            // What has gone out cannot be withheld any more.
            (digest, size_bytes, checksum, compare(digest, &source).await?)
        }
        ExportTarget::File(target) => {
            let named = |error: Error| error.context("path", path);
            let output = on_thread("making the file", move || OutputFile::create(&target, force)).await;
            let output = output.map_err(named)?;
            let file = output.file().clone();
            let (digest, file_bytes) = match format {
                ExportFormat::Raw => {
                    file.set_len(size_bytes).map_err(|e| named(Error::io("sizing the file", e)))?;
                    let sink = RawSink(Arc::new(DirectFile::new(file.clone())));
                    let digest = pass.run(source.clone(), Some(Arc::new(sink)), ctl).await;
                    (digest.map_err(named)?, size_bytes)
                }
                ExportFormat::Qcow2 => {
                    let writer = Qcow2Writer::new(file.clone(), size_bytes)?;
                    let digest = pass.run(source.clone(), Some(Arc::new(writer.clone())), ctl).await;
                    let digest = digest.map_err(named)?;
                    (digest, writer.finish().await.map_err(named)?)
                }
            };
            let compared = compare(digest, &source).await.map_err(named)?;
            let checksum = match file_digest {
                Some(algorithm) => Some(digest_written(file, algorithm, ctl).await.map_err(named)?),
                None => None,
            };
            ctl.check("export")?;
            on_thread("finishing the file", move || output.commit()).await.map_err(named)?;
            (digest, file_bytes, checksum, compared)
        }
    };
    let encrypted = notes::of_encryption(source.first_bytes());
    notes.extend(encrypted.map(|note| format!("{note}; its bytes are written as they are")));
    Ok(ExportReport {
        notes,
        volume: spec,
        id: stat.id,
        path: path.to_owned(),
        format,
        size_bytes,
        data_bytes,
        file_bytes,
        digest,
        expected: compared.expected,
        matches: compared.matches,
        mismatched_bytes: compared.mismatched_bytes,
        mismatch_accepted: compared.accepted,
        file_digest: checksum.map(|checksum| checksum.to_string()),
        seconds: 0.0,
    })
}

async fn digest_written(file: Arc<File>, algorithm: Algorithm, ctl: &Ctl) -> Result<Checksum> {
    let thread_ctl = ctl.clone();
    let work = on_thread("digesting the file", move || {
        let file = file.try_clone().map_err(|error| Error::io("digesting the file", error))?;
        let source = FileSource::from_file(file).map_err(image_error)?;
        let mut checksums = digest_file(&source, &[algorithm], &thread_ctl)?;
        checksums.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "no digest was computed"))
    });
    ctl.transfer("digest", work).await
}

/// A raw file: what is not written stays a hole.
struct RawSink(Arc<DirectFile>);

#[async_trait]
impl BlockSink for RawSink {
    async fn write(&self, start: u64, block: Block, _ctl: &Ctl) -> Result<()> {
        let file = self.0.clone();
        on_thread("writing the file", move || {
            for run in block.runs {
                file.write_all_at(&block.bytes[run.clone()], start + run.start as u64)
                    .map_err(|error| Error::io("writing the file", error))?;
            }
            write_behind(file.file(), start, block.bytes.len() as u64);
            Ok(())
        })
        .await
    }

    async fn flush(&self, _ctl: &Ctl) -> Result<()> {
        Ok(())
    }
}
