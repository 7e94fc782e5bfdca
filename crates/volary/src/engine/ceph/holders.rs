//! Who else holds an image, as far as Ceph tells.

use super::connection::Connection;
use super::volume::Handle;
use super::{NO_LIMIT, migration};
use crate::engine::{Holder, HolderKind};
use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeSpec, escape, unescape};
use rbd::{Errno, Features, Image, SnapshotKind};
use std::time::Duration;

fn client_name(number: impl std::fmt::Display) -> String {
    format!("client.{number}")
}

/// Blocklists a client that watches.
pub(super) async fn fence(on: &Connection, holder: &Holder, keep: Duration) -> Result<()> {
    let (Some(client), Some(address)) = (&holder.client, &holder.address) else {
        return Err(Error::new(ErrorKind::Usage, "this holder is no client that could be fenced"));
    };
    if *client == client_name(on.client) {
        return Err(Error::new(ErrorKind::Usage, "this process would fence itself").context("client", client));
    }
    let done = on.cluster.blocklist(&unescape(address)?, keep, NO_LIMIT).await;
    done.map_err(|error| {
        let lacking = matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES));
        let error = Error::from(error).context("client", client).context("address", address);
        let hint = "the user needs mon 'profile rbd', which may blocklist; an administrator gives it with \
                    `ceph auth caps`, which replaces all that it has, or runs `ceph osd blocklist add`";
        if lacking { error.hint(hint) } else { error }
    })
}

/// The watchers but those of `own`, the client that asks and writes itself.
pub(super) async fn watchers(image: &Image, own: Option<u64>) -> Result<Vec<Holder>> {
    let all = image.watchers(NO_LIMIT).await?.into_iter();
    let others = all.filter(|watcher| own.is_none_or(|own| i64::try_from(own) != Ok(watcher.client)));
    let tell = |watcher: rbd::Watcher| {
        let (client, address) = (client_name(watcher.client), escape(&watcher.address).into_owned());
        let remedy = "close it there; a client that died lets go after about 30 s";
        Holder::new(HolderKind::Watcher, format!("{client} at {address}"), remedy).by(client, Some(address))
    };
    Ok(others.map(tell).collect())
}

/// What holds an open image; `own` is the client that asks and writes itself.
pub(super) async fn list(of: &Handle, own: Option<u64>) -> Result<Vec<Holder>> {
    let image = &of.image;
    let spec = of.namespace.volume(Name::from_bytes(image.name(NO_LIMIT).await?));
    let mut all = Vec::new();
    if image.features(NO_LIMIT).await?.0 & Features::RBD_FEATURE_MIGRATING != 0 {
        // First, for its remedy is the one that helps: whoever was killed while migrating still watches for a while.
        all.push(migration::holder(&of.on, &of.pool, &of.id, &spec).await?);
    }
    all.extend(watchers(image, own).await?);
    let (group, holder) = group(of, &spec).await?;
    let (others, mirrored) = snapshots(image, group.as_ref()).await?;
    all.extend(others);
    all.extend(holder);
    all.extend(mirroring(image, &spec, mirrored).await?);
    Ok(all)
}

/// The group that an image is in, and what that is as a holder.
async fn group(of: &Handle, spec: &VolumeSpec) -> Result<(Option<VolumeSpec>, Option<Holder>)> {
    let found = match of.image.group(NO_LIMIT).await {
        Ok(Some(group)) => {
            let pool = of.on.cluster.pool_name(group.pool_id, NO_LIMIT).await;
            pool.map(|pool| Some((Name::from_bytes(pool), Name::from_bytes(group.name))))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match found {
        Ok(None) => Ok((None, None)),
        Ok(Some((pool, name))) => {
            let group = Namespace { pool, name: of.namespace.name.clone() }.volume(name);
            let remedy = format!("`rbd group image rm {group} {spec}`");
            let holder = Holder::new(HolderKind::Group, format!("the group {group}"), remedy);
            Ok((Some(group), Some(holder)))
        }
        // The image says that it is in one.
        Err(error) if error.errno() == Some(Errno::ENOENT) => {
            let Namespace { pool, name } = &of.namespace;
            let inside = if name.is_empty() { String::new() } else { format!(" -N {name}") };
            let remedy = format!(
                "`rados -p {pool}{inside} rmomapkey rbd_header.{} rbd_group_ref` takes it out",
                of.id
            );
            let holder = Holder::new(HolderKind::Group, "a group that is not there any more", remedy);
            Ok((None, Some(holder)))
        }
        Err(error) => Ok((None, unseen("its group", &error)?)),
    }
}

/// The mirroring of an image, which has so many snapshots of its own for that.
async fn mirroring(image: &Image, spec: &VolumeSpec, snapshots: usize) -> Result<Option<Holder>> {
    let mirror = match image.mirror(NO_LIMIT).await {
        Ok(mirror) => Some(mirror).filter(|mirror| mirror.enabled),
        Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EINVAL)) => None,
        Err(error) => return unseen("its mirroring", &error),
    };
    let with = match snapshots {
        1 => "1 snapshot of mirroring".to_owned(),
        count => format!("{count} snapshots of mirroring"),
    };
    let disable = format!("`rbd mirror image disable {spec}`");
    let force = format!(
        "`rbd mirror image disable --force {spec}`; `rbd mirror image promote {spec}` makes it the primary instead"
    );
    let (detail, remedy) = match mirror {
        None if snapshots == 0 => return Ok(None),
        None => (with, force),
        Some(mirror) => {
            let side = if mirror.primary { "" } else { ", as the secondary" };
            let also = if snapshots == 0 { String::new() } else { format!(", with {with}") };
            let detail = format!("mirrored as {}{side}{also}", escape(&mirror.global_id));
            (detail, if mirror.primary { disable } else { force })
        }
    };
    Ok(Some(Holder::new(HolderKind::Mirror, detail, remedy)))
}

/// The snapshots that no user made and none can remove by name, and how many more are of mirroring. Those that were removed
/// below their clones hold nothing: they go with the last clone, and the clones are told as such.
async fn snapshots(image: &Image, group: Option<&VolumeSpec>) -> Result<(Vec<Holder>, usize)> {
    let (mut all, mut mirrored) = (Vec::new(), 0);
    for snapshot in image.snapshots(NO_LIMIT).await? {
        let of = |whose: &str| format!("the snapshot {} of {whose}", escape(&snapshot.name));
        match image.snapshot_kind(snapshot.id, NO_LIMIT).await? {
            SnapshotKind::User | SnapshotKind::Trash => {}
            SnapshotKind::Mirror => mirrored += 1,
            SnapshotKind::Group => {
                let group = group.map_or_else(|| "GROUP".to_owned(), ToString::to_string);
                let remedy = format!(
                    "`rbd group snap ls {group}` shows it, `rbd group snap rm {group}@SNAPSHOT` removes it"
                );
                all.push(Holder::new(HolderKind::Group, of("a group"), remedy));
            }
            _ => {
                let remedy = "see `rbd snap ls --all`; use a newer Volary";
                all.push(Holder::new(HolderKind::Unknown, of("a kind not known here"), remedy));
            }
        }
    }
    Ok((all, mirrored))
}

/// What may not be seen holds; every other failure is one.
fn unseen(what: &str, error: &rbd::Error) -> Result<Option<Holder>> {
    match error.errno() {
        Some(Errno::EPERM | Errno::EACCES) => Ok(Some(Holder::new(
            HolderKind::Unknown,
            format!("{what} may not be read"),
            "let the user read the pool: osd 'profile rbd pool=POOL'",
        ))),
        _ => Err(error.clone().into()),
    }
}
