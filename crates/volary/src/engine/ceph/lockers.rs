//! An image's advisory lock.

use super::holders::watchers;
use super::read_only::require_primary;
use super::volume::Handle;
use super::{NO_LIMIT, header};
use crate::engine::{Locker, locked, usable_cookie};
use crate::{Error, ErrorKind, Name, Result, VolumeId, escape};
use rbd::{Errno, LockerList};

/// The tag of the lock that the exclusive-lock feature takes by itself.
const MANAGED_TAG: &[u8] = b"internal";

/// How the cookie of that lock begins; the number of librbd's watch follows.
const MANAGED: &[u8] = b"auto ";

/// Whether it is the lock that the exclusive-lock feature takes by itself. librbd regards no other as its own: a lock with
/// another tag or form belongs to a client, and keeps librbd from taking its own.
fn is_librbds(list: &LockerList, locker: &rbd::Locker) -> bool {
    let number = locker.cookie.strip_prefix(MANAGED).unwrap_or_default();
    list.exclusive && list.tag == MANAGED_TAG && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

async fn list(pool: &rbd::Pool, id: &VolumeId) -> rbd::Result<LockerList> {
    pool.lockers(&header::object(id), b"rbd_lock", NO_LIMIT).await
}

/// Who holds an image's advisory lock, from its header's object: no image is opened.
pub(super) async fn of(pool: &rbd::Pool, id: &VolumeId) -> Result<Vec<Locker>> {
    let list = list(pool, id).await?;
    let tag = (!list.exclusive).then(|| Name::from_bytes(list.tag.clone()));
    let advisory = list.lockers.iter().filter(|locker| !is_librbds(&list, locker));
    let locker = |from: &rbd::Locker| Locker {
        cookie: Name::from_bytes(from.cookie.clone()),
        client: Name::from_bytes(from.client.clone()),
        address: escape(plain(&from.address)).into_owned(),
        tag: tag.clone(),
    };
    Ok(advisory.map(locker).collect())
}

/// Whether a client has the lock that the exclusive-lock feature takes by itself: one that died has it until another takes it over.
pub(super) async fn is_managed(pool: &rbd::Pool, id: &VolumeId) -> Result<bool> {
    let list = list(pool, id).await?;
    Ok(list.lockers.iter().any(|locker| is_librbds(&list, locker)))
}

/// What it means that librbd cannot take its lock, where another client than this one, `own`, has it or an advisory one.
pub(super) async fn why_not_taken(pool: &rbd::Pool, id: &VolumeId, own: u64) -> Result<Option<Error>> {
    if let Some(locker) = of(pool, id).await?.first() {
        return Ok(Some(locked(locker)));
    }
    let (list, own) = (list(pool, id).await?, format!("client.{own}").into_bytes());
    let other = list.lockers.iter().find(|locker| is_librbds(&list, locker) && locker.client != own);
    Ok(other.map(|locker| {
        Error::new(ErrorKind::Blocked, "another client has the volume's exclusive lock")
            .context("client", escape(&locker.client))
            .context("address", escape(plain(&locker.address)))
            .hint(
                "close the volume there; of a client that died the lock is taken after about 30 s, by a user who may \
                 blocklist it: mon 'profile rbd'",
            )
    }))
}

/// An address as `rbd` shows it, without the protocol.
fn plain(address: &[u8]) -> &[u8] {
    let prefixes = [&b"v1:"[..], b"v2:", b"any:"];
    prefixes.iter().find_map(|prefix| address.strip_prefix(*prefix)).unwrap_or(address)
}

/// Fails while somebody holds it; librbd would wait for the lock, and for ever.
pub(super) async fn require_none(pool: &rbd::Pool, id: &VolumeId) -> Result<()> {
    of(pool, id).await?.first().map_or(Ok(()), |locker| Err(locked(locker)))
}

impl Handle {
    fn client(&self) -> Name {
        Name::from_bytes(format!("client.{}", self.on.client))
    }

    pub(super) async fn lockers_now(&self) -> Result<Vec<Locker>> {
        // Fails on a handle that is closed.
        self.image.size(NO_LIMIT).await?;
        of(&self.pool, &self.id).await
    }

    pub(super) async fn add_lock_now(&self, cookie: &Name, tag: Option<&Name>) -> Result<Locker> {
        usable_cookie(cookie)?;
        require_primary(&self.image, &self.namespace).await?;
        let taken = match tag {
            None => self.image.lock(cookie.as_bytes(), NO_LIMIT).await,
            Some(tag) => self.image.lock_shared(cookie.as_bytes(), tag.as_bytes(), NO_LIMIT).await,
        };
        match taken {
            Err(error) if error.errno() == Some(Errno::EBUSY) => {
                let by = of(&self.pool, &self.id).await?;
                return Err(by
                    .first()
                    .map_or_else(|| writes("the client it is open at"), locked)
                    .because(error));
            }
            Err(error) if error.errno() == Some(Errno::EEXIST) => {
                return Err(Error::new(ErrorKind::AlreadyExists, "this client has a lock of this cookie")
                    .context("cookie", cookie)
                    .because(error));
            }
            taken => taken?,
        }
        // A writer looks for locks after its watch is there, this looks for watches after the lock is.
        if let Some(other) = watchers(&self.image, None).await?.first() {
            self.image.unlock(cookie.as_bytes(), NO_LIMIT).await?;
            return Err(writes(&other.detail));
        }
        let (me, all) = (self.client(), of(&self.pool, &self.id).await?);
        let mine = all.into_iter().find(|locker| locker.cookie == *cookie && locker.client == me);
        mine.ok_or_else(|| no_lock(cookie, &me).hint("somebody broke it at once"))
    }

    pub(super) async fn break_lock_now(&self, cookie: &Name, client: &Name) -> Result<()> {
        let all = self.lockers_now().await?;
        let found = all.into_iter().find(|locker| locker.cookie == *cookie && locker.client == *client);
        let found = found.ok_or_else(|| no_lock(cookie, client))?;
        let broken = if *client == self.client() {
            // Breaking one's own would blocklist this very connection.
            self.image.unlock(cookie.as_bytes(), NO_LIMIT).await
        } else {
            let locker = rbd::Locker {
                client: found.client.as_bytes().to_vec(),
                cookie: found.cookie.as_bytes().to_vec(),
                address: found.address.into_bytes(),
            };
            self.image.break_locker(&locker, NO_LIMIT).await
        };
        broken.map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => no_lock(cookie, client).because(error),
            _ => error.into(),
        })
    }
}

fn writes(by: &str) -> Error {
    Error::new(ErrorKind::Blocked, "somebody has the volume open to write")
        .context("holder", by)
        .hint("close it there; a client that died lets go after about 30 s")
}

fn no_lock(cookie: &Name, client: &Name) -> Error {
    Error::new(ErrorKind::NotFound, "no such lock").context("cookie", cookie).context("client", client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_librbd_takes_for_its_own_is_its_own() {
        let own = |exclusive: bool, tag: &str, cookie: &str| {
            let locker = rbd::Locker { client: Vec::new(), cookie: cookie.into(), address: Vec::new() };
            let list = LockerList { exclusive, tag: tag.into(), lockers: vec![locker.clone()] };
            is_librbds(&list, &locker)
        };
        assert!(own(true, "internal", "auto 94234"));
        for (exclusive, tag, cookie) in [
            (true, "", "auto 94234"),
            (true, "other", "auto 94234"),
            (false, "internal", "auto 94234"),
            (true, "internal", "auto 1'2"),
            (true, "internal", "auto "),
            (true, "internal", "auto"),
            (true, "internal", "94234"),
        ] {
            assert!(!own(exclusive, tag, cookie), "{tag} {cookie}");
        }
    }
}
