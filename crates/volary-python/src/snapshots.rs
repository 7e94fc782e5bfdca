//! Snapshots, and the clones made of them.

use crate::arguments::{Answer, concluded, image_format, new_name, parsed, snapshot_removal};
use crate::store::Store;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use volary::{Location, SnapshotOutcome, VolumeSpec};

#[pymethods]
impl Store {
    /// Makes a snapshot, and protects it if asked, so that it can be cloned.
    #[pyo3(signature = (spec, *, protect=false))]
    fn create_snapshot(&self, py: Python<'_>, spec: &str, protect: bool) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.create_snapshot(&spec, protect, &ctl).await)
    }

    /// The snapshots of a volume, oldest first.
    fn snapshots(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.snapshots(&spec, &ctl).await)
    }

    /// Protects a snapshot from removal, so that it can be cloned.
    fn protect_snapshot(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.protect_snapshot(&spec, &ctl).await)
    }

    /// Ends a snapshot's protection.
    fn unprotect_snapshot(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.unprotect_snapshot(&spec, &ctl).await)
    }

    /// Gives a snapshot another name; `to` is the name alone.
    fn rename_snapshot(&self, py: Python<'_>, spec: &str, to: &str) -> Answer {
        let (spec, to): (VolumeSpec, _) = (parsed(py, spec)?, new_name(py, to)?);
        self.ask(py, async move |store, ctl| store.rename_snapshot(&spec, &to, &ctl).await)
    }

    /// Sets a volume back to a snapshot; what was written since is gone.
    #[pyo3(signature = (spec, *, progress=None))]
    fn rollback(&self, py: Python<'_>, spec: &str, progress: Option<&Bound<'_, PyAny>>) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.watch(py, progress, async move |store, ctl| store.rollback(&spec, &ctl).await)
    }

    /// Removes a snapshot; `BlockedError`, with the report, when something is in the way.
    ///
    /// With `dry_run` nothing is changed, and the report says what would be done or is in the way.
    #[pyo3(signature = (spec, *, force=false, flatten_children=false, dry_run=false))]
    fn remove_snapshot(
        &self,
        py: Python<'_>,
        spec: &str,
        force: bool,
        flatten_children: bool,
        dry_run: bool,
    ) -> Answer {
        let (spec, how): (VolumeSpec, _) = (parsed(py, spec)?, snapshot_removal(force, flatten_children));
        if dry_run {
            return self.ask(py, async move |store, ctl| store.plan_remove_snapshot(&spec, how, &ctl).await);
        }
        let work = async move |store: volary::Store, ctl| store.remove_snapshot(&spec, how, &ctl).await;
        let outcome = self.done(py, None, work)?;
        concluded(py, &outcome, outcome.error())
    }

    /// Removes all of a volume's snapshots, or none; an exception, with the reports, when one cannot go.
    #[pyo3(signature = (spec, *, force=false, flatten_children=false, dry_run=false))]
    fn purge_snapshots(
        &self,
        py: Python<'_>,
        spec: &str,
        force: bool,
        flatten_children: bool,
        dry_run: bool,
    ) -> Answer {
        let (spec, how): (VolumeSpec, _) = (parsed(py, spec)?, snapshot_removal(force, flatten_children));
        if dry_run {
            return self.ask(py, async move |store, ctl| store.plan_purge_snapshots(&spec, how, &ctl).await);
        }
        let work = async move |store: volary::Store, ctl| store.purge_snapshots(&spec, how, &ctl).await;
        let outcomes = self.done(py, None, work)?;
        concluded(py, &outcomes, outcomes.iter().find_map(SnapshotOutcome::error))
    }

    /// Makes a volume out of a snapshot, given as a spec or an `rbd://` location, sharing its data.
    fn clone(&self, py: Python<'_>, parent: &str, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        if parent.starts_with("rbd://") {
            let parent: Location = parsed(py, parent)?;
            return self.ask(py, async move |store, ctl| store.clone_location(&parent, &spec, &ctl).await);
        }
        let parent: VolumeSpec = parsed(py, parent)?;
        self.ask(py, async move |store, ctl| store.clone_volume(&parent, &spec, &ctl).await)
    }

    /// Whether a location, whose content is of a format, can be cloned in this store; if not, why.
    #[pyo3(signature = (location, *, format="raw"))]
    fn cloneable(&self, py: Python<'_>, location: &str, format: &str) -> Answer {
        let location: Location = parsed(py, location)?;
        let Some(format) = image_format(py, format)? else {
            return Err(PyValueError::new_err("a location's format is raw or qcow2, not auto"));
        };
        self.ask(py, async move |store, ctl| store.cloneable(&location, format, &ctl).await)
    }

    /// Parts a clone from its parent.
    #[pyo3(signature = (spec, *, progress=None))]
    fn flatten(&self, py: Python<'_>, spec: &str, progress: Option<&Bound<'_, PyAny>>) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.watch(py, progress, async move |store, ctl| store.flatten(&spec, &ctl).await)
    }

    /// The clones of a volume's snapshots, or of one snapshot: in every pool and in trash.
    fn children(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.children(&spec, &ctl).await)
    }

    /// The snapshot a volume is a clone of; None for a volume that is no clone, `NotFoundError` for one that is not there.
    fn parent(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.parent(&spec, &ctl).await)
    }
}
