//! Connecting: nothing but the named configuration file and these options decides what is connected to and how.

use crate::call::{Raw, first_string, text};
use crate::cluster::{Cluster, Connection};
use crate::environment::Environment;
use crate::errno::Errno;
use crate::error::{Error, Place, Refusal, Result};
use crate::keyring::Keyring;
use crate::load::Library;
use crate::workers::Workers;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

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
    /// What librados itself waits for monitors at most.
    pub timeout: Duration,
    /// What librados itself waits for an OSD at most: a caller's own limit belongs below it, since what librados gives up
    /// fails although it might have gone on.
    pub osd_timeout: Duration,
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
            osd_timeout: Duration::from_secs(30),
            in_flight_bytes: 64 << 20,
            environment: Environment::Refuse,
        }
    }

    /// Connects; the answer comes within `limit` even when librados never returns.
    ///
    /// # Errors
    /// [`Error::Environment`]; [`Error::Failed`] in `rados_conf_read_file` with the path; [`Error::Connect`] with user,
    /// monitors and keyring (ETIMEDOUT: no monitor answered; EACCES, EPERM: wrong key or user; ENOENT: no key, or no
    /// monitor in the configuration).
    ///
    /// C: `rados_create2`, `rados_conf_read_file`, `rados_conf_set`, `rados_connect`.
    #[doc(alias = "rados_connect")]
    pub async fn connect(&self, library: &Library, limit: Duration) -> Result<Cluster> {
        self.environment.check()?;
        let began = Instant::now();
        let workers = Arc::new(Workers::default());
        let (options, library, on) = (self.clone(), library.clone(), Arc::clone(&workers));
        let prepare = move || options.prepare(library, on);
        let connection = workers.run("rados_conf_read_file", limit, prepare).await?;
        let user = format!("client.{}", self.id);
        let monitors = connection.get("mon_host").unwrap_or_default().escape_ascii().to_string();
        let refused = |errno, returned, keyring| {
            let user = user.escape_default().to_string();
            Error::Connect(Box::new(Refusal { errno, returned, user, monitors: monitors.clone(), keyring }))
        };
        let asked = user.clone();
        let connect = move || {
            // SAFETY: the handle is configured and not connected.
            let done =
                unsafe { call!(connection.library, Place::default(), rados_connect(connection.raw.0)) };
            match done.map_err(|error| error.errno().ok_or(error)) {
                Ok(_) => Ok(Ok(connection)),
                Err(Err(error)) => Err(error),
                Err(Ok(Errno::ETIMEDOUT)) => Ok(Err((Errno::ETIMEDOUT, None))),
                Err(Ok(errno)) => {
                    let keyring = match connection.get("key") {
                        Ok(key) if !key.is_empty() => Some(Keyring::Inline),
                        _ => connection.get("keyring").map(|list| Keyring::look(&list, &asked)).ok(),
                    };
                    Ok(Err((errno, keyring)))
                }
            }
        };
        match workers.run("rados_connect", limit.saturating_sub(began.elapsed()), connect).await {
            Ok(Ok(connection)) => Ok(Cluster::new(connection)),
            Ok(Err((errno, keyring))) => Err(refused(errno, true, keyring)),
            Err(Error::GivenUp { .. }) => Err(refused(Errno::ETIMEDOUT, false, None)),
            Err(error) => Err(error),
        }
    }

    /// A handle that is configured and not connected.
    fn prepare(&self, library: Library, workers: Arc<Workers>) -> Result<Connection> {
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
            open_images: AtomicUsize::new(0),
        };
        connection.read_conf(&self.conf)?;
        for (option, value) in QUIET {
            connection.set(option, value)?;
        }
        for (option, value) in QUIET_IF_KNOWN {
            // An option this release does not know cannot do harm.
            drop(connection.set(option, value));
        }
        let seconds = |limit: Duration| limit.as_secs_f64().ceil().clamp(1.0, 1e6).to_string();
        for option in ["client_mount_timeout", "rados_mon_op_timeout"] {
            connection.set(option, &seconds(self.timeout))?;
        }
        connection.set("rados_osd_op_timeout", &seconds(self.osd_timeout))?;
        Ok(connection)
    }
}

impl Connection {
    fn read_conf(&self, conf: &Path) -> Result<()> {
        let path = text(conf.as_os_str().as_bytes(), "the configuration's path")?;
        let at = Place::detail(conf.display().to_string());
        // librados takes a file that it may not read for an empty one.
        let readable = std::fs::File::open(conf).and_then(|mut file| file.read(&mut [0]));
        if let Err(error) = readable {
            let errno = i64::from(Errno::of(&error).number());
            return at.check("rados_conf_read_file", -errno).map(drop);
        }
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
