//! Snapshots and clones of an open image.

use super::caveats::spec_of;
use super::header::is_protected;
use super::volume::{Handle, id_of, namespace_of, timestamp};
use super::{NO_LIMIT, children, header};
use crate::engine::{Child, SnapshotInfo};
use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeId};
use rbd::{Errno, Image, SnapshotKind};

fn missing(snapshot: &Name) -> Error {
    Error::new(ErrorKind::NotFound, "no such snapshot").context("snapshot", snapshot)
}

/// The snapshots that users made; whose the others are, the holders tell.
pub(super) async fn list(image: &Image) -> Result<Vec<SnapshotInfo>> {
    let mut all = Vec::new();
    for snapshot in image.snapshots(NO_LIMIT).await? {
        all.extend(of_user(image, snapshot).await?);
    }
    all.sort_by_key(|snapshot| snapshot.id);
    Ok(all)
}

async fn of_user(image: &Image, snapshot: rbd::Snapshot) -> Result<Option<SnapshotInfo>> {
    if image.snapshot_kind(snapshot.id, NO_LIMIT).await? != SnapshotKind::User {
        return Ok(None);
    }
    Ok(Some(SnapshotInfo {
        id: snapshot.id,
        size_bytes: snapshot.size_bytes,
        protected: image.is_protected(&snapshot.name, NO_LIMIT).await?,
        created: timestamp(image.snapshot_created(snapshot.id, NO_LIMIT).await?),
        name: Name::from_bytes(snapshot.name),
    }))
}

fn child_of(child: rbd::Child, snapshot: &rbd::Snapshot) -> Result<Child> {
    Ok(Child {
        namespace: namespace_of(&child),
        id: id_of(&child.id)?,
        volume: Name::from_bytes(child.name),
        snapshot: Name::from_bytes(snapshot.name.clone()),
        trash: child.trash,
    })
}

pub(super) async fn find(image: &Image, name: &Name) -> Result<SnapshotInfo> {
    let named = image.snapshots(NO_LIMIT).await?.into_iter().find(|of| of.name == name.as_bytes());
    let found = match named {
        Some(snapshot) => of_user(image, snapshot).await?,
        None => None,
    };
    found.ok_or_else(|| missing(name))
}

/// The snapshot, as far as librbd tells: it calls one protected whose protection is being taken away.
pub(super) async fn refuse_unless_protected(image: &Image, name: &Name) -> Result<SnapshotInfo> {
    let found = find(image, name).await?;
    if found.protected {
        return Ok(found);
    }
    Err(Error::new(ErrorKind::Blocked, "the snapshot is not protected").context("snapshot", name))
}

/// Refuses for a snapshot whose protection is being taken away, also when whoever began that was killed: it cannot be cloned then,
/// nor protected.
pub(super) async fn refuse_unprotecting(
    pool: &rbd::Pool,
    namespace: &Namespace,
    id: &VolumeId,
    snapshot: &SnapshotInfo,
) -> Result<()> {
    if is_protected(pool, id, snapshot.id).await? {
        return Ok(());
    }
    let spec = spec_of(pool, namespace, id).await?.at(snapshot.name.clone());
    Err(Error::new(ErrorKind::Blocked, "the snapshot's protection is being taken away")
        .context("snapshot", &snapshot.name)
        .hint(format!(
            "`volary snap unprotect {spec}` finishes that, and then `volary snap protect {spec}` protects it"
        )))
}

impl Handle {
    /// The children in every pool; one that may not be read hides them, and they are never taken for none.
    async fn all_children(&self, image: &Image) -> Result<Vec<rbd::Child>> {
        match image.children(NO_LIMIT).await {
            Err(error) if matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES)) => {
                Err(Error::new(ErrorKind::Permission, "some are in a pool that this user may not read")
                    .context("errno", "EPERM")
                    .hint(
                        "let the user read the pool that they are in: osd 'profile rbd-read-only pool=POOL'",
                    )
                    .because(error))
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => Err(self.why_not_listed(error).await),
            children => Ok(children?),
        }
    }

    /// What it means that the children cannot be listed for want of something.
    async fn why_not_listed(&self, error: rbd::Error) -> Error {
        // What cannot be read explains nothing.
        let Ok(Some(header)) = header::read_whole(&self.pool, &self.id).await else { return error.into() };
        let stale = children::stale(&self.on, &self.pool, &self.namespace, &self.id, &header).await;
        let Some(entry) = stale.ok().and_then(|all| all.into_iter().next()) else { return error.into() };
        Error::new(ErrorKind::Mismatch, "the volume has an entry of a clone that is not there any more")
            .context("clone", &entry.id)
            .context("snapshot_id", entry.snapshot)
            .hint(format!("`volary check --repair {}` takes the entry away", self.namespace))
            .because(error)
    }

    /// The clones of every snapshot, or of one.
    pub(super) async fn children_of(&self, only: Option<&Name>) -> Result<Vec<Child>> {
        if let Some(name) = only {
            find(&self.image, name).await?;
        }
        // librbd asks for the name of each in turn, so they are listed as seldom as can be: of all snapshots first.
        let all = match self.snapshot {
            None => Some(self.all_children(&self.image).await?),
            Some(_) => None,
        };
        let mut children = Vec::new();
        if all.as_ref().is_some_and(Vec::is_empty) {
            return Ok(children);
        }
        let snapshots = self.image.snapshots(NO_LIMIT).await?;
        // Snapshots with clones stay, so that the one there is has all of them.
        if let ([only], Some(all)) = (snapshots.as_slice(), all) {
            return all.into_iter().map(|child| child_of(child, only)).collect();
        }
        for snapshot in snapshots {
            if only.is_some_and(|only| only.as_bytes() != snapshot.name) {
                continue;
            }
            // By its id, since one that was removed below its clones cannot be opened by name.
            let at = self.reopen(None).await?;
            let found = match at.set_snapshot(snapshot.id, NO_LIMIT).await {
                Ok(()) => self.all_children(&at).await,
                // Removed since it was listed.
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(Vec::new()),
                Err(error) => Err(error.into()),
            };
            at.close(NO_LIMIT).await?;
            for child in found? {
                children.push(child_of(child, &snapshot)?);
            }
        }
        Ok(children)
    }

    async fn refuse_with_children(&self, name: &Name) -> Result<()> {
        let children = self.children_of(Some(name)).await?;
        let Some(child) = children.first() else { return Ok(()) };
        Err(Error::new(ErrorKind::Blocked, "the snapshot has clones")
            .context("snapshot", name)
            .context("clone", child.namespace.volume(child.volume.clone()))
            .hint("flatten or remove its clones"))
    }

    pub(super) async fn remove_one(&self, name: &Name, progress: &rbd::Progress) -> Result<()> {
        if find(&self.image, name).await?.protected {
            return Err(Error::new(ErrorKind::Blocked, "the snapshot is protected")
                .context("snapshot", name)
                .hint("unprotect it first"));
        }
        self.refuse_with_children(name).await?;
        Ok(self.image.remove_snapshot(name.as_bytes(), progress, NO_LIMIT).await?)
    }

    pub(super) async fn protect_one(&self, name: &Name) -> Result<()> {
        let found = find(&self.image, name).await?;
        if found.protected {
            return refuse_unprotecting(&self.pool, &self.namespace, &self.id, &found).await;
        }
        match self.image.protect_snapshot(name.as_bytes(), NO_LIMIT).await {
            Err(error) if error.errno() == Some(Errno::EBUSY) => Ok(()),
            done => Ok(done?),
        }
    }

    pub(super) async fn unprotect_one(&self, name: &Name) -> Result<()> {
        if !find(&self.image, name).await?.protected {
            return Ok(());
        }
        self.refuse_with_children(name).await?;
        match self.image.unprotect_snapshot(name.as_bytes(), NO_LIMIT).await {
            Err(error) if error.errno() == Some(Errno::EINVAL) => Ok(()),
            done => Ok(done?),
        }
    }
}
