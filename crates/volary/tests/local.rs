//! Everything that is asked of a store, asked of one in a directory.
#![allow(clippy::unwrap_used)]

#[path = "local/check.rs"]
mod check;
#[path = "local/full_disk.rs"]
mod full_disk;
#[path = "local/huge.rs"]
mod huge;
#[path = "local/owned.rs"]
mod owned;
#[path = "place/local.rs"]
mod place;
#[path = "local/rot.rs"]
mod rot;
#[path = "store/mod.rs"]
mod store;

use std::sync::Arc;
use volary::Ctl;
use volary::engine::{Engine, local};

async fn new_store() -> (Arc<dyn Engine>, String, tempfile::TempDir) {
    // In memory where that is possible: each step syncs, and nothing here depends on a disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    (local::open(dir.path(), &Ctl::new()).await.unwrap(), "case-".to_owned(), dir)
}

volary_testkit::conformance_tests!(crate::new_store);
