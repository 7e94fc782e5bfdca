//! Advisory locks.

use super::audit::audited;
use super::handle::closing;
use crate::engine::Locker;
use crate::{Ctl, Error, ErrorKind, Name, Result, Store, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// A lock that was taken or broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LockReport {
    /// The volume.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
    /// What the locker called its lock.
    pub cookie: Name,
    /// Who has it, or had it.
    pub client: Name,
}

impl Store {
    /// Who holds an advisory lock on a volume, sorted.
    ///
    /// # Errors
    /// `Usage` for a snapshot; `NotFound` for the volume.
    pub async fn lockers(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<Locker>> {
        spec.require_head()?;
        let volume = self.open_to_read(spec, ctl).await?;
        let lockers = volume.lockers(ctl).await;
        let mut lockers = closing(&volume, lockers, ctl).await?;
        lockers.sort();
        Ok(lockers)
    }

    /// Locks a volume: alone, or shared with all who give the same tag. The lock stays until it is broken, also when
    /// this process has ended.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let web = &"web".parse()?; store.create(web, 1 << 20, ctl).await?;
    /// let lock = store.add_lock(web, &Name::from_bytes("moving"), None, ctl).await?;
    /// assert_eq!(store.remove(web, &RemoveOptions::default(), ctl).await?.outcome, Outcome::Blocked);
    /// store.break_lock(web, &lock.cookie, &lock.client, ctl).await?;
    /// assert_eq!(store.remove(web, &RemoveOptions::default(), ctl).await?.outcome, Outcome::Removed);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a snapshot, or a cookie no lock can have; `NotFound` for the volume; `Blocked` while it is locked
    /// otherwise or somebody has it open to write; `AlreadyExists` for a lock this process has.
    pub async fn add_lock(
        &self,
        spec: &VolumeSpec,
        cookie: &Name,
        tag: Option<&Name>,
        ctl: &Ctl,
    ) -> Result<LockReport> {
        audited(
            "lock_add",
            spec,
            json!({"cookie": cookie, "tag": tag}),
            async {
                spec.require_head()?;
                let volume = self.open_to_read(spec, ctl).await?;
                let add =
                    async { Ok((volume.stat(ctl).await?.id, volume.add_lock(cookie, tag, ctl).await?)) };
                let added = add.await.map_err(|error: Error| error.context("volume", spec));
                let (id, locker) = closing(&volume, added, ctl).await?;
                Ok(LockReport { volume: spec.clone(), id, cookie: locker.cookie, client: locker.client })
            },
            |report| ("locked", json!(report)),
        )
        .await
    }

    /// Takes an advisory lock from whoever holds it. On Ceph a client other than this one is blocklisted with that.
    ///
    /// # Errors
    /// `Usage` for a snapshot; `NotFound` for the volume or the lock; `Permission` without the right to blocklist.
    pub async fn break_lock(
        &self,
        spec: &VolumeSpec,
        cookie: &Name,
        client: &Name,
        ctl: &Ctl,
    ) -> Result<LockReport> {
        audited(
            "lock_break",
            spec,
            json!({"cookie": cookie, "client": client}),
            async {
                spec.require_head()?;
                let volume = self.open_to_read(spec, ctl).await?;
                let broken =
                    async { Ok((volume.stat(ctl).await?.id, volume.break_lock(cookie, client, ctl).await?)) };
                let broken = broken.await.map_err(|error: Error| {
                    let missing = error.kind() == ErrorKind::NotFound;
                    let error = error.context("volume", spec);
                    if missing {
                        error.hint(format!("`volary lock ls {spec}` shows the locks there are"))
                    } else {
                        error
                    }
                });
                let (id, ()) = closing(&volume, broken, ctl).await?;
                Ok(LockReport { volume: spec.clone(), id, cookie: cookie.clone(), client: client.clone() })
            },
            |report| ("broken", json!(report)),
        )
        .await
    }
}
