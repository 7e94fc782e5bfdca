//! Content, in and out: import, export, copy, and the proof of it.

use crate::arguments::{
    Answer, concluded, export_format, image_format, new_name, optional, parsed, shown, source_digest,
};
use crate::running::run;
use crate::store::Store;
use pyo3::prelude::*;
use std::path::PathBuf;
use volary::{
    Algorithm, Checksum, CopyOptions, Ctl, ExportRequest, ExportTarget, ImportRequest, ImportSource,
    InspectOptions, VolumeSpec,
};

#[pymethods]
impl Store {
    /// Makes a volume of a disk image; it appears whole and checked, or not at all.
    ///
    /// `format` is `auto`, `raw` or `qcow2`; `checksum` is what the file must have (`sha256:HEX`, also sha512 and md5);
    /// `progress` is called with the phase, the bytes done and the bytes in all (or None). With `dry_run` nothing is made.
    /// `allow_nested` accepts a disk that begins as an image format itself: only where nothing ever probes the volume.
    #[pyo3(signature = (path, spec, *, format="auto", checksum=None, source_digest="auto", snapshot=None, protect=false,
                        size_bytes=None, verify=true, allow_nested=false, dry_run=false, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn import_image(
        &self,
        py: Python<'_>,
        path: PathBuf,
        spec: &str,
        format: &str,
        checksum: Option<&str>,
        source_digest: &str,
        snapshot: Option<&str>,
        protect: bool,
        size_bytes: Option<u64>,
        verify: bool,
        allow_nested: bool,
        dry_run: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let mut request = ImportRequest::new(ImportSource::Path(path), parsed(py, spec)?);
        request.format = image_format(py, format)?;
        request.checksum = optional::<Checksum>(py, checksum)?;
        request.source_digest = self::source_digest(py, source_digest)?;
        request.snapshot = snapshot.map(|snapshot| new_name(py, snapshot)).transpose()?;
        (request.protect, request.size_bytes, request.verify) = (protect, size_bytes, verify);
        request.allow_nested = allow_nested;
        if dry_run {
            return self.ask(py, async move |store, ctl| store.plan_import(&request, &ctl).await);
        }
        self.watch(py, progress, async move |store, ctl| store.import(&request, &ctl).await)
    }

    /// Writes a volume or snapshot into a file, which appears whole and synced, or not at all.
    ///
    /// `format` is `raw` or `qcow2`; `force` replaces a file that is there; `digest` is one of the file to compute.
    /// `MismatchError` when a snapshot is not what was recorded of it; `accept_mismatch` takes it as it is.
    #[pyo3(signature = (spec, path, *, format="raw", force=false, digest=None, accept_mismatch=false, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn export_image(
        &self,
        py: Python<'_>,
        spec: &str,
        path: PathBuf,
        format: &str,
        force: bool,
        digest: Option<&str>,
        accept_mismatch: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let mut request = ExportRequest::new(parsed(py, spec)?, ExportTarget::File(path));
        (request.format, request.force) = (export_format(py, format)?, force);
        request.file_digest = optional::<Algorithm>(py, digest)?;
        request.accept_mismatch = accept_mismatch;
        self.watch(py, progress, async move |store, ctl| store.export(request, &ctl).await)
    }

    /// Copies a volume or snapshot; the copy appears whole or not at all.
    ///
    /// `MismatchError` when a snapshot is not what was recorded of it; `accept_mismatch` takes it as it is, and no digest is recorded.
    #[pyo3(signature = (spec, to, *, accept_mismatch=false, progress=None))]
    fn copy(
        &self,
        py: Python<'_>,
        spec: &str,
        to: &str,
        accept_mismatch: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let (spec, to): (VolumeSpec, VolumeSpec) = (parsed(py, spec)?, parsed(py, to)?);
        let options = CopyOptions { accept_mismatch };
        self.watch(py, progress, async move |store, ctl| store.copy(&spec, &to, options, &ctl).await)
    }

    /// Reads a volume or snapshot back and compares it with its recorded digest; `MismatchError` when it differs.
    ///
    /// With `record` it makes, or replaces, the record instead.
    #[pyo3(signature = (spec, *, record=false, progress=None))]
    fn verify(
        &self,
        py: Python<'_>,
        spec: &str,
        record: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> Answer {
        let spec: VolumeSpec = parsed(py, spec)?;
        let work = async move |store: volary::Store, ctl| store.verify(&spec, record, &ctl).await;
        let report = self.done(py, progress, work)?;
        concluded(py, &report, report.error())
    }
}

/// What a disk image is, and every check of it; nothing is raised when it is refused, `safe` says so.
#[pyfunction]
#[pyo3(signature = (path, *, format="auto", allow_nested=false))]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf, format: &str, allow_nested: bool) -> Answer {
    let mut options = InspectOptions::default();
    (options.format, options.allow_nested) = (image_format(py, format)?, allow_nested);
    let work = async move |ctl| volary::inspect(&ImportSource::Path(path), &options, &ctl).await;
    shown(py, &run(py, Ctl::new(), None, work)?)
}
