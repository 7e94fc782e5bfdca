//! Where the tests' stores are: directories of their own.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use volary::engine::{Engine, local};
use volary::{Ctl, Namespace, Store};

/// One test's store.
pub(crate) struct Place {
    store: PathBuf,
}

impl Place {
    pub(crate) const LOCAL: bool = true;
    /// How many random histories are lived, of how many steps.
    pub(crate) const HISTORIES: u32 = 24;
    pub(crate) const STEPS: usize = 40;

    pub(crate) async fn new(dir: &Path) -> Place {
        Place { store: dir.join("store") }
    }

    /// A store in this very directory.
    pub(crate) fn at(store: &Path) -> Place {
        Place { store: store.to_owned() }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Engine> {
        local::open(&self.store, &Ctl::new()).await.unwrap()
    }

    /// The namespace in which the test's volumes are.
    pub(crate) fn home(&self) -> Namespace {
        Namespace::default()
    }

    /// Another namespace, in another pool.
    pub(crate) async fn elsewhere(&self, store: &Store) -> Namespace {
        let namespace: Namespace = "ssd/tenant".parse().unwrap();
        store.create_pool(&namespace.pool, &Ctl::new()).await.unwrap();
        store.create_namespace(&namespace, &Ctl::new()).await.unwrap();
        namespace
    }

    /// A namespace's name that is this test's.
    pub(crate) fn name(&self, suffix: &str) -> String {
        suffix.to_owned()
    }

    /// What names this process where it holds a volume.
    pub(crate) fn holder(&self) -> String {
        std::process::id().to_string()
    }

    /// The objects that hold data.
    pub(crate) fn objects(&self) -> Vec<String> {
        let files = files(&self.store.join("objects"));
        files.iter().map(|file| file.display().to_string()).collect()
    }

    /// Takes an object away behind the store's back.
    pub(crate) fn lose(&self, object: &str) {
        std::fs::remove_file(object).unwrap();
    }

    /// Changes a byte of an object behind the store's back.
    pub(crate) fn damage(&self, object: &str, offset: u64) {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(object).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[!byte[0]], offset).unwrap();
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
