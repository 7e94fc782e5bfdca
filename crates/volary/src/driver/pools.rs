//! Pools and namespaces.

use super::audit::audited;
use crate::engine::PoolInfo;
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Store};
use serde_json::json;

impl Store {
    /// The pools of the store, sorted.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>> {
        self.engine().pools(ctl).await
    }

    /// A pool's figures, all net of replication.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// let pool = store.pool_info(&Name::from_bytes(DEFAULT_POOL), ctl).await?;
    /// assert!(pool.used_bytes <= pool.total_bytes && pool.available_bytes <= pool.total_bytes);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound`; `Unreachable` for a new pool of which the store has no figures yet.
    pub async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<PoolInfo> {
        let info = self.engine().pool_info(pool, ctl).await.and_then(|known| {
            known.ok_or_else(|| {
                Error::new(ErrorKind::Unreachable, "the cluster knows no figures of this pool yet").hint(
                    "a new pool's come within seconds from a manager; see whether one is active (`ceph mgr stat`)",
                )
            })
        });
        info.map_err(|error| error.context("pool", pool))
    }

    /// Makes a pool.
    ///
    /// # Errors
    /// `Usage` for a name outside the grammar; `AlreadyExists`; `Unsupported` on Ceph.
    pub async fn create_pool(&self, pool: &Name, ctl: &Ctl) -> Result<()> {
        audited(
            "pool_create",
            pool,
            json!({}),
            async {
                let pool = pool.clone().checked_for_creation()?;
                let made = self.engine().create_pool(&pool, ctl).await;
                made.map_err(|error| error.context("pool", &pool))
            },
            |()| ("done", json!({})),
        )
        .await
    }

    /// The namespaces of a pool, sorted, the default one first.
    ///
    /// # Errors
    /// `NotFound` for the pool.
    pub async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Namespace>> {
        let names = self.engine().namespaces(pool, ctl).await;
        let names = names.map_err(|error| error.context("pool", pool))?;
        let named = names.into_iter().map(|name| Namespace { pool: pool.clone(), name });
        Ok(std::iter::once(Namespace::of_pool(pool.clone())).chain(named).collect())
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// `Usage` for a name outside the grammar or none; `AlreadyExists`; `NotFound` for the pool.
    pub async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        audited(
            "namespace_create",
            namespace,
            json!({}),
            async {
                named(namespace)?;
                namespace.name.clone().checked_for_creation()?;
                let made = self.engine().create_namespace(namespace, ctl).await;
                made.map_err(|error| error.context("namespace", namespace))
            },
            |()| ("done", json!({})),
        )
        .await
    }

    /// Removes a namespace that is empty.
    ///
    /// # Errors
    /// `Usage` for the default namespace; `NotFound`; `Blocked` while it holds volumes, in trash too.
    pub async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        audited(
            "namespace_remove",
            namespace,
            json!({}),
            async {
                named(namespace)?;
                let removed = self.engine().remove_namespace(namespace, ctl).await;
                removed.map_err(|error| {
                    let blocked = error.kind() == ErrorKind::Blocked;
                    let error = error.context("namespace", namespace);
                    let hint = format!(
                        "`volary ls {namespace}` and `volary trash ls {namespace}` show what it holds"
                    );
                    if blocked { error.hint(hint) } else { error }
                })
            },
            |()| ("done", json!({})),
        )
        .await
    }
}

fn named(namespace: &Namespace) -> Result<()> {
    if namespace.name.is_empty() {
        return Err(Error::new(ErrorKind::Usage, format!("`{namespace}` names no namespace"))
            .hint(format!("write {namespace}/NAMESPACE; the default namespace is always there")));
    }
    Ok(())
}
