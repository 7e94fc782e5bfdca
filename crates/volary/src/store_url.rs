//! Store URLs: which engine keeps the store, and where.

use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The URL of a store, taken apart.
///
/// ```
/// use volary::StoreUrl;
/// let url: StoreUrl = "local:/var/lib/volary".parse().unwrap();
/// assert_eq!(url, StoreUrl::Local(Some("/var/lib/volary".into())));
/// assert!("local:/x?timeout=30".parse::<StoreUrl>().is_ok(), "the rest of local: is a path, unescaped");
/// assert!("file:/x".parse::<StoreUrl>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `local:PATH`: a directory on this host; without a path the edge that asks chooses one.
    Local(Option<PathBuf>),
}

impl StoreUrl {
    /// A local store in a directory.
    pub fn local(path: impl AsRef<Path>) -> Self {
        StoreUrl::Local(Some(path.as_ref().to_owned()))
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("local", "")) => Ok(StoreUrl::Local(None)),
            Some(("local", path)) => Ok(StoreUrl::local(path)),
            Some(("ceph", _)) => {
                Err(Error::new(ErrorKind::Unsupported, "this build keeps no stores on Ceph")
                    .context("store", crate::escape(text.as_bytes()))
                    .hint("use local:PATH"))
            }
            _ => Err(Error::new(ErrorKind::Usage, "unknown kind of store")
                .context("store", crate::escape(text.as_bytes()))
                .hint("write local:PATH or ceph:CONF")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Local(None) => f.write_str("local:"),
            StoreUrl::Local(Some(path)) => {
                write!(f, "local:{}", crate::escape(path.as_os_str().as_encoded_bytes()))
            }
        }
    }
}
