//! Volumes: found, made, changed, described.

use crate::arguments::{Answer, any_name, bytes, parsed, place};
use crate::errors::raised;
use crate::store::{Store, collected};
use pyo3::prelude::*;
use volary::{NamePattern, VolumeSpec, escape};

#[pymethods]
impl Store {
    /// The volumes of a namespace; with `details` their sizes and parents too.
    #[pyo3(signature = (namespace="rbd", *, details=false))]
    fn volumes(&self, py: Python<'_>, namespace: &str, details: bool) -> Answer {
        let namespace = place(py, namespace)?;
        if details {
            let work =
                async move |store: volary::Store, ctl| collected(store.list_details(&namespace, &ctl)).await;
            return self.ask(py, work);
        }
        self.ask(py, async move |store, ctl| collected(store.list(&namespace, &ctl)).await)
    }

    /// The volumes of a namespace whose whole name fits a pattern such as `*_disk`.
    #[pyo3(signature = (pattern, namespace="rbd"))]
    fn matching(&self, py: Python<'_>, pattern: &str, namespace: &str) -> Answer {
        let pattern = NamePattern::new(pattern).map_err(|error| raised(py, &error, None))?;
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| store.matching(&namespace, &pattern, &ctl).await)
    }

    /// Whether a volume or snapshot is there.
    fn exists(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.exists(&spec, &ctl).await)
    }

    /// The size of a volume or snapshot.
    fn size(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.size(&spec, &ctl).await)
    }

    /// Everything about a volume.
    fn info(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.info(&spec, &ctl).await)
    }

    /// What a volume and each of its snapshots use.
    fn usage(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.usage(&spec, &ctl).await)
    }

    /// What each volume and snapshot of a namespace uses.
    #[pyo3(signature = (namespace="rbd"))]
    fn usage_of_all(&self, py: Python<'_>, namespace: &str) -> Answer {
        let namespace = place(py, namespace)?;
        self.ask(py, async move |store, ctl| collected(store.usage_of_all(&namespace, &ctl)).await)
    }

    /// Who holds a volume, and the remedy of each.
    fn why(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.why(&spec, &ctl).await)
    }

    /// Makes an empty volume.
    fn create(&self, py: Python<'_>, spec: &str, size_bytes: u64) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.create(&spec, size_bytes, &ctl).await)
    }

    /// Grows a volume, or shrinks it when that is allowed.
    #[pyo3(signature = (spec, size_bytes, *, allow_shrink=false))]
    fn resize(&self, py: Python<'_>, spec: &str, size_bytes: u64, allow_shrink: bool) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.resize(&spec, size_bytes, allow_shrink, &ctl).await)
    }

    /// Gives a volume another name.
    fn rename(&self, py: Python<'_>, spec: &str, to: &str) -> Answer {
        let (spec, to): (VolumeSpec, VolumeSpec) = (parsed(py, spec)?, parsed(py, to)?);
        self.ask(py, async move |store, ctl| store.rename(&spec, &to, &ctl).await)
    }

    /// A volume's metadata.
    fn metadata(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.list_metadata(&spec, &ctl).await)
    }

    /// The value of a key; `NotFoundError` when there is none.
    fn get_metadata(&self, py: Python<'_>, spec: &str, key: &str) -> Answer {
        let (spec, key): (VolumeSpec, _) = (parsed(py, spec)?, bytes(py, key)?);
        self.ask(py, async move |store, ctl| {
            Ok(escape(&store.get_metadata(&spec, &key, &ctl).await?).into_owned())
        })
    }

    /// Sets a key; `conf_*` and `volary.*` are refused.
    fn set_metadata(&self, py: Python<'_>, spec: &str, key: &str, value: String) -> Answer {
        let (spec, key): (VolumeSpec, _) = (parsed(py, spec)?, bytes(py, key)?);
        self.ask(py, async move |store, ctl| store.set_metadata(&spec, &key, value.as_bytes(), &ctl).await)
    }

    /// Removes a key.
    fn remove_metadata(&self, py: Python<'_>, spec: &str, key: &str) -> Answer {
        let (spec, key): (VolumeSpec, _) = (parsed(py, spec)?, bytes(py, key)?);
        self.ask(py, async move |store, ctl| store.remove_metadata(&spec, &key, &ctl).await)
    }

    /// The locks on a volume.
    fn locks(&self, py: Python<'_>, spec: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        self.ask(py, async move |store, ctl| store.lockers(&spec, &ctl).await)
    }

    /// Locks a volume, alone, or shared with all who give the same tag.
    #[pyo3(signature = (spec, cookie, *, shared=None))]
    fn add_lock(&self, py: Python<'_>, spec: &str, cookie: &str, shared: Option<&str>) -> Answer {
        let (spec, cookie): (VolumeSpec, _) = (parsed(py, spec)?, any_name(py, cookie)?);
        let tag = shared.map(|tag| any_name(py, tag)).transpose()?;
        self.ask(py, async move |store, ctl| store.add_lock(&spec, &cookie, tag.as_ref(), &ctl).await)
    }

    /// Removes a lock, whoever took it; on Ceph that client is blocklisted.
    fn break_lock(&self, py: Python<'_>, spec: &str, cookie: &str, client: &str) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        let (cookie, client) = (any_name(py, cookie)?, any_name(py, client)?);
        self.ask(py, async move |store, ctl| store.break_lock(&spec, &cookie, &client, &ctl).await)
    }
}
