//! Sweeping: unlinking the objects that no row names, left by writers that were killed.
//!
//! A writer leaves a marker in `locks/unclean` before it makes its first object and takes it away when it closes;
//! so a store whose writers all closed is opened without looking at its objects.

use super::ids::{ObjectId, dir_path, random_hex};
use super::locks::Mode;
use super::store::Store;
use crate::{Ctl, Error, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

impl Store {
    /// Finishes what was left over, as far as that is possible now; what fails is left to the next opener.
    pub(super) fn sweep(&self) {
        let swept = self.collect_garbage(&Ctl::new()).and_then(|()| self.sweep_orphans());
        if let Err(error) = swept {
            tracing::warn!(store = %self.path.display(), error = %error.report(), "objects are left to sweep");
        }
    }

    fn sweep_orphans(&self) -> Result<()> {
        let failed = |e| Error::io("sweeping objects", e);
        let unclean = self.locks.path("unclean");
        if std::fs::read_dir(&unclean).map_err(failed)?.next().is_none() {
            return Ok(());
        }
        let Ok(_alone) = self.locks.acquire_within("writers", Mode::Exclusive, Duration::ZERO) else {
            return Ok(());
        };
        // Nobody writes now, so every marker is of somebody who is gone.
        let markers = std::fs::read_dir(&unclean)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(failed)?;
        let mut swept = 0_u64;
        for dir in 0..=u8::MAX {
            for entry in std::fs::read_dir(dir_path(&self.path.join("objects"), dir)).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
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
            std::fs::remove_file(marker.path()).map_err(failed)?;
        }
        tracing::debug!(swept, "swept objects that no row names");
        Ok(())
    }

    /// Leaves a marker that outlasts a power cut.
    pub(super) fn mark_unclean(&self) -> Result<PathBuf> {
        let dir = self.locks.path("unclean");
        let path = dir.join(random_hex(16)?);
        std::fs::File::create_new(&path).and_then(|_| self.files.sync_dir(&dir)).map_err(|e| {
            Error::io("marking the store as being written", e).context("path", path.display())
        })?;
        Ok(path)
    }
}
