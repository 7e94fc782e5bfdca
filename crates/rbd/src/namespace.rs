//! The namespaces of a pool.

use crate::call::{grow, strings, text};
use crate::error::Result;
use crate::pool::Pool;
use std::time::Duration;

macro_rules! verb {
    ($(#[$doc:meta])* $method:ident, $c:ident) => {
        $(#[$doc])*
        pub async fn $method(&self, name: &[u8], limit: Duration) -> Result<()> {
            let (at, name) = (self.io.at.with(name.escape_ascii().to_string()), text(name, "a namespace's name")?);
            self.run(stringify!($c), limit, move |io| {
                // SAFETY: a live context and a C string.
                unsafe { call!(io.on.library, at, $c(io.raw.0, name.as_ptr())) }.map(drop)
            })
            .await
        }
    };
}

impl Pool {
    /// The names of the namespaces, without the default one.
    ///
    /// C: `rbd_namespace_list`.
    #[doc(alias = "rbd_namespace_list")]
    pub async fn namespaces(&self, limit: Duration) -> Result<Vec<Vec<u8>>> {
        self.run("rbd_namespace_list", limit, |io| {
            grow(4096, |len| {
                let mut buffer = vec![0_u8; *len];
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: a live context and a buffer of the length told.
                unsafe { call!(io.on.library, io.at, rbd_namespace_list(io.raw.0, start, len)) }?;
                buffer.truncate(*len);
                Ok(strings(&buffer))
            })
        })
        .await
    }

    /// Whether a namespace is there.
    ///
    /// C: `rbd_namespace_exists`.
    #[doc(alias = "rbd_namespace_exists")]
    pub async fn namespace_exists(&self, name: &[u8], limit: Duration) -> Result<bool> {
        let name = text(name, "a namespace's name")?;
        self.run("rbd_namespace_exists", limit, move |io| {
            let mut exists = false;
            // SAFETY: a live context, a C string, a bool to fill.
            unsafe {
                call!(io.on.library, io.at, rbd_namespace_exists(io.raw.0, name.as_ptr(), &mut exists))
            }?;
            Ok(exists)
        })
        .await
    }

    verb! {
        /// Makes a namespace.
        ///
        /// # Errors
        /// EEXIST; EINVAL for the empty name.
        ///
        /// C: `rbd_namespace_create`.
        #[doc(alias = "rbd_namespace_create")]
        create_namespace, rbd_namespace_create
    }
    verb! {
        /// Removes a namespace.
        ///
        /// # Errors
        /// ENOENT; EBUSY while it holds images, in trash too.
        ///
        /// C: `rbd_namespace_remove`.
        #[doc(alias = "rbd_namespace_remove")]
        remove_namespace, rbd_namespace_remove
    }
}
