//! The exceptions: one class for each kind of error, all of them `volary.Error`.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMappingProxy, PyType};
use pyo3::{create_exception, intern};
use volary::ErrorKind;

create_exception!(
    volary,
    Error,
    PyException,
    "Whatever volary cannot do; `kind`, `hint`, `context`, `exit_code` tell more."
);

macro_rules! kinds {
    ($($class:ident $kind:ident $doc:literal,)*) => {
        $(create_exception!(volary, $class, Error, $doc);)*

        fn class(kind: ErrorKind) -> fn(String) -> PyErr {
            match kind {
                $(ErrorKind::$kind => $class::new_err::<String>,)*
                _ => InternalError::new_err::<String>,
            }
        }

        /// Adds every class to the module.
        pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let py = module.py();
            module.add("Error", told_of(&py.get_type::<Error>(), ErrorKind::Internal)?)?;
            $(module.add(stringify!($class), told_of(&py.get_type::<$class>(), ErrorKind::$kind)?)?;)*
            Ok(())
        }
    };
}

kinds! {
    InternalError Internal "A fault of volary, or of something that it could not classify.",
    UsageError Usage "The arguments make no sense.",
    NotFoundError NotFound "The volume, snapshot, pool, namespace or key is not there.",
    AlreadyExistsError AlreadyExists "Something of that name is there already; nothing was changed.",
    BlockedError Blocked "Somebody or something holds it; `report` names who, with the remedy of each.",
    RefusedError Refused "The source is unsafe or malformed, or is not what it was declared to be.",
    SourceChangedError SourceChanged "The source changed while it was being read.",
    MismatchError Mismatch "The content is not what was expected.",
    DeadlineError Deadline "The deadline or the stall limit passed.",
    UnreachableError Unreachable "The store cannot be reached.",
    PermissionDeniedError Permission "The store or the system denied it.",
    NoSpaceError NoSpace "No space is left, a quota is reached, or the file system of a local store is mounted read-only.",
    PartialError Partial "Part of it is done; the rest is pending in the store's journal.",
    UnsupportedError Unsupported "This store, library or build cannot do it.",
    CancelledError Interrupted "It was cancelled, and what had been started was undone.",
}

/// A class with what is the same for all of its kind, and nothing known of the rest.
fn told_of<'a, 'py>(class: &'a Bound<'py, PyType>, kind: ErrorKind) -> PyResult<&'a Bound<'py, PyType>> {
    let py = class.py();
    class.setattr(intern!(py, "kind"), kind.as_str())?;
    class.setattr(intern!(py, "exit_code"), kind.exit_code())?;
    class.setattr(intern!(py, "context"), PyMappingProxy::new(py, PyDict::new(py).as_mapping()))?;
    class.setattr(intern!(py, "hint"), py.None())?;
    class.setattr(intern!(py, "report"), py.None())?;
    Ok(class)
}

/// The exception an error stands for; `report` is what the operation has to say beside it.
pub(crate) fn raised(py: Python<'_>, error: &volary::Error, report: Option<Bound<'_, PyAny>>) -> PyErr {
    let raised = class(error.kind())(error.report());
    let described = describe(py, raised.value(py), error, report);
    described.err().unwrap_or(raised)
}

fn describe(
    py: Python<'_>,
    value: &Bound<'_, PyAny>,
    error: &volary::Error,
    report: Option<Bound<'_, PyAny>>,
) -> PyResult<()> {
    let context = PyDict::new(py);
    for (key, text) in error.contexts() {
        if !context.contains(key)? {
            context.set_item(key, volary::scrub(text))?;
        }
    }
    value.setattr(intern!(py, "hint"), error.remedy())?;
    value.setattr(intern!(py, "context"), context)?;
    value.setattr(intern!(py, "report"), report)
}
