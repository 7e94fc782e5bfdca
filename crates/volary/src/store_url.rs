//! Store URLs: which engine keeps the store, and where.

use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

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
    /// `ceph:CONF?id=USER&timeout=SECONDS`: a Ceph cluster.
    Ceph(CephUrl),
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
            Some(("ceph", rest)) => rest.parse().map(StoreUrl::Ceph),
            _ => Err(Error::new(ErrorKind::Usage, "unknown kind of store")
                .context("store", crate::escape(text.as_bytes()))
                .hint("write local:PATH or ceph:CONF")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Ceph(url) => fmt::Display::fmt(url, f),
            StoreUrl::Local(None) => f.write_str("local:"),
            StoreUrl::Local(Some(path)) => {
                write!(f, "local:{}", crate::escape(path.as_os_str().as_encoded_bytes()))
            }
        }
    }
}

/// A Ceph cluster and the user to be there.
///
/// ```
/// use volary::CephUrl;
/// let url: CephUrl = "/etc/ceph/ceph.conf?id=nova&timeout=5".parse().unwrap();
/// assert_eq!((url.user(), url.timeout.unwrap().as_secs()), ("nova", 5));
/// assert_eq!("".parse::<CephUrl>().unwrap(), CephUrl::new("/etc/ceph/ceph.conf"));
/// assert!("ceph.conf".parse::<CephUrl>().is_err(), "a relative path would depend on where one stands");
/// assert!("?key=AQB".parse::<CephUrl>().is_err(), "keys stay in keyrings");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CephUrl {
    /// The configuration file, absolute.
    pub conf: PathBuf,
    /// The user without `client.`; `admin` without.
    pub id: Option<String>,
    /// How long connecting may take; as [`Ctl`](crate::Ctl) says without.
    pub timeout: Option<Duration>,
    /// Whether `CEPH_ARGS` and its like may outrank the configuration; the text of a URL never says so.
    pub trust_environment: bool,
}

impl CephUrl {
    const CONF: &str = "/etc/ceph/ceph.conf";

    /// The cluster of a configuration file, as `client.admin`.
    pub fn new(conf: impl Into<PathBuf>) -> Self {
        CephUrl { conf: conf.into(), id: None, timeout: None, trust_environment: false }
    }

    /// Connects although the environment sets `CEPH_ARGS`, `CEPH_LIB`, `CEPH_KEYRING` or `CEPH_CONF`: the caller vouches
    /// for what they say.
    ///
    /// ```
    /// let url = volary::CephUrl::new("/etc/ceph/ceph.conf").trusting_environment();
    /// assert!(url.trust_environment);
    /// ```
    #[must_use]
    pub fn trusting_environment(mut self) -> Self {
        self.trust_environment = true;
        self
    }

    /// The user without `client.`.
    pub fn user(&self) -> &str {
        self.id.as_deref().unwrap_or("admin")
    }
}

impl FromStr for CephUrl {
    type Err = Error;

    /// What follows `ceph:`.
    fn from_str(text: &str) -> Result<Self> {
        // The text is not shown again: somebody may have written a key into it.
        let refused = |what: &str| {
            Error::new(ErrorKind::Usage, what).hint("write ceph:/etc/ceph/ceph.conf?id=USER&timeout=SECONDS")
        };
        let (conf, options) = text.split_once('?').unwrap_or((text, ""));
        let mut url = CephUrl::new(if conf.is_empty() { Self::CONF } else { conf });
        if !url.conf.is_absolute() {
            return Err(refused("the path of Ceph's configuration is not absolute"));
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("id", id)) if !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()) => {
                    url.id = Some(id.to_owned());
                }
                Some(("timeout", seconds)) => match seconds.parse() {
                    Ok(seconds @ 1..=86_400) => url.timeout = Some(Duration::from_secs(seconds)),
                    _ => return Err(refused("the timeout is not a number of seconds")),
                },
                _ => return Err(refused("an option of ceph: that there is not")),
            }
        }
        Ok(url)
    }
}

impl fmt::Display for CephUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ceph:{}", crate::escape(self.conf.as_os_str().as_encoded_bytes()))?;
        let id = self.id.as_ref().map(|id| format!("id={id}"));
        let timeout = self.timeout.map(|timeout| format!("timeout={}", timeout.as_secs()));
        let options: Vec<_> = [id, timeout].into_iter().flatten().collect();
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}
