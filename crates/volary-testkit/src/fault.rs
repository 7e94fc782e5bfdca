//! An engine over another whose calls can be made to fail, to see what the driver makes of it.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use volary::engine::*;
use volary::{Ctl, Name, Namespace, Result, Target, VolumeId};

/// Asked before every call, by the method's name; an error it returns is the call's, and the call is not made.
///
/// Letting go (`close`, `shutdown`) is never asked about.
pub type Before = Arc<dyn Fn(&'static str) -> Result<()> + Send + Sync>;

/// An engine whose calls fail when told to.
pub struct Faulty {
    inner: Arc<dyn Engine>,
    before: Before,
}

struct FaultyVolume {
    inner: Arc<dyn Volume>,
    before: Before,
}

impl Faulty {
    /// Puts `before` in front of every call of an engine and of the volumes it opens.
    pub fn over(inner: Arc<dyn Engine>, before: Before) -> Arc<dyn Engine> {
        Arc::new(Faulty { inner, before })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for FaultyVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyVolume").field(&self.inner).finish()
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn describe(&self, ctl: &Ctl) -> Result<StoreDescription> {
        (self.before)("describe")?;
        self.inner.describe(ctl).await
    }

    async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>> {
        (self.before)("pools")?;
        self.inner.pools(ctl).await
    }

    async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<PoolInfo> {
        (self.before)("pool_info")?;
        self.inner.pool_info(pool, ctl).await
    }

    async fn create_pool(&self, pool: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("create_pool")?;
        self.inner.create_pool(pool, ctl).await
    }

    async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Name>> {
        (self.before)("namespaces")?;
        self.inner.namespaces(pool, ctl).await
    }

    async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        (self.before)("create_namespace")?;
        self.inner.create_namespace(namespace, ctl).await
    }

    async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        (self.before)("remove_namespace")?;
        self.inner.remove_namespace(namespace, ctl).await
    }

    fn volumes<'a>(&'a self, namespace: &'a Namespace, ctl: &'a Ctl) -> BoxStream<'a, Result<VolumeEntry>> {
        match (self.before)("volumes") {
            Ok(()) => self.inner.volumes(namespace, ctl),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn find(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<VolumeEntry>> {
        (self.before)("find")?;
        self.inner.find(namespace, volume, ctl).await
    }

    async fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        (self.before)("create")?;
        self.inner.create(namespace, name, options, ctl).await
    }

    async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        (self.before)("clone_volume")?;
        self.inner.clone_volume(parent, namespace, name, options, ctl).await
    }

    async fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("rename")?;
        self.inner.rename(namespace, volume, to, ctl).await
    }

    async fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<()> {
        (self.before)("remove")?;
        self.inner.remove(namespace, volume, ctl).await
    }

    async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        (self.before)("trash")?;
        self.inner.trash(namespace, ctl).await
    }

    async fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        keep: Duration,
        ctl: &Ctl,
    ) -> Result<()> {
        (self.before)("trash_move")?;
        self.inner.trash_move(namespace, volume, keep, ctl).await
    }

    async fn trash_restore(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        name: &Name,
        ctl: &Ctl,
    ) -> Result<()> {
        (self.before)("trash_restore")?;
        self.inner.trash_restore(namespace, id, name, ctl).await
    }

    async fn trash_remove(&self, namespace: &Namespace, id: &VolumeId, force: bool, ctl: &Ctl) -> Result<()> {
        (self.before)("trash_remove")?;
        self.inner.trash_remove(namespace, id, force, ctl).await
    }

    async fn open(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        (self.before)("open")?;
        let inner = self.inner.open(namespace, volume, options, ctl).await?;
        Ok(Arc::new(FaultyVolume { inner, before: self.before.clone() }))
    }

    async fn records(&self, namespace: &Namespace, prefix: &str, ctl: &Ctl) -> Result<Vec<Record>> {
        (self.before)("records")?;
        self.inner.records(namespace, prefix, ctl).await
    }

    async fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        ctl: &Ctl,
    ) -> Result<bool> {
        (self.before)("swap_record")?;
        self.inner.swap_record(namespace, key, expected, new, ctl).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.inner.shutdown().await
    }
}

#[async_trait]
impl Volume for FaultyVolume {
    async fn stat(&self, ctl: &Ctl) -> Result<Stat> {
        (self.before)("stat")?;
        self.inner.stat(ctl).await
    }

    async fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        (self.before)("read")?;
        self.inner.read(offset, len, ctl).await
    }

    async fn write(&self, offset: u64, data: Bytes, ctl: &Ctl) -> Result<()> {
        (self.before)("write")?;
        self.inner.write(offset, data, ctl).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()> {
        (self.before)("write_zeroes")?;
        self.inner.write_zeroes(offset, len, ctl).await
    }

    async fn flush(&self, ctl: &Ctl) -> Result<()> {
        (self.before)("flush")?;
        self.inner.flush(ctl).await
    }

    async fn extents(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<Vec<Extent>> {
        (self.before)("extents")?;
        self.inner.extents(offset, len, ctl).await
    }

    async fn used_bytes(&self, ctl: &Ctl) -> Result<u64> {
        (self.before)("used_bytes")?;
        self.inner.used_bytes(ctl).await
    }

    async fn resize(&self, size_bytes: u64, ctl: &Ctl) -> Result<()> {
        (self.before)("resize")?;
        self.inner.resize(size_bytes, ctl).await
    }

    async fn flatten(&self, ctl: &Ctl) -> Result<()> {
        (self.before)("flatten")?;
        self.inner.flatten(ctl).await
    }

    async fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("rollback")?;
        self.inner.rollback(snapshot, ctl).await
    }

    async fn snapshots(&self, ctl: &Ctl) -> Result<Vec<SnapshotInfo>> {
        (self.before)("snapshots")?;
        self.inner.snapshots(ctl).await
    }

    async fn create_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("create_snapshot")?;
        self.inner.create_snapshot(snapshot, ctl).await
    }

    async fn rename_snapshot(&self, snapshot: &Name, to: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("rename_snapshot")?;
        self.inner.rename_snapshot(snapshot, to, ctl).await
    }

    async fn remove_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("remove_snapshot")?;
        self.inner.remove_snapshot(snapshot, ctl).await
    }

    async fn protect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("protect_snapshot")?;
        self.inner.protect_snapshot(snapshot, ctl).await
    }

    async fn unprotect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("unprotect_snapshot")?;
        self.inner.unprotect_snapshot(snapshot, ctl).await
    }

    async fn children(&self, snapshot: Option<&Name>, ctl: &Ctl) -> Result<Vec<Child>> {
        (self.before)("children")?;
        self.inner.children(snapshot, ctl).await
    }

    async fn metadata(&self, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        (self.before)("metadata")?;
        self.inner.metadata(ctl).await
    }

    async fn set_metadata(&self, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()> {
        (self.before)("set_metadata")?;
        self.inner.set_metadata(key, value, ctl).await
    }

    async fn remove_metadata(&self, key: &[u8], ctl: &Ctl) -> Result<()> {
        (self.before)("remove_metadata")?;
        self.inner.remove_metadata(key, ctl).await
    }

    async fn lockers(&self, ctl: &Ctl) -> Result<Vec<Locker>> {
        (self.before)("lockers")?;
        self.inner.lockers(ctl).await
    }

    async fn add_lock(&self, cookie: &Name, tag: Option<&Name>, ctl: &Ctl) -> Result<Locker> {
        (self.before)("add_lock")?;
        self.inner.add_lock(cookie, tag, ctl).await
    }

    async fn break_lock(&self, cookie: &Name, client: &Name, ctl: &Ctl) -> Result<()> {
        (self.before)("break_lock")?;
        self.inner.break_lock(cookie, client, ctl).await
    }

    async fn holders(&self, ctl: &Ctl) -> Result<Vec<Holder>> {
        (self.before)("holders")?;
        self.inner.holders(ctl).await
    }

    async fn close(&self, ctl: &Ctl) -> Result<()> {
        self.inner.close(ctl).await
    }
}
