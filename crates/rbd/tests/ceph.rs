//! The crate on a real cluster, named by `VOLARY_TEST_CEPH_CONF`: `cargo xtask test` starts one and sets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "ceph/closing.rs"]
mod closing;
#[path = "ceph/connection.rs"]
mod connection;
#[path = "ceph/data.rs"]
mod data;
#[path = "ceph/images.rs"]
mod images;
#[path = "ceph/records.rs"]
mod records;
// A file of the test tools' crate, which itself depends on this one: so these tests are built without all that.
#[allow(dead_code, unreachable_pub)]
#[path = "../../volary-testkit/src/sandbox.rs"]
mod sandbox;

use rbd::{Cluster, ConnectOptions, Environment, Library, Pool};
use sandbox::Sandbox;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Long enough for every call on a cluster that works.
const LIMIT: Duration = Duration::from_secs(60);

const MIB: u64 = 1 << 20;

fn conf() -> PathBuf {
    let conf = std::env::var_os("VOLARY_TEST_CEPH_CONF");
    PathBuf::from(conf.expect("VOLARY_TEST_CEPH_CONF names no ceph.conf: run `cargo xtask test`"))
}

fn options() -> ConnectOptions {
    let mut options = ConnectOptions::new(conf(), "admin");
    options.environment = Environment::Trust;
    options
}

/// The library; this process ends without its exit handlers, which crash beside a call that a test has given up.
fn library() -> Library {
    let library = Library::load(None).unwrap();
    library.leave_at_exit();
    library
}

/// A connection that has ended when its test ends.
struct Session(Cluster);

impl Deref for Session {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let cluster = self.0.clone();
        let end = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(cluster.shutdown(LIMIT)).unwrap();
        });
        let ended = end.join();
        assert!(std::thread::panicking() || ended.is_ok());
    }
}

async fn connect() -> Session {
    connect_with(&options()).await
}

async fn connect_with(options: &ConnectOptions) -> Session {
    Session(options.connect(&library(), LIMIT).await.unwrap())
}

/// A name that no other test has, nor a process before; what has it is removed when this process ends.
fn own_name() -> String {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(conf().to_str().unwrap()));
    static NEXT: AtomicU32 = AtomicU32::new(0);
    SANDBOX.name(&NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

/// A namespace of the test's own in the pool `rbd`.
async fn own_namespace(cluster: &Cluster) -> Vec<u8> {
    let name = own_name().into_bytes();
    let pool = cluster.pool(b"rbd", b"", LIMIT).await.unwrap();
    pool.create_namespace(&name, LIMIT).await.unwrap();
    name
}

/// The pool `rbd`, in a namespace of the test's own.
async fn own_pool(cluster: &Cluster) -> Pool {
    cluster.pool(b"rbd", &own_namespace(cluster).await, LIMIT).await.unwrap()
}
