//! What one open store consists of.

use super::db::Db;
use super::files::{Files, make_dir};
use super::ids::{ObjectId, dir_path};
use super::locks::{Locks, refuse_network};
use super::schema;
use crate::{Error, ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open store; its methods block, and are called on threads for that.
pub(super) struct Store {
    pub(super) path: PathBuf,
    pub(super) id: String,
    pub(super) db: Db,
    pub(super) files: Arc<dyn Files>,
    pub(super) locks: Locks,
}

impl Store {
    pub(super) fn open(path: &Path, files: Arc<dyn Files>) -> Result<Arc<Store>> {
        make_store_dir(path)?;
        refuse_network(path)?;
        let db = Db::new(&path.join("store.db"), files.clone());
        let id = schema::prepare(path, &db, &*files)?;
        let store = Arc::new(Store { path: path.to_owned(), id, db, files, locks: Locks::new(path) });
        store.sweep();
        Ok(store)
    }

    pub(super) fn object_path(&self, object: ObjectId) -> PathBuf {
        object.path(&self.path.join("objects"))
    }

    pub(super) fn unlink(&self, object: ObjectId) -> Result<()> {
        let path = self.object_path(object);
        self.files
            .unlink(&path)
            .map_err(|e| Error::io("removing an object", e).context("object", path.display()))
    }

    /// Makes the names of new objects in a directory durable.
    pub(super) fn sync_object_dir(&self, dir: u8) -> Result<()> {
        let path = dir_path(&self.path.join("objects"), dir);
        self.files
            .sync_dir(&path)
            .map_err(|e| Error::io("syncing a directory of objects", e).context("path", path.display()))
    }
}

fn make_store_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Usage, "the store's path is not a directory")
            .hint("name a directory, or one that is still to be made"));
    }
    let made = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)
        }
        _ => Ok(()),
    };
    made.and_then(|()| make_dir(path)).map_err(|e| Error::io("making the store's directory", e))
}
