//! Single RADOS objects: what is there, and advisory locks on it.

use crate::Errno;
use crate::call::text;
use crate::error::Result;
use crate::pool::Pool;
use std::ptr;
use std::time::Duration;

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectStat {
    /// Its size.
    pub size_bytes: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified_seconds: i64,
}

impl Pool {
    /// Whether an object is there, and its size.
    ///
    /// One round trip: a stat of `rbd_id.NAME` tells whether an image has that name.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_stat`.
    #[doc(alias = "rados_stat")]
    pub async fn object_stat(&self, object: &[u8], limit: Duration) -> Result<Option<ObjectStat>> {
        let (name, object) = (text(object, "an object's name")?, object.to_vec());
        self.run("rados_stat", limit, move |io| {
            let mut stat = ObjectStat { size_bytes: 0, modified_seconds: 0 };
            let (size, modified) = (&mut stat.size_bytes, &mut stat.modified_seconds);
            let at = io.at.object(&object);
            // SAFETY: a live context, a C string, and two numbers to fill.
            match unsafe { call!(io.on.library, at, rados_stat(io.raw.0, name.as_ptr(), size, modified)) } {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
                answer => answer.map(|_| Some(stat)),
            }
        })
        .await
    }

    /// An object's first bytes, at most `len`, or `None` when it is not there.
    ///
    /// One round trip: `rbd_id.NAME` holds an image's id behind its length (32 bits, little endian).
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_read`.
    #[doc(alias = "rados_read")]
    pub async fn object_read(&self, object: &[u8], len: usize, limit: Duration) -> Result<Option<Vec<u8>>> {
        let (at, object) = (self.io.at.object(object), text(object, "an object's name")?);
        self.run("rados_read", limit, move |io| {
            let mut buffer = vec![0_u8; len];
            let start = buffer.as_mut_ptr().cast();
            // SAFETY: a live context, a C string, and a buffer of the length told.
            match unsafe { call!(io.on.library, at, rados_read(io.raw.0, object.as_ptr(), start, len, 0)) } {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
                answer => {
                    buffer.truncate(usize::try_from(answer?).unwrap_or(usize::MAX));
                    Ok(Some(buffer))
                }
            }
        })
        .await
    }

    /// Takes an exclusive advisory lock on an object, making the object if need be; `false`: somebody else has it.
    ///
    /// `lease` is how long it lasts without renewal, for good when zero. `cookie` tells holders of one client apart;
    /// taking a lock one holds is refused too.
    ///
    /// # Errors
    /// What the call answers, but for EBUSY and EEXIST.
    ///
    /// C: `rados_lock_exclusive`.
    #[doc(alias = "rados_lock_exclusive")]
    pub async fn lock_object(
        &self,
        object: &[u8],
        lock: &[u8],
        cookie: &[u8],
        lease: Duration,
        limit: Duration,
    ) -> Result<bool> {
        let at = self.io.at.object(object);
        let object = text(object, "an object's name")?;
        let (lock, cookie) = (text(lock, "a lock's name")?, text(cookie, "a cookie")?);
        self.run("rados_lock_exclusive", limit, move |io| {
            let seconds = i64::try_from(lease.as_secs()).unwrap_or(i64::MAX);
            let mut lease = crate::sys::timeval { tv_sec: seconds, tv_usec: lease.subsec_micros().into() };
            let lease =
                if lease.tv_sec == 0 && lease.tv_usec == 0 { ptr::null_mut() } else { &raw mut lease };
            // SAFETY: a live context, C strings, and no lease or one that outlives the call.
            let answer = unsafe {
                let (object, lock, cookie) = (object.as_ptr(), lock.as_ptr(), cookie.as_ptr());
                call!(
                    io.on.library,
                    at,
                    rados_lock_exclusive(io.raw.0, object, lock, cookie, c"".as_ptr(), lease, 0)
                )
            };
            match answer {
                Err(error) if matches!(error.errno(), Some(Errno::EBUSY | Errno::EEXIST)) => Ok(false),
                answer => answer.map(|_| true),
            }
        })
        .await
    }

    /// Gives up an advisory lock; `false`: it was not held.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_unlock`.
    #[doc(alias = "rados_unlock")]
    pub async fn unlock_object(
        &self,
        object: &[u8],
        lock: &[u8],
        cookie: &[u8],
        limit: Duration,
    ) -> Result<bool> {
        let at = self.io.at.object(object);
        let object = text(object, "an object's name")?;
        let (lock, cookie) = (text(lock, "a lock's name")?, text(cookie, "a cookie")?);
        self.run("rados_unlock", limit, move |io| {
            // SAFETY: a live context and C strings.
            let answer = unsafe {
                let (object, lock, cookie) = (object.as_ptr(), lock.as_ptr(), cookie.as_ptr());
                call!(io.on.library, at, rados_unlock(io.raw.0, object, lock, cookie))
            };
            match answer {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
                answer => answer.map(|_| true),
            }
        })
        .await
    }
}
