//! What one open store consists of.

use super::db::{Db, uint};
use super::files::{Files, SystemFiles};
use super::identity::Identity;
use super::ids::{ObjectId, dir_path};
use super::locks::{Lock, Locks, refuse_network};
use super::root::Root;
use super::{reserve, schema};
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// An open store; its methods block, and are called on threads for that.
pub(super) struct Store {
    pub(super) root: Arc<Root>,
    pub(super) db: Db,
    pub(super) files: Arc<dyn Files>,
    pub(super) locks: Locks,
    identity: Mutex<Identity>,
    /// Shared by all that use the store; who repairs its database holds it exclusively.
    _held: Option<Lock>,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Arc<Store>> {
        let root = Arc::new(Root::open(path)?);
        Store::over(root.clone(), Arc::new(SystemFiles(root)))
    }

    /// The same over other files than the system's.
    pub(super) fn over(root: Arc<Root>, files: Arc<dyn Files>) -> Result<Arc<Store>> {
        refuse_network(root.path())?;
        let db = Db::new(root.clone(), files.clone());
        let locks = Locks::new(root.clone());
        let (shared, identity) = schema::prepare(&root, &db, &*files, &locks)?;
        drop(db);
        let store = Arc::new(Store::assemble(root, files, locks, shared, identity));
        if !store.root.is_read_only() {
            store.sweep();
            reserve::keep(&store.root);
        }
        Ok(store)
    }

    /// The store in a directory whose database was looked at, or is being repaired.
    pub(super) fn assemble(
        root: Arc<Root>,
        files: Arc<dyn Files>,
        locks: Locks,
        held: Option<Lock>,
        identity: Identity,
    ) -> Store {
        Store {
            db: Db::new(root.clone(), files.clone()),
            root,
            files,
            locks,
            identity: Mutex::new(identity),
            _held: held,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.root.path()
    }

    /// What the store's identity was when it was last read or written.
    pub(super) fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Reads the identity anew: another process may have made a copy of the database.
    pub(super) fn read_identity(&self) -> Result<()> {
        let identity = Identity::read(&self.root)?;
        self.set_identity(identity.ok_or_else(|| super::schema::identity_missing(&self.root))?);
        Ok(())
    }

    /// Does something that makes room, or is a step of that; when there is no room for it, again with what is kept
    /// for that.
    pub(super) fn in_reserve<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        match work() {
            Err(error) if error.kind() == ErrorKind::NoSpace && reserve::release(&self.root) => {
                let done = work();
                reserve::keep(&self.root);
                done
            }
            done => done,
        }
    }

    /// How many changes the database has seen.
    pub(super) fn change(&self) -> Result<u64> {
        self.db.read(|tx| Ok(uint(tx.query_row("SELECT change FROM store", [], |row| row.get(0))?)))
    }

    pub(super) fn object_path(&self, object: ObjectId) -> PathBuf {
        object.path(&self.path().join("objects"))
    }

    pub(super) fn unlink(&self, object: ObjectId) -> Result<()> {
        let path = self.object_path(object);
        self.files
            .unlink(&path)
            .map_err(|e| Error::io("removing an object", e).context("object", path.display()))
    }

    /// Makes the names of new objects in a directory durable.
    pub(super) fn sync_object_dir(&self, dir: u8) -> Result<()> {
        let path = dir_path(&self.path().join("objects"), dir);
        self.files
            .sync_dir(&path)
            .map_err(|e| Error::io("syncing a directory of objects", e).context("path", path.display()))
    }
}
