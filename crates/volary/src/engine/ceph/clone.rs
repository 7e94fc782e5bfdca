//! Clones: by the changes librbd makes, without opening parent and child for them where nothing asks for more.

use super::NO_LIMIT;
use super::class::{method, number};
use super::connection::Connection;
use super::directory::{DIRECTORY, FEATURES, find, id_of, no_volume, put_string};
use super::header::{self, is_protected};
use super::snapshots::refuse_unless_protected;
use crate::engine::SnapshotRef;
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use futures::try_join;
use rbd::{Errno, Features};

/// What a parent may have that concerns its clones in no way.
const INDIFFERENT: u64 = FEATURES | Features::RBD_FEATURE_DATA_POOL | Features::RBD_FEATURE_OPERATIONS;
/// What an object holds whose pool has been found fit for images.
const FIT_POOL: &[u8] = b"overwrite validated";

/// A snapshot to clone, as its volume's header tells.
struct Parent {
    snapshot: u64,
    size_bytes: u64,
    order: u8,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What the header tells of a snapshot; `None` when it is not there, or anything about the volume is beyond this.
async fn parent(pool: &rbd::Pool, snapshot: &SnapshotRef) -> Result<Option<Parent>> {
    let header = header::read(pool, &snapshot.volume).await?;
    let Some(header) = header.filter(|of| of.is_plain() && of.has_only(INDIFFERENT)) else { return Ok(None) };
    let found = header.snapshots().find(|of| of.name == snapshot.snapshot.as_bytes());
    // Of those that librbd makes.
    let order = header.order().filter(|order| (12..=25).contains(order));
    let (Some(found), Some(order)) = (found, order) else { return Ok(None) };
    let metadata = header.metadata().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    Ok(Some(Parent { snapshot: found.id, size_bytes: found.size_bytes, order, metadata }))
}

impl Connection {
    pub(super) async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        self.call(ctl, "clone a volume", async {
            let (from, to) = (self.enter(&parent.namespace).await?, self.enter(namespace).await?);
            let near = parent.namespace == *namespace;
            if near && let Some(id) = self.clone_near(&to, parent, namespace, name).await? {
                return Ok(id);
            }
            tracing::debug!(clone = %name, "left to librbd");
            if !near {
                // Else librbd refuses by itself.
                refuse_to_clone(&from, parent).await?;
            }
            let Some(found) = find(&from, &Target::Id(parent.volume.clone())).await? else {
                refuse_to_clone(&from, parent).await?;
                return Err(Error::new(ErrorKind::Unsupported, "Ceph clones no volume that is in trash")
                    .context("volume", &parent.volume)
                    .hint("restore the parent first"));
            };
            let mut options = rbd::ImageOptions::default();
            options.features = Some(FEATURES);
            // Format 1 keeps the snapshot protected while it has clones, but cannot leave the namespace.
            options.clone_format = Some(if near { 1 } else { 2 });
            let (parent_name, snapshot) = (found.name.as_bytes(), parent.snapshot.as_bytes());
            let cloned =
                from.clone_image(parent_name, snapshot, &to, name.as_bytes(), &options, NO_LIMIT).await;
            if cloned
                .as_ref()
                .is_err_and(|error| matches!(error.errno(), Some(Errno::EINVAL | Errno::ENOENT)))
            {
                // A snapshot that is not there or not protected is told better than librbd does.
                refuse_to_clone(&from, parent).await?;
            }
            cloned?;
            id_of(&to, name).await?.ok_or_else(|| no_volume(name))
        })
        .await
    }

    /// Clones within a namespace, in format 1; `None` when something asks for librbd, or for its refusal.
    async fn clone_near(
        &self,
        pool: &rbd::Pool,
        of: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
    ) -> Result<Option<VolumeId>> {
        let whole = self.pool(&namespace.pool).await?;
        // What they are configured with by themselves, such as another pool for the data.
        let own = async |of: &rbd::Pool| {
            let found = of.omap_page(b"rbd_info", b"", b"metadata_conf_", 1, NO_LIMIT).await?;
            Ok::<_, Error>(!found.entries.is_empty())
        };
        let volume = Target::Id(of.volume.clone());
        let (listed, parent, fit, of_pool, of_namespace) = try_join!(
            find(pool, &volume),
            parent(pool, of),
            async { Ok(whole.object_read(b"rbd_info", FIT_POOL.len(), NO_LIMIT).await?) },
            own(&whole),
            own(pool),
        )?;
        let plain = listed.is_some() && !of_pool && !of_namespace;
        let fit = fit.as_deref() == Some(FIT_POOL);
        let Some(parent) = parent.filter(|_| plain && fit) else { return Ok(None) };
        for (option, plain) in [
            ("rbd_default_data_pool", ""),
            ("rbd_default_stripe_unit", "0"),
            ("rbd_default_stripe_count", "0"),
        ] {
            if self.cluster.option(option, NO_LIMIT).await? != plain.as_bytes() {
                return Ok(None);
            }
        }
        if !is_protected(pool, &of.volume, parent.snapshot).await? {
            return Ok(None);
        }
        let id = self.new_id()?;
        self.make(pool, of, &parent, namespace, name, &id).await.map(|()| Some(id))
    }

    /// An id as librbd makes them: the client's number and a random one.
    fn new_id(&self) -> Result<VolumeId> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(ErrorKind::Internal, "no random numbers").because(error))?;
        let id = format!("{:x}{:x}", self.client, u32::from_le_bytes(random));
        VolumeId::new(&id[id.len().saturating_sub(14)..])
    }

    /// Takes librbd's steps (`librbd::image::CreateRequest`, then `CloneRequest`) in their order. Broken off it is as librbd
    /// would leave it; when one fails, what was made is taken away.
    async fn make(
        &self,
        pool: &rbd::Pool,
        of: &SnapshotRef,
        parent: &Parent,
        namespace: &Namespace,
        name: &Name,
        id: &VolumeId,
    ) -> Result<()> {
        let entry = || [put_string(name.as_bytes()), put_string(id.as_str().as_bytes())];
        let mut listing = vec![method(c"dir_add_image", entry())];
        if !namespace.name.is_empty() {
            // One that is being removed takes no more.
            listing.insert(0, method(c"dir_state_assert", [vec![0]]));
        }
        pool.object_change(DIRECTORY, false, listing, NO_LIMIT).await?;
        let named = [b"rbd_id.", name.as_bytes()].concat();
        let set_id = method(c"set_id", [put_string(id.as_str().as_bytes())]);
        if let Err(error) = pool.object_change(&named, true, vec![set_id], NO_LIMIT).await {
            let unlisting = vec![method(c"dir_remove_image", entry())];
            pool.object_change(DIRECTORY, false, unlisting, NO_LIMIT).await?;
            return Err(error.into());
        }
        let attached = self.attach(pool, of, parent, id).await;
        if attached.is_err() {
            // By a name that leads to it: what cannot be removed now is found under it.
            let removed = pool.remove(name.as_bytes(), &rbd::Progress::default(), NO_LIMIT).await;
            if let Err(error) = removed {
                tracing::warn!(%id, error = %error, "a clone that could not be finished is left");
            }
        }
        attached
    }

    async fn attach(&self, pool: &rbd::Pool, of: &SnapshotRef, parent: &Parent, id: &VolumeId) -> Result<()> {
        let object = |prefix: &[u8]| [prefix, id.as_str().as_bytes()].concat();
        let (head, map, data) = (header::object(id), object(b"rbd_object_map."), object(b"rbd_data."));
        let change = async |object: &[u8], new, changes| -> Result<()> {
            Ok(pool.object_change(object, new, changes, NO_LIMIT).await?)
        };
        // No pool of its own for the data.
        let [size, features, no_pool] = [parent.size_bytes, FEATURES, u64::MAX].map(number);
        let create =
            method(c"create", [size.clone(), vec![parent.order], features, put_string(&data), no_pool]);
        let objects = parent.size_bytes.div_ceil(1 << parent.order);
        let none_there = method(c"object_map_resize", [number(objects), vec![0]]);
        try_join!(change(&head, true, vec![create]), change(&map, false, vec![none_there]))?;
        let pool_id = pool.id().to_le_bytes().to_vec();
        let volume = put_string(of.volume.as_str().as_bytes());
        let namespace = put_string(of.namespace.name.as_bytes());
        let spec = [pool_id.clone(), namespace, volume.clone(), number(parent.snapshot)].concat();
        let versions =
            [&[1, 1], u32::try_from(spec.len()).unwrap_or(u32::MAX).to_le_bytes().as_slice()].concat();
        let attach = method(c"parent_attach", [versions, spec, size, vec![0]]);
        change(&head, false, vec![attach]).await?;
        if !parent.metadata.is_empty() {
            let pairs = parent.metadata.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
            header::set_metadata(pool, id, pairs).await?;
        }
        let child = put_string(id.as_str().as_bytes());
        let add = method(c"add_child", [pool_id, volume, number(parent.snapshot), child]);
        change(b"rbd_children", false, vec![add]).await?;
        // Who unprotects looks for children after saying so: one of the two sees the other.
        if is_protected(pool, &of.volume, parent.snapshot).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Blocked, "the snapshot is not protected any more")
            .context("snapshot", &of.snapshot)
            .hint("protect it before cloning it"))
    }
}

/// Refuses for a parent, or a snapshot of it, that is not there or not protected.
async fn refuse_to_clone(from: &rbd::Pool, parent: &SnapshotRef) -> Result<()> {
    let image = from.open_by_id_read_only(parent.volume.as_str().as_bytes(), None, NO_LIMIT).await?;
    let safe = refuse_unless_protected(&image, &parent.snapshot).await;
    image.close(NO_LIMIT).await?;
    safe
}
