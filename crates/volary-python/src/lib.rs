//! The Python module: what Python code calls becomes a call of the `volary` library, and its answer, or its error, Python's.
#![forbid(unsafe_code)]

mod arguments;
mod check;
mod errors;
mod journal;
mod progress;
mod removal;
mod running;
mod snapshots;
mod store;
mod transfers;
mod volumes;

use pyo3::prelude::*;

/// The native part of the package `volary`.
#[pymodule]
fn _volary(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<store::Store>()?;
    module.add_function(wrap_pyfunction!(transfers::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(store::doctor, module)?)?;
    module.add_function(wrap_pyfunction!(running::before_fork, module)?)?;
    module.add_function(wrap_pyfunction!(running::close_all, module)?)?;
    errors::register(module)?;
    // What is public is what the package itself names, and not this list of all.
    module.delattr("__all__")
}
