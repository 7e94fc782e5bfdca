//! [`Engine`] over an open store: each method does its work on a thread, bounded by its `Ctl`.

use super::directory::{MAX_VOLUME_BYTES, now};
use super::store::Store;
use super::volume::Handle;
use super::{blocking, reserve};
use crate::engine::*;
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, TryStreamExt};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How many volumes a listing reads at a time.
const PAGE: u32 = 512;

pub(super) struct Local {
    store: Arc<Store>,
    /// The copy of the database that is being made, awaited before the store is let go.
    copying: Mutex<Option<JoinHandle<()>>>,
}

impl Local {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Local { store, copying: Mutex::default() }
    }

    async fn call<T: Send + 'static>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl Fn(&Arc<Store>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (store, removes) = (self.store.clone(), ctl.removes());
        let result = ctl
            .call(
                step,
                blocking(move || if removes { store.in_reserve(|| work(&store)) } else { work(&store) }),
            )
            .await;
        self.copy_meanwhile();
        result
    }

    /// Lets a copy of the database be made beside what follows, in a process that stays for longer.
    fn copy_meanwhile(&self) {
        if !(self.store.db.changed() && self.store.may_copy(now())) {
            return;
        }
        let mut copying = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if copying.as_ref().is_none_or(JoinHandle::is_finished) {
            let store = self.store.clone();
            *copying = Some(tokio::task::spawn_blocking(move || {
                store.copy_or_warn(now());
                reserve::keep(&store.root);
            }));
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::unix::ffi::OsStrExt;
        write!(f, "local:{}", crate::escape(self.store.path().as_os_str().as_bytes()))
    }
}

#[async_trait]
impl Engine for Local {
    async fn describe(&self, _ctl: &Ctl) -> Result<StoreDescription> {
        let mut description =
            StoreDescription::new("local", &self.store.identity().id, env!("CARGO_PKG_VERSION"));
        description.max_volume_bytes = MAX_VOLUME_BYTES;
        Ok(description)
    }

    async fn examine(&self, ctl: &Ctl) -> Result<Vec<Check>> {
        // A store on a directory has no settings, users or versions to go wrong: opening it has checked what can.
        let lost = self.call(ctl, "look for objects that no row names", |store| store.lost()).await?;
        let kept: Vec<_> = lost.into_iter().filter(|lost| !lost.passing).collect();
        let Some(first) = kept.first() else { return Ok(Vec::new()) };
        let directory = first.path.parent().unwrap_or(&first.path).display();
        let bytes = kept.iter().fold(0_u64, |sum, lost| sum.saturating_add(lost.bytes));
        Ok(vec![Check::warning(
            "lost objects",
            format!("{} objects of {bytes} bytes are in {directory}: no volume has them", kept.len()),
            "they were left when the database went back to its copy; remove the directory once nothing is missed",
        )])
    }

    async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>> {
        self.call(ctl, "list pools", |store| store.pools()).await
    }

    async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<Option<PoolInfo>> {
        let pool = pool.clone();
        self.call(ctl, "ask for a pool's figures", move |store| store.pool_info(&pool).map(Some)).await
    }

    async fn create_pool(&self, pool: &Name, ctl: &Ctl) -> Result<()> {
        let pool = pool.clone();
        self.call(ctl, "create a pool", move |store| store.create_pool(&pool)).await
    }

    async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Name>> {
        let pool = pool.clone();
        self.call(ctl, "list namespaces", move |store| store.namespaces(&pool)).await
    }

    async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        let namespace = namespace.clone();
        self.call(ctl, "create a namespace", move |store| store.create_namespace(&namespace)).await
    }

    async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        let namespace = namespace.clone();
        self.call(ctl, "remove a namespace", move |store| store.remove_namespace(&namespace)).await
    }

    fn volumes<'a>(&'a self, namespace: &'a Namespace, ctl: &'a Ctl) -> BoxStream<'a, Result<VolumeEntry>> {
        // `None`: the last page was read; else the name that the next page comes after, if any.
        let pages = stream::try_unfold(Some(None::<Name>), move |after| async move {
            let Some(after) = after else { return Ok::<_, crate::Error>(None) };
            let namespace = namespace.clone();
            let list = move |store: &Arc<Store>| store.volumes_after(&namespace, after.as_ref(), PAGE);
            let page = self.call(ctl, "list volumes", list).await?;
            let next = (page.len() == PAGE as usize).then(|| page.last().map(|entry| entry.name.clone()));
            Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
        });
        Box::pin(pages.try_flatten())
    }

    /// Nothing else is in a store of its own.
    async fn unusable(&self, _: &Namespace, _: &Ctl) -> Result<Vec<Unusable>> {
        Ok(Vec::new())
    }

    async fn find(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<VolumeEntry>> {
        let (namespace, volume) = (namespace.clone(), volume.clone());
        self.call(ctl, "find a volume", move |store| store.find(&namespace, &volume)).await
    }

    async fn name_version(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        ctl: &Ctl,
    ) -> Result<Option<u64>> {
        let (namespace, volume) = (namespace.clone(), volume.clone());
        self.call(ctl, "look at a volume's name", move |store| store.name_version(&namespace, &volume)).await
    }

    async fn snapshots_made(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<u64>> {
        let (namespace, id) = (namespace.clone(), id.clone());
        self.call(ctl, "look at a volume's snapshots", move |store| store.snapshots_made(&namespace, &id))
            .await
    }

    async fn head(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<Head>> {
        let (namespace, volume) = (namespace.clone(), volume.clone());
        self.call(ctl, "look a volume up", move |store| store.head(&namespace, &volume)).await
    }

    /// Opening a volume asks the same database.
    async fn usage(&self, _: &Namespace, _: &VolumeId, _: &Ctl) -> Result<Option<Usage>> {
        Ok(None)
    }

    async fn parent(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Parent>> {
        let volume = self.open(namespace, &Target::Id(id.clone()), &OpenOptions::read(None), ctl).await?;
        Ok(volume.stat(ctl).await?.parent)
    }

    /// The database tells the clones of every volume when that is opened.
    async fn known_clones(&self, _: &Namespace, _: &VolumeId, _: &Ctl) -> Result<Vec<VolumeSpec>> {
        Ok(Vec::new())
    }

    /// Opening a volume asks the same database.
    async fn unheld(&self, _: &Namespace, _: &VolumeId, _: &Ctl) -> Result<bool> {
        Ok(false)
    }

    async fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        let (namespace, name, options) = (namespace.clone(), name.clone(), options.clone());
        self.call(ctl, "create a volume", move |store| store.create(&namespace, &name, &options)).await
    }

    async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        let (parent, namespace, name) = (parent.clone(), namespace.clone(), name.clone());
        let options = options.clone();
        let clone = move |store: &Arc<Store>| store.clone_volume(&parent, &namespace, &name, &options);
        self.call(ctl, "clone a snapshot", clone).await
    }

    async fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name, ctl: &Ctl) -> Result<()> {
        let (namespace, volume, to) = (namespace.clone(), volume.clone(), to.clone());
        self.call(ctl, "rename a volume", move |store| store.rename(&namespace, &volume, &to)).await
    }

    async fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<Vec<String>> {
        let (namespace, volume, store, inner) =
            (namespace.clone(), volume.clone(), self.store.clone(), ctl.clone());
        let remove = blocking(move || store.in_reserve(|| store.remove(&namespace, &volume, &inner)));
        ctl.transfer("remove a volume", remove).await.map(|()| Vec::new())
    }

    async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        let namespace = namespace.clone();
        self.call(ctl, "list trash", move |store| store.trash(&namespace)).await
    }

    async fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        options: &TrashOptions,
        ctl: &Ctl,
    ) -> Result<()> {
        let (namespace, volume, keep) = (namespace.clone(), volume.clone(), options.keep);
        self.call(ctl, "move to trash", move |store| store.trash_move(&namespace, &volume, keep)).await
    }

    async fn trash_restore(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        name: &Name,
        ctl: &Ctl,
    ) -> Result<()> {
        let (namespace, id, name) = (namespace.clone(), id.clone(), name.clone());
        self.call(ctl, "restore from trash", move |store| store.trash_restore(&namespace, &id, &name)).await
    }

    async fn trash_remove(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        force: bool,
        ctl: &Ctl,
    ) -> Result<Vec<String>> {
        let (namespace, id, store, inner) = (namespace.clone(), id.clone(), self.store.clone(), ctl.clone());
        let remove =
            blocking(move || store.in_reserve(|| store.trash_remove(&namespace, &id, force, &inner)));
        ctl.transfer("remove from trash", remove).await.map(|()| Vec::new())
    }

    async fn open(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        let (namespace, volume, options) = (namespace.clone(), volume.clone(), options.clone());
        let open = move |store: &Arc<Store>| store.open_volume(&namespace, &volume, &options);
        Ok(Arc::new(Handle(Arc::new(self.call(ctl, "open a volume", open).await?))))
    }

    async fn records(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: &[u8],
        most: usize,
        ctl: &Ctl,
    ) -> Result<RecordPage> {
        let (namespace, prefix, after) = (namespace.clone(), prefix.to_owned(), after.to_vec());
        self.call(ctl, "list records", move |store| store.records(&namespace, &prefix, &after, most)).await
    }

    async fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        ctl: &Ctl,
    ) -> Result<bool> {
        let (namespace, key) = (namespace.clone(), key.to_owned());
        let (expected, new) = (expected.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        self.call(ctl, "swap a record", move |store| {
            store.swap_record(&namespace, &key, expected.as_deref(), new.as_deref())
        })
        .await
    }

    async fn fence(&self, holder: &Holder, _keep: Duration, _ctl: &Ctl) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "a local store cannot keep a process out")
            .context("holder", &holder.detail)
            .hint(holder.remedy.clone()))
    }

    fn check<'a>(
        &'a self,
        scope: &'a CheckScope,
        options: &'a CheckOptions,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<Checked>> {
        super::check::check(&self.store, scope, options, ctl)
    }

    async fn repair(&self, _scope: &CheckScope, finding: &Finding, ctl: &Ctl) -> Result<bool> {
        let repair = finding.repair.clone();
        self.call(ctl, "repair a finding", move |store| store.repair(repair.as_ref())).await
    }

    async fn shutdown(&self) -> Result<()> {
        let copying = self.copying.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(copying) = copying {
            // It has told of its failure itself.
            let _ = copying.await;
        }
        let store = self.store.clone();
        blocking(move || {
            store.copy_or_warn(now());
            store.db.close();
            // The log of the database has given up what it took of the disk.
            if !store.root.is_read_only() {
                reserve::keep(&store.root);
            }
            Ok(())
        })
        .await
    }
}
