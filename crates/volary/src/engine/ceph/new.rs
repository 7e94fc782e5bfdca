//! New images: by the changes librbd makes, where nothing asks for more; under a name, or in trash at once.

use super::NO_LIMIT;
use super::class::{method, number};
use super::connection::Connection;
use super::directory::{self, DIRECTORY, FEATURES, id_of, no_volume, put_string};
use super::header;
use super::object_map;
use super::trash::{self, TRASH, encode};
use super::trash_move::{change, in_trash, move_in};
use crate::engine::{CreateOptions, TrashOptions, TrashState, VolumeEntry};
use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeId};
use futures::try_join;
use std::time::Duration;

/// What an object holds whose pool has been found fit for images.
const FIT_POOL: &[u8] = b"overwrite validated";

/// Objects of 4 MiB.
const ORDER: u8 = 22;

/// An image to be.
pub(super) struct New<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) name: &'a Name,
    pub(super) id: &'a VolumeId,
    /// How long trash is to keep it, if that is where it goes.
    pub(super) trash: Option<Duration>,
}

impl Connection {
    /// Makes a volume that reads as zeros.
    pub(super) async fn create_volume(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
    ) -> Result<VolumeId> {
        let (pool, size_bytes) = (self.enter(namespace).await?, options.size_bytes);
        directory::check_size(size_bytes)?;
        let order = self.cluster.option("rbd_default_order", NO_LIMIT).await?;
        if options.trash.is_some() && order == b"22" && self.makes_plain(&pool, namespace).await? {
            let id = self.new_id()?;
            let new = New { namespace, name, id: &id, trash: options.trash };
            new.make(&pool, new.empty(&pool, size_bytes, ORDER)).await?;
            return Ok(id);
        }
        tracing::debug!(volume = %name, "left to librbd");
        directory::create(&pool, name, size_bytes).await?;
        made_by_librbd(&pool, name, options.trash).await
    }

    /// Whether images are made here as they are by default: what the pool, the namespace and this client are configured with asks
    /// for nothing else, such as another pool for the data.
    pub(super) async fn makes_plain(&self, pool: &rbd::Pool, namespace: &Namespace) -> Result<bool> {
        let whole = self.pool(&namespace.pool).await?;
        let own = async |of: &rbd::Pool| {
            let found = of.omap_page(b"rbd_info", b"", b"metadata_conf_", 1, NO_LIMIT).await?;
            Ok::<_, Error>(!found.entries.is_empty())
        };
        let (fit, of_pool, of_namespace) = try_join!(
            async { Ok(whole.object_read(b"rbd_info", FIT_POOL.len(), NO_LIMIT).await?) },
            own(&whole),
            own(pool),
        )?;
        if of_pool || of_namespace || fit.as_deref() != Some(FIT_POOL) {
            return Ok(false);
        }
        for (option, plain) in [
            ("rbd_default_data_pool", ""),
            ("rbd_default_stripe_unit", "0"),
            ("rbd_default_stripe_count", "0"),
        ] {
            if self.cluster.option(option, NO_LIMIT).await? != plain.as_bytes() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An id as librbd makes them: the client's number and a random one.
    pub(super) fn new_id(&self) -> Result<VolumeId> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(ErrorKind::Internal, "no random numbers").because(error))?;
        let id = format!("{:x}{:x}", self.client, u32::from_le_bytes(random));
        VolumeId::new(&id[id.len().saturating_sub(14)..])
    }
}

/// The id of what librbd has made, which goes to trash from there if that is where it is to be.
pub(super) async fn made_by_librbd(
    pool: &rbd::Pool,
    name: &Name,
    trash: Option<Duration>,
) -> Result<VolumeId> {
    let id = id_of(pool, name).await?;
    let id = id.ok_or_else(|| no_volume(name).hint("somebody removed or renamed it at once"))?;
    if let Some(keep) = trash {
        let entry = VolumeEntry { name: name.clone(), id: id.clone() };
        move_in(pool, &entry, &TrashOptions::keep(keep).looked()).await?;
    }
    Ok(id)
}

impl New<'_> {
    /// Makes the image, by librbd's steps (`librbd::image::CreateRequest`) in their order: first where it is found, then what it
    /// is. Broken off it is as librbd would leave it, or, in trash, as a removal that is cut short leaves it; when a step fails,
    /// what was made is taken away.
    pub(super) async fn make(
        &self,
        pool: &rbd::Pool,
        content: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        match self.trash {
            None => self.make_named(pool, content).await,
            Some(keep) => self.make_in_trash(pool, keep, content).await,
        }
    }

    async fn make_named(&self, pool: &rbd::Pool, content: impl Future<Output = Result<()>>) -> Result<()> {
        let (name, id) = (self.name, self.id);
        let entry = || [put_string(name.as_bytes()), put_string(id.as_str().as_bytes())];
        let mut listing = vec![method(c"dir_add_image", entry())];
        if !self.namespace.name.is_empty() {
            // One that is being removed takes no more.
            listing.insert(0, method(c"dir_state_assert", [vec![0]]));
        }
        pool.object_change(DIRECTORY, false, listing, NO_LIMIT).await?;
        let named = [b"rbd_id.", name.as_bytes()].concat();
        let set_id = method(c"set_id", [put_string(id.as_str().as_bytes())]);
        if let Err(error) = pool.object_change(&named, true, vec![set_id], NO_LIMIT).await {
            let unlisting = vec![method(c"dir_remove_image", entry())];
            pool.object_change(DIRECTORY, false, unlisting, NO_LIMIT).await?;
            return Err(error.into());
        }
        let made = content.await;
        if made.is_err() {
            // By a name that leads to it: what cannot be removed now is found under it.
            let removed = pool.remove(name.as_bytes(), &rbd::Progress::default(), NO_LIMIT).await;
            if let Err(error) = removed {
                tracing::warn!(%id, error = %error, "an image that could not be finished is left");
            }
        }
        made
    }

    async fn make_in_trash(
        &self,
        pool: &rbd::Pool,
        keep: Duration,
        content: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let (name, id) = (self.name.clone(), self.id.clone());
        let entry = in_trash(&VolumeEntry { name, id }, keep, TrashState::Normal);
        let add = change(self.id, None, Some(encode(&entry)));
        if !pool.omap_swap(TRASH, vec![add], NO_LIMIT).await? {
            return Err(
                Error::new(ErrorKind::Internal, "the id of a new image is in use").context("id", self.id)
            );
        }
        // Who removes a namespace looks into its trash after saying so: one of the two sees the other.
        let kept = async {
            if !self.namespace.name.is_empty() {
                let ready = method(c"dir_state_assert", [vec![0]]);
                pool.object_ask(DIRECTORY, ready, 1, NO_LIMIT).await?;
            }
            Ok(())
        };
        let (made, kept) = futures::join!(content, kept);
        let made: Result<()> = made.and(kept);
        if made.is_err()
            && let Err(error) = trash::remove(pool, self.id, true, &rbd::Progress::default()).await
        {
            tracing::warn!(id = %self.id, error = error.report(), "an image that could not be finished is left");
        }
        made
    }

    /// The header and the object map of an image that reads as zeros.
    pub(super) async fn empty(&self, pool: &rbd::Pool, size_bytes: u64, order: u8) -> Result<()> {
        let data = [b"rbd_data.", self.id.as_str().as_bytes()].concat();
        // No pool of its own for the data.
        let [size, features, no_pool] = [size_bytes, FEATURES, u64::MAX].map(number);
        let create = method(c"create", [size, vec![order], features, put_string(&data), no_pool]);
        pool.object_change(&header::object(self.id), true, vec![create], NO_LIMIT).await?;
        // Only then: a map without a header nobody would find.
        object_map::make(pool, self.id, size_bytes.div_ceil(1 << order)).await
    }
}
