//! An engine over another whose calls can be made to fail, to see what the driver makes of it.
#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use volary::engine::*;
use volary::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};

/// Asked before every call, by the method's name; an error it returns is the call's, and the call is not made.
///
/// Letting go (`close`, `shutdown`) is never asked about.
pub type Before = Arc<dyn Fn(&'static str) -> Result<()> + Send + Sync>;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails so and is not made.
    Fail(ErrorKind),
    /// It is made, and its answer is lost: it fails so all the same.
    LoseAnswer(ErrorKind),
    /// It never answers; giving it up is all that ends it.
    Hang,
    /// It is made so much later.
    Delay(Duration),
    /// It is not made, nor is any later one; every open handle is let go without flushing, as when the process dies.
    Crash,
}

struct Faults {
    before: Before,
    /// The call that a fault happens to, counted from 0.
    planned: Option<(usize, Fault)>,
    calls: AtomicUsize,
    crashed: AtomicBool,
    handles: Mutex<Vec<Weak<Handle>>>,
}

type Handle = Mutex<Option<Arc<dyn Volume>>>;

/// An engine whose calls fail when told to.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Engine>,
    faults: Arc<Faults>,
}

struct FaultyVolume {
    inner: Arc<Handle>,
    faults: Arc<Faults>,
}

fn made_to_fail(kind: ErrorKind) -> Error {
    Error::new(kind, "made to fail")
}

impl Faulty {
    /// Puts `before` in front of every call of an engine and of the volumes it opens.
    pub fn over(inner: Arc<dyn Engine>, before: Before) -> Arc<dyn Engine> {
        Arc::new(Faulty::new(inner, before, None))
    }

    /// An engine whose call of that number, from 0, has a fault.
    pub fn at(inner: Arc<dyn Engine>, call: usize, fault: Fault) -> Faulty {
        Faulty::new(inner, Arc::new(|_| Ok(())), Some((call, fault)))
    }

    fn new(inner: Arc<dyn Engine>, before: Before, planned: Option<(usize, Fault)>) -> Faulty {
        let faults = Faults {
            before,
            planned,
            calls: AtomicUsize::new(0),
            crashed: AtomicBool::new(false),
            handles: Mutex::default(),
        };
        Faulty { inner, faults: Arc::new(faults) }
    }

    /// How many calls were asked for.
    pub fn calls(&self) -> usize {
        self.faults.calls.load(Ordering::SeqCst)
    }
}

impl Faults {
    /// Whether the call is made; `Ok(Some)` for one whose answer is lost.
    fn ask(&self, method: &'static str) -> Result<Option<Error>> {
        if self.crashed.load(Ordering::SeqCst) {
            return Err(made_to_fail(ErrorKind::Unreachable));
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        (self.before)(method)?;
        match self.planned.filter(|(planned, _)| *planned == call) {
            None => Ok(None),
            Some((_, Fault::Fail(kind))) => Err(made_to_fail(kind)),
            Some((_, Fault::LoseAnswer(kind))) => Ok(Some(made_to_fail(kind))),
            // Only calls that are awaited can be held up, and they are before they ask.
            Some((_, Fault::Hang | Fault::Delay(_))) => Ok(None),
            Some((_, Fault::Crash)) => {
                self.crashed.store(true, Ordering::SeqCst);
                for handle in self.handles.lock().unwrap().drain(..) {
                    drop(handle.upgrade().and_then(|handle| handle.lock().unwrap().take()));
                }
                Err(made_to_fail(ErrorKind::Unreachable))
            }
        }
    }

    /// Makes a call as the faults will have it.
    async fn call<T>(&self, method: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some((planned, fault @ (Fault::Hang | Fault::Delay(_)))) = self.planned
            && self.calls.compare_exchange(planned, planned + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            let Fault::Delay(delay) = fault else { return std::future::pending().await };
            tokio::time::sleep(delay).await;
            return call.await;
        }
        match self.ask(method)? {
            None => call.await,
            Some(lost) => call.await.and(Err(lost)),
        }
    }
}

impl FaultyVolume {
    fn inner(&self) -> Result<Arc<dyn Volume>> {
        self.inner.lock().unwrap().clone().ok_or_else(|| made_to_fail(ErrorKind::Unreachable))
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
    async fn fence(&self, holder: &Holder, keep: Duration, ctl: &Ctl) -> Result<()> {
        self.faults.call("fence", self.inner.fence(holder, keep, ctl)).await
    }

    async fn describe(&self, ctl: &Ctl) -> Result<StoreDescription> {
        self.faults.call("describe", self.inner.describe(ctl)).await
    }

    async fn examine(&self, ctl: &Ctl) -> Result<Vec<Check>> {
        self.faults.call("examine", self.inner.examine(ctl)).await
    }

    async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>> {
        self.faults.call("pools", self.inner.pools(ctl)).await
    }

    async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<Option<PoolInfo>> {
        self.faults.call("pool_info", self.inner.pool_info(pool, ctl)).await
    }

    async fn create_pool(&self, pool: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("create_pool", self.inner.create_pool(pool, ctl)).await
    }

    async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Name>> {
        self.faults.call("namespaces", self.inner.namespaces(pool, ctl)).await
    }

    async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        self.faults.call("create_namespace", self.inner.create_namespace(namespace, ctl)).await
    }

    async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        self.faults.call("remove_namespace", self.inner.remove_namespace(namespace, ctl)).await
    }

    fn volumes<'a>(&'a self, namespace: &'a Namespace, ctl: &'a Ctl) -> BoxStream<'a, Result<VolumeEntry>> {
        match self.faults.ask("volumes") {
            Ok(None) => self.inner.volumes(namespace, ctl),
            Ok(Some(error)) | Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn find(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<VolumeEntry>> {
        self.faults.call("find", self.inner.find(namespace, volume, ctl)).await
    }

    async fn head(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<Head>> {
        self.faults.call("head", self.inner.head(namespace, volume, ctl)).await
    }

    async fn usage(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Usage>> {
        self.faults.call("usage", self.inner.usage(namespace, id, ctl)).await
    }

    async fn parent(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Parent>> {
        self.faults.call("parent", self.inner.parent(namespace, id, ctl)).await
    }

    async fn unheld(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<bool> {
        self.faults.call("unheld", self.inner.unheld(namespace, id, ctl)).await
    }

    async fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        self.faults.call("create", self.inner.create(namespace, name, options, ctl)).await
    }

    async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        self.faults.call("clone_volume", self.inner.clone_volume(parent, namespace, name, options, ctl)).await
    }

    async fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("rename", self.inner.rename(namespace, volume, to, ctl)).await
    }

    async fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<()> {
        self.faults.call("remove", self.inner.remove(namespace, volume, ctl)).await
    }

    async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        self.faults.call("trash", self.inner.trash(namespace, ctl)).await
    }

    async fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        options: &TrashOptions,
        ctl: &Ctl,
    ) -> Result<()> {
        self.faults.call("trash_move", self.inner.trash_move(namespace, volume, options, ctl)).await
    }

    async fn trash_restore(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        name: &Name,
        ctl: &Ctl,
    ) -> Result<()> {
        self.faults.call("trash_restore", self.inner.trash_restore(namespace, id, name, ctl)).await
    }

    async fn trash_remove(&self, namespace: &Namespace, id: &VolumeId, force: bool, ctl: &Ctl) -> Result<()> {
        self.faults.call("trash_remove", self.inner.trash_remove(namespace, id, force, ctl)).await
    }

    async fn open(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        let inner = self.faults.call("open", self.inner.open(namespace, volume, options, ctl)).await?;
        let inner = Arc::new(Mutex::new(Some(inner)));
        self.faults.handles.lock().unwrap().push(Arc::downgrade(&inner));
        Ok(Arc::new(FaultyVolume { inner, faults: self.faults.clone() }))
    }

    async fn records(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: &[u8],
        most: usize,
        ctl: &Ctl,
    ) -> Result<RecordPage> {
        self.faults.call("records", self.inner.records(namespace, prefix, after, most, ctl)).await
    }

    async fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        ctl: &Ctl,
    ) -> Result<bool> {
        self.faults.call("swap_record", self.inner.swap_record(namespace, key, expected, new, ctl)).await
    }

    fn check<'a>(
        &'a self,
        scope: &'a CheckScope,
        options: &'a CheckOptions,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<Checked>> {
        match self.faults.ask("check") {
            Ok(None) => self.inner.check(scope, options, ctl),
            Ok(Some(error)) | Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn repair(&self, scope: &CheckScope, finding: &Finding, ctl: &Ctl) -> Result<bool> {
        self.faults.call("repair", self.inner.repair(scope, finding, ctl)).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.inner.shutdown().await
    }
}

#[async_trait]
impl Volume for FaultyVolume {
    async fn stat(&self, ctl: &Ctl) -> Result<Stat> {
        self.faults.call("stat", self.inner()?.stat(ctl)).await
    }

    async fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        self.faults.call("read", self.inner()?.read(offset, len, ctl)).await
    }

    async fn read_block(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<(Bytes, Option<[u8; 32]>)> {
        self.faults.call("read", self.inner()?.read_block(offset, len, ctl)).await
    }

    async fn write(&self, offset: u64, data: Bytes, ctl: &Ctl) -> Result<()> {
        self.faults.call("write", self.inner()?.write(offset, data, ctl)).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()> {
        self.faults.call("write_zeroes", self.inner()?.write_zeroes(offset, len, ctl)).await
    }

    async fn expect_writes(&self, ranges: &[Range<u64>], ctl: &Ctl) -> Result<()> {
        self.faults.call("expect_writes", self.inner()?.expect_writes(ranges, ctl)).await
    }

    async fn flush(&self, ctl: &Ctl) -> Result<()> {
        self.faults.call("flush", self.inner()?.flush(ctl)).await
    }

    async fn record_leaves(&self, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()> {
        self.faults.call("record_leaves", self.inner()?.record_leaves(leaves, ctl)).await
    }

    async fn extents(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<Vec<Extent>> {
        self.faults.call("extents", self.inner()?.extents(offset, len, ctl)).await
    }

    async fn confirm(&self, size_bytes: u64, ctl: &Ctl) -> Result<u64> {
        self.faults.call("confirm", self.inner()?.confirm(size_bytes, ctl)).await
    }

    async fn used_bytes(&self, ctl: &Ctl) -> Result<u64> {
        self.faults.call("used_bytes", self.inner()?.used_bytes(ctl)).await
    }

    async fn resize(&self, size_bytes: u64, ctl: &Ctl) -> Result<()> {
        self.faults.call("resize", self.inner()?.resize(size_bytes, ctl)).await
    }

    async fn flatten(&self, ctl: &Ctl) -> Result<()> {
        self.faults.call("flatten", self.inner()?.flatten(ctl)).await
    }

    async fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("rollback", self.inner()?.rollback(snapshot, ctl)).await
    }

    async fn snapshots(&self, ctl: &Ctl) -> Result<Vec<SnapshotInfo>> {
        self.faults.call("snapshots", self.inner()?.snapshots(ctl)).await
    }

    async fn create_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("create_snapshot", self.inner()?.create_snapshot(snapshot, ctl)).await
    }

    async fn rename_snapshot(&self, snapshot: &Name, to: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("rename_snapshot", self.inner()?.rename_snapshot(snapshot, to, ctl)).await
    }

    async fn remove_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("remove_snapshot", self.inner()?.remove_snapshot(snapshot, ctl)).await
    }

    async fn protect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("protect_snapshot", self.inner()?.protect_snapshot(snapshot, ctl)).await
    }

    async fn unprotect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("unprotect_snapshot", self.inner()?.unprotect_snapshot(snapshot, ctl)).await
    }

    async fn children(&self, snapshot: Option<&Name>, ctl: &Ctl) -> Result<Vec<Child>> {
        self.faults.call("children", self.inner()?.children(snapshot, ctl)).await
    }

    async fn metadata(&self, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.faults.call("metadata", self.inner()?.metadata(ctl)).await
    }

    async fn set_metadata(&self, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()> {
        self.faults.call("set_metadata", self.inner()?.set_metadata(key, value, ctl)).await
    }

    async fn remove_metadata(&self, key: &[u8], ctl: &Ctl) -> Result<()> {
        self.faults.call("remove_metadata", self.inner()?.remove_metadata(key, ctl)).await
    }

    async fn lockers(&self, ctl: &Ctl) -> Result<Vec<Locker>> {
        self.faults.call("lockers", self.inner()?.lockers(ctl)).await
    }

    async fn add_lock(&self, cookie: &Name, tag: Option<&Name>, ctl: &Ctl) -> Result<Locker> {
        self.faults.call("add_lock", self.inner()?.add_lock(cookie, tag, ctl)).await
    }

    async fn break_lock(&self, cookie: &Name, client: &Name, ctl: &Ctl) -> Result<()> {
        self.faults.call("break_lock", self.inner()?.break_lock(cookie, client, ctl)).await
    }

    async fn holders(&self, ctl: &Ctl) -> Result<Vec<Holder>> {
        self.faults.call("holders", self.inner()?.holders(ctl)).await
    }

    async fn close(&self, ctl: &Ctl) -> Result<()> {
        // After a crash there is nobody left to close anything.
        match self.inner() {
            Ok(inner) => inner.close(ctl).await,
            Err(_) => Ok(()),
        }
    }
}
