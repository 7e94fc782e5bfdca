//! The pool of an image's data, which may be another than the image's own, and be deleted.
//!
//! Such an image still opens. librbd reads it as zeros where its map has no object, and fails with ENODEV elsewhere.

use super::NO_LIMIT;
use super::connection::Connection;
use super::volume::Handle;
use crate::{Error, ErrorKind, Result, VolumeSpec};
use rbd::Errno;

/// Whether there is no pool of this number any more.
pub(super) async fn is_deleted(on: &Connection, pool: i64) -> Result<bool> {
    match on.cluster.pool_by_id(pool, b"", NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(true),
        entered => Ok(entered.map(|_| false)?),
    }
}

/// Refuses to tell anything of data whose pool was deleted.
///
/// # Errors
/// `Mismatch`; what the cluster answers.
pub(super) async fn require(on: &Connection, volume: &VolumeSpec, pool: i64) -> Result<()> {
    if !is_deleted(on, pool).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Mismatch, "the pool of its data was deleted")
        .context("data_pool", pool)
        .hint(format!("restore a backup; `volary rm {volume}` removes what is left of it")))
}

impl Handle {
    /// Refuses an image whose data pool was deleted, before its data is counted or read.
    pub(super) async fn require_data(&self) -> Result<()> {
        let pool = self.image.data_pool(NO_LIMIT).await?;
        if pool == self.pool.id() {
            return Ok(());
        }
        require(&self.on, &self.namespace.volume_by_id(self.id.clone()), pool).await
    }
}
