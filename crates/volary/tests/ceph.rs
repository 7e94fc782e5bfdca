//! The conformance suite, played on a Ceph cluster; `cargo xtask test` starts one.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use volary::engine::{Engine, ceph};
use volary::{CephUrl, Ctl};

async fn new_store() -> (Arc<dyn Engine>, ()) {
    let conf = std::env::var_os("VOLARY_TEST_CEPH_CONF").unwrap();
    (ceph::open(&CephUrl::new(conf), &Ctl::new()).await.unwrap(), ())
}

volary_testkit::conformance_tests!(crate::new_store);
