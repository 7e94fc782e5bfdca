//! The journal: what has begun and is not finished.

use crate::arguments::{Answer, duration, place};
use crate::store::Store;
use pyo3::prelude::*;
use volary::ReapOptions;

#[pymethods]
impl Store {
    /// The operations of a namespace that have begun and are not finished, those at work included.
    #[pyo3(signature = (namespace="rbd"))]
    fn pending(&self, py: Python<'_>, namespace: &str) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.pending(&namespace, &ctl).await)
    }

    /// Everything the journal has of one, by the id that `pending` gives; None when it is not there.
    #[pyo3(signature = (id, namespace="rbd"))]
    fn pending_record(&self, py: Python<'_>, id: String, namespace: &str) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.pending_record(&namespace, &id, &ctl).await)
    }

    /// Takes one out of the journal; what it had begun stays as it is. False when it is not there.
    #[pyo3(signature = (id, namespace="rbd", *, force=false))]
    fn forget(&self, py: Python<'_>, id: String, namespace: &str, force: bool) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.forget(&namespace, &id, force, &ctl).await)
    }

    /// Settles what dead owners left in a namespace, `max` at most, or `only` one, by its id: finished or undone.
    ///
    /// A report for each, whatever became of it: nothing is raised for what is still `pending`. With `confirm` also what waits to be
    /// confirmed, on the volume as it is now.
    #[pyo3(signature = (namespace="rbd", *, max=None, only=None, wait=40.0, confirm=false))]
    fn reap(
        &self,
        py: Python<'_>,
        namespace: &str,
        max: Option<usize>,
        only: Option<String>,
        wait: f64,
        confirm: bool,
    ) -> Answer {
        let namespaces = [place(py, namespace)?];
        let (max, wait) = (max.unwrap_or(usize::MAX), duration(wait)?);
        let how = ReapOptions { max, only, wait, due_only: false, confirm };
        self.ask(py, async move |store, ctl| store.reap(&namespaces, &how, &ctl).await)
    }
}
