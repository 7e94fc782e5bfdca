//! What one open store consists of.

use super::db::Db;
use super::files::{Files, SystemFiles};
use super::ids::{ObjectId, dir_path};
use super::locks::{Locks, refuse_network};
use super::root::Root;
use super::schema;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open store; its methods block, and are called on threads for that.
pub(super) struct Store {
    pub(super) root: Arc<Root>,
    pub(super) id: String,
    pub(super) db: Db,
    pub(super) files: Arc<dyn Files>,
    pub(super) locks: Locks,
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
        let id = schema::prepare(&root, &db, &*files)?;
        let locks = Locks::new(root.clone());
        let store = Arc::new(Store { root, id, db, files, locks });
        store.sweep();
        Ok(store)
    }

    pub(super) fn path(&self) -> &Path {
        self.root.path()
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
