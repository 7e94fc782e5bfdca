//! What reading from a real cluster leaves behind in memory, counted by the allocator; alone in its process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use rbd::{ConnectOptions, Environment, Library, OmapPage, Pool, Swap};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// What one read of an object that is not there once left was 66 bytes: a multiple of what buffers vary by.
const READS: usize = 5_000;
const MOST_BYTES: usize = READS * 20;

/// `struct mallinfo2` of glibc.
#[repr(C)]
struct MallocInfo {
    unused: [usize; 7],
    in_use_bytes: usize,
    rest: [usize; 2],
}

// SAFETY: the declaration is glibc's (2.33 and newer); it takes nothing and answers numbers.
unsafe extern "C" {
    safe fn mallinfo2() -> MallocInfo;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(reads_of_maps_leave_nothing_behind());
    println!("test reads_of_maps_leave_nothing_behind ... ok");
}

async fn reads_of_maps_leave_nothing_behind() {
    let conf = std::env::var_os("VOLARY_TEST_CEPH_CONF").expect("VOLARY_TEST_CEPH_CONF names no ceph.conf");
    let mut options = ConnectOptions::new(conf, "admin");
    options.environment = Environment::Trust;
    let cluster = options.connect(&Library::load(None).unwrap(), LIMIT).await.unwrap();
    let pool = cluster.pool(b"rbd", b"", LIMIT).await.unwrap();
    let object = format!("leaks-{}", std::process::id()).into_bytes();
    let missing = read(&pool, b"not there", OmapPage::default()).await;
    let swap = Swap { key: b"key".to_vec(), expected: None, new: Some(b"value".to_vec()) };
    assert!(pool.omap_swap(&object, vec![swap], LIMIT).await.unwrap());
    let entry = OmapPage { entries: vec![(b"key".to_vec(), b"value".to_vec())], more: false };
    let there = read(&pool, &object, entry).await;
    assert!(pool.object_remove_if(&object, Vec::new(), LIMIT).await.unwrap());
    drop(pool);
    cluster.shutdown(LIMIT).await.unwrap();
    println!("{READS} reads left {missing} bytes of an object that is not there, {there} of one that is");
    assert!(missing < MOST_BYTES && there < MOST_BYTES);
}

/// How many more bytes are in use after so many reads that answer `expected`.
async fn read(pool: &Pool, object: &[u8], expected: OmapPage) -> usize {
    let mut before = 0;
    for round in 0..READS + READS / 10 {
        // The first reads fill caches and buffers that stay.
        if round == READS / 10 {
            before = mallinfo2().in_use_bytes;
        }
        assert_eq!(pool.omap_page(object, b"", b"", 10, LIMIT).await.as_ref(), Ok(&expected));
    }
    mallinfo2().in_use_bytes.saturating_sub(before)
}
