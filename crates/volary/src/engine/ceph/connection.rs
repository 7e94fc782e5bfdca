//! The connection, and what every failure says of it.

use super::NO_LIMIT;
use super::writers::Writers;
use crate::{CephUrl, Ctl, Error, ErrorKind, Name, Namespace, Result};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A connection to a cluster as one user; volumes that are open share it.
pub(super) struct Connection {
    pub(super) cluster: rbd::Cluster,
    pub(super) writers: Writers,
    /// This client's number, as watchers and locks show it.
    pub(super) client: u64,
    pub(super) url: CephUrl,
    pub(super) monitors: String,
    /// How long connecting was allowed to take, and disconnecting is.
    pub(super) limit: Duration,
    /// Set when a call passed its limit, until one answers.
    pub(super) silent: AtomicBool,
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

/// Adds a context that the error does not have yet.
pub(super) fn also(error: Error, key: &'static str, value: impl fmt::Display) -> Error {
    if error.contexts().any(|(known, _)| known == key) { error } else { error.context(key, value) }
}

/// The error with what each one tells: the step, the errno where time ran out, how long it took, where and as whom.
pub(super) fn completed(
    error: Error,
    step: &'static str,
    began: Instant,
    url: &CephUrl,
    monitors: &str,
) -> Error {
    let mut error = also(error, "step", step);
    if error.kind() == ErrorKind::Deadline {
        error = also(error, "errno", "ETIMEDOUT");
    }
    let error = also(error, "elapsed", format!("{:.1} s", began.elapsed().as_secs_f64()));
    let error = also(error, "store", url);
    let error = also(error, "user", format!("client.{}", url.user().escape_default()));
    also(error, "monitors", monitors)
}

impl Connection {
    pub(super) fn user(&self) -> String {
        format!("client.{}", self.url.user())
    }

    fn told(&self, error: Error, step: &'static str, began: Instant) -> Error {
        if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Usage) {
            return error;
        }
        if error.kind() == ErrorKind::Deadline {
            self.silent.store(true, Ordering::Relaxed);
        }
        completed(error, step, began, &self.url, &self.monitors)
    }

    fn heard<T>(&self, answer: T) -> T {
        self.silent.store(false, Ordering::Relaxed);
        answer
    }

    /// Whether the last call that ended was given up: then nobody waits a second time just to let go of something.
    pub(super) fn silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Disconnects, unless something is still open.
    pub(super) async fn shutdown(&self) -> Result<()> {
        if self.silent() {
            return Ok(());
        }
        Ok(self.cluster.shutdown(self.limit).await?)
    }

    /// A call on metadata, bounded by the timeout.
    pub(super) async fn call<T>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let done = ctl.call(step, work).await;
        done.map(|answer| self.heard(answer)).map_err(|error| self.told(error, step, began))
    }

    /// Work on data, bounded by the stall limit.
    pub(super) async fn transfer<T>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let done = ctl.transfer(step, work).await;
        done.map(|answer| self.heard(answer)).map_err(|error| self.told(error, step, began))
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
                    .context("errno", "ENOENT")
                    .hint(format!("there are: {}; its administrator makes more", pools.join(" ")))
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
