//! Connecting: nothing but the named configuration file and these options decides what is connected to and how.

use crate::call::{Raw, first_string, text};
use crate::cluster::{Cluster, Connection};
use crate::error::{Error, Place, Result};
use crate::load::Library;
use crate::workers::Workers;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

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

/// How to connect.
///
/// ```
/// use std::time::Duration;
/// let mut options = rbd::ConnectOptions::new("/etc/ceph/ceph.conf", "nova");
/// options.timeout = Duration::from_secs(10);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The configuration file, absolute; nothing else is read.
    pub conf: PathBuf,
    /// The user without `client.`.
    pub id: String,
    /// What librados itself waits for monitors and OSDs at most.
    pub timeout: Duration,
    /// The most bytes of reads and writes in flight on this connection.
    pub in_flight_bytes: usize,
    /// Whether the environment may outrank the configuration.
    pub environment: Environment,
}

/// Options of Ceph through which a configuration file runs code or writes files: forced to do nothing.
const QUIET: [(&str, &str); 9] = [
    ("plugin_dir", "/nonexistent"),
    ("rbd_plugins", ""),
    ("crush_location_hook", ""),
    ("admin_socket", ""),
    ("log_file", ""),
    ("log_to_stderr", "false"),
    ("err_to_stderr", "false"),
    ("log_to_syslog", "false"),
    ("err_to_syslog", "false"),
];

/// Options that only newer releases know, forced likewise where they are known.
const QUIET_IF_KNOWN: [(&str, &str); 3] =
    [("log_to_file", "false"), ("log_to_graylog", "false"), ("log_to_journald", "false")];

impl ConnectOptions {
    /// Connects as `client.ID` with a configuration file, waiting 30 s at most, with 64 MiB in flight.
    pub fn new(conf: impl Into<PathBuf>, id: impl Into<String>) -> Self {
        ConnectOptions {
            conf: conf.into(),
            id: id.into(),
            timeout: Duration::from_secs(30),
            in_flight_bytes: 64 << 20,
            environment: Environment::Refuse,
        }
    }

    /// Connects; the answer comes within `limit` even when librados never returns.
    ///
    /// # Errors
    /// [`Error::Environment`]; [`Error::Failed`] naming the step: `rados_conf_read_file` with the path,
    /// `rados_connect` with user and monitors (ETIMEDOUT: no monitor answered; EACCES, EPERM: wrong key or user;
    /// ENOENT: no keyring or no key in it).
    ///
    /// C: `rados_create2`, `rados_conf_read_file`, `rados_conf_set`, `rados_connect`.
    #[doc(alias = "rados_connect")]
    pub async fn connect(&self, library: &Library, limit: Duration) -> Result<Cluster> {
        if self.environment == Environment::Refuse {
            let set = HOSTILE_VARIABLES.into_iter().find(|variable| std::env::var_os(variable).is_some());
            if let Some(variable) = set {
                return Err(Error::Environment { variable });
            }
        }
        let workers = Arc::new(Workers::default());
        let options = self.clone();
        let library = library.clone();
        let for_connection = Arc::clone(&workers);
        let connect = move || options.connect_now(library, for_connection);
        Ok(Cluster::new(workers.run("rados_connect", limit, connect).await?))
    }

    fn connect_now(&self, library: Library, workers: Arc<Workers>) -> Result<Connection> {
        if !self.conf.is_absolute() {
            let detail = format!("{} is not an absolute path", self.conf.display());
            return Err(Error::Malformed { symbol: "rados_conf_read_file", detail });
        }
        let user = text(format!("client.{}", self.id).as_bytes(), "the user's id")?;
        let at = Place::detail(format!("user client.{}", self.id.escape_default()));
        let mut raw = ptr::null_mut();
        // SAFETY: two C strings, and a place for the handle.
        unsafe { call!(library, at, rados_create2(&mut raw, c"ceph".as_ptr(), user.as_ptr(), 0)) }?;
        // From here on dropping the connection frees the handle.
        let connection = Connection {
            library,
            raw: Raw(raw),
            open: true,
            workers,
            in_flight: Arc::new(Semaphore::new(self.in_flight_bytes.clamp(1, u32::MAX as usize))),
            in_flight_bytes: self.in_flight_bytes.clamp(1, u32::MAX as usize),
        };
        connection.read_conf(&self.conf)?;
        for (option, value) in QUIET {
            connection.set(option, value)?;
        }
        for (option, value) in QUIET_IF_KNOWN {
            // An option this release does not know cannot do harm.
            drop(connection.set(option, value));
        }
        let seconds = self.timeout.as_secs_f64().ceil().clamp(1.0, 1e6).to_string();
        for option in ["client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"] {
            connection.set(option, &seconds)?;
        }
        let monitors = connection.get("mon_host").unwrap_or_default();
        let monitors = monitors.escape_ascii();
        let at = Place::detail(format!("user client.{}, monitors {monitors}", self.id.escape_default()));
        // SAFETY: the handle is configured and not connected.
        unsafe { call!(connection.library, at, rados_connect(raw)) }?;
        Ok(connection)
    }
}

impl Connection {
    fn read_conf(&self, conf: &Path) -> Result<()> {
        let path = text(conf.as_os_str().as_bytes(), "the configuration's path")?;
        let at = Place::detail(conf.display().to_string());
        // SAFETY: the handle is not connected yet; a C string.
        unsafe { call!(self.library, at, rados_conf_read_file(self.raw.0, path.as_ptr())) }.map(drop)
    }

    fn set(&self, option: &str, value: &str) -> Result<()> {
        let (name, value) =
            (text(option.as_bytes(), "an option")?, text(value.as_bytes(), "an option's value")?);
        // SAFETY: a live handle and two C strings.
        unsafe {
            call!(
                self.library,
                Place::detail(option),
                rados_conf_set(self.raw.0, name.as_ptr(), value.as_ptr())
            )
        }
        .map(drop)
    }

    /// An option's value. C: `rados_conf_get`.
    pub(crate) fn get(&self, option: &str) -> Result<Vec<u8>> {
        // Longer values are cut off by an error, and no option of interest is that long.
        let mut buffer = vec![0_u8; 64 << 10];
        let name = text(option.as_bytes(), "an option")?;
        let at = Place::detail(option);
        let (start, len) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: a live handle, a C string, and a buffer of the length told.
        unsafe { call!(self.library, at, rados_conf_get(self.raw.0, name.as_ptr(), start, len)) }?;
        Ok(first_string(buffer))
    }
}
