//! Sweeping: moving aside the objects that no row names, left by writers that were killed.
//!
//! A writer leaves a marker in `locks/unclean` before it makes its first object and takes it away when it closes;
//! so a store whose writers all closed is opened without looking at its objects.

use super::db::change_text;
use super::ids::random_hex;
use super::locks::Mode;
use super::root::Root;
use super::store::Store;
use crate::{Ctl, Error, Result};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where writers leave their markers.
const UNCLEAN: &str = "locks/unclean";

/// A writer's marker: it is there while the writer is, and after one that was killed.
pub(super) struct Marker {
    /// Relative to the store.
    pub(super) path: PathBuf,
    /// Bears the number of the last change of the database that the writer's process made.
    _file: Arc<File>,
}

/// The number of the last change that any writer noted which has not ended; 0 without one.
///
/// # Errors
/// As reading files does; a marker without a number counts as none.
pub(super) fn last_noted(root: &Root) -> io::Result<u64> {
    let mut last = 0;
    let names = match root.entries(Path::new(UNCLEAN)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names?,
    };
    for name in names {
        let mut text = String::new();
        match root.file(&Path::new(UNCLEAN).join(name?), OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?.take(64).read_to_string(&mut text).map(drop).unwrap_or_default(),
        }
        last = last.max(text.trim_end().parse().unwrap_or_default());
    }
    Ok(last)
}

/// Takes the markers of writers away that have all ended.
pub(super) fn forget_markers(root: &Root) -> io::Result<()> {
    for name in root.entries(Path::new(UNCLEAN))? {
        root.unlink(&Path::new(UNCLEAN).join(name?))?;
    }
    Ok(())
}

impl Store {
    /// Finishes what was left over, as far as that is possible now; what fails is left to the next opener.
    pub(super) fn sweep(&self) {
        let sweep = || self.collect_garbage(&Ctl::new()).and_then(|()| self.sweep_orphans());
        let swept = self.in_reserve(sweep);
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
        let moved = self.move_orphans(&self.line_dir())?;
        if moved > 0 {
            // Also what nothing else follows is looked at again when the next copy of the database is made.
            self.db.write(|_| Ok(()))?;
        }
        for marker in markers {
            self.root.unlink(&unclean.join(marker)).map_err(failed)?;
        }
        tracing::debug!(moved, "moved objects that no row names aside");
        Ok(())
    }

    /// Leaves a marker that outlasts a power cut.
    pub(super) fn mark_unclean(&self) -> Result<Marker> {
        let path = Path::new(UNCLEAN).join(random_hex(16)?);
        let change = self.change()?;
        let mark = || {
            let file = self.root.file(&path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
            file.write_all_at(change_text(change).as_bytes(), 0)?;
            self.files.sync_dir(&self.path().join(UNCLEAN))?;
            Ok(Arc::new(file))
        };
        let file = mark().map_err(|e: io::Error| {
            Error::io("marking the store as being written", e)
                .context("path", self.path().join(&path).display())
        })?;
        self.db.note_changes(&file);
        Ok(Marker { path, _file: file })
    }
}
