//! The environment, which librados lets outrank the configuration file.

use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Variables through which the environment outranks the configuration file: code run, files written, keys shown.
pub const HOSTILE_VARIABLES: [&str; 4] = ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"];

/// Whether the environment may outrank the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Environment {
    /// Refuse to connect while one of [`HOSTILE_VARIABLES`] is set.
    #[default]
    Refuse,
    /// The caller vouches for what is set.
    Trust,
}

impl Environment {
    /// Refuses variables that are not trusted.
    pub(crate) fn check(self) -> Result<()> {
        if self == Environment::Trust {
            return Ok(());
        }
        match HOSTILE_VARIABLES.into_iter().find(|variable| std::env::var_os(variable).is_some()) {
            Some(variable) => Err(Error::Environment { variable }),
            None => Ok(()),
        }
    }
}

/// Removes every variable that begins with `CEPH_` from the environment of this process, and gives their names.
///
/// For programs, as the first act of `main`; a library leaves the environment to its host.
///
/// ```
/// let other = std::thread::spawn(std::thread::park);
/// assert!(matches!(rbd::forget_environment(), Err(rbd::Error::NotAlone { .. })));
/// # other.thread().unpark();
/// # other.join().unwrap();
/// ```
///
/// # Errors
/// [`Error::NotAlone`], and nothing is changed, unless the calling thread is the only one.
pub fn forget_environment() -> Result<Vec<OsString>> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(Error::NotAlone { threads });
    }
    let ours = |name: &OsStr| name.as_bytes().starts_with(b"CEPH_");
    let found: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).filter(|name| ours(name)).collect();
    for name in &found {
        // SAFETY: the process has one thread, this one, which starts none here: nobody reads the environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
    Ok(found)
}
