//! Python's arguments as the library's, and its answers as Python's.

use crate::errors::raised;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;
use volary::{
    Algorithm, ErrorKind, ExportFormat, ImageFormat, Name, Namespace, RemoveOptions, SnapshotRemoveOptions,
    SourceDigest, unescape,
};

/// Longer than a dead client's watch lasts.
pub(crate) const DEFAULT_WAIT: f64 = 40.0;

/// What a method answers: dicts, lists, strings, numbers, None.
pub(crate) type Answer = PyResult<Py<PyAny>>;

/// A spec, location, URL, namespace or checksum.
pub(crate) fn parsed<T: FromStr<Err = volary::Error>>(py: Python<'_>, text: &str) -> PyResult<T> {
    text.parse().map_err(|error| raised(py, &error, None))
}

/// The same, of an argument that may be left out.
pub(crate) fn optional<T: FromStr<Err = volary::Error>>(
    py: Python<'_>,
    text: Option<&str>,
) -> PyResult<Option<T>> {
    text.map(|text| parsed(py, text)).transpose()
}

/// A name that is to be made.
pub(crate) fn new_name(py: Python<'_>, text: &str) -> PyResult<Name> {
    Name::new(text).map_err(|error| raised(py, &error, None))
}

/// Bytes as answers show them: `\xNN` for what is not printable.
pub(crate) fn bytes(py: Python<'_>, text: &str) -> PyResult<Vec<u8>> {
    unescape(text).map_err(|error| raised(py, &error, None))
}

/// A name that may be any bytes.
pub(crate) fn any_name(py: Python<'_>, text: &str) -> PyResult<Name> {
    bytes(py, text).map(Name::from_bytes)
}

/// A number of seconds.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("{seconds} is no number of seconds")))
}

/// A declared format of a disk image; `auto` declares none.
pub(crate) fn image_format(py: Python<'_>, format: &str) -> PyResult<Option<ImageFormat>> {
    if format == "auto" {
        return Ok(None);
    }
    format
        .parse()
        .map(Some)
        .map_err(|_| wrong(py, "format", format, &format!("auto, {}", ImageFormat::readable_names())))
}

/// The format to export in.
pub(crate) fn export_format(py: Python<'_>, format: &str) -> PyResult<ExportFormat> {
    match format {
        "raw" => Ok(ExportFormat::Raw),
        "qcow2" => Ok(ExportFormat::Qcow2),
        _ => Err(wrong(py, "format", format, "raw or qcow2")),
    }
}

/// The digest of a source that is to be recorded.
pub(crate) fn source_digest(py: Python<'_>, digest: &str) -> PyResult<SourceDigest> {
    match digest {
        "auto" => Ok(SourceDigest::Auto),
        "none" => Ok(SourceDigest::None),
        "sha256" => Ok(SourceDigest::Of(Algorithm::Sha256)),
        "sha512" => Ok(SourceDigest::Of(Algorithm::Sha512)),
        _ => Err(wrong(py, "source_digest", digest, "auto, sha256, sha512 or none")),
    }
}

fn wrong(py: Python<'_>, argument: &'static str, value: &str, right: &str) -> PyErr {
    let value = volary::escape(value.as_bytes());
    let error = volary::Error::new(ErrorKind::Usage, format!("`{value}` is no {argument}"));
    raised(py, &error.hint(format!("write {right}")), None)
}

/// How volumes are removed, from keywords.
pub(crate) fn removal(options: Option<&Bound<'_, PyDict>>) -> PyResult<RemoveOptions> {
    let mut how = RemoveOptions { wait: duration(DEFAULT_WAIT)?, ..RemoveOptions::default() };
    for (key, value) in options.into_iter().flatten() {
        match key.extract::<String>()?.as_str() {
            "purge_snapshots" => how.purge_snapshots = value.extract()?,
            "flatten_children" => how.flatten_children = value.extract()?,
            "retry_later" => how.retry_later = value.extract()?,
            "if_exists" => how.if_exists = value.extract()?,
            "wait" => how.wait = duration(value.extract()?)?,
            "defer" => how.defer = value.extract::<Option<f64>>()?.map(duration).transpose()?,
            other => return Err(PyTypeError::new_err(format!("unexpected keyword argument {other:?}"))),
        }
    }
    Ok(how)
}

/// How snapshots are removed.
pub(crate) fn snapshot_removal(force: bool, flatten_children: bool) -> SnapshotRemoveOptions {
    SnapshotRemoveOptions { force, flatten_children }
}

/// A pool or namespace, or all of a pool's.
pub(crate) fn place(py: Python<'_>, namespace: &str) -> PyResult<Namespace> {
    parsed(py, namespace)
}

/// As Python knows it.
pub(crate) fn shown<T: Serialize>(py: Python<'_>, value: &T) -> Answer {
    Ok(pythonize::pythonize(py, value)?.unbind())
}

/// The report, or the exception it stands for, with the report on it.
pub(crate) fn concluded<T: Serialize>(py: Python<'_>, report: &T, error: Option<volary::Error>) -> Answer {
    let value = shown(py, report)?;
    match error {
        Some(error) => Err(raised(py, &error, Some(value.into_bound(py)))),
        None => Ok(value),
    }
}
