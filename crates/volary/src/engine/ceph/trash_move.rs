//! Into trash: by the changes librbd makes, without opening the image for them where nothing of it asks for that.

use super::NO_LIMIT;
use super::directory::{DIRECTORY, both, check, find, id_key, name_key, no_volume, put_string};
use super::header::{self, Header};
use super::holders::watchers;
use super::trash::{TRASH, encode, entry, set_state};
use crate::engine::{TrashEntry, TrashOptions, TrashState, VolumeEntry};
use crate::{Error, ErrorKind, Result, Target, VolumeId};
use jiff::{SignedDuration, Timestamp};
use rbd::{Errno, Swap};
use std::time::Duration;

pub(super) async fn move_in(pool: &rbd::Pool, volume: &VolumeEntry, options: &TrashOptions) -> Result<()> {
    // Side by side: a wait for each of them would be a good part of making a small volume.
    let (named, plain) = futures::join!(check(pool, volume), plain_header(pool, &volume.id));
    if let Err(error) = named {
        return match begun(pool, volume).await? {
            Some(entry) if finish(pool, &entry).await? => Ok(()),
            _ => Err(error),
        };
    }
    if !options.looked {
        refuse_watched(pool, volume).await?;
    }
    if plain?.is_none() {
        tracing::debug!(id = %volume.id, "left to librbd");
        // It leaves journals, groups and mirrors as they are to be left.
        return Ok(pool.trash_move(volume.name.as_bytes(), options.keep, NO_LIMIT).await?);
    }
    let entry = in_trash(volume, options.keep, TrashState::Moving);
    let added = pool.omap_swap(TRASH, vec![change(&entry.id, None, Some(encode(&entry)))], NO_LIMIT).await?;
    let entry = if added { Some(entry) } else { begun(pool, volume).await? };
    let stale = || no_volume(&volume.name).context("id", &volume.id);
    let entry = entry.ok_or_else(stale)?;
    if finish(pool, &entry).await? {
        return Ok(());
    }
    // Somebody renamed it at once: it stays.
    pool.omap_swap(TRASH, vec![change(&entry.id, Some(encode(&entry)), None)], NO_LIMIT).await?;
    Err(stale())
}

/// The entry of a move of this very volume that was broken off.
async fn begun(pool: &rbd::Pool, volume: &VolumeEntry) -> Result<Option<TrashEntry>> {
    let entry = entry(pool, &volume.id).await?;
    Ok(entry.filter(|of| of.state == TrashState::Moving && of.name == volume.name))
}

/// The entry of what comes into trash now.
pub(super) fn in_trash(volume: &VolumeEntry, keep: Duration, state: TrashState) -> TrashEntry {
    let deleted = Timestamp::now();
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    TrashEntry {
        id: volume.id.clone(),
        name: volume.name.clone(),
        source: "user".to_owned(),
        deleted,
        until: deleted.saturating_add(keep).unwrap_or(Timestamp::MAX),
        state,
        half_migrated: false,
    }
}

pub(super) fn change(id: &VolumeId, expected: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Swap {
    Swap { key: id_key(id), expected, new }
}

/// Takes the rest of librbd's steps (`librbd::trash::MoveRequest`): the name's object, the directory, the entry's state. Broken
/// off it is as librbd would leave it, and repeating finishes it. Another volume that has got the name since keeps it. Of the
/// directory's two entries one may be missing, or both.
///
/// `false`, with the entry as it was, when the directory knows the volume by another name.
pub(super) async fn finish(pool: &rbd::Pool, entry: &TrashEntry) -> Result<bool> {
    let (id, name) = (&entry.id, &entry.name);
    let named_id = put_string(id.as_str().as_bytes());
    // Before anything is changed: without the name's object, and still listed, nobody could reach the volume any more.
    let now = both(pool, &VolumeEntry { name: name.clone(), id: id.clone() }).await?;
    if now.backward.as_deref().is_some_and(|listed| listed != name.as_bytes()) {
        return Ok(false);
    }
    pool.object_remove_if(&[b"rbd_id.", name.as_bytes()].concat(), named_id.clone(), NO_LIMIT).await?;
    let mut swaps = Vec::new();
    if now.forward.as_deref() == Some(id.as_str().as_bytes()) {
        swaps.push(Swap { key: name_key(name.as_bytes()), expected: Some(named_id), new: None });
    }
    if now.backward.is_some() {
        swaps.push(change(id, Some(put_string(name.as_bytes())), None));
    }
    if !swaps.is_empty()
        && !pool.omap_swap(DIRECTORY, swaps, NO_LIMIT).await?
        && find(pool, &Target::Id(id.clone())).await?.is_some()
    {
        return Ok(false);
    }
    let normal = TrashEntry { state: TrashState::Normal, ..entry.clone() };
    let settled = change(id, Some(encode(entry)), Some(encode(&normal)));
    if !pool.omap_swap(TRASH, vec![settled], NO_LIMIT).await? {
        // Somebody else has finished it, or a newer Ceph has written it.
        set_state(pool, id, TrashState::Moving, TrashState::Normal).await?;
    }
    Ok(true)
}

/// Ceph itself would move an image that a client which yields its lock has open.
async fn refuse_watched(pool: &rbd::Pool, volume: &VolumeEntry) -> Result<()> {
    let image = match pool.open_by_id_read_only(volume.id.as_str().as_bytes(), None, NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => return Err(no_volume(&volume.name)),
        image => image?,
    };
    let watchers = watchers(&image, None).await;
    image.close(NO_LIMIT).await?;
    match watchers?.first() {
        None => Ok(()),
        Some(other) => Err(Error::new(ErrorKind::Blocked, "somebody has the volume open to write")
            .context("holder", &other.detail)
            .hint(&other.remedy)),
    }
}

/// The header of a volume of which moving concerns the name alone: nothing mirrors it, no journal follows it, no group has it.
pub(super) async fn plain_header(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<Header>> {
    let key = [b"image_", id.as_str().as_bytes()].concat();
    let mirroring = pool.omap_page(b"rbd_mirroring", b"", &key, 1, NO_LIMIT);
    let (mirrored, header) = futures::join!(mirroring, header::read(pool, id));
    let mirrored = mirrored?.entries.iter().any(|(found, _)| *found == key);
    Ok(header?.filter(|header| !mirrored && header.is_plain()))
}
