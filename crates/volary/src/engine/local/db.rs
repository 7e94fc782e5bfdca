//! The database: a few idle connections, transactions, and the one place where SQLite's errors become kinds.

use super::files::Files;
use super::root::{Place, Root};
use crate::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any transaction here takes; who waits longer is told that the store is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// As many as commands usually do at once; more are opened when needed, and closed afterwards.
const IDLE_CONNECTIONS: usize = 8;

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

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The last process that closed the database has removed its log while it was opened here, and a new one was made.
fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some("the database's files changed while they were opened".into()))
}

fn sqlite_error(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::NoSpace,
        _ if is_busy(&error) => ErrorKind::Blocked,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            ErrorKind::Permission
        }
        _ => ErrorKind::Internal,
    };
    let message = match kind {
        ErrorKind::NoSpace => "no space left for the store's database",
        ErrorKind::Blocked => "the store's database is busy",
        ErrorKind::Permission => "the store's database cannot be opened or written",
        _ => "the store's database failed",
    };
    Error::new(kind, message).because(error)
}

/// The store's database; any number of threads may use it at once.
pub(super) struct Db {
    root: Arc<Root>,
    idle: Mutex<Vec<Connection>>,
    files: Arc<dyn Files>,
}

impl Db {
    pub(super) fn new(root: Arc<Root>, files: Arc<dyn Files>) -> Self {
        Db { root, idle: Mutex::default(), files }
    }

    fn connect(&self) -> Sql<Connection> {
        let begun = Instant::now();
        loop {
            match self.try_connect() {
                // Whoever turns a new database to its log, or is the last to close it, has it alone for a moment, and for
                // that SQLite does not wait by itself.
                Err(Fault::Sqlite(error)) if is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => {
                    std::thread::sleep(BUSY_PAUSE);
                }
                connected => return connected,
            }
        }
    }

    fn try_connect(&self) -> Sql<Connection> {
        let before = self.database()?;
        let connection = Connection::open_with_flags(
            self.root.path().join("store.db"),
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NOFOLLOW
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        // SQLite opens the log at the first look into the database.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        for (before, after) in before.into_iter().zip(self.database()?) {
            if before.is_some() && before != after {
                return Err(busy().into());
            }
        }
        Ok(connection)
    }

    fn database(&self) -> Result<[Option<Place>; 3]> {
        self.root.database().map_err(|e| {
            Error::io("looking for the store's database", e).context("store", self.root.path().display())
        })
    }

    fn with<T>(&self, behavior: TransactionBehavior, f: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Sql<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let transaction = connection.transaction_with_behavior(behavior)?;
        let value = f(&transaction)?;
        transaction.commit().map_err(Fault::Commit)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
        Ok(value)
    }

    /// Reads from one consistent state.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Sql<T>) -> Result<T> {
        Ok(self.with(TransactionBehavior::Deferred, f)?)
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
        let fault = match self.with(TransactionBehavior::Immediate, f) {
            Ok(value) => match self.files.committed() {
                Ok(()) => return Ok(value),
                Err(error) => Fault::Commit(rusqlite::Error::ToSqlConversionFailure(error.into())),
            },
            Err(fault) => fault,
        };
        // SQLite says these two before the commit's last page is written.
        let sure = [Some(ErrorCode::DiskFull), Some(ErrorCode::DatabaseBusy)];
        let unsure = matches!(&fault, Fault::Commit(error) if !sure.contains(&error.sqlite_error_code()));
        let error = Error::from(fault);
        if unsure {
            doubt(&error);
        }
        Err(error)
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// An unsigned number as SQLite keeps it.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number that the schema keeps from being negative.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
