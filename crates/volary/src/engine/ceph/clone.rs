//! Clones: by the changes librbd makes, without opening parent and child for them where nothing asks for more.

use super::NO_LIMIT;
use super::children::{change_list, entry_change};
use super::class::{method, number};
use super::connection::Connection;
use super::directory::{FEATURES, find, put_string};
use super::header::{self, is_protected};
use super::new::{New, made_by_librbd};
use super::snapshots::{refuse_unless_protected, refuse_unprotecting};
use crate::engine::{CloneOptions, SnapshotRef};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use futures::try_join;
use rbd::{Errno, Features};

/// What a parent may have that concerns its clones in no way.
const INDIFFERENT: u64 = FEATURES | Features::RBD_FEATURE_DATA_POOL | Features::RBD_FEATURE_OPERATIONS;

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
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        self.call(ctl, "clone a volume", async {
            let (from, to) = (self.enter(&parent.namespace).await?, self.enter(namespace).await?);
            let near = parent.namespace == *namespace;
            if near && let Some(id) = self.clone_near(&to, parent, namespace, name, options).await? {
                return Ok(id);
            }
            tracing::debug!(clone = %name, "left to librbd");
            // librbd refuses too, but it then closes the parent that it has just opened at the snapshot, while the thread that opened
            // it is still inside it: that can end the process (docs/internals.md).
            refuse_to_clone(&from, parent).await?;
            let Some(found) = find(&from, &Target::Id(parent.volume.clone())).await? else {
                refuse_to_clone(&from, parent).await?;
                return Err(Error::new(ErrorKind::Unsupported, "Ceph clones no volume that is in trash")
                    .context("volume", &parent.volume)
                    .hint("restore the parent first"));
            };
            let mut image = rbd::ImageOptions::default();
            image.features = Some(FEATURES);
            // Format 1 keeps the snapshot protected while it has clones, but cannot leave the namespace.
            image.clone_format = Some(if near { 1 } else { 2 });
            let (parent_name, snapshot) = (found.name.as_bytes(), parent.snapshot.as_bytes());
            let cloned =
                from.clone_image(parent_name, snapshot, &to, name.as_bytes(), &image, NO_LIMIT).await;
            if cloned
                .as_ref()
                .is_err_and(|error| matches!(error.errno(), Some(Errno::EINVAL | Errno::ENOENT)))
            {
                // A snapshot that is not there or not protected is told better than librbd does.
                refuse_to_clone(&from, parent).await?;
            }
            cloned?;
            made_by_librbd(&to, name, options.trash).await
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
        options: &CloneOptions,
    ) -> Result<Option<VolumeId>> {
        let volume = Target::Id(of.volume.clone());
        let (listed, parent, plain) =
            try_join!(find(pool, &volume), parent(pool, of), self.makes_plain(pool, namespace))?;
        let Some(parent) = parent.filter(|_| listed.is_some() && plain) else { return Ok(None) };
        if !is_protected(pool, &of.volume, parent.snapshot).await? {
            return Ok(None);
        }
        let id = self.new_id()?;
        let new = New { namespace, name, id: &id, trash: options.trash };
        let content = async {
            new.empty(pool, parent.size_bytes, parent.order).await?;
            attach(pool, of, &parent, &id).await
        };
        new.make(pool, content).await?;
        Ok(Some(id))
    }
}

/// Makes an empty image a clone (`librbd::image::CloneRequest`).
async fn attach(pool: &rbd::Pool, of: &SnapshotRef, parent: &Parent, id: &VolumeId) -> Result<()> {
    let change = async |object: &[u8], changes| -> Result<()> {
        Ok(pool.object_change(object, false, changes, NO_LIMIT).await?)
    };
    let size = number(parent.size_bytes);
    let pool_id = pool.id().to_le_bytes().to_vec();
    let volume = put_string(of.volume.as_str().as_bytes());
    let namespace = put_string(of.namespace.name.as_bytes());
    let spec = [pool_id, namespace, volume, number(parent.snapshot)].concat();
    let versions = [&[1, 1], u32::try_from(spec.len()).unwrap_or(u32::MAX).to_le_bytes().as_slice()].concat();
    let attach = method(c"parent_attach", [versions, spec, size, vec![0]]);
    change(&header::object(id), vec![attach]).await?;
    if !parent.metadata.is_empty() {
        let pairs = parent.metadata.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        header::set_metadata(pool, id, pairs).await?;
    }
    change_list(pool, entry_change(c"add_child", pool.id(), &of.volume, parent.snapshot, id)).await?;
    // Who unprotects looks for children after saying so: one of the two sees the other.
    if is_protected(pool, &of.volume, parent.snapshot).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Blocked, "the snapshot is not protected any more")
        .context("snapshot", &of.snapshot))
}

/// Refuses for a parent, or a snapshot of it, that is not there or not protected, or not for long any more.
async fn refuse_to_clone(from: &rbd::Pool, parent: &SnapshotRef) -> Result<()> {
    let image = from.open_by_id_read_only(parent.volume.as_str().as_bytes(), None, NO_LIMIT).await?;
    let found = refuse_unless_protected(&image, &parent.snapshot).await;
    image.close(NO_LIMIT).await?;
    refuse_unprotecting(from, &parent.namespace, &parent.volume, &found?).await
}
