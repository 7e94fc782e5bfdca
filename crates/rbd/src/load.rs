//! Opening librbd, and what is in it.

use crate::error::{Error, Result};
use crate::leave::wait_if_parked;
use crate::sys;
use crate::table::{Symbol, missing};
use libloading::os::unix;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Ceph's two libraries, opened at run time.
///
/// librbd depends on librados, so one handle finds the functions of both. Cheap to clone; never unloaded, because
/// Ceph's threads may outlive every handle.
#[derive(Clone)]
pub struct Library {
    loaded: Arc<Loaded>,
}

struct Loaded {
    table: sys::Table,
    path: PathBuf,
    missing: Vec<Symbol>,
}

/// A version of a library, as the library counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Major number.
    pub major: i32,
    /// Minor number.
    pub minor: i32,
    /// Patch number.
    pub extra: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.extra)
    }
}

/// Keeps the code mapped after the handle is closed (`RTLD_NODELETE` of Linux).
const RTLD_NODELETE: i32 = 0x1000;

macro_rules! version {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(&self) -> Result<Version> {
            let mut version = Version { major: 0, minor: 0, extra: 0 };
            let get = symbol!(self, $name);
            // SAFETY: three integers to write to.
            unsafe { get(&mut version.major, &mut version.minor, &mut version.extra) };
            Ok(version)
        }
    };
}

impl Library {
    /// The name the dynamic linker is asked for unless the caller names a file.
    pub const DEFAULT_NAME: &'static str = "librbd.so.1";

    /// Opens the system's librbd, or the file at `path`.
    ///
    /// ```no_run
    /// let library = rbd::Library::load(None)?;
    /// println!("{} {}", library.rbd_version()?, library.path().display());
    /// # Ok::<(), rbd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Load`] when it is not there or lacks a required function; it says how to install it.
    #[doc(alias = "dlopen")]
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let path = path.unwrap_or(Path::new(Self::DEFAULT_NAME)).to_owned();
        let refused = |reason: String| Error::Load { path: path.clone(), reason };
        // SAFETY: the caller names Ceph's own library; its initialisers are as safe to run as Ceph's programs.
        let opened =
            unsafe { unix::Library::open(Some(&path), unix::RTLD_NOW | unix::RTLD_LOCAL | RTLD_NODELETE) };
        let opened = opened.map_err(|error| {
            let reason = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            refused(format!("{reason}; it comes with Ceph's package librbd1"))
        })?;
        // SAFETY: the table's types are generated from Ceph's headers, and the functions keep their types for good.
        let table =
            unsafe { sys::Table::from_library(opened) }.map_err(|error| refused(error.to_string()))?;
        let missing = missing(&table);
        let needed: Vec<&str> =
            missing.iter().filter(|symbol| symbol.is_required()).map(|symbol| symbol.name).collect();
        if !needed.is_empty() {
            let oldest = crate::table::OLDEST_RELEASE;
            return Err(refused(format!("it lacks {}; Ceph {oldest} or newer is needed", needed.join(", "))));
        }
        Ok(Library { loaded: Arc::new(Loaded { table, path, missing }) })
    }

    /// The file that serves: where the system found it, if that can be told.
    pub fn path(&self) -> PathBuf {
        let name = self.loaded.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
        let found = mapped.filter(|path| path.rsplit('/').next().is_some_and(|file| file.starts_with(&name)));
        found.map(PathBuf::from).next().unwrap_or_else(|| self.loaded.path.clone())
    }

    /// The optional functions that this version lacks.
    pub fn missing(&self) -> &[Symbol] {
        &self.loaded.missing
    }

    version! {
        /// The version of librados' interface. C: `rados_version`.
        rados_version
    }
    version! {
        /// The version of librbd's interface. C: `rbd_version`.
        rbd_version
    }

    /// The functions to call. A thread does not come back from here once the process has left them alone.
    pub(crate) fn table(&self) -> &sys::Table {
        wait_if_parked();
        &self.loaded.table
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("path", &self.loaded.path).finish_non_exhaustive()
    }
}
