//! The conformance suite and the reference model, played on the local engine.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::sync::Arc;
use volary::engine::{Engine, local};
use volary::{Ctl, Namespace};

async fn new_store() -> (Arc<dyn Engine>, tempfile::TempDir) {
    // In memory where that is possible: each step syncs, and nothing here depends on a disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    (local::open(dir.path(), &Ctl::new()).await.unwrap(), dir)
}

volary_testkit::conformance_tests!(crate::new_store);

/// A few histories, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 24 };
    ProptestConfig { cases, ..asked }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn s10_random_histories_live_as_in_the_model(ops in volary_testkit::model::history(40)) {
        // In memory where that is possible: each step syncs, and nothing here depends on a disk.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let open = || async { local::open(dir.path(), &Ctl::new()).await.unwrap() };
        runtime.block_on(volary_testkit::model::live(open, &Namespace::default(), &ops));
    }
}
