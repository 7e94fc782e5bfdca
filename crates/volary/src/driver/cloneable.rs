//! Whether a location can be cloned, and cloning it.

use super::handle::closing;
use super::lineage::CloneReport;
use crate::{Ctl, Error, ErrorKind, ImageFormat, Location, Result, Store, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;

/// Why a location cannot be cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotCloneable {
    /// It is in another store.
    OtherStore,
    /// Its content is a disk image in a format, and not the disk.
    NotRaw,
    /// There is no such pool, volume or snapshot.
    NotFound,
    /// The user may not read it.
    Permission,
    /// The snapshot is not protected.
    NotProtected,
}

/// Whether a location can be cloned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CloneableReport {
    /// The snapshot.
    pub parent: VolumeSpec,
    /// Whether it can be cloned here.
    pub cloneable: bool,
    /// Why it cannot.
    pub reason: Option<NotCloneable>,
    /// The same in words.
    pub detail: Option<String>,
}

impl Store {
    /// Whether a location, whose content is of a format, can be cloned in this store; if not, why.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"golden".parse()?, 1 << 20, ctl).await?;
    /// store.create_snapshot(&"golden@snap".parse()?, true, ctl).await?;
    /// let id = store.describe(ctl).await?.id;
    /// let location: Location = format!("rbd://{id}/rbd/golden/snap").parse()?;
    /// assert!(store.cloneable(&location, ImageFormat::Raw, ctl).await?.cloneable);
    /// let report = store.cloneable(&location, ImageFormat::Qcow2, ctl).await?;
    /// assert_eq!(report.reason, Some(NotCloneable::NotRaw));
    /// store.clone_location(&location, &"web".parse()?, ctl).await?;
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What reading fails with, but for what is a reason.
    #[tracing::instrument(name = "cloneable", skip_all, fields(location = %location))]
    pub async fn cloneable(
        &self,
        location: &Location,
        format: ImageFormat,
        ctl: &Ctl,
    ) -> Result<CloneableReport> {
        let parent = location.spec();
        let refused = match self.require_here(location, ctl).await {
            Err(error) if error.kind() == ErrorKind::Usage => Some((NotCloneable::OtherStore, error)),
            Err(error) => return Err(error),
            Ok(()) if format != ImageFormat::Raw => {
                let error =
                    Error::new(ErrorKind::Unsupported, "only raw content is a disk that can be cloned");
                Some((NotCloneable::NotRaw, error.context("format", format)))
            }
            Ok(()) => self.refused_parent(&parent, ctl).await?,
        };
        let reason = refused.as_ref().map(|(reason, _)| *reason);
        let detail = refused.map(|(_, error)| error.report());
        Ok(CloneableReport { parent, cloneable: reason.is_none(), reason, detail })
    }

    /// Makes a volume, in any pool of this store, whose content is a location's, sharing its data.
    ///
    /// # Errors
    /// `Usage` for a location in another store; else as [`clone_volume`](Store::clone_volume).
    pub async fn clone_location(
        &self,
        location: &Location,
        child: &VolumeSpec,
        ctl: &Ctl,
    ) -> Result<CloneReport> {
        self.require_here(location, ctl).await?;
        self.clone_volume(&location.spec(), child, ctl).await
    }

    async fn require_here(&self, location: &Location, ctl: &Ctl) -> Result<()> {
        let here = self.describe(ctl).await?.id;
        if here == location.store_id {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Usage, "the location is in another store")
            .context("location", location)
            .context("store_id", here)
            .hint("download it from there and import it, or connect to that store"))
    }

    async fn refused_parent(&self, parent: &VolumeSpec, ctl: &Ctl) -> Result<Option<(NotCloneable, Error)>> {
        let read = async {
            let volume = self.open_to_read(parent, ctl).await?;
            let stat = volume.stat(ctl).await;
            closing(&volume, stat, ctl).await
        };
        match read.await {
            Ok(stat) if stat.snapshot.as_ref().is_some_and(|snapshot| snapshot.protected) => Ok(None),
            Ok(_) => {
                let error = Error::new(ErrorKind::Blocked, "the snapshot is not protected");
                Ok(Some((NotCloneable::NotProtected, error.context("snapshot", parent))))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some((NotCloneable::NotFound, error))),
            Err(error) if error.kind() == ErrorKind::Permission => {
                Ok(Some((NotCloneable::Permission, error)))
            }
            Err(error) => Err(error),
        }
    }
}
