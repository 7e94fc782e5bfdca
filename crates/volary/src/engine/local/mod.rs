//! The local engine: a store in a directory of this host.
//!
//! `store.db` (SQLite) says which volumes there are and which objects hold their blocks, `objects/` holds those, and
//! `locks/` says who has what open. Nothing is written twice: an object that a row names is whole and durable before
//! the row is, and is unlinked only after its row is gone. So the database alone decides what is there, each change
//! of it is one transaction, and what a crash leaves over is a file that no row names; it is swept when no writer
//! lives. Only a head's own objects are written in place, and only those without a checksum; those bytes were never
//! promised before the next flush.
//!
//! A row says how long its object's file is, and where it is known the leaf of the content digest of its bytes
//! ([`Volume::record_leaves`](crate::engine::Volume::record_leaves)). Whoever reads a whole block compares.

mod blocks;
mod check;
mod children;
mod clone;
mod connections;
mod copy;
#[cfg(test)]
mod damage;
mod db;
mod directory;
mod engine;
mod extents;
#[cfg(test)]
mod faults;
mod files;
mod flatten;
mod flush;
#[cfg(test)]
mod gone_back;
mod handle;
mod holders;
mod identity;
mod ids;
mod layers;
mod leaves;
mod lockers;
mod locks;
mod log_index;
mod lost;
mod opening;
mod pools;
#[cfg(test)]
mod power_cut;
mod read;
mod records;
mod repair;
mod reserve;
mod resize;
mod root;
mod schema;
mod snapshots;
mod stat;
mod store;
mod sweep;
mod trash;
mod volume;
mod write;

use crate::engine::Engine;
use crate::{Ctl, Error, ErrorKind, Result};
pub use repair::{DatabaseRepair, repair_database};
use std::path::Path;
use std::sync::Arc;

/// Opens the store in a directory, and makes it when it is not there yet.
///
/// # Errors
/// `Permission` also when another user owns the directory or could change where its path leads; `NoSpace` also on a file system that
/// is mounted read-only, for a store that is not there or of an earlier version; `Unsupported` on a network file system or for a store
/// of a newer version.
pub async fn open(path: &Path, ctl: &Ctl) -> Result<Arc<dyn Engine>> {
    let path = path.to_owned();
    let opened = blocking(move || store::Store::open(&path));
    Ok(Arc::new(engine::Local::new(ctl.call("open the store", opened).await?)))
}

/// Runs what blocks on a thread for that, once it is polled: what was cancelled before never begins. Dropping the
/// future later drops the result; the work runs to its end.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, "a thread of the store failed").because(e)));
    done.map_err(|error| match error.kind() {
        ErrorKind::NoSpace if error.remedy().is_none() => error.hint(NO_SPACE),
        ErrorKind::Permission if met_read_only(&error) => root::mounted_read_only().because(error),
        _ => error,
    })
}

/// Whether the kernel refused a write because of how a file system is mounted: a part of the store may have one of its own, or it was
/// mounted anew since the store was opened.
fn met_read_only(error: &Error) -> bool {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.any(|cause| {
        cause
            .downcast_ref()
            .is_some_and(|io: &std::io::Error| io.kind() == std::io::ErrorKind::ReadOnlyFilesystem)
    })
}

/// What helps when the disk is full.
const NO_SPACE: &str = "make room on the store's disk (space, inodes, quota), or remove volumes, which works on a full \
     disk too: `volary rm`";
