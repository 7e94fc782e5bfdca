//! Sweeping: unlinking the objects that no row names, left by writers that were killed.
//!
//! A writer leaves a marker in `locks/unclean` before it makes its first object and takes it away when it closes;
//! so a store whose writers all closed is opened without looking at its objects.

use super::ids::{ObjectId, dir_path, random_hex};
use super::locks::Mode;
use super::store::Store;
use crate::{Ctl, Error, Result};
use rustix::fs::OFlags;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where writers leave their markers.
const UNCLEAN: &str = "locks/unclean";

impl Store {
    /// Finishes what was left over, as far as that is possible now; what fails is left to the next opener.
    pub(super) fn sweep(&self) {
        let swept = self.collect_garbage(&Ctl::new()).and_then(|()| self.sweep_orphans());
        if let Err(error) = swept {
            tracing::warn!(store = %self.path().display(), error = %error.report(), "objects are left to sweep");
        }
    }

    fn sweep_orphans(&self) -> Result<()> {
        let failed = |e| Error::io("sweeping objects", e);
        let unclean = Path::new(UNCLEAN);
        if self.root.entries(unclean).map_err(failed)?.next().is_none() {
            return Ok(());
        }
        let Ok(_alone) = self.locks.acquire_within("writers", Mode::Exclusive, Duration::ZERO) else {
            return Ok(());
        };
        // Nobody writes now, so every marker is of somebody who is gone.
        let markers = self
            .root
            .entries(unclean)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(failed)?;
        let mut swept = 0_u64;
        for dir in 0..=u8::MAX {
            for name in self.root.entries(&dir_path(Path::new("objects"), dir)).map_err(failed)? {
                let name = name.map_err(failed)?;
                let Some(object) = ObjectId::from_file_name(name.as_bytes()) else { continue };
                let known = self.db.read(|tx| {
                    Ok(tx.prepare_cached("SELECT 1 FROM block WHERE object = ?1")?.exists([object])?)
                })?;
                if !known {
                    self.unlink(object)?;
                    swept += 1;
                }
            }
        }
        for marker in markers {
            self.root.unlink(&unclean.join(marker)).map_err(failed)?;
        }
        tracing::debug!(swept, "swept objects that no row names");
        Ok(())
    }

    /// Leaves a marker that outlasts a power cut.
    pub(super) fn mark_unclean(&self) -> Result<PathBuf> {
        let path = Path::new(UNCLEAN).join(random_hex(16)?);
        self.root
            .file(&path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
            .and_then(|_| self.files.sync_dir(&self.path().join(UNCLEAN)))
            .map_err(|e| {
                Error::io("marking the store as being written", e)
                    .context("path", self.path().join(&path).display())
            })?;
        Ok(path)
    }
}
