//! Snapshots and their verbs.

use super::audit::audited;
use super::handle::closing;
use super::journal::{Intent, Work};
use super::listing::SnapshotListing;
use crate::engine::Volume;
use crate::{Ctl, Error, ErrorKind, Name, Phase, Result, Store, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// A snapshot as it is after an operation on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SnapshotReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// The snapshot.
    pub snapshot: Name,
    /// The volume's size when it was made.
    pub size_bytes: u64,
    /// Whether it is protected.
    pub protected: bool,
}

/// What can be done to one snapshot of an open volume.
enum Change<'a> {
    Create { name: &'a Name, protect: bool },
    Protect(&'a Name),
    Unprotect(&'a Name),
    Rename { name: &'a Name, to: &'a Name },
    RollBack(&'a Name),
}

impl<'a> Change<'a> {
    /// What must be finished by another if this process dies in it; the rest are single steps that a dead process has
    /// taken or not.
    async fn work(&self, volume: &dyn Volume, ctl: &Ctl) -> Result<Option<(&'static str, Work)>> {
        match self {
            Change::Create { name, protect: true } => {
                Ok(Some(("snapshot_create", Work::Protect { snapshot: (*name).clone() })))
            }
            Change::RollBack(name) => {
                let snapshots = volume.snapshots(ctl).await?;
                let found = snapshots.into_iter().find(|snapshot| snapshot.name == **name);
                Ok(found.map(|found| ("rollback", Work::Rollback { snapshot: found.id })))
            }
            _ => Ok(None),
        }
    }

    /// Does it, and returns the name the snapshot has then.
    async fn make(self, volume: &dyn Volume, spec: &VolumeSpec, ctl: &Ctl) -> Result<&'a Name> {
        match self {
            Change::Create { name, protect } => {
                volume.create_snapshot(name, ctl).await?;
                let protected = if protect { volume.protect_snapshot(name, ctl).await } else { Ok(()) };
                let Err(error) = protected else { return Ok(name) };
                match volume.remove_snapshot(name, &ctl.for_cleanup()).await {
                    Ok(()) => Err(error.context("step", "protect")),
                    Err(left) => {
                        let message = format!("not protected, and the snapshot stays: {}", left.report());
                        let hint = format!("`volary snap rm {spec}`");
                        Err(Error::new(ErrorKind::Partial, message).because(error).hint(hint))
                    }
                }
            }
            Change::Protect(name) => volume.protect_snapshot(name, ctl).await.map(|()| name),
            Change::Unprotect(name) => {
                let unprotected = volume.unprotect_snapshot(name, ctl).await;
                unprotected.map(|()| name).map_err(|error| match error.kind() {
                    ErrorKind::Blocked => error.hint(format!("`volary children {spec}` shows its clones")),
                    _ => error,
                })
            }
            Change::Rename { name, to } => volume.rename_snapshot(name, to, ctl).await.map(|()| to),
            Change::RollBack(name) => {
                ctl.phase(Phase::Remove, None);
                volume.rollback(name, ctl).await.map(|()| name)
            }
        }
    }
}

impl Store {
    /// The snapshots of a volume, oldest first.
    ///
    /// # Errors
    /// `NotFound` for the volume; `Usage` for a snapshot.
    pub async fn snapshots(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<SnapshotListing>> {
        spec.require_head()?;
        let volume = self.open_to_read(spec, ctl).await?;
        let snapshots = volume.snapshots(ctl).await;
        Ok(closing(&volume, snapshots, ctl).await?.into_iter().map(Into::into).collect())
    }

    /// Makes a snapshot, and protects it if asked; one that cannot be protected is removed again.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let (web, golden) = (&"web".parse()?, &"web@golden".parse()?);
    /// # store.create(web, 1 << 20, ctl).await?;
    /// assert!(store.create_snapshot(golden, true, ctl).await?.protected);
    /// let again = store.create_snapshot(golden, true, ctl).await;
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a spec without snapshot or a name outside the grammar; `NotFound`; `AlreadyExists`; `Blocked` while
    /// somebody writes; `Partial` when it could be neither protected nor removed again.
    pub async fn create_snapshot(
        &self,
        spec: &VolumeSpec,
        protect: bool,
        ctl: &Ctl,
    ) -> Result<SnapshotReport> {
        audited(
            "snapshot_create",
            spec,
            json!({"protect": protect}),
            async {
                let name = spec.required_snapshot()?.clone().checked_for_creation()?;
                self.changing(spec, Change::Create { name: &name, protect }, ctl).await
            },
            |report| ("created", json!(report)),
        )
        .await
    }

    /// Protects a snapshot from removal, so that it can be cloned; protecting it again does nothing.
    ///
    /// # Errors
    /// `Usage` for a spec without snapshot; `NotFound`; `Blocked` while somebody writes.
    pub async fn protect_snapshot(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<SnapshotReport> {
        audited(
            "snapshot_protect",
            spec,
            json!({}),
            async {
                let name = spec.required_snapshot()?;
                self.changing(spec, Change::Protect(name), ctl).await
            },
            |report| ("protected", json!(report)),
        )
        .await
    }

    /// Ends a snapshot's protection; doing so again does nothing.
    ///
    /// # Errors
    /// `Usage` for a spec without snapshot; `NotFound`; `Blocked` while it has clones or somebody writes.
    pub async fn unprotect_snapshot(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<SnapshotReport> {
        audited(
            "snapshot_unprotect",
            spec,
            json!({}),
            async {
                let name = spec.required_snapshot()?;
                self.changing(spec, Change::Unprotect(name), ctl).await
            },
            |report| ("unprotected", json!(report)),
        )
        .await
    }

    /// Gives a snapshot another name.
    ///
    /// # Errors
    /// `Usage` for a spec without snapshot, another volume, or a name outside the grammar; `NotFound`;
    /// `AlreadyExists`; `Blocked` while somebody writes.
    pub async fn rename_snapshot(&self, spec: &VolumeSpec, to: &Name, ctl: &Ctl) -> Result<SnapshotReport> {
        audited(
            "snapshot_rename",
            spec,
            json!({"to": to}),
            async {
                let name = spec.required_snapshot()?;
                let to = &to.clone().checked_for_creation()?;
                self.changing(spec, Change::Rename { name, to }, ctl).await
            },
            |report| ("renamed", json!(report)),
        )
        .await
    }

    /// Sets a volume's content and size back to a snapshot's; what was written since is gone.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let (web, golden) = (&"web".parse()?, &"web@golden".parse()?);
    /// # store.create(web, 1 << 20, ctl).await?;
    /// # store.create_snapshot(golden, true, ctl).await?;
    /// store.resize(web, 2 << 20, false, ctl).await?;
    /// store.rollback(golden, ctl).await?;
    /// assert_eq!(store.info(web, ctl).await?.size_bytes, 1 << 20);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a spec without snapshot; `NotFound`; `Blocked` while somebody writes.
    pub async fn rollback(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<SnapshotReport> {
        let name = spec.required_snapshot()?;
        let work = self.changing(spec, Change::RollBack(name), ctl);
        audited("rollback", spec, json!({}), work, |report| ("rolled_back", json!(report))).await
    }

    /// Opens the head of a spec's volume to change a snapshot, and reports what it is then.
    async fn changing(&self, spec: &VolumeSpec, change: Change<'_>, ctl: &Ctl) -> Result<SnapshotReport> {
        let head = spec.head();
        let shown = self.shown(&head, ctl).await?;
        let volume: Arc<dyn Volume> = match change {
            Change::RollBack(_) => self.open_to_write(&head, ctl).await?,
            _ => self.open_beside(&head, ctl).await?,
        };
        let work = async {
            let id = volume.stat(ctl).await?.id;
            let intent = match change.work(&*volume, ctl).await? {
                Some((operation, work)) => {
                    let (engine, id) = (self.shared_engine(), Some(id.clone()));
                    Some(Intent::begin(engine, operation, &shown.head(), id, work, ctl).await?)
                }
                None => None,
            };
            let made = change.make(&*volume, spec, ctl).await.cloned();
            let made = match intent {
                Some(intent) => intent.conclude(made, ctl).await,
                None => made,
            };
            let name = made.map_err(|error| error.context("snapshot", spec))?;
            let found = volume.snapshots(ctl).await?.into_iter().find(|snapshot| snapshot.name == name);
            let found = found.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "the snapshot was removed meanwhile")
                    .context("snapshot", spec)
            })?;
            Ok(SnapshotReport {
                volume: shown,
                id,
                snapshot: name,
                size_bytes: found.size_bytes,
                protected: found.protected,
            })
        };
        let result = work.await;
        closing(&volume, result, ctl).await
    }
}
