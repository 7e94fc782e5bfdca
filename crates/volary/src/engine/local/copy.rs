//! The copy of the database, `store.copy`: made after changes, at most once a minute and in at most a hundredth of the
//! time, and only ever replaced by one that is whole.

use super::db::uint;
use super::locks::Mode;
use super::store::Store;
use crate::{Error, ErrorKind, Result};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const COPY: &str = "store.copy";
const NEW: &str = "store.copy.new";
/// What SQLite makes beside it meanwhile.
const SIDES: [&str; 3] = ["store.copy.new-journal", "store.copy.new-wal", "store.copy.new-shm"];
/// The shortest time between the beginnings of two copies, in microseconds.
const INTERVAL: i64 = 60_000_000;
/// Copying takes at most one part in so many of the time.
const SHARE: i64 = 100;

impl Store {
    /// Whether a copy may be made at a time, in microseconds since 1970. It needs no look into the database.
    pub(super) fn may_copy(&self, now: i64) -> bool {
        let identity = self.identity();
        let since = now.saturating_sub(identity.copied);
        // A clock that was set back must not keep copies from being made.
        since < 0 || since >= INTERVAL.max(identity.took.saturating_mul(SHARE))
    }

    /// Makes a copy if there were changes since the last, and it may be made. A failure leaves the last copy, and fails
    /// nothing else.
    pub(super) fn copy_or_warn(&self, now: i64) {
        if let Err(error) = self.copy_if_due(now) {
            let store = self.path().display();
            // A full disk is met by what the caller does himself.
            if error.kind() == ErrorKind::NoSpace {
                tracing::debug!(%store, error = error.report(), "no room for a copy of the store's database");
                return;
            }
            tracing::warn!(%store, error = error.report(), "no copy of the store's database was made");
        }
    }

    /// The same, and says whether a copy was made.
    pub(super) fn copy_if_due(&self, now: i64) -> Result<bool> {
        if self.root.is_read_only() || !self.may_copy(now) || self.change()? <= self.identity().change {
            return Ok(false);
        }
        // Another process makes one.
        let Ok(_alone) = self.locks.acquire_within("copy", Mode::Exclusive, Duration::ZERO) else {
            return Ok(false);
        };
        // Or has just made one.
        self.read_identity()?;
        let change = self.change()?;
        if !self.may_copy(now) || change <= self.identity().change {
            return Ok(false);
        }
        let (dir, begun) = (self.line_dir(), Instant::now());
        let lost = self.lost_of(&dir)?;
        // Once there is a later copy, objects that no row names can go: that makes room.
        let change = if lost.is_empty() { self.copy()? } else { self.in_reserve(|| self.copy())? };
        let mut identity = self.identity();
        identity.change = change;
        identity.copied = now;
        identity.took = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        identity.write(&self.root)?;
        self.set_identity(identity);
        self.settle_lost(&dir, &lost)?;
        Ok(true)
    }

    /// Replaces the copy, and says how many changes the database had seen.
    fn copy(&self) -> Result<u64> {
        let failed = |e| Error::io("copying the store's database", e).context("store", self.path().display());
        for name in SIDES.into_iter().chain([NEW]) {
            self.root.unlink(Path::new(name)).map_err(failed)?;
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = self.root.file(Path::new(NEW), flags).map_err(failed)?;
        let copied = self.fill(&self.path().join(NEW)).and_then(|change| {
            file.sync_all().map_err(failed)?;
            self.root.rename(Path::new(NEW), Path::new(COPY)).map_err(failed)?;
            self.root.sync_dir(Path::new("")).map_err(failed)?;
            Ok(change)
        });
        if copied.is_err() {
            for name in SIDES.into_iter().chain([NEW]) {
                let _ = self.root.unlink(Path::new(name));
            }
        }
        copied
    }

    fn fill(&self, path: &Path) -> Result<u64> {
        let mut to = open_aside(path)?;
        self.db.copy_to(&mut to)?;
        // It is synced as a whole afterwards.
        to.pragma_update(None, "synchronous", "OFF").map_err(super::db::sqlite_error)?;
        // Without a log of its own, and of no line: put in the database's place by hand it is refused.
        to.pragma_update(None, "journal_mode", "DELETE").map_err(super::db::sqlite_error)?;
        to.execute("UPDATE store SET line = ''", []).map_err(super::db::sqlite_error)?;
        require_whole(&to)?;
        to.query_row("SELECT change FROM store", [], |row| row.get(0))
            .map(uint)
            .map_err(super::db::sqlite_error)
    }
}

/// Opens a database that nobody else uses.
pub(super) fn open_aside(path: &Path) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(super::db::sqlite_error)
}

/// Fails unless every page, row and index of a database agrees with the others.
pub(super) fn require_whole(connection: &Connection) -> Result<()> {
    let first: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(super::db::sqlite_error)?;
    if first == "ok" {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Mismatch, "the store's database is not whole")
        .context("finding", crate::escape(first.as_bytes()))
        .hint(super::identity::REMEDY))
}

/// Copies one database into another, from one consistent state, without keeping writers waiting.
pub(super) fn copy_all(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    match Backup::new(from, to)?.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
    }
}
