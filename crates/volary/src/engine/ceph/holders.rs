//! Who else holds an image, as far as Ceph tells.

use super::NO_LIMIT;
use crate::engine::{Holder, HolderKind};
use crate::{Result, escape};
use rbd::{Errno, Image};

fn holder(kind: HolderKind, detail: String, remedy: &str) -> Holder {
    Holder { kind, detail, remedy: remedy.to_owned() }
}

/// The watchers but those of `own`, the client that asks and writes itself.
pub(super) async fn watchers(image: &Image, own: Option<u64>) -> Result<Vec<Holder>> {
    let all = image.watchers(NO_LIMIT).await?.into_iter();
    let others = all.filter(|watcher| own.is_none_or(|own| i64::try_from(own) != Ok(watcher.client)));
    let tell = |watcher: rbd::Watcher| {
        let detail = format!("client.{} at {}", watcher.client, escape(&watcher.address));
        holder(HolderKind::Watcher, detail, "close it there; a client that died lets go after about 30 s")
    };
    Ok(others.map(tell).collect())
}

pub(super) async fn list(image: &Image, own: Option<u64>) -> Result<Vec<Holder>> {
    let mut all = watchers(image, own).await?;
    match image.group(NO_LIMIT).await {
        Ok(None) => {}
        Ok(Some(group)) => {
            let detail = format!("group {} in pool id {}", escape(&group.name), group.pool_id);
            all.push(holder(HolderKind::Group, detail, "take it out with `rbd group image rm`"));
        }
        Err(error) => all.extend(unseen("its group", &error)?),
    }
    match image.mirror(NO_LIMIT).await {
        Ok(mirror) if mirror.enabled => {
            let detail = format!("mirrored as {}", escape(&mirror.global_id));
            all.push(holder(HolderKind::Mirror, detail, "end it with `rbd mirror image disable`"));
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
        Some(Errno::EPERM | Errno::EACCES) => Ok(Some(holder(
            HolderKind::Unknown,
            format!("{what} may not be read"),
            "let the user read the pool: osd 'profile rbd pool=POOL'",
        ))),
        _ => Err(error.clone().into()),
    }
}
