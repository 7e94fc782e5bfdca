//! The class `Store`: where it is, and what is told of the whole of it. One file beside this for each kind of operation.

use crate::arguments::{Answer, any_name, duration, parsed, place, shown};
use crate::running::{Connector, run};
use futures::{Stream, TryStreamExt};
use pyo3::prelude::*;
use serde::Serialize;
use std::future::Future;
use volary::{Ctl, Result, StoreUrl};

/// A store of volumes: `Store("ceph:/etc/ceph/ceph.conf?id=nova")`, `Store("local:/var/lib/volary")`.
///
/// It connects when made; a forked child connects anew at its first use. Methods let other threads run and may be called
/// from many at once. Sizes are bytes, times seconds; answers are what the command prints as JSON, as dicts and lists.
#[pyclass(module = "volary", frozen)]
pub(crate) struct Store {
    connector: Connector,
}

impl Store {
    /// Runs an operation and returns what it answers as Python's.
    pub(crate) fn ask<T, F>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(volary::Store, Ctl) -> F + Send + 'static,
    ) -> Answer
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        shown(py, &self.done(py, None, work)?)
    }

    /// The same, telling `progress` how far it is.
    pub(crate) fn watch<T, F>(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(volary::Store, Ctl) -> F + Send + 'static,
    ) -> Answer
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        shown(py, &self.done(py, progress, work)?)
    }

    /// Runs an operation.
    pub(crate) fn done<T, F>(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(volary::Store, Ctl) -> F + Send + 'static,
    ) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.connector.on_store(py, progress, work)
    }
}

/// A stream as a list.
pub(crate) async fn collected<T>(values: impl Stream<Item = Result<T>>) -> Result<Vec<T>> {
    values.try_collect().await
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (url, *, timeout=30.0, stall=60.0))]
    fn new(py: Python<'_>, url: &str, timeout: f64, stall: f64) -> PyResult<Self> {
        let connector = Connector::new(parsed::<StoreUrl>(py, url)?, duration(timeout)?, duration(stall)?);
        connector.store(py)?;
        Ok(Store { connector })
    }

    /// Lets go of the store; the next use connects again.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.connector.close(py)
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("volary.Store({:?})", self.connector.url.to_string())
    }

    /// The URL it was made with.
    #[getter]
    fn url(&self) -> String {
        self.connector.url.to_string()
    }

    /// What the store is: engine, id, version, monitors, health, and every pool with its figures.
    fn status(&self, py: Python<'_>) -> Answer {
        self.ask(py, async |store, ctl| {
            let status = store.status(&ctl).await?;
            status.error().map_or(Ok(status), Err)
        })
    }

    /// The store's own lasting id: the fsid on Ceph.
    fn fsid(&self, py: Python<'_>) -> Answer {
        self.ask(py, async |store, ctl| Ok(store.describe(&ctl).await?.id))
    }

    /// The monitors of the cluster, with their addresses; `UnsupportedError` for a store without any.
    fn monitors(&self, py: Python<'_>) -> Answer {
        self.ask(py, async |store, ctl| store.monitors(&ctl).await)
    }

    /// The names of the pools.
    fn pools(&self, py: Python<'_>) -> Answer {
        self.ask(py, async |store, ctl| store.pools(&ctl).await)
    }

    /// A pool's figures, in net bytes within its quota.
    #[pyo3(signature = (pool="rbd"))]
    fn pool_info(&self, py: Python<'_>, pool: &str) -> Answer {
        let pool = any_name(py, pool)?;
        self.ask(py, async move |store, ctl| store.pool_info(&pool, &ctl).await)
    }

    /// Makes a pool in a local store; on Ceph `UnsupportedError` with the administrator's commands.
    fn create_pool(&self, py: Python<'_>, pool: &str) -> Answer {
        let pool = any_name(py, pool)?;
        self.ask(py, async move |store, ctl| store.create_pool(&pool, &ctl).await)
    }

    /// The namespaces of a pool, as `POOL/NAMESPACE`; the pool itself is the first.
    #[pyo3(signature = (pool="rbd"))]
    fn namespaces(&self, py: Python<'_>, pool: &str) -> Answer {
        let pool = any_name(py, pool)?;
        self.ask(py, async move |store, ctl| store.namespaces(&pool, &ctl).await)
    }

    /// Makes a namespace: `POOL/NAMESPACE`.
    fn create_namespace(&self, py: Python<'_>, namespace: &str) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.create_namespace(&namespace, &ctl).await)
    }

    /// Removes a namespace that is empty.
    fn remove_namespace(&self, py: Python<'_>, namespace: &str) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.remove_namespace(&namespace, &ctl).await)
    }
}

/// What lies between this process and a store: libraries, permissions, settings; nothing is raised, the report says it.
#[pyfunction]
#[pyo3(signature = (url, *, timeout=30.0))]
pub(crate) fn doctor(py: Python<'_>, url: &str, timeout: f64) -> Answer {
    let url = parsed::<StoreUrl>(py, url)?;
    let ctl = Ctl::new().timeout(duration(timeout)?);
    shown(py, &run(py, ctl, None, async move |ctl| Ok(volary::doctor(&url, &ctl).await))?)
}
