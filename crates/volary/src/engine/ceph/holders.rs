//! Who else holds an image, as far as Ceph tells.

use super::NO_LIMIT;
use super::connection::Connection;
use crate::engine::{Holder, HolderKind};
use crate::{Error, ErrorKind, Name, Namespace, Result, escape, unescape};
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

pub(super) async fn list(image: &Image, namespace: &Namespace, own: Option<u64>) -> Result<Vec<Holder>> {
    let mut all = watchers(image, own).await?;
    let features = image.features(NO_LIMIT).await?;
    if features.0 & Features::RBD_FEATURE_MIGRATING != 0 {
        let spec = namespace.volume(Name::from_bytes(image.name(NO_LIMIT).await?));
        let detail = "it is the target of a migration that was prepared and is not committed";
        let remedy =
            format!("`rbd migration abort {spec}`, or `rbd migration execute` and `commit` to finish it");
        all.push(Holder::new(HolderKind::Migration, detail, remedy));
    }
    all.extend(snapshots(image).await?);
    match image.group(NO_LIMIT).await {
        Ok(None) => {}
        Ok(Some(group)) => {
            let detail = format!("group {} in pool id {}", escape(&group.name), group.pool_id);
            all.push(Holder::new(HolderKind::Group, detail, "take it out with `rbd group image rm`"));
        }
        Err(error) => all.extend(unseen("its group", &error)?),
    }
    match image.mirror(NO_LIMIT).await {
        Ok(mirror) if mirror.enabled => {
            let detail = format!("mirrored as {}", escape(&mirror.global_id));
            all.push(Holder::new(HolderKind::Mirror, detail, "end it with `rbd mirror image disable`"));
        }
        Ok(_) => {}
        Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EINVAL)) => {}
        Err(error) => all.extend(unseen("its mirroring", &error)?),
    }
    Ok(all)
}

/// The snapshots that no user made and none can remove by name. Those that were removed below their clones hold nothing:
/// they go with the last clone, and the clones are told as such.
async fn snapshots(image: &Image) -> Result<Vec<Holder>> {
    let mut all = Vec::new();
    for snapshot in image.snapshots(NO_LIMIT).await? {
        let of = |whose: &str| format!("the snapshot {} of {whose}", escape(&snapshot.name));
        all.extend(match image.snapshot_kind(snapshot.id, NO_LIMIT).await? {
            SnapshotKind::User | SnapshotKind::Trash => None,
            SnapshotKind::Group => Some(Holder::new(
                HolderKind::Group,
                of("a group"),
                "remove the group's with `rbd group snap rm`",
            )),
            SnapshotKind::Mirror => Some(Holder::new(
                HolderKind::Mirror,
                of("mirroring"),
                "end it with `rbd mirror image disable`",
            )),
            _ => {
                let remedy = "see `rbd snap ls --all`; use a newer Volary";
                Some(Holder::new(HolderKind::Unknown, of("a kind not known here"), remedy))
            }
        });
    }
    Ok(all)
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
