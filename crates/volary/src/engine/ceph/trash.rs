//! Trash, read from the object `rbd_trash`: the only place that tells how far an entry is on its way.

use super::directory::{id_of, malformed, no_volume, put_string, string};
use super::trash_move::finish;
use super::{NO_LIMIT, header};
use crate::engine::{TrashEntry, TrashState};
use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeId};
use jiff::Timestamp;
use rbd::Errno;

pub(super) const TRASH: &[u8] = b"rbd_trash";

const SOURCES: [&str; 5] = ["user", "mirroring", "migration", "removing", "user_parent"];

/// The source of an entry that `rbd migration prepare` has made.
const MIGRATION: &str = "migration";

/// Where the source is, as a number: behind version, compatible version and length.
const SOURCE_AT: usize = 6;

/// As they are numbered.
const STATES: [TrashState; 4] =
    [TrashState::Normal, TrashState::Moving, TrashState::Removing, TrashState::Restoring];

fn number(state: TrashState) -> u8 {
    STATES.iter().zip(0..).find(|(of, _)| **of == state).map_or(0, |(_, number)| number)
}

fn time(from: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (seconds, rest) = from.split_first_chunk::<4>()?;
    let (nanoseconds, rest) = rest.split_first_chunk::<4>()?;
    let nanoseconds = i32::try_from(u32::from_le_bytes(*nanoseconds)).ok()?;
    Some((Timestamp::new(u32::from_le_bytes(*seconds).into(), nanoseconds).ok()?, rest))
}

/// An entry as Ceph encodes it (`cls::rbd::TrashImageSpec`): version, compatible version, length, then the fields.
pub(super) fn decode(id: VolumeId, value: &[u8]) -> Option<TrashEntry> {
    let (_, rest) = value.split_at_checked(6)?;
    let (source, rest) = rest.split_first()?;
    let (name, rest) = string(rest)?;
    let (deleted, rest) = time(rest)?;
    let (until, _) = time(rest)?;
    let state = value.get(state_at(value)?).copied().unwrap_or_default();
    let state = *STATES.get(usize::from(state))?;
    let source = SOURCES.get(usize::from(*source)).copied().unwrap_or("unknown").to_owned();
    let name = Name::from_bytes(name);
    Some(TrashEntry { id, name, source, deleted, until, state, half_migrated: false })
}

/// The same by Ceph's encoding, with the state as the last byte.
pub(super) fn encode(entry: &TrashEntry) -> Vec<u8> {
    let source = SOURCES.iter().position(|source| *source == entry.source).unwrap_or_default();
    let mut fields = vec![u8::try_from(source).unwrap_or_default()];
    let time = |at: Timestamp| {
        let seconds = u32::try_from(at.as_second()).unwrap_or(u32::MAX);
        let nanoseconds = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
        [seconds.to_le_bytes(), nanoseconds.to_le_bytes()].concat()
    };
    fields.extend(put_string(entry.name.as_bytes()));
    fields.extend(time(entry.deleted));
    fields.extend(time(entry.until));
    fields.push(number(entry.state));
    let len = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    [&[2, 1], len.to_le_bytes().as_slice(), &fields].concat()
}

/// Where the state is: after a string and two times.
fn state_at(value: &[u8]) -> Option<usize> {
    let (_, rest) = string(value.get(7..)?)?;
    Some(value.len() - rest.len() + 16)
}

/// The key of an entry.
pub(super) fn key(id: &VolumeId) -> Vec<u8> {
    [b"id_", id.as_str().as_bytes()].concat()
}

pub(super) async fn list(pool: &rbd::Pool) -> Result<Vec<TrashEntry>> {
    let all = pool.omap(TRASH, b"id_", NO_LIMIT).await?;
    let entry = |(key, value): (Vec<u8>, Vec<u8>)| {
        let id =
            key.strip_prefix(b"id_").map(String::from_utf8_lossy).ok_or_else(|| malformed("rbd_trash"))?;
        decode(VolumeId::new(id)?, &value).ok_or_else(|| malformed("rbd_trash"))
    };
    let mut all = all.into_iter().map(entry).collect::<Result<Vec<_>>>()?;
    for entry in &mut all {
        entry.half_migrated = is_half_migrated(pool, entry).await?;
    }
    Ok(all)
}

/// Whether an entry is the source of a migration that was cut short when the volume was in trash, and its header did not tell of
/// the migration yet ([`TrashEntry::half_migrated`]).
pub(super) async fn is_half_migrated(pool: &rbd::Pool, entry: &TrashEntry) -> Result<bool> {
    Ok(entry.source == MIGRATION && header::tells_no_migration(pool, &entry.id).await?)
}

/// An entry as it is kept, with what it says.
async fn kept(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<(Vec<u8>, TrashEntry)>> {
    let found = pool.omap_values(TRASH, vec![key(id)], NO_LIMIT).await?;
    let Some((_, value)) = found.into_iter().next() else { return Ok(None) };
    let entry = decode(id.clone(), &value).ok_or_else(|| malformed("rbd_trash"))?;
    Ok(Some((value, entry)))
}

pub(super) async fn entry(pool: &rbd::Pool, id: &VolumeId) -> Result<Option<TrashEntry>> {
    Ok(kept(pool, id).await?.map(|(_, entry)| entry))
}

pub(super) async fn restore(
    pool: &rbd::Pool,
    namespace: &Namespace,
    id: &VolumeId,
    name: &Name,
) -> Result<()> {
    let restore = || pool.trash_restore(id.as_str().as_bytes(), name.as_bytes(), NO_LIMIT);
    let mut done = restore().await;
    if done.as_ref().is_err_and(|error| error.errno() == Some(Errno::EINVAL))
        && take_from_migration(pool, namespace, id).await?
    {
        done = restore().await;
    }
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
                // librbd leaves it on its way out, where nobody could remove it.
                set_state(pool, id, TrashState::Restoring, TrashState::Normal).await?;
            }
            Err(error.into())
        }
        done => Ok(done?),
    }
}

/// Makes a user's entry of the source of a migration whose preparation was cut short: librbd restores no other, and a migration
/// that no header tells of nobody can abort. `false` for any other entry.
async fn take_from_migration(pool: &rbd::Pool, namespace: &Namespace, id: &VolumeId) -> Result<bool> {
    let Some(entry) = entry(pool, id).await?.filter(|of| of.source == MIGRATION) else { return Ok(false) };
    if !is_half_migrated(pool, &entry).await? {
        let spec = namespace.volume(entry.name);
        return Err(Error::new(ErrorKind::Blocked, "it is the source of a migration")
            .context("id", id)
            .hint(format!("`rbd migration abort {spec}` brings it back")));
    }
    if header::is_watched(pool, id).await? {
        return Err(Error::new(ErrorKind::Blocked, "somebody may be preparing its migration")
            .context("id", id)
            .hint("let that end; a client that died lets go after about 30 s"));
    }
    if entry.state == TrashState::Moving {
        finish_move(pool, &entry).await?;
    }
    let Some((old, _)) = kept(pool, id).await? else { return Ok(false) };
    let mut new = old.clone();
    if let Some(source) = new.get_mut(SOURCE_AT) {
        // A user.
        *source = 0;
    }
    let swap = rbd::Swap { key: key(id), expected: Some(old), new: Some(new) };
    Ok(pool.omap_swap(TRASH, vec![swap], NO_LIMIT).await?)
}

/// Finishes a move into trash that was broken off.
async fn finish_move(pool: &rbd::Pool, entry: &TrashEntry) -> Result<()> {
    if finish(pool, entry).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Blocked, "its move into trash was broken off, and it has another name now")
        .context("id", &entry.id)
        .hint("it goes by that name: `volary info` with the id shows it"))
}

/// Changes an entry's state if it is this one, whatever else a newer Ceph may write there.
pub(super) async fn set_state(
    pool: &rbd::Pool,
    id: &VolumeId,
    from: TrashState,
    to: TrashState,
) -> Result<()> {
    let Some((old, entry)) = kept(pool, id).await? else { return Ok(()) };
    let mut new = old.clone();
    if let Some(state) = state_at(&old).and_then(|at| new.get_mut(at))
        && entry.state == from
    {
        *state = number(to);
        let key = key(id);
        pool.omap_swap(TRASH, vec![rbd::Swap { key, expected: Some(old), new: Some(new) }], NO_LIMIT).await?;
    }
    Ok(())
}

/// Removes an entry and its volume. The half-removed snapshots of an older volume are to be finished before
/// (`half_removed.rs`).
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
    if entry.state == TrashState::Moving {
        // Who began it can no longer repeat it, for it has no name.
        finish_move(pool, &entry).await?;
    }
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
        bytes[2] = 25;
        assert_eq!(encode(&entry), bytes);
        assert_eq!((entry.name, entry.state), (Name::from_bytes("web"), TrashState::Restoring));
        assert_eq!((entry.deleted.as_nanosecond(), entry.until.as_second()), (1_000_000_002, 5));
        for len in 0..bytes.len() - 1 {
            assert_eq!(decode(id(), &bytes[..len]), None, "{len}");
        }
    }
}
