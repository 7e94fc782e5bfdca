//! Objects that the object map has and the pool lacks: librbd reads them as zeros, or as what the parent has there.

use super::NO_LIMIT;
use super::class::number;
use super::directory::{malformed, string};
use super::extents::{self, INVALID};
use super::header;
use super::object_map::ObjectMap;
use super::reading::{HEAD, ask};
use super::volume::Handle;
use crate::digest::is_zero;
use crate::{BLOCK_BYTES, Error, ErrorKind, Result, escape};
use futures::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many objects of one read are looked for at once.
const LOOKS: usize = 8;

/// How long a client that has the image open has to answer.
const ANSWER: Duration = Duration::from_millis(500);

/// The data objects of a head or snapshot, and which of them the object map has.
pub(super) struct Objects {
    pool: rbd::Pool,
    prefix: Vec<u8>,
    map: ObjectMap,
}

impl Objects {
    fn name(&self, object: u64) -> Vec<u8> {
        [self.prefix.as_slice(), format!(".{object:016x}").as_bytes()].concat()
    }
}

/// The objects of which a read covers all that is inside the image, or at least a block, with the part of the read that each is.
fn covered(offset: u64, len: u64, object_bytes: u64, size_bytes: u64) -> Vec<(u64, Range<usize>)> {
    let end = offset.saturating_add(len);
    let part = |object: u64| {
        let (from, to) = (object * object_bytes, ((object + 1) * object_bytes).min(size_bytes));
        let (start, stop) = (from.max(offset), to.min(end));
        let whole = stop.checked_sub(start)? >= (to - from).min(BLOCK_BYTES);
        let index = |at: u64| usize::try_from(at - offset).ok();
        whole.then_some((object, index(start)?..index(stop)?))
    };
    (offset / object_bytes..end.div_ceil(object_bytes)).filter_map(part).collect()
}

impl Handle {
    /// Looks for objects behind what was read: of one that reads as zeros, or of any of a clone, it asks the pool when the map has
    /// it. A map that is not valid says nothing, nor does that of an image with another striping.
    ///
    /// # Errors
    /// `Mismatch` for an object that is lost, unless those are accepted.
    pub(super) async fn find_lost(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.write {
            return Ok(());
        }
        let clone = !self.note_below().await?.is_empty();
        let size_bytes = self.size.load(Ordering::SeqCst);
        let mut parts = covered(offset, bytes.len() as u64, self.object_bytes, size_bytes);
        parts.retain(|(_, part)| clone || bytes.get(part.clone()).is_some_and(is_zero));
        if parts.is_empty() {
            return Ok(());
        }
        let objects = self.objects.get_or_try_init(|| self.objects()).await?;
        let Some(objects) = objects else { return Ok(()) };
        parts.retain(|(object, _)| objects.map.exists(*object));
        let looks = parts.into_iter().map(|(object, part)| async move {
            let stat = objects.pool.object_stat(&objects.name(object), NO_LIMIT).await?;
            let lost = stat.is_none() && self.is_lost(object).await?;
            Ok::<_, Error>((object, part, lost))
        });
        let mut looks = stream::iter(looks).buffer_unordered(LOOKS);
        while let Some((object, part, lost)) = looks.try_next().await? {
            if lost {
                self.lost(&objects.name(object), offset + part.start as u64, part.len() as u64)?;
            }
        }
        Ok(())
    }

    fn lost(&self, object: &[u8], offset: u64, len: u64) -> Result<()> {
        let object = escape(object);
        if self.accept_mismatch {
            tracing::warn!(id = %self.id, %object, offset, "an object is lost, its part of the volume is read without it");
            self.mismatched_bytes.fetch_add(len, Ordering::Relaxed);
            return Ok(());
        }
        Err(Error::new(ErrorKind::Mismatch, "the object map has an object that the pool lacks")
            .context("id", &self.id)
            .context("object", object)
            .context("offset", offset)
            .hint(
                "restore the volume from a copy, or rescue the rest with --accept-mismatch; if a client died before it wrote that \
                 object, nothing is lost: have the map made anew with `rbd feature disable` and `enable` of object-map and \
                 fast-diff, and `rbd object-map rebuild`",
            ))
    }

    /// `None` when there is no map that tells of each object.
    async fn objects(&self) -> Result<Option<Objects>> {
        if !extents::is_whole(&self.image).await? {
            return Ok(None);
        }
        let Some(map) = extents::map(self).await? else { return Ok(None) };
        let Some(prefix) = ask(&self.pool, &self.id, c"get_object_prefix", []).await? else {
            return Ok(None);
        };
        let prefix = string(&prefix).ok_or_else(|| malformed("rbd_header"))?.0.to_vec();
        let (cluster, data) = (&self.on.cluster, self.image.data_pool(NO_LIMIT).await?);
        let namespace = self.namespace.name.as_bytes();
        let pool = match self.snapshot_id {
            None => cluster.pool_by_id(data, namespace, NO_LIMIT).await?,
            Some(snapshot) => cluster.pool_at_snapshot(data, namespace, snapshot, NO_LIMIT).await?,
        };
        Ok(Some(Objects { pool, prefix, map }))
    }

    /// Whether the map, read after the object was not found, still has it, and is valid. A client that writes the head changes the map
    /// before the object, so that nothing can be said while one has it open.
    async fn is_lost(&self, object: u64) -> Result<bool> {
        let snapshot = number(self.snapshot_id.unwrap_or(HEAD));
        let flags = ask(&self.pool, &self.id, c"get_flags", [snapshot]).await?;
        let valid = flags.is_some_and(|flags| {
            flags.first_chunk().is_some_and(|flags| u64::from_le_bytes(*flags) & INVALID == 0)
        });
        if !valid || !extents::map(self).await?.is_some_and(|map| map.exists(object)) {
            return Ok(false);
        }
        let in_use = async || self.pool.object_is_watched(&header::object(&self.id), ANSWER, NO_LIMIT).await;
        Ok(self.snapshot_id.is_some() || !in_use().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_covered_whole_or_by_a_block() {
        // Objects of four bytes, the last of one.
        assert_eq!(covered(0, 17, 4, 17).last(), Some(&(4, 16..17)));
        assert_eq!(covered(2, 7, 4, 17), [(1, 2..6)]);
        assert_eq!(covered(4, 4, 4, 17), [(1, 0..4)]);
        assert_eq!(covered(5, 3, 4, 17), []);
        assert_eq!(covered(0, 0, 4, 17), []);
        // Of two blocks.
        let (block, len) = (BLOCK_BYTES, BLOCK_BYTES as usize);
        assert_eq!(covered(block, block, 2 * block, 4 * block), [(0, 0..len)]);
        assert_eq!(covered(block + 1, block - 1, 2 * block, 4 * block), []);
    }
}
