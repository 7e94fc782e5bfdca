//! Connecting, and what every failure says of the connection.

use super::NO_LIMIT;
use super::writers::Writers;
use crate::engine::Engine;
use crate::{CephUrl, Ctl, Error, ErrorKind, Name, Namespace, Result};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection to a cluster as one user; volumes that are open share it.
pub(super) struct Connection {
    pub(super) cluster: rbd::Cluster,
    pub(super) writers: Writers,
    /// This client's number, as watchers and locks show it.
    pub(super) client: u64,
    url: CephUrl,
    monitors: String,
}

/// The store: what the engine's trait is implemented on.
pub(super) struct Ceph(pub(super) Arc<Connection>);

impl fmt::Debug for Ceph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ceph({})", self.0.url)
    }
}

impl fmt::Display for Ceph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.url, f)
    }
}

/// Connects to a cluster; nothing but the configuration file named, and the keyring it names, is read.
///
/// # Errors
/// `Unreachable` without Ceph's libraries; `Usage` while `CEPH_ARGS`, `CEPH_LIB`, `CEPH_KEYRING` or `CEPH_CONF` is set;
/// `NotFound` without the configuration file; `Permission` for a key that is unreadable, missing or wrong; `Deadline`
/// when no monitor answers.
pub async fn open(url: &CephUrl, ctl: &Ctl) -> Result<Arc<dyn Engine>> {
    let began = Instant::now();
    let limit = url.timeout.unwrap_or_else(|| ctl.call_limit());
    // librados is to give up first: its answer names the monitors.
    let within = if limit > Duration::from_secs(2) { limit - Duration::from_secs(1) } else { limit };
    let mut options = rbd::ConnectOptions::new(&url.conf, url.user());
    options.timeout = within;
    let connect = async {
        let conf = url.conf.clone();
        let readable = tokio::task::spawn_blocking(move || std::fs::File::open(conf).map(drop)).await;
        readable.map_err(|error| Error::new(ErrorKind::Internal, "a thread ended").because(error))?.map_err(
            |error| {
                Error::io("cannot read Ceph's configuration", error).hint("name it: ceph:/PATH/ceph.conf")
            },
        )?;
        let library = tokio::task::spawn_blocking(|| rbd::Library::load(None)).await;
        let library =
            library.map_err(|error| Error::new(ErrorKind::Internal, "a thread ended").because(error))??;
        let cluster = match options.connect(&library, limit).await {
            Err(error) if error.errno() == Some(rbd::Errno::ENOENT) => {
                return Err(Error::new(ErrorKind::Permission, "no key for this user")
                    .hint("let `keyring` in the configuration name a file with the user's key, or choose another with ?id=")
                    .because(error));
            }
            answer => answer?,
        };
        let client = cluster.instance_id(limit).await?;
        let monitors = cluster.monitors(limit).await?;
        let addresses = monitors.iter().flat_map(|monitor| &monitor.addresses);
        let monitors = addresses.map(|at| at.address.as_str()).collect::<Vec<_>>().join(" ");
        Ok(Connection { cluster, writers: Writers::default(), client, url: url.clone(), monitors })
    };
    let bounds = ctl.clone().timeout(limit.saturating_add(Duration::from_millis(500)));
    let connection = bounds.call("connect", connect).await.map_err(|error| {
        let error = if error.contexts().any(|(key, _)| key == "step") {
            error
        } else {
            error.context("step", "connect")
        };
        error.context("user", format!("client.{}", url.user())).context("elapsed", elapsed(began))
    })?;
    Ok(Arc::new(Ceph(Arc::new(connection))))
}

fn elapsed(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

impl Connection {
    pub(super) fn user(&self) -> String {
        format!("client.{}", self.url.user())
    }

    fn told(&self, error: Error, step: &'static str, began: Instant) -> Error {
        if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Usage) {
            return error;
        }
        let error =
            if error.contexts().any(|(key, _)| key == "step") { error } else { error.context("step", step) };
        error
            .context("elapsed", elapsed(began))
            .context("store", &self.url)
            .context("user", format!("client.{}", self.url.user()))
            .context("monitors", &self.monitors)
    }

    /// A call on metadata, bounded by the timeout.
    pub(super) async fn call<T>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        ctl.call(step, work).await.map_err(|error| self.told(error, step, began))
    }

    /// Work on data, bounded by the stall limit.
    pub(super) async fn transfer<T>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        ctl.transfer(step, work).await.map_err(|error| self.told(error, step, began))
    }

    /// A pool's default namespace.
    pub(super) async fn pool(&self, pool: &Name) -> Result<rbd::Pool> {
        self.namespace_unchecked(pool, &Name::default()).await
    }

    async fn namespace_unchecked(&self, pool: &Name, name: &Name) -> Result<rbd::Pool> {
        match self.cluster.pool(pool.as_bytes(), name.as_bytes(), NO_LIMIT).await {
            Err(error) if error.errno() == Some(rbd::Errno::ENOENT) => {
                let pools = self.cluster.pools(NO_LIMIT).await?;
                let pools: Vec<_> =
                    pools.into_iter().map(|pool| Name::from_bytes(pool).to_string()).collect();
                Err(Error::new(ErrorKind::NotFound, "no such pool")
                    .context("pool", pool)
                    .hint(format!("there are: {}", pools.join(" ")))
                    .because(error))
            }
            answer => Ok(answer?),
        }
    }

    /// A namespace that is there.
    pub(super) async fn enter(&self, namespace: &Namespace) -> Result<rbd::Pool> {
        let inside = self.namespace_unchecked(&namespace.pool, &namespace.name).await?;
        if !namespace.name.is_empty() {
            let pool = self.pool(&namespace.pool).await?;
            if !pool.namespace_exists(namespace.name.as_bytes(), NO_LIMIT).await? {
                return Err(
                    Error::new(ErrorKind::NotFound, "no such namespace").context("namespace", namespace)
                );
            }
        }
        Ok(inside)
    }
}
