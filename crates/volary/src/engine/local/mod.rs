//! The local engine: a store in a directory of this host.

use crate::engine::Engine;
use crate::{Ctl, Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

/// Opens the store in a directory, and makes it when it is not there yet.
///
/// # Errors
/// `Permission`, `NoSpace`; `Unsupported` on a network file system or for a store of a newer version.
pub async fn open(path: &Path, _ctl: &Ctl) -> Result<Arc<dyn Engine>> {
    Err(Error::new(ErrorKind::Unsupported, "not yet").context("path", path.display()))
}
