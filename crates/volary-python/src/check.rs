//! Checking a store against itself.

use crate::arguments::{Answer, duration, place};
use crate::store::Store;
use pyo3::prelude::*;
use volary::{CheckRequest, RepairMode};

#[pymethods]
impl Store {
    /// Checks a namespace against itself, and a local store as a whole; with `read` also content against its digests.
    ///
    /// A report, whatever was found: nothing is raised for what does not match. `repair` finishes, rebuilds and moves aside; with
    /// `dry_run` it says what it would do. `pause` is the time, in seconds, after which what was found is looked for again.
    #[pyo3(signature = (namespace="rbd", *, read=false, repair=false, dry_run=false, jobs=16, pause=2.0, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn check(
        &self,
        py: Python<'_>,
        namespace: &str,
        read: bool,
        repair: bool,
        dry_run: bool,
        jobs: usize,
        pause: f64,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let namespaces = [place(py, namespace)?];
        let mut request = CheckRequest::default();
        (request.read, request.jobs, request.pause) = (read, jobs, duration(pause)?);
        request.repair = match (repair, dry_run) {
            (false, _) => RepairMode::None,
            (true, true) => RepairMode::Plan,
            (true, false) => RepairMode::Repair,
        };
        self.watch(py, progress, async move |store, ctl| {
            let report = store.check(&namespaces, &request, &ctl).await;
            match report.error() {
                Some(error) if !report.complete => Err(error),
                _ => Ok(report),
            }
        })
    }
}
