//! Who holds an image: watchers, locks, its group, mirroring.

use crate::Errno;
use crate::call::{bytes, grow, strings, text};
use crate::error::Result;
use crate::image::Image;
use crate::pool::Pool;
use crate::sys;
use std::ffi::{c_char, c_int};
use std::ptr;
use std::time::Duration;

/// A client that has the image open to write, or asks to be told of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// The client's address and nonce.
    pub address: Vec<u8>,
    /// The client's instance id ([`Cluster::instance_id`](crate::Cluster::instance_id)).
    pub client: i64,
    /// Tells the watches of one client apart.
    pub cookie: u64,
}

/// The holders of an image's advisory lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockerList {
    /// Whether one holds it alone.
    pub exclusive: bool,
    /// What those who share it agreed on.
    pub tag: Vec<u8>,
    /// Who holds it.
    pub lockers: Vec<Locker>,
}

/// A holder of an image's advisory lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locker {
    /// The client, as `client.N`.
    pub client: Vec<u8>,
    /// What tells its locks apart.
    pub cookie: Vec<u8>,
    /// Its address.
    pub address: Vec<u8>,
}

/// The group an image is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group's name.
    pub name: Vec<u8>,
    /// The id of the pool the group is in.
    pub pool_id: i64,
}

/// How an image is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The id it has on every cluster.
    pub global_id: Vec<u8>,
    /// Whether mirroring is on, or just being switched off.
    pub enabled: bool,
    /// Whether it is the original.
    pub primary: bool,
}

/// Calls with buffers for tag, clients, cookies and addresses, in the order of librbd, until they are large enough.
fn read_lockers(
    call: impl Fn(&mut c_int, [*mut c_char; 4], [*mut usize; 4]) -> Result<u64>,
) -> Result<LockerList> {
    grow(1024, |len| {
        let mut buffers = [(); 4].map(|()| vec![0_u8; *len]);
        let mut lens = [*len; 4];
        let mut exclusive: c_int = 0;
        let starts = buffers.each_mut().map(|buffer| buffer.as_mut_ptr().cast());
        let count = call(&mut exclusive, starts, lens.each_mut().map(ptr::from_mut));
        *len = lens.into_iter().max().unwrap_or(0);
        if count? == 0 {
            return Ok(LockerList::default());
        }
        for (buffer, len) in buffers.iter_mut().zip(lens) {
            buffer.truncate(len);
        }
        let [tag, clients, cookies, addresses] = buffers.each_ref().map(|buffer| strings(buffer));
        let lockers = clients.into_iter().zip(cookies).zip(addresses);
        let lockers = lockers.map(|((client, cookie), address)| Locker { client, cookie, address });
        let tag = tag.into_iter().next().unwrap_or_default();
        Ok(LockerList { exclusive: exclusive != 0, tag, lockers: lockers.collect() })
    })
}

impl Pool {
    /// Who holds a lock on an object; nobody when the object is not there.
    ///
    /// An image's advisory lock is `rbd_lock` on the object `rbd_header.ID`; read so, it needs no image to be open, and
    /// addresses have their protocol in front, such as `v1:`.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_list_lockers`.
    #[doc(alias = "rados_list_lockers")]
    pub async fn lockers(&self, object: &[u8], lock: &[u8], limit: Duration) -> Result<LockerList> {
        let at = self.io.at.object(object);
        let (object, lock) = (text(object, "an object's name")?, text(lock, "a lock's name")?);
        self.run("rados_list_lockers", limit, move |io| {
            let listed = read_lockers(
                |exclusive,
                 [tag, clients, cookies, addresses],
                 [tag_len, clients_len, cookies_len, addresses_len]| {
                    // SAFETY: a live context, C strings, and four buffers with the lengths told.
                    unsafe {
                        call!(
                            io.on.library,
                            at,
                            rados_list_lockers(
                                io.raw.0,
                                object.as_ptr(),
                                lock.as_ptr(),
                                exclusive,
                                tag,
                                tag_len,
                                clients,
                                clients_len,
                                cookies,
                                cookies_len,
                                addresses,
                                addresses_len,
                            )
                        )
                    }
                },
            );
            match listed {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(LockerList::default()),
                listed => listed,
            }
        })
        .await
    }
}

macro_rules! verb {
    ($(#[$doc:meta])* $method:ident, $c:ident) => {
        $(#[$doc])*
        pub async fn $method(&self, cookie: &[u8], limit: Duration) -> Result<()> {
            let cookie = text(cookie, "a cookie")?;
            self.run(stringify!($c), limit, move |image| {
                // SAFETY: an open image and a C string.
                unsafe { call!(image.io.on.library, image.at, $c(image.raw.0, cookie.as_ptr())) }.map(drop)
            })
            .await
        }
    };
}

impl Image {
    /// Who watches the image, this handle included.
    ///
    /// C: `rbd_watchers_list`.
    #[doc(alias = "rbd_watchers_list")]
    pub async fn watchers(&self, limit: Duration) -> Result<Vec<Watcher>> {
        self.run("rbd_watchers_list", limit, |image| {
            let library = &image.io.on.library;
            let clean = symbol!(library, rbd_watchers_list_cleanup);
            grow(16, |len| {
                let mut list =
                    vec![sys::rbd_image_watcher_t { addr: ptr::null_mut(), id: 0, cookie: 0 }; *len];
                // SAFETY: an open image and an array of the length told.
                unsafe { call!(library, image.at, rbd_watchers_list(image.raw.0, list.as_mut_ptr(), len)) }?;
                // SAFETY: so many entries are filled with C strings of librbd's own, freed once after the copy.
                unsafe {
                    let copy = |from: &sys::rbd_image_watcher_t| Watcher {
                        address: bytes(from.addr),
                        client: from.id,
                        cookie: from.cookie,
                    };
                    let watchers = list.iter().take(*len).map(copy).collect();
                    clean(list.as_mut_ptr(), *len);
                    Ok(watchers)
                }
            })
        })
        .await
    }

    /// Who holds the advisory lock; the exclusive-lock feature uses it too. As of the last time the header was read: a lock that
    /// this handle took itself shows on another one.
    ///
    /// C: `rbd_list_lockers`.
    #[doc(alias = "rbd_list_lockers")]
    pub async fn lockers(&self, limit: Duration) -> Result<LockerList> {
        self.run("rbd_list_lockers", limit, |image| {
            read_lockers(
                |exclusive,
                 [tag, clients, cookies, addresses],
                 [tag_len, clients_len, cookies_len, addresses_len]| {
                    // SAFETY: an open image, and four buffers with the lengths told.
                    unsafe {
                        call!(
                            image.io.on.library,
                            image.at,
                            rbd_list_lockers(
                                image.raw.0,
                                exclusive,
                                tag,
                                tag_len,
                                clients,
                                clients_len,
                                cookies,
                                cookies_len,
                                addresses,
                                addresses_len,
                            )
                        )
                    }
                },
            )
        })
        .await
    }

    /// Takes the exclusive-lock feature's lock, and keeps it from all other clients until it is released or the image is closed. What
    /// needs the lock after that release does not take it by itself any more.
    ///
    /// # Errors
    /// EINVAL without the feature; EROFS, EAGAIN or EBUSY while another client has it.
    ///
    /// C: `rbd_lock_acquire`.
    #[doc(alias = "rbd_lock_acquire")]
    pub async fn acquire_lock(&self, limit: Duration) -> Result<()> {
        self.run("rbd_lock_acquire", limit, |image| {
            let exclusive = sys::RBD_LOCK_MODE_EXCLUSIVE;
            // SAFETY: an open image.
            unsafe { call!(image.io.on.library, image.at, rbd_lock_acquire(image.raw.0, exclusive)) }
                .map(drop)
        })
        .await
    }

    /// Releases the exclusive-lock feature's lock, after all that was written is safe.
    ///
    /// # Errors
    /// EINVAL when this image does not have it.
    ///
    /// C: `rbd_lock_release`.
    #[doc(alias = "rbd_lock_release")]
    pub async fn release_lock(&self, limit: Duration) -> Result<()> {
        self.run("rbd_lock_release", limit, |image| {
            // SAFETY: an open image.
            unsafe { call!(image.io.on.library, image.at, rbd_lock_release(image.raw.0)) }.map(drop)
        })
        .await
    }

    /// The owners of the exclusive-lock feature's lock: none, or one.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rbd_lock_get_owners`.
    #[doc(alias = "rbd_lock_get_owners")]
    pub async fn lock_owners(&self, limit: Duration) -> Result<Vec<Vec<u8>>> {
        self.run("rbd_lock_get_owners", limit, |image| {
            let library = &image.io.on.library;
            let clean = symbol!(library, rbd_lock_get_owners_cleanup);
            let owners = grow(8, |len| {
                let mut list = vec![ptr::null_mut(); *len];
                let mut mode = 0;
                // SAFETY: an open image, a number to fill, and an array of the length told.
                unsafe {
                    call!(
                        library,
                        image.at,
                        rbd_lock_get_owners(image.raw.0, &mut mode, list.as_mut_ptr(), len)
                    )
                }?;
                // SAFETY: so many entries are C strings of librbd's own, freed once after the copy.
                unsafe {
                    let owners = list.iter().take(*len).map(|owner| bytes(*owner)).collect();
                    clean(list.as_mut_ptr(), *len);
                    Ok(owners)
                }
            });
            match owners {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(Vec::new()),
                owners => owners,
            }
        })
        .await
    }

    verb! {
        /// Takes the advisory lock, alone; `cookie` tells a client's locks apart.
        ///
        /// # Errors
        /// EBUSY, or EEXIST for a lock of one's own; EINVAL for the empty cookie.
        ///
        /// C: `rbd_lock_exclusive`.
        #[doc(alias = "rbd_lock_exclusive")]
        lock, rbd_lock_exclusive
    }
    /// Takes the advisory lock together with all who give the same tag; `cookie` tells a client's locks apart.
    ///
    /// # Errors
    /// EBUSY, also for another tag; EEXIST for a lock of one's own; EINVAL for the empty cookie.
    ///
    /// C: `rbd_lock_shared`.
    #[doc(alias = "rbd_lock_shared")]
    pub async fn lock_shared(&self, cookie: &[u8], tag: &[u8], limit: Duration) -> Result<()> {
        let (cookie, tag) = (text(cookie, "a cookie")?, text(tag, "a tag")?);
        self.run("rbd_lock_shared", limit, move |image| {
            let (cookie, tag) = (cookie.as_ptr(), tag.as_ptr());
            // SAFETY: an open image and C strings.
            unsafe { call!(image.io.on.library, image.at, rbd_lock_shared(image.raw.0, cookie, tag)) }
                .map(drop)
        })
        .await
    }

    verb! {
        /// Gives up an advisory lock of this client's.
        ///
        /// # Errors
        /// ENOENT.
        ///
        /// C: `rbd_unlock`.
        #[doc(alias = "rbd_unlock")]
        unlock, rbd_unlock
    }

    /// Takes an advisory lock from its holder and, unless configured otherwise, blocklists that client.
    ///
    /// # Errors
    /// ENOENT; EPERM without the right to blocklist.
    ///
    /// C: `rbd_break_lock`.
    #[doc(alias = "rbd_break_lock")]
    pub async fn break_locker(&self, locker: &Locker, limit: Duration) -> Result<()> {
        let (client, cookie) = (text(&locker.client, "a client")?, text(&locker.cookie, "a cookie")?);
        self.run("rbd_break_lock", limit, move |image| {
            let (client, cookie) = (client.as_ptr(), cookie.as_ptr());
            // SAFETY: an open image and C strings.
            unsafe { call!(image.io.on.library, image.at, rbd_break_lock(image.raw.0, client, cookie)) }
                .map(drop)
        })
        .await
    }

    /// Takes the exclusive lock from its owner and blocklists that client.
    ///
    /// # Errors
    /// ENOENT or EBUSY when it is not the owner; EPERM without the right to blocklist.
    ///
    /// C: `rbd_lock_break`.
    #[doc(alias = "rbd_lock_break")]
    pub async fn break_lock(&self, owner: &[u8], limit: Duration) -> Result<()> {
        let owner = text(owner, "a lock's owner")?;
        self.run("rbd_lock_break", limit, move |image| {
            let exclusive = sys::RBD_LOCK_MODE_EXCLUSIVE;
            // SAFETY: an open image and a C string.
            unsafe {
                call!(image.io.on.library, image.at, rbd_lock_break(image.raw.0, exclusive, owner.as_ptr()))
            }
            .map(drop)
        })
        .await
    }

    /// The group it is in, or `None`.
    ///
    /// C: `rbd_get_group`.
    #[doc(alias = "rbd_get_group")]
    pub async fn group(&self, limit: Duration) -> Result<Option<Group>> {
        self.run("rbd_get_group", limit, |image| {
            let library = &image.io.on.library;
            let clean = symbol!(library, rbd_group_info_cleanup);
            let mut info = sys::rbd_group_info_t { name: ptr::null_mut(), pool: -1 };
            let len = size_of::<sys::rbd_group_info_t>();
            // SAFETY: an open image and a struct of the size told, freed once after the copy.
            unsafe {
                call!(library, image.at, rbd_get_group(image.raw.0, &mut info, len))?;
                let group = Group { name: bytes(info.name), pool_id: info.pool };
                clean(&mut info, len);
                Ok((group.pool_id >= 0).then_some(group))
            }
        })
        .await
    }

    /// How it is mirrored.
    ///
    /// C: `rbd_mirror_image_get_info`.
    #[doc(alias = "rbd_mirror_image_get_info")]
    pub async fn mirror(&self, limit: Duration) -> Result<Mirror> {
        self.run("rbd_mirror_image_get_info", limit, |image| {
            let library = &image.io.on.library;
            let clean = symbol!(library, rbd_mirror_image_get_info_cleanup);
            let mut info =
                sys::rbd_mirror_image_info_t { global_id: ptr::null_mut(), state: 0, primary: false };
            let len = size_of::<sys::rbd_mirror_image_info_t>();
            // SAFETY: an open image and a struct of the size told, freed once after the copy.
            unsafe {
                call!(library, image.at, rbd_mirror_image_get_info(image.raw.0, &mut info, len))?;
                let enabled = info.state != sys::RBD_MIRROR_IMAGE_DISABLED;
                let mirror = Mirror { global_id: bytes(info.global_id), enabled, primary: info.primary };
                clean(&mut info);
                Ok(mirror)
            }
        })
        .await
    }
}
