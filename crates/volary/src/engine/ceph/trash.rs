//! Trash, read from the object `rbd_trash`: the only place that tells how far an entry is on its way.

use super::NO_LIMIT;
use super::directory::{check, id_of, malformed, no_volume, string};
use super::half_removed::finish_before_removal;
use super::holders::watchers;
use crate::engine::{TrashEntry, TrashState, VolumeEntry};
use crate::{Error, ErrorKind, Name, Result, VolumeId};
use jiff::Timestamp;
use rbd::Errno;
use std::time::Duration;

const TRASH: &[u8] = b"rbd_trash";

const SOURCES: [&str; 5] = ["user", "mirroring", "migration", "removing", "user_parent"];

fn time(from: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (seconds, rest) = from.split_first_chunk::<4>()?;
    let (nanoseconds, rest) = rest.split_first_chunk::<4>()?;
    let nanoseconds = i32::try_from(u32::from_le_bytes(*nanoseconds)).ok()?;
    Some((Timestamp::new(u32::from_le_bytes(*seconds).into(), nanoseconds).ok()?, rest))
}

/// An entry as Ceph encodes it (`cls::rbd::TrashImageSpec`): version, compatible version, length, then the fields.
fn decode(id: VolumeId, value: &[u8]) -> Option<TrashEntry> {
    let (_, rest) = value.split_at_checked(6)?;
    let (source, rest) = rest.split_first()?;
    let (name, rest) = string(rest)?;
    let (deleted, rest) = time(rest)?;
    let (until, _) = time(rest)?;
    let state = match value.get(state_at(value)?) {
        None | Some(0) => TrashState::Normal,
        Some(1) => TrashState::Moving,
        Some(2) => TrashState::Removing,
        Some(3) => TrashState::Restoring,
        Some(_) => return None,
    };
    let source = SOURCES.get(usize::from(*source)).copied().unwrap_or("unknown").to_owned();
    Some(TrashEntry { id, name: Name::from_bytes(name), source, deleted, until, state })
}

/// Where the state is: after a string and two times.
fn state_at(value: &[u8]) -> Option<usize> {
    let (_, rest) = string(value.get(7..)?)?;
    Some(value.len() - rest.len() + 16)
}

pub(super) async fn list(pool: &rbd::Pool) -> Result<Vec<TrashEntry>> {
    let all = pool.omap(TRASH, b"id_", NO_LIMIT).await?;
    let entry = |(key, value): (Vec<u8>, Vec<u8>)| {
        let id =
            key.strip_prefix(b"id_").map(String::from_utf8_lossy).ok_or_else(|| malformed("rbd_trash"))?;
        decode(VolumeId::new(id)?, &value).ok_or_else(|| malformed("rbd_trash"))
    };
    all.into_iter().map(entry).collect()
}

pub(super) async fn entry(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<TrashEntry>> {
    Ok(list(pool).await?.into_iter().find(|entry| entry.id == *id))
}

pub(super) async fn move_in(pool: &rbd::Pool, volume: &VolumeEntry, keep: Duration) -> Result<()> {
    if let Err(error) = check(pool, volume).await {
        let begun = entry(pool, &volume.id).await?;
        if !begun.is_some_and(|begun| begun.state == TrashState::Moving && begun.name == volume.name) {
            return Err(error);
        }
    }
    // Ceph itself would move an image that a client which yields its lock has open.
    let image = match pool.open_by_id_read_only(volume.id.as_str().as_bytes(), None, NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => return Err(no_volume(&volume.name)),
        image => image?,
    };
    let watchers = watchers(&image, None).await;
    image.close(NO_LIMIT).await?;
    if let Some(other) = watchers?.first() {
        return Err(Error::new(ErrorKind::Blocked, "somebody has the volume open to write")
            .context("holder", &other.detail)
            .hint(&other.remedy));
    }
    Ok(pool.trash_move(volume.name.as_bytes(), keep, NO_LIMIT).await?)
}

pub(super) async fn restore(pool: &rbd::Pool, id: &VolumeId, name: &Name) -> Result<()> {
    let restore = || pool.trash_restore(id.as_str().as_bytes(), name.as_bytes(), NO_LIMIT);
    let mut done = restore().await;
    if done.as_ref().is_err_and(|error| error.errno() == Some(Errno::EEXIST)) {
        // The loser of two is left on its way out; trying again puts it back.
        done = restore().await;
    }
    match done {
        Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EEXIST)) => {
            let has_name = id_of(pool, name).await?.as_ref() == Some(id);
            if has_name && entry(pool, id).await?.is_none() { Ok(()) } else { Err(error.into()) }
        }
        Err(error) if matches!(error.errno(), Some(Errno::ENOSPC | Errno::EDQUOT)) => {
            // With the name given, repeating it needs no room any more.
            if id_of(pool, name).await?.as_ref() != Some(id) {
                put_back(pool, id).await?;
            }
            Err(error.into())
        }
        done => Ok(done?),
    }
}

/// Undoes the mark of being on its way out, with which librbd leaves an entry for whose name a full pool has no room, and
/// with which nobody could remove it.
async fn put_back(pool: &rbd::Pool, id: &VolumeId) -> Result<()> {
    let key = [b"id_", id.as_str().as_bytes()].concat();
    let found = pool.omap_page(TRASH, b"", &key, 1, NO_LIMIT).await?.entries;
    let Some((_, old)) = found.into_iter().find(|(found, _)| *found == key) else { return Ok(()) };
    let entry = decode(id.clone(), &old).ok_or_else(|| malformed("rbd_trash"))?;
    let mut new = old.clone();
    let state = state_at(&old).and_then(|at| new.get_mut(at));
    if let (TrashState::Restoring, Some(state)) = (entry.state, state) {
        *state = 0;
        pool.omap_swap(TRASH, vec![rbd::Swap { key, expected: Some(old), new: Some(new) }], NO_LIMIT).await?;
    }
    Ok(())
}

pub(super) async fn remove(
    pool: &rbd::Pool,
    id: &VolumeId,
    force: bool,
    progress: &rbd::Progress,
) -> Result<()> {
    let Some(entry) = entry(pool, id).await? else { return Err(no_volume(id).context("in", "trash")) };
    if !force && entry.until > Timestamp::now() {
        return Err(Error::new(ErrorKind::Blocked, "kept in trash until its time")
            .context("id", id)
            .context("until", entry.until));
    }
    finish_before_removal(pool, id).await?;
    Ok(pool.trash_remove(id.as_str().as_bytes(), force, progress, NO_LIMIT).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_decoded_in_every_state_and_never_past_its_end() {
        let mut bytes = vec![2, 1, 28, 0, 0, 0, 0, 3, 0, 0, 0];
        bytes.extend_from_slice(b"web\x01\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0\x03");
        let id = || VolumeId::new("1234").unwrap();
        let entry = decode(id(), &bytes).unwrap();
        assert_eq!((entry.name, entry.state), (Name::from_bytes("web"), TrashState::Restoring));
        assert_eq!((entry.deleted.as_nanosecond(), entry.until.as_second()), (1_000_000_002, 5));
        for len in 0..bytes.len() - 1 {
            assert_eq!(decode(id(), &bytes[..len]), None, "{len}");
        }
    }
}
