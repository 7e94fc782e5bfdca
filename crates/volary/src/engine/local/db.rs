//! The database: its transactions, and the one place where SQLite's errors become kinds.

use super::connections::Connections;
use super::files::Files;
use super::identity::REMEDY;
use super::root::Root;
use crate::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What goes wrong inside a transaction: SQLite's error, or one of ours.
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// The commit failed.
    Commit(rusqlite::Error),
    Ours(Error),
}

pub(super) type Sql<T> = std::result::Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Ours(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Sqlite(error) | Fault::Commit(error) => sqlite_error(error),
            Fault::Ours(error) => error,
        }
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    // The index of the log is just being made by somebody who may write it.
    let made = [rusqlite::ffi::SQLITE_READONLY_RECOVERY, rusqlite::ffi::SQLITE_READONLY_CANTINIT];
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
        || error.sqlite_error().is_some_and(|error| made.contains(&error.extended_code))
}

/// Whether SQLite found what it or this code never wrote: pages, tables or values.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, SqliteFailure,
    };
    match error {
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => true,
        SqliteFailure(error, _) => {
            // The statements here are all right: one that fails as such meets tables that are not.
            let codes = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::Unknown];
            codes.contains(&error.code) || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ
        }
        _ => false,
    }
}

pub(super) fn no_space() -> Error {
    Error::new(ErrorKind::NoSpace, NO_SPACE)
}

const NO_SPACE: &str = "no space left for the store's database";

pub(super) fn sqlite_error(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::NoSpace,
        _ if is_busy(&error) => ErrorKind::Blocked,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            ErrorKind::Permission
        }
        _ if is_damage(&error) => ErrorKind::Mismatch,
        _ => ErrorKind::Internal,
    };
    let message = match kind {
        ErrorKind::NoSpace => NO_SPACE,
        ErrorKind::Blocked => "the store's database is busy",
        ErrorKind::Permission => "the store's database cannot be opened or written",
        ErrorKind::Mismatch => "the store's database is not whole",
        _ => "the store's database failed",
    };
    let error = Error::new(kind, message).because(error);
    if kind == ErrorKind::Mismatch { error.hint(REMEDY) } else { error }
}

/// The store's database; any number of threads may use it at once.
pub(super) struct Db {
    connections: Connections,
    files: Arc<dyn Files>,
    /// Whether this process has changed the database.
    changed: AtomicBool,
    /// The markers of writers of this process, in which the number of the last change stands.
    markers: Mutex<Vec<Weak<File>>>,
}

impl Db {
    pub(super) fn new(root: Arc<Root>, files: Arc<dyn Files>) -> Self {
        Db {
            connections: Connections::new(root),
            files,
            changed: AtomicBool::new(false),
            markers: Mutex::default(),
        }
    }

    fn error(&self, fault: Fault) -> Error {
        match (self.connections.lacks_room(&fault), fault) {
            (true, Fault::Sqlite(error) | Fault::Commit(error)) => no_space().because(error),
            (_, fault) => fault.into(),
        }
    }

    fn with<T>(&self, behavior: TransactionBehavior, f: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Sql<T> {
        let mut taken = match behavior {
            TransactionBehavior::Deferred => self.connections.take_to_read()?,
            _ => self.connections.take_to_write()?,
        };
        let transaction = taken.connection.transaction_with_behavior(behavior)?;
        let value = f(&transaction)?;
        transaction.commit().map_err(Fault::Commit)?;
        self.connections.put_back(taken);
        Ok(value)
    }

    /// Reads from one consistent state.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T> {
        self.with(TransactionBehavior::Deferred, f).map_err(|fault| self.error(fault))
    }

    /// Changes the database in one durable step; nothing changes when `f` fails.
    pub(super) fn write<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T> {
        self.write_or(|_| {}, f)
    }

    /// The same; `doubt` hears of a failure after which the change may have been made or not.
    pub(super) fn write_or<T>(
        &self,
        doubt: impl FnOnce(&Error),
        f: impl FnOnce(&Transaction<'_>) -> Sql<T>,
    ) -> Result<T> {
        let counted = |tx: &Transaction<'_>| {
            let value = f(tx)?;
            let change: i64 = tx
                .prepare_cached("UPDATE store SET change = change + 1 RETURNING change")?
                .query_row([], |row| row.get(0))?;
            Ok((value, uint(change)))
        };
        let done = self.with(TransactionBehavior::Immediate, counted).map(|(value, change)| {
            self.changed.store(true, Relaxed);
            self.note(change);
            value
        });
        let fault = match done {
            Ok(value) => match self.files.committed() {
                Ok(()) => return Ok(value),
                Err(error) => Fault::Commit(rusqlite::Error::ToSqlConversionFailure(error.into())),
            },
            Err(fault) => fault,
        };
        // SQLite says these two before the commit's last page is written.
        let sure = [Some(ErrorCode::DiskFull), Some(ErrorCode::DatabaseBusy)];
        let unsure = matches!(&fault, Fault::Commit(error) if !sure.contains(&error.sqlite_error_code()));
        let error = self.error(fault);
        if unsure {
            doubt(&error);
        }
        Err(error)
    }

    /// Makes or changes the tables themselves: the same as a write, but for what counts the changes.
    pub(super) fn lay_out<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T> {
        self.with(TransactionBehavior::Immediate, f).map_err(|fault| self.error(fault))
    }

    /// Whether this process has changed the database.
    pub(super) fn changed(&self) -> bool {
        self.changed.load(Relaxed)
    }

    /// Notes the number of each change from now on in a writer's marker, until that is dropped. So a log of the database
    /// that is gone after the writer was killed is missed.
    pub(super) fn note_changes(&self, marker: &Arc<File>) {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(marker));
    }

    fn note(&self, change: u64) {
        let mut markers = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
        markers.retain(|marker| {
            let Some(marker) = marker.upgrade() else { return false };
            // It is a second thought: without it the change stands as well.
            let _ = marker.write_all_at(change_text(change).as_bytes(), 0);
            true
        });
    }

    /// Fails unless every page, row and index agrees with the others; reads all of it.
    pub(super) fn check_whole(&self) -> Result<()> {
        let connection = self.connections.connect().map_err(|fault| self.error(fault))?;
        super::copy::require_whole(&connection)
    }

    /// Copies the database from one consistent state.
    pub(super) fn copy_to(&self, to: &mut Connection) -> Result<()> {
        let from = self.connections.connect().map_err(|fault| self.error(fault))?;
        super::copy::copy_all(&from, to).map_err(sqlite_error)
    }

    /// Closes the idle connections, and empties the log unless others still need it.
    pub(super) fn close(&self) {
        self.connections.close();
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.close();
    }
}

/// A change's number as it stands in a marker: always as long, so that one is written over another.
pub(super) fn change_text(change: u64) -> String {
    format!("{change:020}\n")
}

/// An unsigned number as SQLite keeps it.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number that the schema keeps from being negative.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
