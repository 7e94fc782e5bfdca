//! The store: every call of the engine's trait, bounded and told apart.

use super::connection::Ceph;
use super::volume::{Handle, progress};
use super::{
    NO_LIMIT, clone_entries, data_pool, directory, examine, figures, format_1, half_removed, header, holders,
    lockers, migration, object_map, own_data, read_only, records, remains, trash, trash_move, unopenable,
    unopened,
};
use crate::engine::locked;
use crate::engine::{
    Check, CheckOptions, CheckScope, Checked, CloneOptions, CreateOptions, Engine, Finding, Head, Holder,
    OpenOptions, Parent, PoolInfo, RecordPage, SnapshotRef, StoreDescription, TrashEntry, TrashOptions,
    TrashState, Unusable, Usage, Volume, VolumeEntry,
};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use rbd::Errno;
use std::sync::Arc;
use std::time::Duration;

fn usage(message: &'static str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// How long a change of snapshots waits for a writer of this process: longer than other such changes take.
const OWN_WRITERS: Duration = Duration::from_secs(5);

impl Ceph {
    async fn settled(&self, pool: &rbd::Pool, namespace: &Namespace, id: &VolumeId) {
        self.0.writers.settled(&(pool.id(), namespace.name.as_bytes().to_vec(), id.clone())).await;
    }

    pub(super) async fn open_volume(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
    ) -> Result<Handle> {
        let pool = self.0.enter(namespace).await?;
        let id = match volume {
            Target::Id(id) => id.clone(),
            Target::Name(_) => {
                directory::find(&pool, volume).await?.ok_or_else(|| directory::no_volume(volume))?.id
            }
        };
        let (at, snapshot) = (id.as_str().as_bytes(), options.snapshot.clone());
        let (on, at_home) = (Arc::clone(&self.0), (pool.clone(), namespace.clone()));
        if !options.write {
            let opened = pool.open_by_id_read_only(at, snapshot.as_ref().map(Name::as_bytes), NO_LIMIT).await;
            let image = match opened {
                Ok(image) => image,
                Err(error) => {
                    return Err(
                        unopenable::why(&self.0, &pool, namespace, &id, snapshot.as_ref(), error).await
                    );
                }
            };
            return Handle::new(on, at_home, id, image, options, None).await;
        }
        if snapshot.is_some() {
            return Err(usage("a snapshot is never written"));
        }
        let blocked = |by: String| {
            Error::new(ErrorKind::Blocked, "somebody else has the volume open to write").context("holder", by)
        };
        let place = (pool.id(), namespace.name.as_bytes().to_vec(), id.clone());
        // This process's own changes of snapshots follow one another.
        let patience = if options.beside { OWN_WRITERS } else { Duration::ZERO };
        let Some(claim) = self.0.writers.claim(&place, patience).await else {
            return Err(blocked(format!("client.{}, this process", self.0.client)));
        };
        let image = match pool.open_by_id(at, None, NO_LIMIT).await {
            Ok(image) => image,
            Err(error) if error.errno() == Some(Errno::EROFS) => {
                return Err(migration::why_read_only(&self.0, &pool, namespace, &id, error).await);
            }
            Err(error) => return Err(unopenable::why(&self.0, &pool, namespace, &id, None, error).await),
        };
        // Looked at after our own watch is there, so that of two who open at once at most one goes on.
        let others = holders::watchers(&image, Some(self.0.client));
        let (others, lockers, own, primary) = futures::join!(
            others,
            lockers::of(&pool, &id),
            own_data::require(&pool, &id),
            read_only::require_primary(&image, namespace)
        );
        let first = others.map(|others| others.into_iter().next());
        let refused = match (first, own.and(primary).and(lockers)) {
            (Err(error), _) | (_, Err(error)) => error,
            (Ok(Some(other)), _) if !options.beside => blocked(other.detail),
            (Ok(other), Ok(lockers)) => match lockers.first() {
                Some(locker) => locked(locker),
                // What looks cut short may be what the other is at work on.
                None if other.is_some() => {
                    return Handle::new(on, at_home, id, image, options, Some(claim)).await;
                }
                None => match half_removed::finish(&pool, &id, &image).await {
                    Ok(()) => return Handle::new(on, at_home, id, image, options, Some(claim)).await,
                    Err(error) => error,
                },
            },
        };
        image.close(NO_LIMIT).await?;
        Err(refused)
    }
}

#[async_trait]
impl Engine for Ceph {
    async fn describe(&self, ctl: &Ctl) -> Result<StoreDescription> {
        self.0
            .call(ctl, "describe the store", async {
                let mut description = figures::describe(&self.0).await?;
                description.max_volume_bytes = directory::MAX_VOLUME_BYTES;
                description.readers_hold = false;
                description.clones_from_trash = false;
                description.heads_tell_changes = false;
                description.holes_over_parents = false;
                Ok(description)
            })
            .await
    }

    async fn examine(&self, ctl: &Ctl) -> Result<Vec<Check>> {
        // A part of the limit, so that what OSDs do not answer in is told beside all that the monitors tell.
        let limit = ctl.call_limit() / 4 * 3;
        self.0.call(ctl, "examine the store", examine::examine(&self.0, limit)).await
    }

    async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>> {
        let list = async { Ok(self.0.cluster.pools(NO_LIMIT).await?) };
        let mut pools: Vec<_> =
            self.0.call(ctl, "list pools", list).await?.into_iter().map(Name::from_bytes).collect();
        pools.sort();
        Ok(pools)
    }

    async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<Option<PoolInfo>> {
        self.0.call(ctl, "read a pool's figures", figures::pool(&self.0, pool)).await
    }

    async fn create_pool(&self, pool: &Name, _ctl: &Ctl) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "pools of a Ceph cluster are its administrator's").hint(
            format!("let the administrator run `ceph osd pool create {pool}`, then `rbd pool init {pool}`"),
        ))
    }

    async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Name>> {
        self.0
            .call(ctl, "list namespaces", async {
                let all = self.0.pool(pool).await?.namespaces(NO_LIMIT).await?;
                let mut all: Vec<_> = all.into_iter().map(Name::from_bytes).collect();
                all.sort();
                Ok(all)
            })
            .await
    }

    async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        if namespace.name.is_empty() {
            return Err(usage("the default namespace is always there"));
        }
        let name = namespace.name.as_bytes();
        let create =
            async { Ok(self.0.pool(&namespace.pool).await?.create_namespace(name, NO_LIMIT).await?) };
        self.0.call(ctl, "create a namespace", create).await
    }

    async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        if namespace.name.is_empty() {
            return Err(usage("the default namespace stays"));
        }
        let name = namespace.name.as_bytes();
        let remove =
            async { Ok(self.0.pool(&namespace.pool).await?.remove_namespace(name, NO_LIMIT).await?) };
        self.0.call(ctl, "remove a namespace", remove).await
    }

    fn volumes<'a>(&'a self, namespace: &'a Namespace, ctl: &'a Ctl) -> BoxStream<'a, Result<VolumeEntry>> {
        let pages = stream::try_unfold(Some(Vec::new()), move |after| async move {
            let Some(after) = after else { return Ok(None) };
            let page = async { directory::page(&self.0.enter(namespace).await?, &after).await };
            let (entries, next) = self.0.call(ctl, "list volumes", page).await?;
            Ok::<_, Error>(Some((stream::iter(entries.into_iter().map(Ok)), next)))
        });
        pages.try_flatten().boxed()
    }

    async fn unusable(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<Unusable>> {
        let list = async { format_1::listed(&self.0.enter(namespace).await?).await };
        self.0.call(ctl, "list images of format 1", list).await
    }

    async fn find(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<VolumeEntry>> {
        let find = async {
            let pool = self.0.enter(namespace).await?;
            let found = directory::find(&pool, volume).await?;
            if let (None, Target::Id(id)) = (&found, volume) {
                unopenable::require_absent(&pool, namespace, id).await?;
            }
            Ok(found)
        };
        self.0.call(ctl, "find a volume", find).await
    }

    async fn name_version(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        ctl: &Ctl,
    ) -> Result<Option<u64>> {
        let read = async { directory::name_version(&self.0.enter(namespace).await?, volume).await };
        self.0.call(ctl, "look at a volume's name", read).await
    }

    async fn snapshots_made(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<u64>> {
        let read = async { header::snapshots_made(&self.0.enter(namespace).await?, id).await };
        self.0.call(ctl, "look at a volume's snapshots", read).await
    }

    async fn head(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<Head>> {
        let look = async {
            let pool = self.0.enter(namespace).await?;
            let Some(entry) = directory::find(&pool, volume).await? else { return Ok(None) };
            if let Some(header) = header::read(&pool, &entry.id).await? {
                return Ok(Some(Head { entry, size_bytes: header.size_bytes }));
            }
            // What its header does not tell plainly, librbd does.
            let image = match pool.open_by_id_read_only(entry.id.as_str().as_bytes(), None, NO_LIMIT).await {
                Ok(image) => image,
                Err(error) => {
                    return Err(unopenable::why(&self.0, &pool, namespace, &entry.id, None, error).await);
                }
            };
            let size = image.size(NO_LIMIT).await;
            image.close(NO_LIMIT).await?;
            Ok(Some(Head { entry, size_bytes: size? }))
        };
        self.0.call(ctl, "look a volume up", look).await
    }

    async fn usage(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Usage>> {
        let look = async {
            let pool = self.0.enter(namespace).await?;
            let by_id = Target::Id(id.clone());
            let (header, listed) =
                futures::try_join!(header::read(&pool, id), directory::find(&pool, &by_id))?;
            let (Some(header), Some(_)) = (header, listed) else { return Ok(None) };
            if let Some(number) = header.data_pool() {
                data_pool::require(&self.0, &namespace.volume_by_id(id.clone()), number).await?;
            }
            let used = object_map::used_bytes(&pool, id, &header).await?;
            let (size_bytes, may_have_parent) = (header.size_bytes, header.has_parent());
            Ok(used.map(|used_bytes| Usage { size_bytes, used_bytes, may_have_parent }))
        };
        self.0.call(ctl, "look a volume up", look).await
    }

    async fn parent(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Parent>> {
        let told = self.0.call(ctl, "look a volume up", unopened::parent(&self.0, namespace, id)).await?;
        if let Some(parent) = told {
            return Ok(parent);
        }
        let volume = self.open(namespace, &Target::Id(id.clone()), &OpenOptions::read(None), ctl).await?;
        let stat = volume.stat(ctl).await;
        volume.close(&ctl.for_cleanup()).await?;
        Ok(stat?.parent)
    }

    async fn known_clones(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Vec<VolumeSpec>> {
        let list = async { clone_entries::clones_of(&self.0.enter(namespace).await?, namespace, id).await };
        self.0.call(ctl, "list clones", list).await
    }

    async fn unheld(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<bool> {
        let look = async { unopened::unheld(&self.0.enter(namespace).await?, id).await };
        self.0.call(ctl, "look a volume up", look).await
    }

    async fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        self.0.call(ctl, "create a volume", self.0.create_volume(namespace, name, options)).await
    }

    async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        self.0.clone_volume(parent, namespace, name, options, ctl).await
    }

    async fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name, ctl: &Ctl) -> Result<()> {
        self.0
            .call(ctl, "rename a volume", async {
                let pool = self.0.enter(namespace).await?;
                directory::check(&pool, volume).await?;
                futures::try_join!(
                    lockers::require_none(&pool, &volume.id),
                    format_1::require_free(&pool, to),
                    unopenable::require_names(&pool, namespace, volume)
                )?;
                match pool.rename(volume.name.as_bytes(), to.as_bytes(), NO_LIMIT).await {
                    Err(error) => {
                        let own = self.0.client;
                        Err(read_only::explained_closed(&pool, namespace, &volume.id, own, error).await)
                    }
                    Ok(()) => Ok(()),
                }
            })
            .await
    }

    async fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<Vec<String>> {
        self.0
            .transfer(ctl, "remove a volume", async {
                let pool = self.0.enter(namespace).await?;
                directory::check(&pool, volume).await?;
                let id = &volume.id;
                futures::try_join!(lockers::require_none(&pool, id), own_data::require(&pool, id))?;
                self.settled(&pool, namespace, id).await;
                half_removed::finish_before_removal(&self.0, &pool, namespace, id).await?;
                let remains = remains::look(&self.0, &pool, id).await?;
                pool.remove(volume.name.as_bytes(), &progress(ctl, 0), NO_LIMIT).await?;
                Ok(remains.settle(&pool, namespace, id).await)
            })
            .await
    }

    async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        let list = async { trash::list(&self.0.enter(namespace).await?).await };
        self.0.call(ctl, "list trash", list).await
    }

    async fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        options: &TrashOptions,
        ctl: &Ctl,
    ) -> Result<()> {
        self.0
            .call(ctl, "move a volume to trash", async {
                let pool = self.0.enter(namespace).await?;
                // Here too, so that a removal is refused before its first step.
                let own = own_data::require(&pool, &volume.id);
                futures::try_join!(lockers::require_none(&pool, &volume.id), own)?;
                self.settled(&pool, namespace, &volume.id).await;
                trash_move::move_in(&pool, volume, options).await
            })
            .await
    }

    async fn trash_restore(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        name: &Name,
        ctl: &Ctl,
    ) -> Result<()> {
        let restore = async { trash::restore(&self.0.enter(namespace).await?, namespace, id, name).await };
        self.0.call(ctl, "restore a volume from trash", restore).await
    }

    async fn trash_remove(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        force: bool,
        ctl: &Ctl,
    ) -> Result<Vec<String>> {
        self.0
            .transfer(ctl, "remove a volume from trash", async {
                let pool = self.0.enter(namespace).await?;
                let ((), (), entry, remains) = futures::try_join!(
                    lockers::require_none(&pool, id),
                    own_data::require(&pool, id),
                    trash::entry(&pool, id),
                    remains::look(&self.0, &pool, id)
                )?;
                self.settled(&pool, namespace, id).await;
                half_removed::finish_before_removal(&self.0, &pool, namespace, id).await?;
                trash::remove(&pool, id, force, &progress(ctl, 0)).await?;
                // What was half removed has lost its header after its data.
                if entry.is_some_and(|entry| entry.state == TrashState::Removing) {
                    return Ok(Vec::new());
                }
                Ok(remains.settle(&pool, namespace, id).await)
            })
            .await
    }

    async fn open(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        let opened = self.0.call(ctl, "open a volume", self.open_volume(namespace, volume, options)).await?;
        Ok(Arc::new(opened))
    }

    async fn records(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: &[u8],
        most: usize,
        ctl: &Ctl,
    ) -> Result<RecordPage> {
        let most = u64::try_from(most.max(1)).unwrap_or(u64::MAX);
        self.0
            .call(ctl, "read records", async {
                let pool = self.0.enter(namespace).await?;
                let page = pool.omap_page(records::RECORDS, after, prefix.as_bytes(), most, NO_LIMIT).await?;
                Ok(records::page(page))
            })
            .await
    }

    async fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        ctl: &Ctl,
    ) -> Result<bool> {
        if !records::is_key(key.as_bytes()) {
            return Err(usage("the record's key is empty, too long, or not ASCII"));
        }
        if new.is_some_and(|value| value.len() > 64 << 10) {
            return Err(usage("the record's value is too long"));
        }
        self.0
            .call(ctl, "swap a record", async {
                let pool = self.0.enter(namespace).await?;
                records::swap(&pool, key, expected, new).await
            })
            .await
    }

    async fn fence(&self, holder: &Holder, keep: Duration, ctl: &Ctl) -> Result<()> {
        self.0.call(ctl, "blocklist a client", holders::fence(&self.0, holder, keep)).await
    }

    fn check<'a>(
        &'a self,
        scope: &'a CheckScope,
        options: &'a CheckOptions,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<Checked>> {
        self.check_scope(scope, options, ctl)
    }

    async fn repair(&self, scope: &CheckScope, finding: &Finding, ctl: &Ctl) -> Result<bool> {
        self.repair_finding(scope, finding, ctl).await
    }

    async fn shutdown(&self) -> Result<()> {
        // What is open keeps the connection, which ends with the last of it.
        if Arc::strong_count(&self.0) > 1 {
            return Ok(());
        }
        self.0.shutdown().await
    }
}
