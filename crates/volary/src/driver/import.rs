//! Import: a disk image becomes a verified volume, or leaves nothing.

use super::audit::audited;
use super::checksum::{Algorithm, Checksum, digest_file};
use super::fill::Fill;
use super::sectors::require_whole;
use super::source::{ImageBlocks, ImportSource, OpenSource};
use super::staging::{Origin, Staging};
use super::store::Store;
use crate::digest::ContentDigest;
use crate::engine::{PoolInfo, Volume};
use crate::{Ctl, Error, ErrorKind, Name, Result, Target, VolumeId, VolumeSpec};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use volary_image::{Format, Image, Limits};

/// Which digest of the source file is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceDigest {
    /// SHA-256 of container formats, of what is compressed, streamed or fetched; of a raw file, whose bytes the content digest covers,
    /// none.
    #[default]
    Auto,
    /// This one.
    Of(Algorithm),
    /// None.
    None,
}

/// What to import and how.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportRequest {
    /// The disk image.
    pub source: ImportSource,
    /// The volume to make.
    pub spec: VolumeSpec,
    /// The format it must have; `None` accepts the one detected.
    pub format: Option<Format>,
    /// The digest the file must have.
    pub checksum: Option<Checksum>,
    /// The digest of the file to record.
    pub source_digest: SourceDigest,
    /// How many bytes the source must have, compressed as it is: of a stream whose writer may fail, nothing else tells all of it from a
    /// part.
    pub expected_bytes: Option<u64>,
    /// A snapshot to take of the result.
    pub snapshot: Option<Name>,
    /// Whether to protect the snapshot.
    pub protect: bool,
    /// A size larger than the image's.
    pub size_bytes: Option<u64>,
    /// Whether to read the volume back and compare.
    pub verify: bool,
    /// Whether the disk inside may begin as an image format itself: only where nothing ever probes the volume for its format.
    pub allow_nested: bool,
}

impl ImportRequest {
    /// Imports `source` as `spec`: any accepted format, verified, without snapshot.
    pub fn new(source: ImportSource, spec: VolumeSpec) -> Self {
        ImportRequest {
            source,
            spec,
            format: None,
            checksum: None,
            source_digest: SourceDigest::Auto,
            expected_bytes: None,
            snapshot: None,
            protect: false,
            size_bytes: None,
            verify: true,
            allow_nested: false,
        }
    }
}

impl ImportRequest {
    /// The digests of the file to compute; of one that nobody can read again, or whose bytes the content digest does not cover, one
    /// is recorded unless told otherwise.
    pub(super) fn algorithms(&self, worth_recording: bool) -> Vec<Algorithm> {
        let recorded = match self.source_digest {
            SourceDigest::Of(algorithm) => Some(algorithm),
            SourceDigest::Auto if worth_recording => Some(Algorithm::Sha256),
            SourceDigest::Auto | SourceDigest::None => None,
        };
        let mut algorithms: Vec<Algorithm> = recorded.into_iter().collect();
        algorithms.extend(self.checksum.iter().map(Checksum::algorithm));
        algorithms.dedup();
        algorithms
    }

    /// Refuses a source of another length than the one that is expected.
    pub(super) fn require_length(&self, file_bytes: u64) -> Result<()> {
        match self.expected_bytes {
            Some(expected) if expected != file_bytes => Err(other_length(expected, file_bytes)),
            _ => Ok(()),
        }
    }

    /// The stream whose bytes can go into the volume as they come: it is declared raw, and cannot seek.
    fn straight(&self) -> Option<&File> {
        match &self.source {
            ImportSource::Stream { file, .. } if self.format == Some(Format::Raw) => {
                let kind = file.metadata().ok()?.file_type();
                (kind.is_fifo() || kind.is_socket()).then_some(file)
            }
            _ => None,
        }
    }
}

/// A source that is shorter or longer than expected, of which so many bytes came.
pub(super) fn other_length(expected_bytes: u64, came_bytes: u64) -> Error {
    let (what, hint) = if came_bytes < expected_bytes {
        ("the source ends too early", "see how what writes it ended: this is a part of what was meant")
    } else {
        ("the source is longer than expected", "see whether it is the source that was meant")
    };
    Error::new(ErrorKind::Mismatch, what)
        .context("expected_bytes", expected_bytes)
        .context("came_bytes", came_bytes)
        .hint(hint)
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ImportReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// Its size.
    pub size_bytes: u64,
    /// How much of it the image maps to data.
    pub data_bytes: u64,
    /// The digest of its content.
    pub digest: ContentDigest,
    /// Whether it was read back and compared.
    pub verified: bool,
    /// The snapshot that was taken.
    pub snapshot: Option<Name>,
    /// How long it took.
    pub seconds: f64,
    /// What it was made of.
    pub source: SourceReport,
}

/// The source of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceReport {
    /// The path, escaped, or the URL without its query; `-` for a stream.
    pub path: String,
    /// The format that was detected.
    pub format: String,
    /// The compression that was taken off the file as a whole.
    pub compression: Option<String>,
    /// The length of the file, compressed as it is.
    pub file_bytes: u64,
    /// The SHA-256 of the file, compressed as it is, where it was computed.
    pub sha256: Option<String>,
    /// Notes on the source that do not prevent the import, such as that its last writer did not close it.
    pub notes: Vec<String>,
}

/// What an import would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImportPlan {
    /// The volume that would be made.
    pub volume: VolumeSpec,
    /// Its size.
    pub size_bytes: u64,
    /// How much of it the image maps to data.
    pub data_bytes: u64,
    /// What the pool can still take; `None` for a new pool of which the store has no figures yet.
    pub available_bytes: Option<u64>,
    /// The snapshot that would be taken.
    pub snapshot: Option<Name>,
    /// Whether it would be protected.
    pub protect: bool,
    /// Whether the volume would be read back.
    pub verify: bool,
    /// What it would be made of.
    pub source: SourceReport,
}

struct Prepared {
    source: OpenSource,
    image: Image,
    plan: ImportPlan,
}

impl Store {
    /// Imports a disk image: the volume appears complete and checked, or not at all.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::{Ctl, Store, StoreUrl, ImportRequest, ImportSource};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let ctl = Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), &ctl).await?;
    /// let image = dir.path().join("disk.img");
    /// std::fs::write(&image, [1; 4096]).unwrap();
    /// let request = ImportRequest::new(ImportSource::Path(image), "web".parse()?);
    /// let report = store.import(&request, &ctl).await?;
    /// assert_eq!((report.size_bytes, report.verified), (4096, true));
    /// # store.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `AlreadyExists` for the name, untouched; `Refused` for the image; `Mismatch` for its checksum or length; `Usage` for a size that is
    /// less than the image's, or no whole number of sectors of 512 bytes; `SourceChanged`; `NoSpace`; `Interrupted`; in each case nothing is left, or else `Partial`.
    pub async fn import(&self, request: &ImportRequest, ctl: &Ctl) -> Result<ImportReport> {
        if let Some(stream) = request.straight() {
            return self.import_stream(request, stream, ctl).await;
        }
        let prepared = self.prepare(request, ctl).await;
        let details = match &prepared {
            Ok(prepared) => {
                let checksum = request.checksum.as_ref().map(ToString::to_string);
                json!({ "plan": prepared.plan, "expected": checksum, "expected_bytes": request.expected_bytes })
            }
            Err(_) => {
                json!({ "path": request.source.shown(), "declared": request.format.map(|f| f.to_string()) })
            }
        };
        let work = async {
            let imported = match prepared {
                Ok(prepared) => self.import_prepared(request, prepared, ctl).await,
                Err(error) => Err(error),
            };
            imported.map_err(|error| error.context("volume", &request.spec))
        };
        audited("import", &request.spec, details, work, |report| ("done", json!(report))).await
    }

    /// What [`import`](Store::import) would do, found out by reading only.
    ///
    /// # Errors
    /// As `import`, as far as it can be foreseen.
    #[tracing::instrument(skip_all, fields(volume = %request.spec, source = request.source.shown()))]
    pub async fn plan_import(&self, request: &ImportRequest, ctl: &Ctl) -> Result<ImportPlan> {
        let prepared = self.prepare(request, ctl).await;
        prepared.map(|prepared| prepared.plan).map_err(|error| error.context("volume", &request.spec))
    }

    /// Everything that can be refused without creating anything, the cheapest first.
    async fn prepare(&self, request: &ImportRequest, ctl: &Ctl) -> Result<Prepared> {
        let spec = &request.spec;
        let (max_volume_bytes, room) = self.check_target(request, ctl).await?;
        request.size_bytes.map_or(Ok(()), require_whole)?;
        let source = request.source.open(request.format, ctl).await?;
        request.require_length(source.file_bytes()).map_err(|error| error.context("path", &source.shown))?;
        let defaults = Limits::default().with_nested(request.allow_nested);
        let largest = defaults.max_virtual_bytes.min(max_volume_bytes);
        let image = source.image(request.format, defaults.with_max_virtual_bytes(largest)).await?;
        let size_bytes = request.size_bytes.unwrap_or(image.size_bytes());
        if size_bytes < image.size_bytes() || size_bytes > max_volume_bytes {
            return Err(Error::new(ErrorKind::Usage, "the image does not fit the size asked for")
                .context("size", size_bytes)
                .context("image", image.size_bytes()));
        }
        let data_bytes = image.data_bytes();
        require_room(data_bytes, room.as_ref())?;
        let plan = ImportPlan {
            volume: spec.clone(),
            size_bytes,
            data_bytes,
            available_bytes: room.map(|room| room.available_bytes),
            snapshot: request.snapshot.clone(),
            protect: request.protect,
            verify: request.verify,
            source: SourceReport {
                path: source.shown.clone(),
                format: image.format().to_string(),
                compression: source.compression.map(|format| format.to_string()),
                file_bytes: source.file_bytes(),
                sha256: None,
                notes: source.notes(&image),
            },
        };
        Ok(Prepared { source, image, plan })
    }

    /// Refuses a name that is taken, or a snapshot that cannot be; returns the largest volume, and what is known of the pool.
    pub(super) async fn check_target(
        &self,
        request: &ImportRequest,
        ctl: &Ctl,
    ) -> Result<(u64, Option<PoolInfo>)> {
        let (new, store, room) = futures::join!(
            self.require_new(&request.spec, ctl),
            self.describe(ctl),
            self.engine().pool_info(&request.spec.namespace.pool, ctl)
        );
        new?;
        if let Some(snapshot) = &request.snapshot {
            snapshot.clone().checked_for_creation()?;
        } else if request.protect {
            return Err(
                Error::new(ErrorKind::Usage, "no snapshot to protect").hint("name one with --snapshot")
            );
        }
        Ok((store?.max_volume_bytes, room?))
    }

    /// Checks that a spec can be the name of something new, and is not that of something else.
    pub(crate) async fn require_new(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<()> {
        let name = spec.new_name()?;
        match self.engine().find(&spec.namespace, &Target::Name(name), ctl).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(Error::new(ErrorKind::AlreadyExists, "a volume of that name exists")
                .context("volume", spec)
                .hint("choose another name, or remove or rename the other volume")),
            // What cannot be used has its name all the same.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let hint = format!("choose another name, or rename the image with `rbd mv {spec} NEW`");
                Err(Error::new(ErrorKind::AlreadyExists, error.message().to_owned())
                    .context("volume", spec)
                    .hint(hint))
            }
            Err(error) => Err(error),
        }
    }

    async fn import_prepared(
        &self,
        request: &ImportRequest,
        prepared: Prepared,
        ctl: &Ctl,
    ) -> Result<ImportReport> {
        let started = Instant::now();
        let Prepared { source, image, plan } = prepared;
        let fill = Fill {
            size_bytes: plan.size_bytes,
            data_bytes: plan.data_bytes,
            verify: plan.verify,
            snapshot: plan.snapshot.clone(),
            protect: plan.protect,
            record: true,
            record_leaves: true,
        };
        let digesting = Digesting::begin(request, &source, image.format(), ctl);
        let origin = Origin::Empty { size_bytes: plan.size_bytes };
        let staging = Staging::begin(self, "import", &request.spec, origin, ctl).await?;
        let (staging, volume) = staging.opened(ctl).await?;
        let filled = fill_from(&fill, &volume, request, &source, image, digesting, ctl).await;
        drop(volume);
        let (digest, sha256) = match filled {
            Ok(filled) => filled,
            Err(error) => return Err(staging.undo(error, ctl).await),
        };
        let id = staging.publish(ctl).await?;
        Ok(ImportReport {
            volume: plan.volume,
            id,
            size_bytes: plan.size_bytes,
            data_bytes: plan.data_bytes,
            digest,
            verified: plan.verify,
            snapshot: plan.snapshot,
            seconds: started.elapsed().as_secs_f64(),
            source: SourceReport { sha256, ..plan.source },
        })
    }
}

/// Refuses what a pool has no room for, as far as that is known: where it is not, the first write that finds none says so.
pub(crate) fn require_room(data_bytes: u64, pool: Option<&PoolInfo>) -> Result<()> {
    match pool.map(|pool| pool.available_bytes) {
        Some(available_bytes) if data_bytes > available_bytes => {
            Err(Error::new(ErrorKind::NoSpace, "the pool has no room for the data")
                .context("needed_bytes", data_bytes)
                .context("available_bytes", available_bytes)
                .hint("make room in the pool, or remove volumes: `volary rm`"))
        }
        _ => Ok(()),
    }
}

/// The file's own digests, computed beside everything else from the moment it is known to be imported: hashing takes as long as
/// copying, and one core has nothing to do while staging waits for the cluster. Dropped, it ends at once.
struct Digesting {
    task: JoinHandle<Result<Vec<Checksum>>>,
    _stop: DropGuard,
}

impl Digesting {
    fn begin(request: &ImportRequest, source: &OpenSource, format: Format, ctl: &Ctl) -> Self {
        let covered = format.is_raw_content() && !source.spooled && source.compression.is_none();
        let algorithms = request.algorithms(!covered);
        let stop = ctl.cancel_token().child_token();
        let (file, ctl) = (source.file.clone(), ctl.clone().cancelled_by(stop.clone()));
        let task = tokio::task::spawn_blocking(move || digest_file(&*file, &algorithms, &ctl));
        Digesting { task, _stop: stop.drop_guard() }
    }

    async fn finish(self) -> Result<Vec<Checksum>> {
        match self.task.await {
            Ok(digests) => digests,
            Err(error) => Err(Error::new(ErrorKind::Internal, "digesting the source").because(error)),
        }
    }
}

/// Copies, compares with the expected digest and with the source itself, seals.
async fn fill_from(
    fill: &Fill,
    volume: &Arc<dyn Volume>,
    request: &ImportRequest,
    source: &OpenSource,
    image: Image,
    digesting: Digesting,
    ctl: &Ctl,
) -> Result<(ContentDigest, Option<String>)> {
    let format = image.format();
    let copied = fill.copy_in(volume, Arc::new(ImageBlocks(Arc::new(image))), ctl).await;
    let digest = copied.map_err(|error| source.explain(error))?;
    let checksums = digesting.finish().await.map_err(|error| source.explain(error))?;
    source.check_unchanged()?;
    let report = SourceReport {
        path: source.shown.clone(),
        format: format.to_string(),
        compression: source.compression.map(|format| format.to_string()),
        file_bytes: source.file_bytes(),
        sha256: None,
        notes: Vec::new(),
    };
    let report = seal(fill, volume, request, report, (digest, &checksums), ctl).await?;
    Ok((digest, report.sha256))
}

/// Compares the source's digests with the one that was expected, and seals the volume with what it was made of.
pub(super) async fn seal(
    fill: &Fill,
    volume: &Arc<dyn Volume>,
    request: &ImportRequest,
    source: SourceReport,
    (digest, checksums): (ContentDigest, &[Checksum]),
    ctl: &Ctl,
) -> Result<SourceReport> {
    let computed = |algorithm| checksums.iter().find(|checksum| checksum.algorithm() == algorithm);
    if let Some(expected) = &request.checksum {
        let actual = computed(expected.algorithm()).map(Checksum::to_string).unwrap_or_default();
        if actual != expected.to_string() {
            return Err(Error::new(ErrorKind::Mismatch, "the source does not have the expected checksum")
                .context("expected", expected)
                .context("actual", actual)
                .context("path", &source.path)
                .hint("it is damaged or not the file that was meant: fetch it again"));
        }
    }
    let sha256 = computed(Algorithm::Sha256).map(|checksum| checksum.hex().to_owned());
    let provenance = json!({
        "path": source.path,
        "format": source.format,
        "compression": source.compression,
        "file_bytes": source.file_bytes,
        "digests": checksums.iter().map(Checksum::to_string).collect::<Vec<_>>(),
        "expected": request.checksum.as_ref().map(Checksum::to_string),
        "imported": Timestamp::now(),
        "by": concat!("volary ", env!("CARGO_PKG_VERSION")),
    });
    fill.seal(volume, digest, &provenance, ctl).await?;
    Ok(SourceReport { sha256, ..source })
}
