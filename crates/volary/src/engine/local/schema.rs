//! The tables, and how a store is made: directories first, synced, then one transaction that makes it a store.

use super::db::{Db, Sql, uint};
use super::files::Files;
use super::identity::{Identity, refused};
use super::ids::{dir_path, random_hex};
use super::locks::{Lock, Locks, Mode, SWEEP_PATIENCE};
use super::root::Root;
use super::sweep::last_noted;
use crate::{DEFAULT_POOL, Error, ErrorKind, Result, escape};
use rusqlite::OptionalExtension;
use rustix::fs::OFlags;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a process waits for others to let go of a store that is to be converted.
const CONVERT_PATIENCE: Duration = Duration::from_secs(10);

/// The tables of version 1; what later versions changed is in [`STEPS`].
///
/// Ids of layers and snapshots are never used again (AUTOINCREMENT): lock files and users may remember them.
const FIRST: &str = "
CREATE TABLE IF NOT EXISTS store(version INTEGER NOT NULL, id TEXT NOT NULL);
CREATE TABLE pool(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
-- Every pool has a row with the empty name: its default namespace.
CREATE TABLE namespace(
    id INTEGER PRIMARY KEY AUTOINCREMENT, pool INTEGER NOT NULL REFERENCES pool, name BLOB NOT NULL,
    UNIQUE(pool, name));
-- Between `offset of a block` and `overlap` a layer without a row for it shows its parent layer.
CREATE TABLE layer(
    id INTEGER PRIMARY KEY AUTOINCREMENT, volume TEXT NOT NULL, parent INTEGER REFERENCES layer,
    overlap INTEGER NOT NULL CHECK(overlap >= 0));
CREATE INDEX layer_volume ON layer(volume);
CREATE INDEX layer_parent ON layer(parent);
-- An object of NULL is a block of zeros.
CREATE TABLE block(
    layer INTEGER NOT NULL REFERENCES layer, idx INTEGER NOT NULL CHECK(idx >= 0), object BLOB UNIQUE,
    PRIMARY KEY(layer, idx)) WITHOUT ROWID;
CREATE TABLE volume(
    id TEXT PRIMARY KEY, namespace INTEGER NOT NULL REFERENCES namespace, name BLOB NOT NULL,
    head INTEGER NOT NULL REFERENCES layer, size INTEGER NOT NULL CHECK(size >= 0),
    parent INTEGER REFERENCES snapshot, created INTEGER NOT NULL, modified INTEGER NOT NULL,
    trashed INTEGER, until INTEGER);
CREATE UNIQUE INDEX volume_name ON volume(namespace, name) WHERE trashed IS NULL;
CREATE INDEX volume_parent ON volume(parent);
CREATE INDEX volume_head ON volume(head);
CREATE TABLE snapshot(
    id INTEGER PRIMARY KEY AUTOINCREMENT, volume TEXT NOT NULL REFERENCES volume, name BLOB NOT NULL,
    layer INTEGER NOT NULL REFERENCES layer, size INTEGER NOT NULL CHECK(size >= 0),
    protected INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, UNIQUE(volume, name));
CREATE INDEX snapshot_layer ON snapshot(layer);
CREATE TABLE metadata(
    volume TEXT NOT NULL REFERENCES volume, key BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY(volume, key)) WITHOUT ROWID;
CREATE TABLE record(
    namespace INTEGER NOT NULL REFERENCES namespace, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY(namespace, key)) WITHOUT ROWID;
-- Objects that belong to nobody any more and are still to be unlinked.
CREATE TABLE garbage(object BLOB PRIMARY KEY) WITHOUT ROWID;
";

/// What each later version changed, in their order: the first brings a store from version 1 to version 2. A new store
/// is made as version 1 and goes through all of them, so there is one way to each version. A step that a release has
/// carried out is never edited: a later change is a step of its own.
const STEPS: &[Step] = &[
    // Version 2: advisory locks.
    |tx, _| {
        Ok(tx.execute_batch(
            "CREATE TABLE locker(
        volume TEXT NOT NULL REFERENCES volume, cookie BLOB NOT NULL, client BLOB NOT NULL, address TEXT NOT NULL,
        tag BLOB, PRIMARY KEY(volume, cookie, client)) WITHOUT ROWID;",
        )?)
    },
    // Version 3: which line of the store's history this is, how many changes it has seen, and whether the file that says
    // so has ever been written.
    |tx, _| {
        Ok(tx.execute_batch(
            "ALTER TABLE store ADD COLUMN line TEXT NOT NULL DEFAULT '';
             ALTER TABLE store ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE store ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;",
        )?)
    },
    // Version 4: rows of blocks have the length of the object's file, its leaf and a checksum.
    super::blocks::convert,
    // Version 5: how often a volume was given a name.
    |tx, _| Ok(tx.execute_batch("ALTER TABLE volume ADD COLUMN named INTEGER NOT NULL DEFAULT 0;")?),
    // Version 6: how many snapshots were made of a volume since this version.
    |tx, _| Ok(tx.execute_batch("ALTER TABLE volume ADD COLUMN snapshots INTEGER NOT NULL DEFAULT 0;")?),
];

/// Takes one step, in the transaction that brings the store to its version.
type Step = fn(&rusqlite::Transaction<'_>, &Root) -> Sql<()>;

/// The version this code reads and writes.
const VERSION: i64 = 1 + STEPS.len() as i64;

/// What a database says of itself.
#[derive(Debug)]
pub(super) struct Row {
    version: i64,
    pub(super) id: String,
    pub(super) line: String,
    pub(super) change: u64,
    /// Whether the file that says which database belongs here was written.
    pub(super) sealed: bool,
}

impl Row {
    /// Whether it is the database that belongs where this identity is, and no earlier state of it.
    pub(super) fn belongs(&self, identity: &Identity) -> bool {
        self.id == identity.id && self.line == identity.line && self.change >= identity.change
    }

    /// What the file should say.
    pub(super) fn identity(&self) -> Identity {
        Identity { id: self.id.clone(), line: self.line.clone(), change: self.change, copied: 0, took: 0 }
    }
}

/// Takes a share in the store in a directory, which is made unless there is one, and says which it is.
///
/// # Errors
/// `Mismatch` when the database is missing, or is not the one that belongs here; `Blocked` while another process repairs it, or
/// uses it when it is of an older version; `NoSpace` when it must be made or brought up to date on a read-only file system.
pub(super) fn prepare(
    root: &Root,
    db: &Db,
    files: &dyn Files,
    locks: &Locks,
) -> Result<(Option<Lock>, Identity)> {
    if Identity::read(root)?.is_none() {
        require_made(root)?;
        make(root, db, files, locks)?;
    }
    let begun = Instant::now();
    loop {
        let lock = locks.acquire_to_read("store", SWEEP_PATIENCE)?;
        let (identity, row) = belonging(root, db)?;
        if row.version == VERSION {
            if !row.sealed && !root.is_read_only() {
                db.lay_out(seal)?;
            }
            return Ok((lock, identity));
        }
        require_made(root)?;
        drop(lock);
        match convert(root, db, locks) {
            // Another process of this version may be at it.
            Err(error) if error.kind() == ErrorKind::Blocked && begun.elapsed() < CONVERT_PATIENCE => {}
            converted => converted?,
        }
    }
}

/// The identity and the database that belong together, as long as nobody else repairs the store.
fn belonging(root: &Root, db: &Db) -> Result<(Identity, Row)> {
    let identity = Identity::read(root)?.ok_or_else(|| identity_missing(root))?;
    // Before the database is read: a note is made after its change.
    let noted = last_noted(root).map_err(|e| Error::io("looking for writers' markers", e))?;
    if is_empty(root)? {
        return Err(refused(root, "the store's database is missing"));
    }
    let row = db.read(row)?.ok_or_else(|| refused(root, "the store's database is empty"))?;
    if row.id != identity.id {
        return Err(
            refused(root, "the database is another store's").context("database", escape(row.id.as_bytes()))
        );
    }
    if row.line != identity.line {
        return Err(refused(root, "the database is a copy, or was one before"));
    }
    if row.change < identity.change.max(noted) {
        let error = refused(root, "the database is an earlier state of itself, or its log is gone");
        return Err(error.context("changes", row.change).context("seen", identity.change.max(noted)));
    }
    Ok((identity, row))
}

/// Brings a store of an earlier version to this one, alone: a process of an earlier version that has it open would go on
/// by the old tables.
fn convert(root: &Root, db: &Db, locks: &Locks) -> Result<()> {
    let alone = |name| {
        locks.acquire(name, Mode::Exclusive).map_err(|error| match error.kind() {
            ErrorKind::Blocked => {
                let why = "the store is of an older version, and is converted only while nobody has it open";
                Error::new(ErrorKind::Blocked, why)
                    .context("store", root.path().display())
                    .hint("end the processes that have it open, an agent too, and try again")
                    .because(error)
            }
            _ => error,
        })
    };
    // Processes of the first two versions have no share in the store, but their writers have this one.
    let _alone = [alone("store")?, alone("writers")?];
    // Not before the database is known to belong here: a step looks at the files beside it.
    belonging(root, db)?;
    db.lay_out(|tx| upgrade(tx, root))
}

/// What helps where something must be written before a store can be read.
pub(super) const MADE_WRITABLE: &str = "mount it writable (`mount -o remount,rw`), and run `volary ls` once; from then on the store can be \
     read on a read-only mount";

/// Refuses to make a store, or to bring one up to date, where nothing can be written.
fn require_made(root: &Root) -> Result<()> {
    if !root.is_read_only() {
        return Ok(());
    }
    let why = "there is no store, or one of an earlier version, and its file system is mounted read-only";
    Err(Error::new(ErrorKind::NoSpace, why).context("store", root.path().display()).hint(MADE_WRITABLE))
}

/// The refusal of a store in which the file is missing that says which it is.
pub(super) fn identity_missing(root: &Root) -> Error {
    refused(root, "the file that says which store this is, is missing").context("file", "identity")
}

fn seal(tx: &rusqlite::Transaction<'_>) -> Sql<()> {
    tx.execute("UPDATE store SET sealed = 1", [])?;
    Ok(())
}

fn is_empty(root: &Root) -> Result<bool> {
    let stat =
        root.stat(Path::new("store.db")).map_err(|e| Error::io("looking for the store's database", e))?;
    Ok(stat.is_none_or(|stat| stat.st_size == 0))
}

/// Makes a store where there is none, goes on where making one was interrupted, and gives a store of an earlier version
/// what it lacks.
fn make(root: &Root, db: &Db, files: &dyn Files, locks: &Locks) -> Result<()> {
    let failed = |e| Error::io("making the store", e);
    root.make_dir(Path::new("locks")).map_err(failed)?;
    let begun = Instant::now();
    let _alone = loop {
        let alone = locks.acquire("store", Mode::Exclusive);
        // Who made it meanwhile may have it open for as long as an agent runs.
        if Identity::read(root)?.is_some() {
            return Ok(());
        }
        match alone {
            Err(error) if error.kind() == ErrorKind::Blocked && begun.elapsed() < SWEEP_PATIENCE => {}
            alone => break alone?,
        }
    };
    let found = if is_empty(root)? { None } else { db.read(row)? };
    if found.as_ref().is_some_and(|row| row.sealed) {
        return Err(identity_missing(root));
    }
    if found.is_none() {
        if has_content(root).map_err(failed)? {
            return Err(refused(root, "the store's database is missing"));
        }
        make_directories(root, files).map_err(failed)?;
        // SQLite would make it readable by others; its log takes the mode from it.
        match root.file(Path::new("store.db"), OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
    }
    let _no_writers = locks.acquire("writers", Mode::Exclusive)?;
    let (id, line) = (random_hex(16)?, random_hex(16)?);
    let row = db.lay_out(|tx| {
        if row(tx)?.is_none() {
            tx.execute_batch(FIRST)?;
            tx.execute("INSERT INTO store(version, id) VALUES (1, ?1)", [&id])?;
            super::pools::insert_pool(tx, DEFAULT_POOL.as_bytes())?;
        }
        upgrade(tx, root)?;
        tx.execute("UPDATE store SET line = ?1 WHERE line = ''", [&line])?;
        Ok(row(tx)?.ok_or_else(|| refused(root, "the store's database is empty"))?)
    })?;
    row.identity().write(root)?;
    db.lay_out(seal)
}

fn make_directories(root: &Root, files: &dyn Files) -> io::Result<()> {
    for dir in ["objects", "locks/unclean"] {
        root.make_dir(Path::new(dir))?;
    }
    for first in 0..=u8::MAX {
        root.make_dir(&dir_path(Path::new("objects"), first))?;
    }
    for dir in ["objects", "locks", ""] {
        files.sync_dir(&root.path().join(dir))?;
    }
    // The store's own name must outlast a power cut as what is in it does.
    root.path().parent().map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
}

/// Whether there is something of a store for which there must have been a database.
fn has_content(root: &Root) -> io::Result<bool> {
    // An empty log is left by whoever closes a database.
    let log = root.stat(Path::new("store.db-wal"))?.is_some_and(|log| log.st_size > 0);
    if log && root.stat(Path::new("store.db"))?.is_none() {
        return Ok(true);
    }
    for name in [super::copy::COPY, "lost"] {
        if root.stat(Path::new(name))?.is_some() {
            return Ok(true);
        }
    }
    for first in 0..=u8::MAX {
        match root.entries(&dir_path(Path::new("objects"), first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entries => {
                if entries?.next().is_some() {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Takes the steps that a store still lacks, in the caller's transaction; a release that does not know the version
/// that the store has afterwards refuses it.
pub(super) fn upgrade(tx: &rusqlite::Transaction<'_>, root: &Root) -> Sql<()> {
    // Another process may have taken them since the caller looked.
    let Some(row) = row(tx)? else { return Ok(()) };
    let taken = usize::try_from(row.version - 1).unwrap_or(STEPS.len());
    for step in STEPS.iter().skip(taken) {
        step(tx, root)?;
    }
    tx.execute("UPDATE store SET version = ?1", [VERSION])?;
    Ok(())
}

/// What a database says of itself, in a version that this code knows; none in one without tables.
pub(super) fn row(tx: &rusqlite::Transaction<'_>) -> Sql<Option<Row>> {
    if !tx.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'store'")?.exists([])? {
        return Ok(None);
    }
    // Earlier versions lack what says which line it is.
    let lined = tx.prepare("SELECT 1 FROM pragma_table_info('store') WHERE name = 'sealed'")?.exists([])?;
    let columns = if lined { "line, change, sealed" } else { "'', 0, 0" };
    let found = |row: &rusqlite::Row<'_>| {
        let (version, id, line) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Row { version, id, line, change: uint(row.get(3)?), sealed: row.get(4)? })
    };
    let row = tx.query_row(&format!("SELECT version, id, {columns} FROM store"), [], found).optional()?;
    match row {
        Some(row) if !(1..=VERSION).contains(&row.version) => {
            Err(Error::new(ErrorKind::Unsupported, "the store is of another version")
                .context("version", row.version)
                .context("known", VERSION)
                .hint("use the release that made it, or a newer one")
                .into())
        }
        row => Ok(row),
    }
}

#[cfg(test)]
mod tests;
