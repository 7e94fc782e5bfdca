//! The connections to the database: how they are opened, where nothing can be written too, and those that are idle.
//!
//! SQLite needs a log and an index of it beside the database. Both stay when nobody uses the store: where they cannot be made,
//! on a full disk or a read-only one, nothing could be read without them.

use super::db::{Fault, Sql, is_busy, no_space};
use super::identity::refused;
use super::log_index::LogIndex;
use super::reserve;
use super::root::{Place, Root};
use crate::{Error, ErrorKind, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::OFlags;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// Longer than any transaction here takes; after a longer wait the call fails because the store is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// As many as commands usually do at once; more are opened when needed, and closed afterwards.
const IDLE_CONNECTIONS: usize = 8;
/// What stays as it is in the name by which a database is opened.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The connections of one user of a store; any number of threads may use it at once.
pub(super) struct Connections {
    root: Arc<Root>,
    idle: Mutex<Idle>,
    /// Shared by those who read over a connection that cannot write. All connections of a process have one index of the log
    /// between them: while such a one is open, no other could write either.
    reading: RwLock<()>,
    /// Dropped after the connections.
    index: Mutex<Option<LogIndex>>,
}

/// Connections that are not in use.
#[derive(Default)]
struct Idle {
    writing: Vec<Connection>,
    /// Those that can only read.
    reading: Vec<Connection>,
}

/// A connection in use.
pub(super) struct Taken<'a> {
    // In this order: it is closed before its share is given up.
    pub(super) connection: Connection,
    /// The share of one that can only read.
    reading: Option<RwLockReadGuard<'a, ()>>,
}

impl Connections {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Connections { root, idle: Mutex::default(), reading: RwLock::default(), index: Mutex::default() }
    }

    /// A connection for a transaction that only reads. On a full disk, and on a file system that is mounted read-only, it
    /// writes nothing, not even to the log's index.
    pub(super) fn take_to_read(&self) -> Sql<Taken<'_>> {
        if let Some(connection) = self.idle().writing.pop() {
            return Ok(Taken { connection, reading: None });
        }
        let reading = self.share();
        if let Some(connection) = self.idle().reading.pop() {
            return Ok(Taken { connection, reading: Some(reading) });
        }
        drop(reading);
        if !self.root.is_read_only() {
            match self.connect() {
                Err(fault) if self.lacks_room(&fault) => {}
                connected => return Ok(Taken { connection: connected?, reading: None }),
            }
        }
        let reading = self.share();
        Ok(Taken { connection: patiently(|| self.try_connect_to_read())?, reading: Some(reading) })
    }

    /// A connection for a transaction that writes.
    pub(super) fn take_to_write(&self) -> Sql<Taken<'_>> {
        self.root.require_writable()?;
        let idle = self.idle().writing.pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        Ok(Taken { connection, reading: None })
    }

    /// Keeps a connection for the next transaction.
    pub(super) fn put_back(&self, taken: Taken<'_>) {
        let mut idle = self.idle();
        let alike = if taken.reading.is_some() { &mut idle.reading } else { &mut idle.writing };
        if alike.len() < IDLE_CONNECTIONS {
            alike.push(taken.connection);
        }
    }

    /// A new connection that can write.
    pub(super) fn connect(&self) -> Sql<Connection> {
        let _alone = self.reading.write().unwrap_or_else(PoisonError::into_inner);
        self.idle().reading.clear();
        if reserve::is_full(&self.root) {
            // SQLite would begin, and find out where the process cannot go on.
            return Err(no_space().into());
        }
        let failed = |e| Error::io("allocating the index of the database's log", e);
        self.hold_index().map_err(failed)?;
        let connection = patiently(|| self.try_connect())?;
        self.hold_index().map_err(failed)?;
        let index = self.index();
        index.as_ref().map_or(Ok(()), LogIndex::allocate).map_err(failed)?;
        drop(index);
        Ok(connection)
    }

    fn index(&self) -> MutexGuard<'_, Option<LogIndex>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the index that is there now.
    fn hold_index(&self) -> io::Result<()> {
        let mut index = self.index();
        let now = LogIndex::of(&self.root)?;
        if index.as_ref().map(LogIndex::place) != now.as_ref().map(LogIndex::place) {
            *index = now;
        }
        Ok(())
    }

    /// Whether something failed because the disk is full: SQLite says so of what it writes to the database or its log, but not of
    /// the log's index.
    pub(super) fn lacks_room(&self, fault: &Fault) -> bool {
        let error = match fault {
            Fault::Ours(error) => return error.kind() == ErrorKind::NoSpace,
            Fault::Sqlite(error) | Fault::Commit(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => true,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                !self.root.is_read_only() && reserve::is_full(&self.root)
            }
            _ => false,
        }
    }

    /// Closes the idle connections, and empties the log unless others still need it.
    pub(super) fn close(&self) {
        let mut idle = self.idle();
        idle.reading.clear();
        if let Some(connection) = idle.writing.last() {
            let emptied = connection.busy_timeout(Duration::ZERO).and_then(|()| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
            });
            // Where that fails, or others read, the next does it.
            tracing::trace!(?emptied, "the log of the store's database");
        }
        idle.writing.clear();
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self) -> RwLockReadGuard<'_, ()> {
        self.reading.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_connect(&self) -> Sql<Connection> {
        let before = self.database()?;
        let path = self.root.path().join("store.db");
        let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // SQLite opens the log at the first look into the database.
        look(&connection)?;
        self.require_same(before)?;
        Ok(connection)
    }

    /// A connection for which nothing is written: SQLite makes an index of the log in memory, or shares the one of those who
    /// write.
    fn try_connect_to_read(&self) -> Sql<Connection> {
        if !self.root.is_read_only() {
            // An empty file may find room where more does not. One that is there is not opened: closing it would give up the
            // locks that SQLite has on it.
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let _ = self.root.file(Path::new("store.db-wal"), flags);
        }
        // Where it cannot be made, SQLite says so.
        let _ = self.hold_index();
        let before = self.database()?;
        let path = self.root.path().join("store.db");
        let path = format!("file:{}?readonly_shm=1", percent_encode(path.as_os_str().as_bytes(), ENCODED));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = open(Path::new(&path), flags)?;
        match look(&connection) {
            Err(_) if self.root.is_read_only() && before.contains(&None) => {
                let why =
                    "the log of the store's database is missing, and its file system is mounted read-only";
                return Err(Error::new(ErrorKind::NoSpace, why)
                    .context("store", self.root.path().display())
                    .hint(super::schema::MADE_WRITABLE)
                    .into());
            }
            looked => looked?,
        }
        self.require_same(before)?;
        Ok(connection)
    }

    /// Fails while others replace the database's files.
    fn require_same(&self, before: [Option<Place>; 3]) -> Sql<()> {
        for (before, after) in before.into_iter().zip(self.database()?) {
            if before.is_some() && before != after {
                return Err(busy().into());
            }
        }
        Ok(())
    }

    /// Where the database's files are; the database itself is there.
    fn database(&self) -> Result<[Option<Place>; 3]> {
        let places = self.root.database().map_err(|e| {
            Error::io("looking for the store's database", e).context("store", self.root.path().display())
        })?;
        match places[0] {
            None => Err(refused(&self.root, "the store's database is missing")),
            Some(_) => Ok(places),
        }
    }
}

/// Tries again for a while: whoever turns a new database to its log, or empties that, has it alone for a moment, and for that
/// SQLite does not wait by itself.
fn patiently(connect: impl Fn() -> Sql<Connection>) -> Sql<Connection> {
    let begun = Instant::now();
    loop {
        match connect() {
            Err(Fault::Sqlite(error)) if is_busy(&error) && begun.elapsed() < BUSY_TIMEOUT => {
                std::thread::sleep(BUSY_PAUSE);
            }
            connected => return connected,
        }
    }
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn look(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// A process of an earlier release that was the last to close the database has removed its log while it was opened here.
fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some("the database's files changed while they were opened".into()))
}
