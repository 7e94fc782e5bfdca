//! Making empty volumes, and asking whether one is there.

use super::audit::audited;
use super::sectors::require_whole;
use super::staging::{Origin, Staging};
use crate::engine::OpenOptions;
use crate::{Ctl, ErrorKind, Result, Store, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// A volume that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CreateReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// Its size.
    pub size_bytes: u64,
}

impl Store {
    /// Makes a volume that reads as zeros.
    ///
    /// # Errors
    /// `Usage` for a name outside the grammar, or for a size that the store cannot keep or that is no whole number of sectors of 512
    /// bytes; `AlreadyExists`; `NotFound` for the pool or namespace.
    pub async fn create(&self, spec: &VolumeSpec, size_bytes: u64, ctl: &Ctl) -> Result<CreateReport> {
        audited(
            "create",
            spec,
            json!({"size_bytes": size_bytes}),
            async {
                self.require_new(spec, ctl).await?;
                require_whole(size_bytes).map_err(|error| error.context("volume", spec))?;
                let staged = async {
                    let staging =
                        Staging::begin(self, "create", spec, Origin::Empty { size_bytes }, ctl).await?;
                    staging.publish(ctl).await
                };
                let id = staged.await.map_err(|error| error.context("volume", spec))?;
                tracing::info!(%id, "created");
                Ok(CreateReport { volume: spec.clone(), id, size_bytes })
            },
            |report| ("created", json!(report)),
        )
        .await
    }

    /// Whether the volume, or the snapshot when the spec names one, is there; a volume in trash is not.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// assert!(store.exists(&"web".parse()?, ctl).await?);
    /// assert!(!store.exists(&"web@golden".parse()?, ctl).await?);
    /// assert!(!store.exists(&"db".parse()?, ctl).await?);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace: where they are wrong, "no" would be a guess.
    pub async fn exists(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<bool> {
        if self.engine().find(&spec.namespace, &spec.volume, ctl).await?.is_none() {
            return Ok(false);
        }
        if spec.snapshot.is_none() {
            return Ok(true);
        }
        let options = OpenOptions::read(spec.snapshot.clone());
        match self.engine().open(&spec.namespace, &spec.volume, &options, ctl).await {
            Ok(volume) => volume.close(ctl).await.map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.context("volume", spec)),
        }
    }

    /// The size of a volume, or of it as it was at a snapshot, in bytes; a head is not opened for it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// assert_eq!(store.size(&"web".parse()?, ctl).await?, 1 << 20);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the volume or snapshot.
    pub async fn size(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<u64> {
        if spec.snapshot.is_none()
            && let Some(head) = self.engine().head(&spec.namespace, &spec.volume, ctl).await?
        {
            return Ok(head.size_bytes);
        }
        // A snapshot, or a volume in trash by its id.
        let volume = self.open_to_read(spec, ctl).await?;
        let stat = volume.stat(ctl).await;
        Ok(super::handle::closing(&volume, stat, ctl).await?.size_bytes)
    }
}
