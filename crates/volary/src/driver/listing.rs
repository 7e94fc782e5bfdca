//! What there is: `ls`, `info`, `du`.

use super::handle::{closing, named};
use super::journal::PendingListing;
use super::lineage::ParentReport;
use super::notes;
use crate::engine::{SnapshotInfo, Unusable, Usage, Volume, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Store, Target, VolumeId, VolumeSpec, escape};
use futures::future::{Either, TryFutureExt};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Volumes opened at a time to list their details: enough to hide a cluster's latency, few enough to spare it.
const OPEN_AT_ONCE: usize = 16;

/// A volume in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VolumeListing {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id; an image of format 1 on Ceph has none.
    pub id: Option<VolumeId>,
    /// Why it cannot be used, of an image of format 1.
    pub problem: Option<String>,
}

/// A volume in a long listing; what the user may not see is `None`, and so is what could not be counted within the timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VolumeDetails {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id; an image of format 1 on Ceph has none.
    pub id: Option<VolumeId>,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// What its head takes up itself.
    pub used_bytes: Option<u64>,
    /// The snapshot it is a clone of.
    pub parent: Option<ParentReport>,
    /// Why the rest cannot be told: of a volume that is damaged, such as one without header, and of an image of format 1.
    pub problem: Option<String>,
    /// Operations on it that stand in the journal.
    pub pending: Vec<PendingListing>,
}

/// A snapshot of a volume, as `info` and `snap ls` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SnapshotListing {
    /// Its name.
    pub name: Name,
    /// The volume's size when it was made.
    pub size_bytes: u64,
    /// Whether it is protected.
    pub protected: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
}

impl From<SnapshotInfo> for SnapshotListing {
    fn from(of: SnapshotInfo) -> Self {
        SnapshotListing {
            name: of.name,
            size_bytes: of.size_bytes,
            protected: of.protected,
            created: of.created,
        }
    }
}

/// All there is to say of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VolumeInfo {
    /// The volume, at a snapshot if one was asked for.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The size of the head, or of the snapshot.
    pub size_bytes: u64,
    /// What the head or snapshot takes up itself.
    pub used_bytes: u64,
    /// The size of the objects its data is kept in.
    pub object_bytes: u64,
    /// The features of an RBD image.
    pub features: Vec<String>,
    /// The snapshot it is a clone of.
    pub parent: Option<ParentReport>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<SnapshotListing>,
    /// Its metadata, keys and values escaped.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Operations on it that stand in the journal.
    pub pending: Vec<PendingListing>,
    /// Notes on it: writes that are not in its content yet, what the store was told to do with it, that it is encrypted.
    pub notes: Vec<String>,
}

/// What a volume's head or one of its snapshots takes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UsageReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The snapshot, or `None` for the head.
    pub snapshot: Option<Name>,
    /// Its size.
    pub size_bytes: u64,
    /// What it takes up itself.
    pub used_bytes: u64,
}

impl Store {
    /// The volumes of a namespace, in no order, in bounded memory; those in trash are not among them. What has a name there and
    /// cannot be used, an image of format 1 on Ceph, comes last.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace, as the stream's only item.
    pub fn list<'a>(
        &'a self,
        namespace: &'a Namespace,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<VolumeListing>> {
        let entries = self.engine().volumes(namespace, ctl);
        let listed = entries.map_ok(|entry| VolumeListing {
            volume: namespace.volume(entry.name),
            id: Some(entry.id),
            problem: None,
        });
        let unusable = self.unusable(namespace, ctl).map_ok(|of| VolumeListing {
            volume: namespace.volume(of.name),
            id: None,
            problem: Some(of.why),
        });
        listed.chain(unusable).boxed()
    }

    /// What has a name and cannot be used.
    fn unusable<'a>(
        &'a self,
        namespace: &'a Namespace,
        ctl: &'a Ctl,
    ) -> impl Stream<Item = Result<Unusable>> + Send + 'a {
        let list = async move {
            let all = self.engine().unusable(namespace, ctl).await?;
            Ok::<_, Error>(stream::iter(all.into_iter().map(Ok)))
        };
        list.try_flatten_stream()
    }

    /// As [`list`](Store::list), with size, parent, and what stands in the journal about it; a volume that vanishes meanwhile is left
    /// out.
    ///
    /// # Errors
    /// As [`list`](Store::list); and `Deadline`, `Unreachable` and `Interrupted`. What else a volume fails with is told of it alone.
    pub fn list_details<'a>(
        &'a self,
        namespace: &'a Namespace,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<VolumeDetails>> {
        let details = async move {
            let mut pending: HashMap<VolumeId, Vec<PendingListing>> = HashMap::new();
            for of in visible(self.pending(namespace, ctl).await)? {
                if let Some(id) = of.volume_id.clone() {
                    pending.entry(id).or_default().push(of);
                }
            }
            let with_pending = self.engine().volumes(namespace, ctl).map_ok(move |entry| {
                let of = pending.remove(&entry.id).unwrap_or_default();
                (entry, of)
            });
            let details = with_pending.map(move |found| async move {
                let (entry, pending) = found?;
                let details = self.details(namespace, entry, ctl).await?;
                Ok(details.map(|details| VolumeDetails { pending, ..details }))
            });
            let unusable = self.unusable(namespace, ctl).map_ok(|of| VolumeDetails {
                volume: namespace.volume(of.name),
                id: None,
                size_bytes: None,
                used_bytes: None,
                parent: None,
                problem: Some(of.why),
                pending: Vec::new(),
            });
            let found = details.buffered(OPEN_AT_ONCE).try_filter_map(|found| std::future::ready(Ok(found)));
            Ok(found.chain(unusable))
        };
        details.try_flatten_stream().boxed()
    }

    async fn details(
        &self,
        namespace: &Namespace,
        entry: VolumeEntry,
        ctl: &Ctl,
    ) -> Result<Option<VolumeDetails>> {
        // By id: the name may stand for another volume by now.
        let spec = namespace.volume_by_id(entry.id.clone());
        let read = async {
            if let Some(Usage { size_bytes, used_bytes, may_have_parent }) =
                self.engine().usage(namespace, &entry.id, ctl).await?
            {
                let parent = match may_have_parent {
                    true => self.engine().parent(namespace, &entry.id, ctl).await?,
                    false => None,
                };
                return Ok::<_, Error>((size_bytes, Some(used_bytes), parent.map(Into::into)));
            }
            let volume = self.open_to_read(&spec, ctl).await?;
            let read = async {
                let stat = volume.stat(ctl).await?;
                let used_bytes = match volume.used_bytes(ctl).await {
                    // Each object of a huge volume without object map is looked at.
                    Err(error) if error.kind() == ErrorKind::Deadline => {
                        let volume = namespace.volume(entry.name.clone());
                        tracing::warn!(%volume, "what it takes up was not counted within the timeout: give more with --timeout");
                        None
                    }
                    used => Some(used?),
                };
                Ok((stat, used_bytes))
            }
            .await;
            let (stat, used_bytes) = closing(&volume, read, ctl).await?;
            Ok((stat.size_bytes, used_bytes, stat.parent.map(Into::into)))
        };
        let mut problem = None;
        let (size_bytes, used_bytes, parent) = match read.await {
            Ok((size, used, parent)) => (Some(size), used, parent),
            Err(error) if is_of_the_store(&error) => return Err(error),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => return Ok(None),
                ErrorKind::Permission => (None, None, None),
                _ => {
                    problem = Some(problem_of(&error));
                    (None, None, None)
                }
            },
        };
        let volume = namespace.volume(entry.name);
        let pending = Vec::new();
        Ok(Some(VolumeDetails {
            volume,
            id: Some(entry.id),
            size_bytes,
            used_bytes,
            parent,
            problem,
            pending,
        }))
    }

    /// All there is to say of a volume, or of it as it was at a snapshot.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// assert_eq!(store.info(&"web".parse()?, ctl).await?.size_bytes, 1 << 20);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the volume or snapshot.
    #[tracing::instrument(name = "info", skip_all, fields(volume = %spec))]
    pub async fn info(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<VolumeInfo> {
        let name = self.shown(spec, ctl).await?;
        let volume = self.open_to_read(spec, ctl).await?;
        let read = async {
            let stat = volume.stat(ctl).await?;
            let used_bytes = volume.used_bytes(ctl).await?;
            let pending = visible(self.pending_of(&spec.namespace, &stat.id, ctl).await)?;
            let snapshots = volume.snapshots(ctl).await?.into_iter().map(Into::into).collect();
            let text = |bytes: Vec<u8>| escape(&bytes).into_owned();
            let metadata = volume.metadata(ctl).await?.into_iter().map(|(k, v)| (text(k), text(v))).collect();
            let notes = volume.caveats(ctl).await?.iter().map(ToString::to_string).collect();
            Ok(VolumeInfo {
                volume: name,
                id: stat.id,
                size_bytes: stat.size_bytes,
                used_bytes,
                object_bytes: stat.object_bytes,
                features: stat.features,
                parent: stat.parent.map(Into::into),
                snapshots,
                metadata,
                created: stat.created,
                pending,
                notes,
            })
        };
        let mut info = match read.await {
            Ok(info) => info,
            failed => return closing(&volume, failed, ctl).await,
        };
        // Last: content may lie where nothing answers while everything else does.
        let first = notes::first_bytes(&*volume, info.size_bytes, ctl).await;
        match &first {
            Ok(first) => info.notes.extend(notes::of_encryption(first)),
            // Closing would wait for it once more.
            Err(error) if error.kind() == ErrorKind::Deadline => {
                info.notes.push(notes::UNREAD.to_owned());
                return Ok(info);
            }
            Err(_) => {}
        }
        closing(&volume, first.map(|_| info), ctl).await
    }

    /// What a volume takes up: each snapshot, oldest first, then the head; or the one snapshot the spec names.
    ///
    /// # Errors
    /// `NotFound` for the volume or snapshot.
    #[tracing::instrument(name = "du", skip_all, fields(volume = %spec))]
    pub async fn usage(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<UsageReport>> {
        let shown = self.shown(&spec.head(), ctl).await?;
        let volume = self.open_to_read(spec, ctl).await?;
        let read = async {
            let mut reports = Vec::new();
            if spec.snapshot.is_none() {
                let id = volume.stat(ctl).await?.id;
                for snapshot in volume.snapshots(ctl).await? {
                    let by_id = spec.namespace.volume_by_id(id.clone()).at(snapshot.name);
                    let frozen = match self.open_to_read(&by_id, ctl).await {
                        Err(error) if error.kind() == ErrorKind::NotFound => continue,
                        opened => opened?,
                    };
                    let usage = usage_of(&*frozen, &shown, by_id.snapshot, ctl).await;
                    match closing(&frozen, usage, ctl).await {
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        usage => reports.push(usage?),
                    }
                }
            }
            reports.push(usage_of(&*volume, &shown, spec.snapshot.clone(), ctl).await?);
            Ok(reports)
        };
        closing(&volume, read.await, ctl).await
    }

    /// What every volume of a namespace takes up, as [`usage`](Store::usage), in bounded memory.
    ///
    /// # Errors
    /// As [`list`](Store::list) and [`usage`](Store::usage); a volume that vanishes meanwhile is left out.
    pub fn usage_of_all<'a>(
        &'a self,
        namespace: &'a Namespace,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<UsageReport>> {
        let entries = self.engine().volumes(namespace, ctl);
        let usages = entries.map(move |entry| async move {
            match self.usage(&namespace.volume(entry?.name), ctl).await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                usage => usage,
            }
        });
        let flat = usages.buffered(OPEN_AT_ONCE).flat_map(|usage| match usage {
            Ok(reports) => Either::Left(stream::iter(reports.into_iter().map(Ok))),
            Err(error) => Either::Right(stream::iter([Err(error)])),
        });
        flat.boxed()
    }

    /// The spec as it is shown: by name, or by id for a volume in trash.
    pub(crate) async fn shown(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<VolumeSpec> {
        match (&spec.volume, self.engine().find(&spec.namespace, &spec.volume, ctl).await?) {
            (_, Some(entry)) => Ok(named(spec, &entry)),
            (Target::Id(_), None) => Ok(spec.clone()),
            (Target::Name(_), None) => Err(self.no_such_volume(spec, ctl).await),
        }
    }
}

/// Whether a failure is of the store rather than of one volume, so that looking at other volumes makes no sense.
pub(super) fn is_of_the_store(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unreachable | ErrorKind::Interrupted)
}

/// What is wrong with a volume, in a few words.
fn problem_of(error: &Error) -> String {
    let errno = error.contexts().find(|(key, _)| *key == "errno");
    match errno.filter(|_| error.kind() != ErrorKind::Mismatch) {
        Some((_, errno)) => format!("{}: {errno}", error.message()),
        None => error.message().to_owned(),
    }
}

/// What is shown of a journal: nothing, to a user who may not read it.
fn visible(pending: Result<Vec<PendingListing>>) -> Result<Vec<PendingListing>> {
    match pending {
        Err(error) if error.kind() == ErrorKind::Permission => Ok(Vec::new()),
        pending => pending,
    }
}

async fn usage_of(
    volume: &dyn Volume,
    shown: &VolumeSpec,
    snapshot: Option<Name>,
    ctl: &Ctl,
) -> Result<UsageReport> {
    let stat = volume.stat(ctl).await?;
    let used_bytes = volume.used_bytes(ctl).await?;
    // Objects of a snapshot that is gone would count as none.
    volume.confirm(0, ctl).await?;
    Ok(UsageReport { volume: shown.clone(), id: stat.id, snapshot, size_bytes: stat.size_bytes, used_bytes })
}
