//! Who else holds an image, as far as Ceph tells.

use super::NO_LIMIT;
use super::connection::Connection;
use crate::engine::{Holder, HolderKind};
use crate::{Error, ErrorKind, Result, escape, unescape};
use rbd::{Errno, Image};
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

pub(super) async fn list(image: &Image, own: Option<u64>) -> Result<Vec<Holder>> {
    let mut all = watchers(image, own).await?;
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
