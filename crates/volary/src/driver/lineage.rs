//! Clones, what they are clones of, and parting the two.

use super::audit::audited;
use super::handle::{closing, named};
use super::journal::{Intent, Work};
use super::plan::Subject;
use super::staging::{Origin, Staging};
use crate::engine::{Child, OpenOptions, Parent, SnapshotRef};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Phase, Result, Store, Target, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// The longest line of clones that an order of the journal goes along.
const MOST_ANCESTORS: usize = 100;

/// The snapshot a clone reads from where it has no data of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ParentReport {
    /// The parent; by id when it is in trash.
    pub volume: VolumeSpec,
    /// The parent's id.
    pub id: VolumeId,
    /// The snapshot.
    pub snapshot: Name,
    /// How much of the clone, from its start, can read from the parent.
    pub overlap_bytes: u64,
    /// Whether the parent is in trash.
    pub trash: bool,
}

impl From<Parent> for ParentReport {
    fn from(of: Parent) -> Self {
        let volume =
            if of.trash { of.namespace.volume_by_id(of.id.clone()) } else { of.namespace.volume(of.volume) };
        ParentReport {
            volume,
            id: of.id,
            snapshot: of.snapshot,
            overlap_bytes: of.overlap_bytes,
            trash: of.trash,
        }
    }
}

/// A clone of a snapshot, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChildListing {
    /// The clone; by id when it is in trash.
    pub volume: VolumeSpec,
    /// The clone's id.
    pub id: VolumeId,
    /// The snapshot it is a clone of.
    pub snapshot: Name,
    /// Whether the clone is in trash.
    pub trash: bool,
}

impl From<Child> for ChildListing {
    fn from(of: Child) -> Self {
        let volume =
            if of.trash { of.namespace.volume_by_id(of.id.clone()) } else { of.namespace.volume(of.volume) };
        ChildListing { volume, id: of.id, snapshot: of.snapshot, trash: of.trash }
    }
}

/// A clone that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CloneReport {
    /// The clone.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The snapshot it is a clone of.
    pub parent: VolumeSpec,
}

/// A clone that was parted from its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FlattenReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The snapshot it was a clone of.
    pub parent: ParentReport,
}

impl Store {
    /// Makes a volume whose content is a snapshot's, sharing its data.
    ///
    /// The clone inherits the parent's metadata; digests among it name the parent's id, and so do not hold for it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"golden".parse()?, 1 << 20, ctl).await?;
    /// store.create_snapshot(&"golden@v1".parse()?, true, ctl).await?;
    /// store.clone_volume(&"golden@v1".parse()?, &"web".parse()?, ctl).await?;
    /// let parent = store.parent(&"web".parse()?, ctl).await?.expect("a clone has a parent");
    /// assert_eq!(parent.volume.to_string(), "rbd/golden");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a parent without snapshot or a name outside the grammar; `NotFound` for parent or snapshot;
    /// `AlreadyExists`; `Blocked` when the snapshot is not protected, where the store demands it.
    pub async fn clone_volume(
        &self,
        parent: &VolumeSpec,
        child: &VolumeSpec,
        ctl: &Ctl,
    ) -> Result<CloneReport> {
        audited(
            "clone",
            child,
            json!({"parent": parent}),
            async {
                let snapshot = parent.required_snapshot()?.clone();
                self.require_new(child, ctl).await?;
                let shown = self.shown(parent, ctl).await?;
                let volume = match &parent.volume {
                    Target::Id(id) => id.clone(),
                    Target::Name(_) => self.resolve(parent, ctl).await?.id,
                };
                let parent_ref = SnapshotRef { namespace: parent.namespace.clone(), volume, snapshot };
                let staged = async {
                    let staging =
                        Staging::begin(self, "clone", child, Origin::Clone(&parent_ref), ctl).await?;
                    staging.publish(ctl).await
                };
                let id = staged.await.map_err(|error| {
                    let unprotected = error.kind() == ErrorKind::Blocked && error.remedy().is_none();
                    let error = error.context("parent", &shown).context("volume", child);
                    if unprotected {
                        error.hint(format!("`volary snap protect {shown}` first"))
                    } else {
                        error
                    }
                })?;
                tracing::info!(%id, "cloned");
                Ok(CloneReport { volume: child.clone(), id, parent: shown })
            },
            |report| ("cloned", json!(report)),
        )
        .await
    }

    /// Copies into a clone what it still reads from its parent, and parts the two.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"golden".parse()?, 1 << 20, ctl).await?;
    /// # store.create_snapshot(&"golden@v1".parse()?, true, ctl).await?;
    /// # store.clone_volume(&"golden@v1".parse()?, &"web".parse()?, ctl).await?;
    /// let report = store.flatten(&"web".parse()?, ctl).await?;
    /// assert_eq!(report.parent.snapshot.to_string(), "v1");
    /// assert_eq!(store.parent(&"web".parse()?, ctl).await?, None);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a snapshot or a volume without parent; `NotFound`; `Blocked` while somebody writes.
    pub async fn flatten(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<FlattenReport> {
        audited(
            "flatten",
            spec,
            json!({}),
            async {
                spec.require_head()?;
                let entry = self.resolve(spec, ctl).await?;
                let shown = named(spec, &entry);
                let subject = Subject { shown: shown.clone(), id: entry.id.clone() };
                let volume = self.open_subject(&subject, &OpenOptions::write(), ctl).await?;
                let work = async {
                    let parent: ParentReport = match volume.stat(ctl).await?.parent {
                        Some(parent) => parent.into(),
                        None => {
                            return Err(Error::new(
                                ErrorKind::Usage,
                                "the volume is no clone: nothing to flatten",
                            )
                            .context("volume", &shown));
                        }
                    };
                    let id = Some(entry.id.clone());
                    let intent =
                        Intent::begin(self.shared_engine(), "flatten", &shown, id, Work::Flatten, ctl)
                            .await?;
                    ctl.phase(Phase::Flatten, Some(parent.overlap_bytes));
                    let flattened =
                        volume.flatten(ctl).await.map_err(|error| error.context("volume", &shown));
                    intent.conclude(flattened, ctl).await?;
                    tracing::info!(id = %entry.id, parent = %parent.volume, "flattened");
                    Ok(FlattenReport { volume: shown.clone(), id: entry.id, parent })
                };
                closing(&volume, work.await, ctl).await
            },
            |report| ("flattened", json!(report)),
        )
        .await
    }

    /// The first volume outside a namespace that one in it reads from, by the headers of it and its ancestors.
    ///
    /// # Errors
    /// `NotFound` for the volume; `Blocked` when there are more ancestors than anybody makes, as in a ring of forged ones.
    pub(crate) async fn ancestor_outside(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        ctl: &Ctl,
    ) -> Result<Option<Parent>> {
        let mut id = id.clone();
        for _ in 0..MOST_ANCESTORS {
            match self.engine().parent(namespace, &id, ctl).await? {
                None => return Ok(None),
                Some(parent) if parent.namespace != *namespace => return Ok(Some(parent)),
                Some(parent) => id = parent.id,
            }
        }
        Err(Error::new(ErrorKind::Blocked, "the volume has too many ancestors")
            .context("volume", namespace.volume_by_id(id)))
    }

    /// The clones of a volume's snapshots, or of the one the spec names, in every pool and in trash.
    ///
    /// # Errors
    /// `NotFound` for the volume or snapshot.
    #[tracing::instrument(name = "children", skip_all, fields(volume = %spec))]
    pub async fn children(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<ChildListing>> {
        let volume = self.open_to_read(&spec.head(), ctl).await?;
        let found = volume.children(spec.snapshot.as_ref(), ctl).await;
        let found = found.map_err(|error| error.context("volume", spec));
        Ok(closing(&volume, found, ctl).await?.into_iter().map(Into::into).collect())
    }

    /// The snapshot a volume is a clone of; `None` for a volume that is no clone.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"golden".parse()?, 1 << 20, ctl).await?;
    /// # store.create_snapshot(&"golden@v1".parse()?, true, ctl).await?;
    /// # store.clone_volume(&"golden@v1".parse()?, &"web".parse()?, ctl).await?;
    /// let parent = store.parent(&"web".parse()?, ctl).await?.expect("a clone has a parent");
    /// assert_eq!(parent.volume.to_string(), "rbd/golden");
    /// assert!(store.parent(&"golden".parse()?, ctl).await?.is_none());
    /// assert_eq!(store.parent(&"nothing".parse()?, ctl).await.unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` when there is no such volume, which is not the same as having no parent.
    #[tracing::instrument(name = "parent", skip_all, fields(volume = %spec))]
    pub async fn parent(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Option<ParentReport>> {
        if spec.snapshot.is_none() {
            let id = match &spec.volume {
                Target::Id(id) => id.clone(),
                Target::Name(_) => self.resolve(spec, ctl).await?.id,
            };
            let parent = self.engine().parent(&spec.namespace, &id, ctl).await;
            return Ok(parent.map_err(|error| error.context("volume", spec))?.map(Into::into));
        }
        let volume = self.open_to_read(spec, ctl).await?;
        let stat = volume.stat(ctl).await;
        Ok(closing(&volume, stat, ctl).await?.parent.map(Into::into))
    }
}
