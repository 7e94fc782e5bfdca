//! Handles that are let go whatever happens in between.

use crate::engine::{Volume, VolumeEntry};
use crate::{Ctl, Result, VolumeSpec};
use std::sync::Arc;

/// Closes a handle and passes on what was done with it; a failure to close counts only when nothing else failed.
///
/// Closing is not cancelled: an operation that was interrupted still lets go.
pub(crate) async fn closing<T>(volume: &Arc<dyn Volume>, result: Result<T>, ctl: &Ctl) -> Result<T> {
    let closed = volume.close(&ctl.for_cleanup()).await;
    let value = result?;
    closed?;
    Ok(value)
}

/// The spec of a volume by the name it was found under, whatever the user called it by.
pub(crate) fn named(spec: &VolumeSpec, entry: &VolumeEntry) -> VolumeSpec {
    VolumeSpec { snapshot: spec.snapshot.clone(), ..spec.namespace.volume(entry.name.clone()) }
}
