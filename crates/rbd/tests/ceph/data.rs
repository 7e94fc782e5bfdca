//! Bytes: written, read, in flight, cancelled.

use crate::{LIMIT, MIB, conf, connect, connect_with, options, own_pool};
use bytes::Bytes;
use rbd::{DiffOptions, Errno, Error, Extent, ImageOptions, Progress};
use std::fs;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn what_is_written_is_read_and_zeroes_and_ends_are_exact() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"disk", 16 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    let data: Vec<u8> = (0..5 * MIB).map(|at| (at % 251) as u8).collect();
    image.write(3 * MIB, Bytes::from(data.clone())).await.unwrap();
    image.write_zeroes(4 * MIB, MIB as usize).await.unwrap();
    image.flush().await.unwrap();
    let mut expected = data;
    expected[MIB as usize..2 * MIB as usize].fill(0);
    assert_eq!(image.read(3 * MIB, 5 * MIB as usize).await.unwrap(), expected);
    assert_eq!(image.read(16 * MIB - 10, 100).await.unwrap(), [0; 10]);
    image.write(16 * MIB, Bytes::new()).await.unwrap();
    image.write_zeroes(16 * MIB, 0).await.unwrap();
    assert!(image.read(16 * MIB, 0).await.unwrap().is_empty());
    assert_eq!(image.read_into(16 * MIB - 3, [9; 5]).await.unwrap(), ([0, 0, 0, 9, 9], 3));
    let error = image.write(16 * MIB - 1, Bytes::from_static(b"xy")).await.unwrap_err();
    assert_eq!((error.symbol(), error.errno()), (Some("rbd_aio_write"), Some(Errno::EINVAL)));
    let options = |whole_object| {
        let mut options = DiffOptions::default();
        options.whole_object = whole_object;
        options
    };
    let diff = image.diff(0, u64::MAX, &options(true), LIMIT).await.unwrap();
    let whole = |offset| Extent { offset, len: 4 * MIB, data: true };
    assert_eq!(diff, [whole(0), whole(4 * MIB)]);
    assert_eq!(image.diff(u64::MAX, u64::MAX, &options(false), LIMIT).await.unwrap(), []);
    image.create_snapshot(b"s", LIMIT).await.unwrap();
    image.resize(8 * MIB, true, &Progress::default(), LIMIT).await.unwrap();
    assert_eq!(
        image.write(8 * MIB, Bytes::from_static(b"x")).await.unwrap_err().errno(),
        Some(Errno::EINVAL)
    );
    image.write(0, Bytes::from_static(b"later")).await.unwrap();
    let mut since = options(true);
    since.from = Some(b"s".to_vec());
    assert_eq!(
        image.diff(0, MIB, &since, LIMIT).await.unwrap(),
        [Extent { offset: 0, len: MIB, data: true }]
    );
    image.rollback(b"s", &Progress::default(), LIMIT).await.unwrap();
    image.write(9 * MIB, Bytes::from_static(b"after")).await.unwrap();
    image.write_zeroes(9 * MIB, 5).await.unwrap();
    image.remove_snapshot(b"s", &Progress::default(), LIMIT).await.unwrap();
    image.close(LIMIT).await.unwrap();
    image.close(LIMIT).await.unwrap();
    assert_eq!(image.read(0, 1).await, Err(Error::Closed));
    let reader = pool.open_read_only(b"disk", None, LIMIT).await.unwrap();
    assert_eq!(reader.read(3 * MIB, 5 * MIB as usize).await.unwrap(), expected);
    assert_eq!(reader.write(0, Bytes::from_static(b"x")).await.unwrap_err().errno(), Some(Errno::EROFS));
}

#[tokio::test]
async fn s12_a_thousand_writes_in_flight_stay_within_the_permits_and_all_land() {
    let mut options = options();
    options.in_flight_bytes = 1 << 20;
    let cluster = connect_with(&options).await;
    let pool = own_pool(&cluster).await;
    pool.create(b"disk", 64 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = Arc::new(pool.open(b"disk", None, LIMIT).await.unwrap());
    let writes = (0..1000_u64).map(|at| {
        let image = Arc::clone(&image);
        tokio::spawn(async move { image.write(at << 16, Bytes::from(vec![at as u8; 1 << 16])).await })
    });
    let mut peak = 0;
    for write in writes.collect::<Vec<_>>() {
        peak = peak.max(cluster.in_flight_bytes().unwrap());
        write.await.unwrap().unwrap();
    }
    assert_eq!(peak, 1 << 20);
    assert_eq!(cluster.in_flight_bytes(), Ok(0));
    // More at once than the connection allows in all.
    image.write(60 * MIB, Bytes::from(vec![7; 2 << 20])).await.unwrap();
    for at in [0_u64, 1, 499, 959] {
        assert_eq!(image.read(at << 16, 1 << 16).await.unwrap(), vec![at as u8; 1 << 16], "{at}");
    }
    assert_eq!(image.read(62 * MIB - 1, 1).await.unwrap(), [7]);
}

#[tokio::test]
async fn a_dropped_future_drops_only_the_answer_and_closing_waits() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"disk", 256 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    for at in 0..64_u64 {
        let write = image.write(at * MIB, Bytes::from(vec![9; MIB as usize]));
        // Polled once: submitted, then dropped.
        tokio::select! { biased; done = write => done.unwrap(), () = std::future::ready(()) => {} }
    }
    image.close(LIMIT).await.unwrap();
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    for at in 0..64 {
        assert_eq!(image.read(at * MIB, 4).await.unwrap(), [9; 4]);
    }
    // Dropped open, with a read in flight: closed behind it, so that it can be removed.
    let read = image.read(0, MIB as usize);
    tokio::select! { biased; done = read => drop(done), () = std::future::ready(()) => {} }
    drop(image);
    while let Err(error) = pool.remove(b"disk", &Progress::default(), LIMIT).await {
        assert_eq!(error.errno(), Some(Errno::EBUSY));
    }
}

#[tokio::test]
async fn a_long_call_tells_its_progress_and_ends_when_told_to() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"parent", 64 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let parent = pool.open(b"parent", None, LIMIT).await.unwrap();
    for at in 0..16 {
        parent.write(4 * at * MIB, Bytes::from_static(b"data")).await.unwrap();
    }
    parent.create_snapshot(b"s", LIMIT).await.unwrap();
    parent.protect_snapshot(b"s", LIMIT).await.unwrap();
    pool.clone_image(b"parent", b"s", &pool, b"child", &ImageOptions::default(), LIMIT).await.unwrap();
    let child = pool.open(b"child", None, LIMIT).await.unwrap();
    let stop = Progress::new(|_, _| ControlFlow::Break(()));
    let symbol = "rbd_flatten_with_progress";
    assert_eq!(child.flatten(&stop, LIMIT).await, Err(Error::Cancelled { symbol }));
    assert!(child.parent(LIMIT).await.unwrap().is_some());
    let seen = Arc::new(std::sync::Mutex::new((0, 0)));
    let tell = Arc::clone(&seen);
    let progress = Progress::new(move |done, total| {
        *tell.lock().unwrap() = (done, total);
        ControlFlow::Continue(())
    });
    child.flatten(&progress, LIMIT).await.unwrap();
    assert_eq!(seen.lock().unwrap().1, 16);
    assert_eq!(child.parent(LIMIT).await, Ok(None));
    assert_eq!(child.flatten(&progress, LIMIT).await.unwrap_err().errno(), Some(Errno::EINVAL));
}

/// Continues the OSD, also when the test fails.
struct Frozen(String);

impl Frozen {
    fn new() -> Self {
        let daemon = conf().with_file_name("run").join("ceph-osd.0.daemon");
        let text =
            fs::read_to_string(&daemon).unwrap_or_else(|error| panic!("{}: {error}", daemon.display()));
        let pid = text.split_whitespace().next().unwrap().to_owned();
        let osd = Frozen(pid);
        osd.signal("-STOP");
        // The signal is sent; each thread stops when it notices.
        while !osd.stopped() {
            std::thread::yield_now();
        }
        osd
    }

    fn stopped(&self) -> bool {
        let mut tasks = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        tasks.all(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        })
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0]).status().unwrap().success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// It freezes the OSD that every other test uses, for two seconds or so.
#[tokio::test]
async fn s05_a_frozen_osd_is_given_up_and_serves_again_when_thawed() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"disk", 8 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let mut impatient = options();
    impatient.osd_timeout = Duration::from_secs(1);
    let impatient = connect_with(&impatient).await;
    let there = own_pool(&impatient).await;
    there.create(b"disk", 8 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = there.open(b"disk", None, LIMIT).await.unwrap();
    image.write(0, Bytes::from_static(b"before")).await.unwrap();
    let frozen = Frozen::new();
    // librados' own limit ends an operation: by its own answer, whatever a later flush says.
    let error = image.write(0, Bytes::from_static(b"lost?!")).await.unwrap_err();
    assert_eq!((error.symbol(), error.errno()), (Some("rbd_aio_write"), Some(Errno::ETIMEDOUT)), "{error}");
    let short = Duration::from_millis(300);
    let late = pool.open(b"disk", None, short).await.map(drop);
    assert_eq!(late, Err(Error::GivenUp { symbol: "rbd_open", after: short }));
    assert!(matches!(pool.images(short).await, Err(Error::GivenUp { symbol: "rbd_list2", .. })));
    // The connection itself is not stuck.
    assert_eq!(cluster.fsid(LIMIT).await.unwrap().len(), 36);
    drop(frozen);
    image.write(0, Bytes::from_static(b"after!")).await.unwrap();
    assert_eq!(image.read(0, 6).await.unwrap(), b"after!");
    image.close(LIMIT).await.unwrap();
    // What was opened too late was closed behind it.
    while let Err(error) = pool.remove(b"disk", &Progress::default(), LIMIT).await {
        assert_eq!(error.errno(), Some(Errno::EBUSY));
    }
}
