//! The key-value metadata of an open image.
//!
//! Keys that start with `conf_` are configuration that every client applies when it opens the image.

use crate::Errno;
use crate::call::{first_string, grow, strings, text};
use crate::error::Result;
use crate::image::Image;
use std::time::Duration;

impl Image {
    /// All metadata, by key.
    ///
    /// # Errors
    /// What the call answers; `limit` holds for each page.
    ///
    /// C: `rbd_metadata_list`.
    #[doc(alias = "rbd_metadata_list")]
    pub async fn metadata(&self, limit: Duration) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        // librbd asks the OSD for so many at a time.
        const PAGE: u64 = 64;
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            let start = text(all.last().map_or(&[], |(key, _)| key), "a key")?;
            let page = self.run("rbd_metadata_list", limit, move |image| {
                // Both lengths are asked for when one is too short.
                let (mut keys_len, mut values_len) = (4096, 16384);
                grow(keys_len, |len| {
                    (keys_len, values_len) = (keys_len.max(*len), values_len.max(*len));
                    let (mut keys, mut values) = (vec![0_u8; keys_len], vec![0_u8; values_len]);
                    // SAFETY: an open image, a C string, and two buffers of the lengths told.
                    let answer = unsafe {
                        let (keys, values) = (keys.as_mut_ptr().cast(), values.as_mut_ptr().cast());
                        let (raw, start) = (image.raw.0, start.as_ptr());
                        let (keys_len, values_len) = (&mut keys_len, &mut values_len);
                        call!(
                            image.io.on.library,
                            image.at,
                            rbd_metadata_list(raw, start, PAGE, keys, keys_len, values, values_len)
                        )
                    };
                    *len = keys_len.max(values_len);
                    answer?;
                    keys.truncate(keys_len);
                    values.truncate(values_len);
                    Ok(strings(&keys).into_iter().zip(strings(&values)).collect::<Vec<_>>())
                })
            });
            let page = page.await?;
            let more = page.len() as u64 >= PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// A key's value, or `None`.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rbd_metadata_get`.
    #[doc(alias = "rbd_metadata_get")]
    pub async fn metadata_value(&self, key: &[u8], limit: Duration) -> Result<Option<Vec<u8>>> {
        let key = text(key, "a key")?;
        self.run("rbd_metadata_get", limit, move |image| {
            let value = grow(4096, |len| {
                let mut buffer = vec![0_u8; *len];
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: an open image, a C string, and a buffer of the length told.
                unsafe {
                    call!(
                        image.io.on.library,
                        image.at,
                        rbd_metadata_get(image.raw.0, key.as_ptr(), start, len)
                    )
                }?;
                Ok(first_string(buffer))
            });
            match value {
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
                value => value.map(Some),
            }
        })
        .await
    }

    /// Sets a key; what it held is replaced.
    ///
    /// C: `rbd_metadata_set`.
    #[doc(alias = "rbd_metadata_set")]
    pub async fn set_metadata(&self, key: &[u8], value: &[u8], limit: Duration) -> Result<()> {
        let (key, value) = (text(key, "a key")?, text(value, "a value")?);
        self.run("rbd_metadata_set", limit, move |image| {
            // SAFETY: an open image and C strings.
            unsafe {
                call!(
                    image.io.on.library,
                    image.at,
                    rbd_metadata_set(image.raw.0, key.as_ptr(), value.as_ptr())
                )
            }
            .map(drop)
        })
        .await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// ENOENT.
    ///
    /// C: `rbd_metadata_remove`.
    #[doc(alias = "rbd_metadata_remove")]
    pub async fn remove_metadata(&self, key: &[u8], limit: Duration) -> Result<()> {
        let key = text(key, "a key")?;
        self.run("rbd_metadata_remove", limit, move |image| {
            // SAFETY: an open image and a C string.
            unsafe { call!(image.io.on.library, image.at, rbd_metadata_remove(image.raw.0, key.as_ptr())) }
                .map(drop)
        })
        .await
    }
}
