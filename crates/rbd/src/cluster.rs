//! A connection to a cluster.

use crate::call::{Raw, first_string, grow, strings, text};
use crate::error::{Place, Result};
use crate::gate::{Gate, Held};
use crate::load::Library;
use crate::pool::Pool;
use crate::workers::Workers;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A connected handle of librados; dropping it shuts it down without blocking.
pub(crate) struct Connection {
    pub(crate) library: Library,
    pub(crate) raw: Raw,
    pub(crate) open: bool,
    pub(crate) workers: Arc<Workers>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) in_flight_bytes: usize,
    /// Images that librbd has open; each keeps the connection.
    pub(crate) open_images: AtomicUsize,
}

impl Connection {
    /// Ends the connection once; blocks. C: `rados_shutdown`.
    fn end(&mut self) {
        let Ok(shutdown) = &self.library.table().rados_shutdown else { return };
        if std::mem::replace(&mut self.open, false) {
            // SAFETY: the last user of the handle has gone, and it is not used again.
            unsafe { shutdown(self.raw.0) };
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.open {
            let mut rest = Connection {
                library: self.library.clone(),
                raw: self.raw,
                open: true,
                workers: Arc::clone(&self.workers),
                in_flight: Arc::clone(&self.in_flight),
                in_flight_bytes: self.in_flight_bytes,
                open_images: AtomicUsize::new(0),
            };
            self.workers.submit(Box::new(move || rest.end()));
        }
    }
}

/// A connection to a Ceph cluster, shared by everything opened through it.
///
/// Every call takes the longest time the caller waits for it. Dropping a future gives its call up; what an abandoned
/// call brings is cleaned up behind it. Dropping the last handle disconnects in the background; [`shutdown`](Self::shutdown) waits.
///
/// ```no_run
/// # async fn example() -> rbd::Result<()> {
/// use std::time::Duration;
/// let limit = Duration::from_secs(30);
/// let library = rbd::Library::load(None)?;
/// let cluster = rbd::ConnectOptions::new("/etc/ceph/ceph.conf", "admin").connect(&library, limit).await?;
/// let pool = cluster.pool(b"rbd", b"", limit).await?;
/// for image in pool.images(limit).await? {
///     println!("{}", image.name.escape_ascii());
/// }
/// drop(pool);
/// cluster.shutdown(limit).await
/// # }
/// ```
#[derive(Clone)]
pub struct Cluster {
    gate: Gate<Connection>,
    workers: Arc<Workers>,
}

/// What a cluster holds, before replication is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterStat {
    /// What it can hold.
    pub total_bytes: u64,
    /// What is taken.
    pub used_bytes: u64,
    /// What is free.
    pub available_bytes: u64,
    /// How many objects there are.
    pub objects: u64,
}

impl Cluster {
    pub(crate) fn new(connection: Connection) -> Self {
        let workers = Arc::clone(&connection.workers);
        Cluster { gate: Gate::new(connection), workers }
    }

    /// Runs a blocking call on the connection.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        symbol: &'static str,
        limit: Duration,
        work: impl FnOnce(&Held<Connection>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let held = self.gate.hold()?;
        self.workers.run(symbol, limit, move || work(&held)).await
    }

    /// The cluster's id.
    ///
    /// C: `rados_cluster_fsid`.
    #[doc(alias = "rados_cluster_fsid")]
    pub async fn fsid(&self, limit: Duration) -> Result<String> {
        self.run("rados_cluster_fsid", limit, |on| {
            // 36 characters and NUL.
            let mut buffer = vec![0_u8; 64];
            let start = buffer.as_mut_ptr().cast();
            // SAFETY: a live handle and a buffer of the length told.
            unsafe { call!(on.library, Place::default(), rados_cluster_fsid(on.raw.0, start, 64)) }?;
            Ok(String::from_utf8_lossy(&first_string(buffer)).into_owned())
        })
        .await
    }

    /// How many bytes of reads and writes are in flight just now.
    ///
    /// # Errors
    /// [`Closed`](crate::Error::Closed).
    pub fn in_flight_bytes(&self) -> Result<usize> {
        let connection = self.gate.hold()?;
        Ok(connection.in_flight_bytes.saturating_sub(connection.in_flight.available_permits()))
    }

    /// How many images are open on this connection, those that are being closed included.
    ///
    /// An image is only closed behind the connection's completion strand; when librados no longer runs that, the image is kept,
    /// counts here for good, and keeps [`shutdown`](Self::shutdown) from succeeding.
    ///
    /// # Errors
    /// [`Closed`](crate::Error::Closed).
    pub fn open_images(&self) -> Result<usize> {
        Ok(self.gate.hold()?.open_images.load(Ordering::Relaxed))
    }

    /// The number by which the cluster knows this connection, part of its address in watchers and locks.
    ///
    /// C: `rados_get_instance_id`.
    #[doc(alias = "rados_get_instance_id")]
    pub async fn instance_id(&self, limit: Duration) -> Result<u64> {
        self.run("rados_get_instance_id", limit, |on| {
            let get = symbol!(on.library, rados_get_instance_id);
            // SAFETY: a connected handle.
            Ok(unsafe { get(on.raw.0) })
        })
        .await
    }

    /// The value of a configuration option as this connection sees it.
    ///
    /// Ask for no option that holds a key.
    ///
    /// # Errors
    /// ENOENT for an option that this release does not know.
    ///
    /// C: `rados_conf_get`.
    #[doc(alias = "rados_conf_get")]
    pub async fn option(&self, name: &str, limit: Duration) -> Result<Vec<u8>> {
        let name = name.to_owned();
        self.run("rados_conf_get", limit, move |on| on.get(&name)).await
    }

    /// What the cluster holds and can hold.
    ///
    /// C: `rados_cluster_stat`.
    #[doc(alias = "rados_cluster_stat")]
    pub async fn stat(&self, limit: Duration) -> Result<ClusterStat> {
        self.run("rados_cluster_stat", limit, |on| {
            let mut stat =
                crate::sys::rados_cluster_stat_t { kb: 0, kb_used: 0, kb_avail: 0, num_objects: 0 };
            // SAFETY: a connected handle and a struct to fill.
            unsafe { call!(on.library, Place::default(), rados_cluster_stat(on.raw.0, &mut stat)) }?;
            Ok(ClusterStat {
                total_bytes: stat.kb.saturating_mul(1024),
                used_bytes: stat.kb_used.saturating_mul(1024),
                available_bytes: stat.kb_avail.saturating_mul(1024),
                objects: stat.num_objects,
            })
        })
        .await
    }

    /// The names of the pools.
    ///
    /// C: `rados_pool_list`.
    #[doc(alias = "rados_pool_list")]
    pub async fn pools(&self, limit: Duration) -> Result<Vec<Vec<u8>>> {
        self.run("rados_pool_list", limit, |on| {
            let mut len = 4096;
            loop {
                let mut buffer = vec![0_u8; len];
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: a connected handle and a buffer of the length told.
                let needed =
                    unsafe { call!(on.library, Place::default(), rados_pool_list(on.raw.0, start, len)) }?;
                let needed = usize::try_from(needed).unwrap_or(usize::MAX);
                if needed <= len {
                    buffer.truncate(needed);
                    return Ok(strings(&buffer).into_iter().filter(|name| !name.is_empty()).collect());
                }
                len = needed;
            }
        })
        .await
    }

    /// A pool's id, or `None`.
    ///
    /// # Errors
    /// What the call answers, but for ENOENT.
    ///
    /// C: `rados_pool_lookup`.
    #[doc(alias = "rados_pool_lookup")]
    pub async fn pool_id(&self, name: &[u8], limit: Duration) -> Result<Option<i64>> {
        let pool = text(name, "a pool's name")?;
        let at = Place { pool: Some(name.escape_ascii().to_string()), ..Place::default() };
        self.run("rados_pool_lookup", limit, move |on| {
            // SAFETY: a connected handle and a C string.
            let answer = unsafe { call!(on.library, at, rados_pool_lookup(on.raw.0, pool.as_ptr())) };
            match answer {
                Err(error) if error.errno() == Some(crate::Errno::ENOENT) => Ok(None),
                answer => answer.map(|id| i64::try_from(id).ok()),
            }
        })
        .await
    }

    /// The name of a pool.
    ///
    /// # Errors
    /// ENOENT.
    ///
    /// C: `rados_pool_reverse_lookup`.
    #[doc(alias = "rados_pool_reverse_lookup")]
    pub async fn pool_name(&self, id: i64, limit: Duration) -> Result<Vec<u8>> {
        self.run("rados_pool_reverse_lookup", limit, move |on| {
            let at = Place::detail(format!("pool id {id}"));
            let buffer = grow(256, |len| {
                let mut buffer = vec![0_u8; *len];
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: a connected handle and a buffer of the length told.
                unsafe { call!(on.library, at, rados_pool_reverse_lookup(on.raw.0, id, start, *len)) }?;
                Ok(buffer)
            })?;
            Ok(first_string(buffer))
        })
        .await
    }

    /// A pool's namespace to work in, empty for the default one.
    ///
    /// Whether the namespace is there is not asked. Where the pool is full, or its quota reached, what takes room fails
    /// with ENOSPC or EDQUOT at once.
    ///
    /// # Errors
    /// ENOENT for the pool.
    ///
    /// C: `rados_ioctx_create`, `rados_ioctx_set_namespace`, `rados_set_pool_full_try`.
    #[doc(alias = "rados_ioctx_create")]
    pub async fn pool(&self, name: &[u8], namespace: &[u8], limit: Duration) -> Result<Pool> {
        let held = self.gate.hold()?;
        let (name, namespace) = (name.to_vec(), namespace.to_vec());
        self.workers
            .run("rados_ioctx_create", limit, move || Pool::enter_by_name(held, &name, &namespace))
            .await
    }

    /// A pool by its id, and its namespace.
    ///
    /// # Errors
    /// ENOENT for the pool.
    ///
    /// C: `rados_ioctx_create2`.
    #[doc(alias = "rados_ioctx_create2")]
    pub async fn pool_by_id(&self, id: i64, namespace: &[u8], limit: Duration) -> Result<Pool> {
        let held = self.gate.hold()?;
        let namespace = namespace.to_vec();
        self.workers.run("rados_ioctx_create2", limit, move || Pool::enter_by_id(held, id, &namespace)).await
    }

    /// A pool by its id, and its namespace, with objects read as they were at a snapshot of this number: one that was not there
    /// then, or whose snapshot is gone, is not there. The snapshots of images have such numbers.
    ///
    /// # Errors
    /// ENOENT for the pool.
    ///
    /// C: `rados_ioctx_create2`, `rados_ioctx_snap_set_read`.
    #[doc(alias = "rados_ioctx_snap_set_read")]
    pub async fn pool_at_snapshot(
        &self,
        id: i64,
        namespace: &[u8],
        snapshot: u64,
        limit: Duration,
    ) -> Result<Pool> {
        let (held, namespace) = (self.gate.hold()?, namespace.to_vec());
        let enter = move || Pool::enter_by_id(held, id, &namespace)?.read_at(snapshot);
        self.workers.run("rados_ioctx_snap_set_read", limit, enter).await
    }

    /// Disconnects; waits for everything opened through this connection to be closed.
    ///
    /// # Errors
    /// [`GivenUp`](crate::Error::GivenUp) when pools or images are still held, or librados does not return, within `limit`.
    ///
    /// C: `rados_shutdown`.
    #[doc(alias = "rados_shutdown")]
    pub async fn shutdown(&self, limit: Duration) -> Result<()> {
        let Some(mut connection) = self.gate.take("rados_shutdown", limit).await? else { return Ok(()) };
        let end = move || {
            connection.end();
            Ok(())
        };
        self.workers.run("rados_shutdown", limit, end).await
    }

    /// Keeps a client, by its address and nonce as in [`Watcher`](crate::Watcher), from the OSDs for so long, and waits until this
    /// connection knows: what that client writes from now on fails, whatever it has open.
    ///
    /// # Errors
    /// EACCES without the right to blocklist (`mon 'profile rbd'` has it); EINVAL for no address.
    ///
    /// C: `rados_blocklist_add`.
    #[doc(alias = "rados_blocklist_add")]
    pub async fn blocklist(&self, address: &[u8], expire: Duration, limit: Duration) -> Result<()> {
        let at = Place::detail(format!("client at {}", address.escape_ascii()));
        let address = text(address, "an address")?;
        // 0 would be the cluster's default; a part of a second counts as one.
        let whole = expire.as_secs().saturating_add(u64::from(expire.subsec_nanos() > 0)).max(1);
        let seconds = u32::try_from(whole).unwrap_or(u32::MAX);
        self.run("rados_blocklist_add", limit, move |on| {
            // SAFETY: a connected handle and a C string, which librados only reads.
            unsafe {
                let address = address.as_ptr().cast_mut();
                call!(on.library, at, rados_blocklist_add(on.raw.0, address, seconds))
            }
            .map(drop)
        })
        .await
    }

    /// A monitor command's output and status.
    ///
    /// `command` is the JSON that `ceph --verbose` shows. The text of a failure is not kept.
    ///
    /// # Errors
    /// EACCES when the user may not; what the command answers.
    ///
    /// C: `rados_mon_command`.
    #[doc(alias = "rados_mon_command")]
    pub async fn mon_command(&self, command: &str, limit: Duration) -> Result<Vec<u8>> {
        let json = text(command.as_bytes(), "a command")?;
        self.run("rados_mon_command", limit, move |on| {
            let free = symbol!(on.library, rados_buffer_free);
            let mut words = [json.as_ptr()];
            let (mut out, mut out_len) = (std::ptr::null_mut(), 0);
            // SAFETY: a connected handle; one C string; no input; places for a buffer of librados', the status not asked for.
            let done = unsafe {
                let (input, status) = (std::ptr::null(), std::ptr::null_mut());
                let (out, out_len, status_len) = (&mut out, &mut out_len, std::ptr::null_mut());
                let words = words.as_mut_ptr();
                let at = Place::default();
                call!(
                    on.library,
                    at,
                    rados_mon_command(on.raw.0, words, 1, input, 0, out, out_len, status, status_len)
                )
            };
            let answer = if out.is_null() {
                Vec::new()
            } else {
                // SAFETY: librados filled so many bytes, and they are freed once, after the copy.
                unsafe {
                    let answer = std::slice::from_raw_parts(out.cast::<u8>(), out_len).to_vec();
                    free(out);
                    answer
                }
            };
            done.map(|_| answer)
        })
        .await
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}
