//! Single RADOS objects: whether they are there, and what is in them.

use crate::Errno;
use crate::call::text;
use crate::error::Result;
use crate::pool::Pool;
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
}
