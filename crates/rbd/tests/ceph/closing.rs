//! Images that are closed at once after a call on them, in every way in which an image is let go.
//!
//! `cargo xtask shake` runs these with random pauses around Ceph's locks: an image that is closed while a thread of librbd is still
//! inside it then ends the process.

use crate::{LIMIT, MIB, connect, own_pool};
use rbd::{Cluster, Error, ImageOptions};
use std::time::Duration;

/// How often each way is gone; in pauses of milliseconds, one of them meets a thread inside librbd.
const ROUNDS: usize = 100;

/// Waits until every image is closed, also those that nobody waits for.
async fn all_closed(cluster: &Cluster) {
    while cluster.open_images().unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_image_is_closed_behind_the_thread_that_opened_it() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"disk", 64 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let head = pool.open(b"disk", None, LIMIT).await.unwrap();
    head.create_snapshot(b"s", LIMIT).await.unwrap();
    let id = head.id(LIMIT).await.unwrap();
    assert_eq!(cluster.open_images(), Ok(1));
    for _ in 0..ROUNDS {
        // The last step of opening at a snapshot is a completion of librados, and a handle to read is closed without a round trip.
        let image = pool.open_by_id_read_only(&id, Some(b"s"), LIMIT).await.unwrap();
        image.close(LIMIT).await.unwrap();
        drop(pool.open_read_only(b"disk", Some(b"s"), LIMIT).await.unwrap());
        // It is open when nobody waits for it any more, or never opened.
        let given_up = pool.open_by_id_read_only(&id, Some(b"s"), Duration::from_micros(500)).await;
        assert!(matches!(given_up, Ok(_) | Err(Error::GivenUp { .. })), "{given_up:?}");
    }
    head.close(LIMIT).await.unwrap();
    all_closed(&cluster).await;
}

#[tokio::test]
async fn an_image_nobody_waits_for_is_closed_before_its_connection_ends() {
    for _ in 0..ROUNDS / 20 {
        let cluster = connect().await;
        let pool = own_pool(&cluster).await;
        pool.create(b"disk", MIB, &ImageOptions::default(), LIMIT).await.unwrap();
        let head = pool.open(b"disk", None, LIMIT).await.unwrap();
        head.create_snapshot(b"s", LIMIT).await.unwrap();
        let image = pool.open_read_only(b"disk", Some(b"s"), LIMIT).await.unwrap();
        // A limit that has passed: the image is closed, but by nobody's leave.
        assert!(matches!(image.close(Duration::ZERO).await, Ok(()) | Err(Error::GivenUp { .. })));
        assert_eq!(image.size(LIMIT).await, Err(Error::Closed));
        drop((head, pool));
        cluster.shutdown(LIMIT).await.unwrap();
    }
}
