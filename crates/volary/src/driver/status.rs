//! The store on one page: `status` and `mons`.

use super::outcome::Failure;
use crate::engine::{Health, Monitor};
use crate::{Ctl, Error, ErrorKind, Name, Result, Store};
use futures::stream::{self, StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::OnceLock;

/// Pools looked at at a time.
const POOLS_AT_ONCE: usize = 8;

/// The store on one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusReport {
    /// The store's URL.
    pub store: String,
    /// The engine: `local` or `ceph`.
    pub engine: String,
    /// The store's own lasting id: the fsid on Ceph.
    pub id: String,
    /// The version of what keeps the store.
    pub version: String,
    /// Whom a cluster takes this process for.
    pub user: Option<String>,
    /// The monitors of a cluster.
    pub monitors: Vec<Monitor>,
    /// How a cluster says it is.
    pub health: Option<Health>,
    /// The pools.
    pub pools: Vec<PoolStatus>,
    /// What did not answer, where the store told of itself and not of all that is in it; the error says the same.
    pub unanswered: Option<String>,
    #[serde(skip)]
    failure: Option<Failure>,
}

impl StatusReport {
    /// The error of a store whose monitors answer while its OSDs do not; `None` when everything answered.
    pub fn error(&self) -> Option<Error> {
        self.failure.as_ref().map(Failure::error)
    }
}

/// A pool's figures, and what waits in it. What the store does not know yet or the user may not see is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolStatus {
    /// The pool.
    pub pool: Name,
    /// What it can hold in all, net of replication.
    pub total_bytes: Option<u64>,
    /// What its volumes take.
    pub used_bytes: Option<u64>,
    /// What can still be written, within the quota.
    pub available_bytes: Option<u64>,
    /// What it may hold at most, where a quota is set.
    pub quota_bytes: Option<u64>,
    /// How many objects it may hold at most, where a quota is set; each holds up to 4 MiB of a volume, unless that was made otherwise.
    pub quota_objects: Option<u64>,
    /// Intents in the journals of all its namespaces: operations that run, or wait to be settled.
    pub intents: Option<u64>,
    /// Volumes in the trash of all its namespaces.
    pub trash: Option<u64>,
}

impl Store {
    /// The store on one page.
    ///
    /// Of a cluster the monitors tell more than the OSDs: where those do not answer, [`StatusReport::error`] says so, and what only they
    /// know is `None`. After the first that does not answer no other pool is asked.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// let status = store.status(ctl).await?;
    /// assert_eq!(status.pools[0].pool.to_string(), DEFAULT_POOL);
    /// assert_eq!((status.pools[0].intents, status.pools[0].trash), (Some(0), Some(0)));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As the engine says; a pool that the user may not look into is no error.
    pub async fn status(&self, ctl: &Ctl) -> Result<StatusReport> {
        let description = self.describe(ctl).await?;
        let unanswered = OnceLock::new();
        let pools = stream::iter(self.pools(ctl).await?).map(|pool| self.pool_status(pool, &unanswered, ctl));
        let pools: Vec<_> = pools.buffered(POOLS_AT_ONCE).try_collect().await?;
        let failure = unanswered.into_inner().map(|error: Error| {
            let what = match description.monitors.is_empty() {
                true => "the store does not tell what its pools hold",
                false => "the monitors answer, the OSDs do not",
            };
            let told = Error::new(error.kind(), what);
            let told = error.contexts().fold(told, |told, (key, value)| told.context(key, value));
            let hint = error.remedy().map(ToOwned::to_owned);
            Failure::from(&hint.into_iter().fold(told, Error::hint))
        });
        Ok(StatusReport {
            store: self.engine().to_string(),
            engine: description.engine,
            id: description.id,
            version: description.version,
            user: description.user,
            monitors: description.monitors,
            health: description.health,
            pools: pools.into_iter().flatten().collect(),
            unanswered: failure.as_ref().map(|of| of.error().message().to_owned()),
            failure,
        })
    }

    /// The monitors of the store's cluster, by rank.
    ///
    /// ```no_run
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let ctl = &Ctl::new();
    /// let store = Store::connect(&"ceph:/etc/ceph/ceph.conf?id=nova".parse()?, ctl).await?;
    /// for monitor in store.monitors(ctl).await? {
    ///     println!("{}: {}", monitor.name, monitor.addresses[0].address);
    /// }
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for a store without monitors: an empty list would be taken for a cluster without any.
    pub async fn monitors(&self, ctl: &Ctl) -> Result<Vec<Monitor>> {
        let description = self.describe(ctl).await?;
        if description.monitors.is_empty() {
            let message = format!("a store of engine {} has no monitors", description.engine);
            return Err(Error::new(ErrorKind::Unsupported, message)
                .context("store", self.engine())
                .hint("name a cluster: --store ceph:/PATH/ceph.conf"));
        }
        Ok(description.monitors)
    }

    /// `None` for a pool that went meanwhile.
    async fn pool_status(
        &self,
        pool: Name,
        unanswered: &OnceLock<Error>,
        ctl: &Ctl,
    ) -> Result<Option<PoolStatus>> {
        let read = async {
            let figures = self.engine().pool_info(&pool, ctl).await?;
            let waiting = match unanswered.get() {
                None => Some(self.waiting(&pool, ctl).await),
                Some(_) => None,
            };
            let (intents, trash) = match waiting {
                Some(Ok((intents, trash))) => (Some(intents), Some(trash)),
                None => (None, None),
                Some(Err(error)) => match error.kind() {
                    // A pool of erasure-coded data keeps no maps, and so no volumes.
                    ErrorKind::Permission | ErrorKind::Unsupported => (None, None),
                    ErrorKind::Deadline | ErrorKind::Unreachable => {
                        // Of several that fail at once one says it for all.
                        let _ = unanswered.set(error);
                        (None, None)
                    }
                    _ => return Err(error),
                },
            };
            Ok(PoolStatus {
                pool: pool.clone(),
                total_bytes: figures.as_ref().map(|of| of.total_bytes),
                used_bytes: figures.as_ref().map(|of| of.used_bytes),
                available_bytes: figures.as_ref().map(|of| of.available_bytes),
                quota_bytes: figures.as_ref().and_then(|of| of.quota_bytes),
                quota_objects: figures.and_then(|of| of.quota_objects),
                intents,
                trash,
            })
        };
        match read.await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            status => status.map(Some),
        }
    }

    /// How many intents and volumes in trash there are in all namespaces of a pool.
    async fn waiting(&self, pool: &Name, ctl: &Ctl) -> Result<(u64, u64)> {
        let mut waiting = (0_u64, 0_u64);
        for namespace in self.namespaces(pool, ctl).await? {
            let counts = async {
                let intents = self.count_intents(&namespace, ctl).await?;
                Ok::<_, Error>((intents, self.engine().trash(&namespace, ctl).await?.len() as u64))
            };
            match counts.await {
                // Removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                counts => {
                    let (intents, trash) = counts?;
                    waiting = (waiting.0.saturating_add(intents), waiting.1.saturating_add(trash));
                }
            }
        }
        Ok(waiting)
    }
}
