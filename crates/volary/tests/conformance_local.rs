//! The local engine passes the suite that every engine passes.

use std::sync::Arc;
use tempfile::TempDir;
use volary::Ctl;
use volary::engine::{Engine, local};

async fn store() -> (Arc<dyn Engine>, TempDir) {
    let dir = tempfile::tempdir().expect("a directory for the store");
    let engine = local::open(&dir.path().join("store"), &Ctl::new()).await.expect("a new store");
    (engine, dir)
}

volary_testkit::conformance_tests!(crate::store);
