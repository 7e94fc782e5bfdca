//! Settling a store whose database is not the one that belongs there: going back to the copy, or writing down anew which
//! database that is. Nothing is deleted: what is taken out of its place goes to `lost/`.

use super::copy::{COPY, open_aside, require_whole};
use super::db::{Db, int, sqlite_error};
use super::directory::time;
use super::files::{Files, SystemFiles};
use super::identity::{Identity, is_id};
use super::ids::random_hex;
use super::locks::{Locks, Mode};
use super::lost::{aside, line_dir};
use super::root::Root;
use super::schema::{self, Row};
use super::store::Store;
use super::{blocking, sweep};
use crate::{Ctl, Error, ErrorKind, Result};
use rusqlite::Connection;
use rustix::fs::OFlags;
use std::io;
use std::path::Path;
use std::sync::Arc;

const NEW: &str = "store.db.new";
const DATABASE: [&str; 4] = ["store.db", "store.db-wal", "store.db-shm", "store.db-journal"];

/// What settling a store's database did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseRepair {
    /// The database is whole, and the one that belongs there; nothing was changed.
    Nothing,
    /// The database is whole; which store it belongs to was written down anew.
    Identity,
    /// The database is the copy now. What happened after the copy was made is gone from it.
    Copy {
        /// When the copy was begun; none when that is not known any more.
        made: Option<jiff::Timestamp>,
    },
}

/// Makes the database of the store in a directory one that can be relied on, reading all of it.
///
/// A whole database that belongs there is left alone, and one without the file that says so gets a new one. Otherwise the
/// database goes back to its copy; what was there before is kept in `lost/`, as are the objects for which the copy has no
/// row. Objects in `lost/` that a row does name return to their places. Done again after it was interrupted, it goes on.
///
/// # Errors
/// `NotFound` when there is no store; `Blocked` while another process has the store open; `Mismatch` when the copy is
/// missing, not whole, or of another store; else as opening the store.
pub async fn repair_database(path: &Path, ctl: &Ctl) -> Result<DatabaseRepair> {
    let path = path.to_owned();
    ctl.transfer("repair the store's database", blocking(move || repair(&path))).await
}

pub(super) fn repair(path: &Path) -> Result<DatabaseRepair> {
    let found = path
        .symlink_metadata()
        .map_err(|e| Error::io("there is no store", e).context("path", path.display()));
    found?;
    let root = Arc::new(Root::open(path)?);
    let failed = |e| Error::io("repairing the store's database", e).context("store", root.path().display());
    root.make_dir(Path::new("locks")).map_err(failed)?;
    let locks = Locks::new(root.clone());
    let alone = locks.acquire("store", Mode::Exclusive)?;
    let (identity, damaged) = match Identity::read(&root) {
        Err(error) if error.kind() == ErrorKind::Mismatch => (None, true),
        identity => (identity?, false),
    };
    let files: Arc<dyn Files> = Arc::new(SystemFiles(root.clone()));
    let noted = sweep::last_noted(&root).map_err(failed)?;
    let found = look(&root, &files)?;
    // The database and its copy agree, and the file is another store's: two of three are right.
    let foreign = match (&identity, &found) {
        (Some(identity), Some(row)) if identity.id != row.id => copied_id(&root) == Some(row.id.clone()),
        _ => false,
    };
    let (identity, damaged) = if foreign { (None, true) } else { (identity, damaged) };
    match found {
        // A store that was never finished, or is of an older version, is so when it is opened.
        Some(row) if identity.is_none() && !damaged && !row.sealed => Ok(DatabaseRepair::Nothing),
        Some(row)
            if row.change >= noted && identity.as_ref().is_none_or(|identity| row.belongs(identity)) =>
        {
            let is_new = identity.is_none();
            let identity = identity.unwrap_or_else(|| row.identity());
            let store = Store::assemble(root, files, locks, Some(alone), identity);
            store.db.lay_out(|tx| schema::upgrade(tx, &store.root))?;
            store.bring_back_lost()?;
            if !is_new {
                return Ok(DatabaseRepair::Nothing);
            }
            begin_line(&store, row)?;
            Ok(DatabaseRepair::Identity)
        }
        row => {
            let (line, made) = match (&identity, &row) {
                (Some(identity), _) => {
                    (identity.line.clone(), (identity.copied > 0).then(|| time(identity.copied)))
                }
                (None, Some(row)) if is_id(&row.line) => (row.line.clone(), None),
                _ => (random_hex(16)?, None),
            };
            let floor = identity.as_ref().map_or(0, |identity| identity.change).max(noted);
            let id = identity.map(|identity| identity.id);
            let identity = go_back(&root, id.as_deref(), floor)?;
            let store = Store::assemble(root, files, locks, Some(alone), identity.clone());
            store.db.lay_out(|tx| schema::upgrade(tx, &store.root))?;
            store.move_orphans(&line_dir(&line))?;
            store.bring_back_lost()?;
            sweep::forget_markers(&store.root).map_err(|e| Error::io("forgetting writers", e))?;
            identity.write(&store.root)?;
            Ok(DatabaseRepair::Copy { made })
        }
    }
}

/// What a whole database says of itself; none when there is none.
fn look(root: &Arc<Root>, files: &Arc<dyn Files>) -> Result<Option<Row>> {
    let db = Db::new(root.clone(), files.clone());
    let looked = db.check_whole().and_then(|()| db.read(schema::row));
    match looked {
        Err(error) if error.kind() == ErrorKind::Mismatch => Ok(None),
        row => row,
    }
}

/// The id of the store that the copy is of, if it can be read.
fn copied_id(root: &Root) -> Option<String> {
    root.stat(Path::new(COPY)).ok()??;
    let mut connection = open_aside(&root.path().join(COPY)).ok()?;
    let transaction = connection.transaction().ok()?;
    schema::row(&transaction).ok()?.map(|row| row.id)
}

/// Begins a new line of a database of which nothing says that it is the right one: what it has no row for now is kept.
fn begin_line(store: &Store, row: Row) -> Result<()> {
    let before = if is_id(&row.line) { row.line.clone() } else { random_hex(16)? };
    store.move_orphans(&line_dir(&before))?;
    let identity = Identity { line: random_hex(16)?, ..row.identity() };
    store.db.lay_out(|tx| Ok(tx.execute("UPDATE store SET line = ?1, sealed = 1", [&identity.line])?))?;
    identity.write(&store.root)
}

/// Puts the copy in the place of the database, and what was there aside.
fn go_back(root: &Root, id: Option<&str>, floor: u64) -> Result<Identity> {
    let failed =
        |e| Error::io("going back to the copy of the database", e).context("store", root.path().display());
    let no_copy = |why: &str| {
        Error::new(ErrorKind::Mismatch, why).context("store", root.path().display()).hint(
            "put the database back from a backup of the store's directory; the objects are left as they are",
        )
    };
    let mut copy = match root.file(Path::new(COPY), OFlags::RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(no_copy("the store's database cannot be used, and there is no copy of it"));
        }
        copy => copy.map_err(failed)?,
    };
    root.unlink(Path::new(NEW)).map_err(failed)?;
    let mut new = root.file(Path::new(NEW), OFlags::RDWR | OFlags::CREATE | OFlags::EXCL).map_err(failed)?;
    io::copy(&mut copy, &mut new).map_err(failed)?;
    let connection = open_aside(&root.path().join(NEW))?;
    let identity = take_over(&connection, id, floor).map_err(|e| match e.kind() {
        ErrorKind::Mismatch => {
            no_copy("the store's database cannot be used, nor can the copy of it").because(e)
        }
        _ => e,
    })?;
    connection.close().map_err(|(_, e)| sqlite_error(e))?;
    new.sync_all().map_err(failed)?;
    let dir = aside(&format!("database-{}", random_hex(8)?));
    let set_aside = || -> io::Result<()> {
        root.make_dir(Path::new("lost"))?;
        root.make_dir(&dir)?;
        // The database first: without its log it could look whole, while a log without its database is nothing.
        for name in DATABASE {
            match root.rename(Path::new(name), &dir.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        root.sync_dir(&dir)?;
        root.rename(Path::new(NEW), Path::new("store.db"))?;
        root.sync_dir(Path::new(""))
    };
    set_aside().map_err(failed)?;
    Ok(identity)
}

/// Makes a copy a database again: of this store, of a new line, and never behind what the old line had seen.
fn take_over(connection: &Connection, id: Option<&str>, floor: u64) -> Result<Identity> {
    require_whole(connection)?;
    let line = random_hex(16)?;
    let transaction = connection.unchecked_transaction().map_err(sqlite_error)?;
    let row = schema::row(&transaction).map_err(Error::from)?;
    let row = row.filter(|row| id.is_none_or(|id| id == row.id));
    let row =
        row.ok_or_else(|| Error::new(ErrorKind::Mismatch, "the copy of the database is of another store"))?;
    let change = row.change.max(floor).saturating_add(1);
    transaction
        .execute("UPDATE store SET line = ?1, change = ?2, sealed = 1", (&line, int(change)))
        .map_err(sqlite_error)?;
    transaction.commit().map_err(sqlite_error)?;
    Ok(Identity { id: row.id, line, change, copied: 0, took: 0 })
}
