//! Everything that is asked of a store, asked of one on a Ceph cluster; `cargo xtask test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "place/ceph.rs"]
mod place;
#[path = "store/mod.rs"]
mod store;

use std::sync::Arc;
use volary::engine::Engine;
use volary_testkit::sandbox::Sandbox;

async fn new_store() -> (Arc<dyn Engine>, String, Sandbox) {
    let sandbox = Sandbox::new(&place::conf());
    (place::open().await, sandbox.name(""), sandbox)
}

volary_testkit::conformance_tests!(crate::new_store);
