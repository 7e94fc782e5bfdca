//! Removal, trash, and what is left over.

use crate::arguments::{Answer, any_name, concluded, duration, new_name, parsed, place, removal};
use crate::store::Store;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::HashSet;
use volary::{Name, RemoveReport, VolumeSpec};

#[pymethods]
impl Store {
    /// Removes a volume; an exception, with the report, whenever it or part of it stays that should go.
    ///
    /// Keywords: `purge_snapshots`, `flatten_children`, `retry_later`, `if_exists`, `defer` and `wait` (seconds). With
    /// `dry_run` nothing is changed, and the report says what would be done or is in the way.
    #[pyo3(signature = (spec, *, dry_run=false, **options))]
    fn remove(
        &self,
        py: Python<'_>,
        spec: &str,
        dry_run: bool,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Answer {
        let (spec, how): (VolumeSpec, _) = (parsed(py, spec)?, removal(options)?);
        if dry_run {
            return self.ask(py, async move |store, ctl| store.plan_remove(&spec, &how, &ctl).await);
        }
        let work = async move |store: volary::Store, ctl| store.remove(&spec, &how, &ctl).await;
        let report = self.done(py, None, work)?;
        concluded(py, &report, report.error())
    }

    /// Removes many volumes by exact specs, `at_once` at a time; a report for each, whatever became of it: nothing is raised.
    #[pyo3(signature = (specs, *, at_once=8, dry_run=false, **options))]
    fn cleanup(
        &self,
        py: Python<'_>,
        specs: Vec<String>,
        at_once: usize,
        dry_run: bool,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Answer {
        let how = removal(options)?;
        let specs = specs.iter().map(|spec| parsed(py, spec)).collect::<PyResult<Vec<VolumeSpec>>>()?;
        let work = async move |store: volary::Store, ctl| {
            Ok(store.cleanup(&specs, &how, at_once, dry_run, &ctl).await)
        };
        self.ask(py, work)
    }

    /// What is in a namespace and in no inventory, with the command that would settle each; deletes nothing.
    ///
    /// `known` are the names of the volumes that should be there.
    #[pyo3(signature = (known, namespace="rbd"))]
    fn orphans(&self, py: Python<'_>, known: Vec<String>, namespace: &str) -> Answer {
        let known = known.iter().map(|name| any_name(py, name)).collect::<PyResult<HashSet<Name>>>()?;
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.orphans(&namespace, &known, &ctl).await)
    }

    /// What is in a namespace's trash, in every state.
    #[pyo3(signature = (namespace="rbd"))]
    fn trash(&self, py: Python<'_>, namespace: &str) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.trash(&namespace, &ctl).await)
    }

    /// Moves a volume into trash, with its snapshots and clones; `defer` is how many seconds it is kept there at least: a day, unless told otherwise.
    #[pyo3(signature = (spec, *, defer=86400.0))]
    fn trash_move(&self, py: Python<'_>, spec: &str, defer: f64) -> Answer {
        let (spec, keep): (VolumeSpec, _) = (parsed(py, spec)?, duration(defer)?);
        self.ask(py, async move |store, ctl| store.trash_move(&spec, keep, &ctl).await)
    }

    /// Brings a volume back out of trash (`id:ID`), under the name it had or another.
    #[pyo3(signature = (spec, name=None))]
    fn trash_restore(&self, py: Python<'_>, spec: &str, name: Option<&str>) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        let name = name.map(|name| new_name(py, name)).transpose()?;
        self.ask(py, async move |store, ctl| store.trash_restore(&spec, name.as_ref(), &ctl).await)
    }

    /// Removes a volume in trash (`id:ID`) for good; with `force` before its date too.
    #[pyo3(signature = (spec, *, force=false, dry_run=false))]
    fn trash_remove(&self, py: Python<'_>, spec: &str, force: bool, dry_run: bool) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        if dry_run {
            return self.ask(py, async move |store, ctl| store.plan_trash_remove(&spec, force, &ctl).await);
        }
        let work = async move |store: volary::Store, ctl| store.trash_remove(&spec, force, &ctl).await;
        let report = self.done(py, None, work)?;
        concluded(py, &report, report.error())
    }

    /// Removes for good what Volary put into a namespace's trash and whose date has passed; with `all` others' too.
    #[pyo3(signature = (namespace="rbd", *, all=false, dry_run=false))]
    fn trash_purge(&self, py: Python<'_>, namespace: &str, all: bool, dry_run: bool) -> Answer {
        let namespace = place(py, namespace)?;
        if dry_run {
            return self.ask(py, async move |store, ctl| store.plan_trash_purge(&namespace, all, &ctl).await);
        }
        let work =
            async move |store: volary::Store, ctl| store.trash_purge(&namespace, all, usize::MAX, &ctl).await;
        let reports = self.done(py, None, work)?;
        concluded(py, &reports, reports.iter().find_map(RemoveReport::error))
    }
}
