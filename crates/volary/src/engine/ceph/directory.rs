//! The directory of a namespace: names and ids, read without opening images.

use super::{NO_LIMIT, format_1};
use crate::engine::VolumeEntry;
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use rbd::Features;
use std::collections::BTreeMap;

pub(super) const DIRECTORY: &[u8] = b"rbd_directory";

/// What every image is made with: one writer at a time, known objects, snapshots that flatten along.
pub(super) const FEATURES: u64 = Features::RBD_FEATURE_LAYERING
    | Features::RBD_FEATURE_EXCLUSIVE_LOCK
    | Features::RBD_FEATURE_OBJECT_MAP
    | Features::RBD_FEATURE_FAST_DIFF
    | Features::RBD_FEATURE_DEEP_FLATTEN;

/// What an object map can keep track of, in objects of the default size.
pub(super) const MAX_VOLUME_BYTES: u64 = 256_000_000 * (4 << 20);

pub(super) fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::Internal, "an object of the directory cannot be understood").context("object", what)
}

/// A string as Ceph encodes it: its length, then its bytes; and what follows.
pub(super) fn string(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = from.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
}

/// The same the other way.
pub(super) fn put_string(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes(), text].concat()
}

fn id(from: &[u8], what: &'static str) -> Result<VolumeId> {
    let (id, _) = string(from).ok_or_else(|| malformed(what))?;
    VolumeId::new(String::from_utf8_lossy(id)).map_err(|error| malformed(what).because(error))
}

/// A page of the directory after `after`, and whether more follow.
pub(super) async fn page(pool: &rbd::Pool, after: &[u8]) -> Result<(Vec<VolumeEntry>, Option<Vec<u8>>)> {
    let page = pool.omap_page(DIRECTORY, after, b"name_", 512, NO_LIMIT).await?;
    let last = page.entries.last().filter(|_| page.more).map(|(key, _)| key.clone());
    let entry = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let name = key.strip_prefix(b"name_").ok_or_else(|| malformed("rbd_directory"))?;
        Ok(VolumeEntry { name: Name::from_bytes(name), id: id(value, "rbd_directory")? })
    };
    Ok((page.entries.iter().map(entry).collect::<Result<_>>()?, last))
}

/// The key that leads from a name to an id.
pub(super) fn name_key(name: &[u8]) -> Vec<u8> {
    [b"name_", name].concat()
}

/// The key that leads from an id to a name.
pub(super) fn id_key(id: &VolumeId) -> Vec<u8> {
    [b"id_", id.as_str().as_bytes()].concat()
}

/// Some keys of the directory, read at one moment, each with the string that it holds.
pub(super) async fn entries(pool: &rbd::Pool, keys: Vec<Vec<u8>>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let all = pool.omap_values(DIRECTORY, keys, NO_LIMIT).await?;
    let text =
        |(key, value): (Vec<u8>, Vec<u8>)| (key, string(&value).map_or(value.clone(), |of| of.0.to_vec()));
    Ok(all.into_iter().map(text).collect())
}

/// Both entries of a volume as they are now.
pub(super) struct Both {
    /// The id that the name leads to.
    pub(super) forward: Option<Vec<u8>>,
    /// The name that the id leads to.
    pub(super) backward: Option<Vec<u8>>,
}

pub(super) async fn both(pool: &rbd::Pool, entry: &VolumeEntry) -> Result<Both> {
    let (name, id) = (name_key(entry.name.as_bytes()), id_key(&entry.id));
    let mut found = entries(pool, vec![name.clone(), id.clone()]).await?;
    Ok(Both { forward: found.remove(&name), backward: found.remove(&id) })
}

/// How `rados` is called on a namespace, in commands that an error or report names.
pub(super) fn rados(namespace: &Namespace) -> String {
    let Namespace { pool, name } = namespace;
    if name.is_empty() { format!("rados -p {pool}") } else { format!("rados -p {pool} -N {name}") }
}

/// The longest that the object of a name is.
const ID_BYTES: usize = 4096;

fn id_object(name: &Name) -> Vec<u8> {
    [b"rbd_id.", name.as_bytes()].concat()
}

/// The id a name leads to.
pub(super) async fn id_of(pool: &rbd::Pool, name: &Name) -> Result<Option<VolumeId>> {
    let bytes = pool.object_read(&id_object(name), ID_BYTES, NO_LIMIT).await?;
    bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| id(&bytes, "rbd_id")).transpose()
}

/// The version of the object of a name; none when it leads to another volume, or to none.
pub(super) async fn name_version(pool: &rbd::Pool, entry: &VolumeEntry) -> Result<Option<u64>> {
    let read = pool.object_read_versioned(&id_object(&entry.name), ID_BYTES, NO_LIMIT).await?;
    let Some((bytes, version)) = read.filter(|(bytes, _)| !bytes.is_empty()) else { return Ok(None) };
    Ok((id(&bytes, "rbd_id")? == entry.id).then_some(version))
}

/// The value of one key of the directory: a string.
async fn listed(pool: &rbd::Pool, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let first = pool.omap_values(DIRECTORY, vec![key.to_vec()], NO_LIMIT).await?.into_iter().next();
    let Some((_, value)) = first else { return Ok(None) };
    Ok(Some(string(&value).ok_or_else(|| malformed("rbd_directory"))?.0.to_vec()))
}

/// # Errors
/// `Unsupported` for the name of an image of format 1, which is never absent.
pub(super) async fn find(pool: &rbd::Pool, target: &Target) -> Result<Option<VolumeEntry>> {
    Ok(match target {
        Target::Name(name) => {
            let id = match id_of(pool, name).await? {
                None => {
                    let key = name_key(name.as_bytes());
                    // librbd takes a volume out of the directory last: one whose removal was cut short is still listed.
                    match futures::try_join!(listed(pool, &key), format_1::refuse(pool, name))?.0 {
                        Some(id) => Some(VolumeId::new(String::from_utf8_lossy(&id))?),
                        None => None,
                    }
                }
                id => id,
            };
            id.map(|id| VolumeEntry { name: name.clone(), id })
        }
        Target::Id(id) => {
            let name = listed(pool, &id_key(id)).await?;
            name.map(|name| VolumeEntry { name: Name::from_bytes(name), id: id.clone() })
        }
    })
}

pub(super) fn no_volume(volume: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, "no such volume").context("volume", volume)
}

/// The name must still stand for the id.
pub(super) async fn check(pool: &rbd::Pool, entry: &VolumeEntry) -> Result<()> {
    match find(pool, &Target::Name(entry.name.clone())).await? {
        Some(found) if found.id == entry.id => Ok(()),
        _ => Err(no_volume(&entry.name).context("id", &entry.id)),
    }
}

pub(super) fn check_size(size_bytes: u64) -> Result<()> {
    if size_bytes > MAX_VOLUME_BYTES {
        return Err(Error::new(ErrorKind::Usage, "larger than an object map can keep track of")
            .context("size", size_bytes)
            .context("most", MAX_VOLUME_BYTES));
    }
    Ok(())
}

/// Has librbd make an image.
pub(super) async fn create(pool: &rbd::Pool, name: &Name, size_bytes: u64) -> Result<()> {
    let mut options = rbd::ImageOptions::default();
    options.features = Some(FEATURES);
    Ok(pool.create(name.as_bytes(), size_bytes, &options, NO_LIMIT).await?)
}
