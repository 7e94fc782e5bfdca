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
/// uses it when it is of an older version; `Permission` when it must be made or brought up to date on a read-only file system.
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
pub(super) const MADE_WRITABLE: &str = "mount it so that it can be written, and run `volary ls` once; from then on the store can be \
     read where it cannot be written";

/// Refuses to make a store, or to bring one up to date, where nothing can be written.
fn require_made(root: &Root) -> Result<()> {
    if !root.is_read_only() {
        return Ok(());
    }
    let why =
        "there is no store, or one of an earlier version, and its file system is mounted to be read only";
    Err(Error::new(ErrorKind::Permission, why).context("store", root.path().display()).hint(MADE_WRITABLE))
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
    let _alone = locks.acquire_within("store", Mode::Exclusive, SWEEP_PATIENCE)?;
    if Identity::read(root)?.is_some() {
        return Ok(());
    }
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
mod tests {
    use crate::engine::local::db::Db;
    use crate::engine::local::files::{Files, SystemFiles};
    use crate::engine::local::ids::BLOCK_BYTES;
    use crate::engine::local::locks::{Locks, Mode};
    use crate::engine::local::repair::{DatabaseRepair, repair};
    use crate::engine::local::root::Root;
    use crate::engine::local::store::Store;
    use crate::engine::{CreateOptions, OpenOptions};
    use crate::{Ctl, ErrorKind, Name, Namespace, Target};
    use std::path::Path;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_store_of_the_first_version_is_brought_up_to_this_one() {
        let (dir, ctl) = (tempfile::tempdir().unwrap(), &Ctl::new());
        let (path, ns, a) = (dir.path().join("store"), Namespace::default(), Name::from_bytes("a"));
        let store = super::super::open(&path, ctl).await.unwrap();
        let id = store.create(&ns, &a, &CreateOptions::new(1 << 20), ctl).await.unwrap();
        store.shutdown().await.unwrap();
        drop(store);
        // The same volume in a database as version 1 had it.
        let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
        let size: i64 = db.query_row("SELECT size FROM volume", [], |row| row.get(0)).unwrap();
        drop(db);
        std::fs::remove_file(path.join("store.db")).unwrap();
        for later in ["identity", "store.copy"] {
            let _ = std::fs::remove_file(path.join(later));
        }
        let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
        db.execute_batch(super::FIRST).unwrap();
        db.execute_batch(
            "INSERT INTO store VALUES (1, '00112233445566778899aabbccddeeff');
             INSERT INTO pool VALUES (1, CAST('rbd' AS BLOB));
             INSERT INTO namespace VALUES (1, 1, x'');",
        )
        .unwrap();
        db.execute("INSERT INTO layer VALUES (1, ?1, NULL, 0)", [id.as_str()]).unwrap();
        db.execute(
            "INSERT INTO volume VALUES (?1, 1, CAST('a' AS BLOB), 1, ?2, NULL, 0, 0, NULL, NULL)",
            rusqlite::params![id.as_str(), size],
        )
        .unwrap();
        for _ in 0..2 {
            let store = super::super::open(&path, ctl).await.unwrap();
            let volume =
                store.open(&ns, &Target::Id(id.clone()), &OpenOptions::default(), ctl).await.unwrap();
            let lock = volume.add_lock(&a, None, ctl).await.unwrap();
            volume.break_lock(&a, &lock.client, ctl).await.unwrap();
            volume.close(ctl).await.unwrap();
            store.shutdown().await.unwrap();
        }
        let version: i64 = db.query_row("SELECT version FROM store", [], |row| row.get(0)).unwrap();
        assert_eq!(version, super::VERSION);
    }

    /// Makes the database as an earlier version had it.
    fn take_back(path: &Path, version: i64) {
        let db = rusqlite::Connection::open(path.join("store.db")).unwrap();
        db.execute_batch(
            "CREATE TABLE block(
                 layer INTEGER NOT NULL REFERENCES layer, idx INTEGER NOT NULL CHECK(idx >= 0), object BLOB UNIQUE,
                 PRIMARY KEY(layer, idx)) WITHOUT ROWID;
             INSERT INTO block SELECT layer, idx, object FROM blocks;
             DROP TABLE blocks;",
        )
        .unwrap();
        db.execute("UPDATE store SET version = ?1", [version]).unwrap();
        if version == 2 {
            db.execute_batch(
                "ALTER TABLE store DROP COLUMN line; ALTER TABLE store DROP COLUMN change;
                 ALTER TABLE store DROP COLUMN sealed;",
            )
            .unwrap();
            for later in ["identity", "store.copy"] {
                let _ = std::fs::remove_file(path.join(later));
            }
        }
    }

    #[tokio::test]
    async fn s13_blocks_of_earlier_versions_are_read_written_and_missed_as_ever() {
        let block = BLOCK_BYTES as usize;
        for version in [2, 3] {
            let (dir, ctl) = (tempfile::tempdir().unwrap(), &Ctl::new());
            let (path, ns, a) = (dir.path().join("store"), Namespace::default(), Name::from_bytes("a"));
            let (base, target) = (Name::from_bytes("base"), Target::Name(a.clone()));
            let store = super::super::open(&path, ctl).await.unwrap();
            store.create(&ns, &a, &CreateOptions::new(3 * BLOCK_BYTES), ctl).await.unwrap();
            let volume = store.open(&ns, &target, &OpenOptions::write(), ctl).await.unwrap();
            volume.write(0, vec![1; 2 * block].into(), ctl).await.unwrap();
            volume.create_snapshot(&base, ctl).await.unwrap();
            // A block of zeros over one of data, and a file that ends within its block.
            volume.write_zeroes(0, BLOCK_BYTES, ctl).await.unwrap();
            volume.write(2 * BLOCK_BYTES, vec![3; 9000].into(), ctl).await.unwrap();
            volume.close(ctl).await.unwrap();
            store.shutdown().await.unwrap();
            drop((volume, store));
            take_back(&path, version);

            let store = super::super::open(&path, ctl).await.unwrap();
            let (head, snapshot) = (OpenOptions::read(None), OpenOptions::read(Some(base)));
            let reader = store.open(&ns, &target, &head, ctl).await.unwrap();
            let mut expected =
                [vec![0; block], vec![1; block], vec![3; 9000], vec![0; block - 9000]].concat();
            assert!(reader.read(0, 3 * block, ctl).await.unwrap() == expected, "version {version}");
            let kept = store.open(&ns, &target, &snapshot, ctl).await.unwrap();
            assert!(kept.read(0, 2 * block, ctl).await.unwrap() == vec![1; 2 * block], "version {version}");
            // No leaf is known, so that it is written in place; whoever reads that is told of the change.
            let before = reader.stat(ctl).await.unwrap().modified;
            let writer = store.open(&ns, &target, &OpenOptions::write(), ctl).await.unwrap();
            writer.write(2 * BLOCK_BYTES + 8000, vec![4; 2000].into(), ctl).await.unwrap();
            expected[2 * block + 8000..2 * block + 10_000].fill(4);
            assert!(reader.read(0, 3 * block, ctl).await.unwrap() == expected, "version {version}");
            assert_ne!(reader.stat(ctl).await.unwrap().modified, before, "version {version}");
            writer.close(ctl).await.unwrap();
            // The lengths are known.
            let mut cut = 0;
            for dir in std::fs::read_dir(path.join("objects")).unwrap() {
                for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
                    let file = std::fs::File::options().write(true).open(file.unwrap().path()).unwrap();
                    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
                    cut += 1;
                }
            }
            assert_eq!(cut, 3, "version {version}");
            for (volume, index) in [(&reader, 1), (&reader, 2), (&kept, 0)] {
                let error = volume.read(index * BLOCK_BYTES, block, ctl).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Mismatch, "version {version}: {}", error.report());
            }
        }
    }

    fn of_version_3() -> (tempfile::TempDir, crate::VolumeId) {
        let dir = tempfile::tempdir().unwrap();
        let (ctl, store) = (Ctl::new(), Store::open(dir.path()).unwrap());
        let (ns, web) = (Namespace::default(), Name::from_bytes("web"));
        let id = store.create(&ns, &web, &CreateOptions::new(BLOCK_BYTES)).unwrap();
        let open = store.open_volume(&ns, &Target::Name(web), &OpenOptions::write()).unwrap();
        open.write(0, &vec![1; 9].into(), &ctl).unwrap();
        open.close(&ctl).unwrap();
        store.db.close();
        drop((open, store));
        take_back(dir.path(), 3);
        (dir, id)
    }

    fn first_byte(store: &Arc<Store>, id: &crate::VolumeId) -> u8 {
        let options = OpenOptions::read(None);
        let open = store.open_volume(&Namespace::default(), &Target::Id(id.clone()), &options).unwrap();
        open.read(0, 9, &Ctl::new()).unwrap()[0]
    }

    #[test]
    fn s13_a_store_of_an_older_version_is_converted_while_nobody_has_it_open() {
        let (dir, id) = of_version_3();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let files: Arc<dyn Files> = Arc::new(SystemFiles(root.clone()));
        let (db, locks) = (Db::new(root.clone(), files), Locks::new(root.clone()));
        for lock in ["store", "writers"] {
            let older = locks.acquire(lock, Mode::Shared).unwrap();
            let error = super::convert(&root, &db, &locks).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Blocked, "{lock}");
            assert!(error.report().contains("older version"), "{}", error.report());
            assert_eq!(db.read(super::row).unwrap().unwrap().version, 3, "{lock}");
            drop(older);
        }
        // One that was open all the same fails at its next statement.
        let older = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
        let count = "SELECT count(*) FROM block";
        assert_eq!(older.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
        let error = older.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert!(error.to_string().contains("no such table"), "{error}");
        // One that opens it finds a version that it does not know.
        older.execute("UPDATE store SET version = version + 1", []).unwrap();
        let error = Store::open(dir.path()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.report());
        assert!(error.remedy().unwrap().contains("newer"), "{:?}", error.remedy());
    }

    #[test]
    fn s13_a_store_goes_back_to_a_copy_of_an_older_version() {
        let (dir, id) = of_version_3();
        let (database, copy) = (dir.path().join("store.db"), dir.path().join("store.copy"));
        std::fs::copy(&database, &copy).unwrap();
        let aside = rusqlite::Connection::open(&copy).unwrap();
        aside.execute("UPDATE store SET line = ''", []).unwrap();
        drop(aside);
        assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
        std::fs::remove_file(&database).unwrap();
        assert!(matches!(repair(dir.path()).unwrap(), DatabaseRepair::Copy { .. }));
        assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
        // Also one whose database is whole is looked through before it was converted.
        let (dir, id) = of_version_3();
        assert_eq!(repair(dir.path()).unwrap(), DatabaseRepair::Nothing);
        assert_eq!(first_byte(&Store::open(dir.path()).unwrap(), &id), 1);
    }
}
