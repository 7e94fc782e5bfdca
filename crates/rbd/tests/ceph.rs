//! The crate on a real cluster, named by `VOLARY_TEST_CEPH_CONF`: `cargo xtask test-ceph` starts one and sets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "ceph/connection.rs"]
mod connection;
#[path = "ceph/data.rs"]
mod data;
#[path = "ceph/images.rs"]
mod images;
#[path = "ceph/records.rs"]
mod records;

use rbd::{Cluster, ConnectOptions, Environment, Library, Pool};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Long enough for every call on a cluster that works.
const LIMIT: Duration = Duration::from_secs(60);

const MIB: u64 = 1 << 20;

fn conf() -> PathBuf {
    let conf = std::env::var_os("VOLARY_TEST_CEPH_CONF");
    PathBuf::from(conf.expect("VOLARY_TEST_CEPH_CONF names no ceph.conf: run `cargo xtask test-ceph`"))
}

fn options() -> ConnectOptions {
    let mut options = ConnectOptions::new(conf(), "admin");
    options.environment = Environment::Trust;
    options
}

fn library() -> Library {
    Library::load(None).unwrap()
}

async fn connect() -> Cluster {
    options().connect(&library(), LIMIT).await.unwrap()
}

/// The pool `rbd`, in a namespace of the test's own.
async fn own_pool(cluster: &Cluster) -> Pool {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let pool = cluster.pool(b"rbd", b"", LIMIT).await.unwrap();
    pool.create_namespace(name.as_bytes(), LIMIT).await.unwrap();
    cluster.pool(b"rbd", name.as_bytes(), LIMIT).await.unwrap()
}
