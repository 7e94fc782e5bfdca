//! Reading, writing, zeroing, flushing.

use super::stage::*;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use volary::{Ctl, ErrorKind};

pub(super) async fn writes_read_back(s: &Stage) {
    let a = s.volume("a", 3 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(1, 2, 1).await;
    w.fill(BLOCK - 5, 10, 2).await;
    w.fill(2 * BLOCK, BLOCK, 3).await;
    let runs = [(1, 0), (2, 1), (BLOCK - 8, 0), (10, 2), (BLOCK - 5, 0), (BLOCK, 3)];
    w.holds(&runs).await;
    w.fill(2 * BLOCK + 7, 1, 4).await;
    w.sync().await;
    let runs = [&runs[..5], &[(7, 3), (1, 4), (BLOCK - 8, 3)]].concat();
    w.holds(&runs).await;
    s.reader(&a).await.holds(&runs).await;
    let part = w.read(BLOCK - 6, 12, &CTL).await.unwrap();
    assert_eq!(part[..], [0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0]);
}

pub(super) async fn sizes_of_all_kinds(s: &Stage) {
    for size in [0, 1, 511, 512, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 4097] {
        let a = s.volume(&format!("v{size}"), size).await;
        let w = s.writer(&a).await;
        w.holds(&[(size, 0)]).await;
        w.fill(0, size, 6).await;
        w.snap("s").await;
        w.zero(size / 2, size - size / 2).await;
        w.holds(&[(size / 2, 6), (size - size / 2, 0)]).await;
        w.shut().await;
        s.at(&a, "s").await.holds(&[(size, 6)]).await;
        s.reader(&a).await.holds(&[(size / 2, 6), (size - size / 2, 0)]).await;
    }
}

pub(super) async fn out_of_range_is_usage_and_changes_nothing(s: &Stage) {
    let size = BLOCK + 100;
    let a = s.volume("a", size).await;
    let w = s.writer(&a).await;
    w.fill(0, size, 1).await;
    for (offset, len) in
        [(size, 1), (size - 1, 2), (0, size + 1), (u64::MAX, 1), (u64::MAX - 1, 2), (size + 1, 0)]
    {
        let count = usize::try_from(len).unwrap();
        refused(w.read(offset, count, &CTL).await, ErrorKind::Usage);
        refused(w.write(offset, filled(len, 9), &CTL).await, ErrorKind::Usage);
        refused(w.write_zeroes(offset, len, &CTL).await, ErrorKind::Usage);
        refused(w.extents(offset, len, &CTL).await, ErrorKind::Usage);
    }
    refused(w.write_zeroes(1, u64::MAX, &CTL).await, ErrorKind::Usage);
    w.holds(&[(size, 1)]).await;
}

pub(super) async fn zero_length_is_nothing(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    w.fill(0, MIB, 1).await;
    for offset in [0, 1, MIB] {
        assert_eq!(w.read(offset, 0, &CTL).await.unwrap(), Bytes::new());
        w.fill(offset, 0, 9).await;
        w.zero(offset, 0).await;
        assert_eq!(w.extents(offset, 0, &CTL).await.unwrap(), []);
    }
    w.holds(&[(MIB, 1)]).await;
}

pub(super) async fn zeroing_whole_and_partial_blocks(s: &Stage) {
    let a = s.volume("a", 4 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, 4 * BLOCK, 1).await;
    w.zero(BLOCK - 3, BLOCK + 7).await;
    let runs = [(BLOCK - 3, 1), (BLOCK + 7, 0), (2 * BLOCK - 4, 1)];
    w.holds(&runs).await;
    w.sync().await;
    w.holds(&runs).await;
    w.fill(BLOCK + 10, 5, 2).await;
    w.sync().await;
    let runs = [(BLOCK - 3, 1), (13, 0), (5, 2), (BLOCK - 11, 0), (2 * BLOCK - 4, 1)];
    w.holds(&runs).await;
    w.shut().await;
    s.reader(&a).await.holds(&runs).await;
}

pub(super) async fn zeroing_over_a_parent(s: &Stage) {
    let parent = s.parent("p", 3 * BLOCK, 1).await;
    let child = s.clone_of(&parent, "s", "c").await;
    let w = s.writer(&child).await;
    w.zero(BLOCK, BLOCK).await;
    w.zero(5, 10).await;
    w.zero(3 * BLOCK - 1, 1).await;
    let runs = [(5, 1), (10, 0), (BLOCK - 15, 1), (BLOCK, 0), (BLOCK - 1, 1), (1, 0)];
    w.holds(&runs).await;
    w.fill(BLOCK + 1, 1, 2).await;
    w.shut().await;
    let runs = [(5, 1), (10, 0), (BLOCK - 15, 1), (1, 0), (1, 2), (BLOCK - 2, 0), (BLOCK - 1, 1), (1, 0)];
    s.reader(&child).await.holds(&runs).await;
    s.at(&parent, "s").await.holds(&[(3 * BLOCK, 1)]).await;
}

pub(super) async fn zeroing_under_a_snapshot(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, 2 * BLOCK, 1).await;
    w.snap("s").await;
    w.zero(0, BLOCK).await;
    w.zero(BLOCK + 1, 2).await;
    let runs = [(BLOCK, 0), (1, 1), (2, 0), (BLOCK - 3, 1)];
    w.holds(&runs).await;
    w.snap("t").await;
    w.fill(0, 2 * BLOCK, 3).await;
    w.shut().await;
    s.at(&a, "s").await.holds(&[(2 * BLOCK, 1)]).await;
    s.at(&a, "t").await.holds(&runs).await;
    s.reader(&a).await.holds(&[(2 * BLOCK, 3)]).await;
}

pub(super) async fn parallel_writes_keep_apart(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    let step = MIB / 2;
    futures::future::join_all((0..16).map(|i| w.fill(i * step, step, u8::try_from(i).unwrap() + 1))).await;
    let runs: Vec<_> = (1..=16).map(|byte| (step, byte)).collect();
    w.holds(&runs).await;
    w.snap("s").await;
    // The first write of each block after a snapshot copies it: racing copies must not lose a neighbour.
    futures::future::join_all((0..16).map(|i| w.fill(i * step + 1, 1, 99))).await;
    let changed: Vec<_> = (1..=16).flat_map(|byte| [(1, byte), (1, 99), (step - 2, byte)]).collect();
    w.holds(&changed).await;
    w.shut().await;
    s.reader(&a).await.holds(&changed).await;
    s.at(&a, "s").await.holds(&runs).await;
}

pub(super) async fn close_keeps_what_was_written(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(3, 4, 8).await;
    w.shut().await;
    s.writer(&a).await.holds(&[(3, 0), (4, 8), (BLOCK - 7, 0)]).await;
}

pub(super) async fn used_bytes_follow_the_data(s: &Stage) {
    let a = s.volume("a", 4 * BLOCK).await;
    let w = s.writer(&a).await;
    assert_eq!(w.used_bytes(&CTL).await.unwrap(), 0);
    w.fill(0, BLOCK, 1).await;
    w.sync().await;
    let used = w.used_bytes(&CTL).await.unwrap();
    assert!(used > 0 && used <= BLOCK, "{used}");
    w.snap("s").await;
    w.protect("s").await;
    let child = s.clone_of(&a, "s", "c").await;
    assert_eq!(s.reader(&child).await.used_bytes(&CTL).await.unwrap(), 0, "a clone shares its parent's");
    let b = s.volume("b", 2 * BLOCK).await;
    let w = s.writer(&b).await;
    w.fill(0, 2 * BLOCK, 1).await;
    w.sync().await;
    w.zero(0, 2 * BLOCK).await;
    w.sync().await;
    assert_eq!(w.used_bytes(&CTL).await.unwrap(), 0, "zeroing frees whole blocks");
}

pub(super) async fn cancelled_io_is_interrupted(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    let token = CancellationToken::new();
    token.cancel();
    let ctl = Ctl::new().cancelled_by(token);
    refused(w.read(0, 1, &ctl).await, ErrorKind::Interrupted);
    refused(w.write(0, filled(BLOCK, 2), &ctl).await, ErrorKind::Interrupted);
    refused(w.write_zeroes(0, BLOCK, &ctl).await, ErrorKind::Interrupted);
    refused(w.flush(&ctl).await, ErrorKind::Interrupted);
    refused(w.resize(1, &ctl).await, ErrorKind::Interrupted);
    refused(w.create_snapshot(&n("s"), &ctl).await, ErrorKind::Interrupted);
    w.holds(&[(BLOCK, 1)]).await;
    assert_eq!(w.snapshots(&CTL).await.unwrap(), []);
    w.sync().await;
}

pub(super) async fn modified_changes_with_the_data(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let modified = async || s.reader(&a).await.stat(&CTL).await.unwrap().modified;
    let first = modified().await;
    assert!(first.is_some());
    assert_eq!(modified().await, first, "reading changes nothing");
    let w = s.writer(&a).await;
    w.fill(0, 1, 1).await;
    w.shut().await;
    assert!(modified().await >= first);
}

pub(super) async fn leaves_change_nothing_that_is_seen(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.fill(BLOCK, 100, 2).await;
    w.sync().await;
    let ones = volary::leaf(&filled(BLOCK, 1)).unwrap();
    let twos = volary::leaf(&filled(100, 2)).unwrap();
    for _ in 0..2 {
        w.record_leaves(&[(0, ones), (1, twos)], &CTL).await.unwrap();
        w.holds(&[(BLOCK, 1), (100, 2), (BLOCK - 100, 0)]).await;
        for (index, leaf) in [(0, ones), (1, twos)] {
            let (bytes, known) = w.read_block(index * BLOCK, BLOCK as usize, &CTL).await.unwrap();
            assert_eq!(volary::leaf(&bytes), Some(leaf));
            assert!(known.is_none_or(|known| known == leaf));
        }
    }
    // Written, zeroed, kept by a snapshot, cloned, shrunk and grown again: the leaves follow.
    w.snap("s").await;
    w.fill(7, 3, 4).await;
    w.zero(BLOCK, 50).await;
    let runs = [(7, 1), (3, 4), (BLOCK - 10, 1), (50, 0), (50, 2), (BLOCK - 100, 0)];
    w.holds(&runs).await;
    w.sync().await;
    w.holds(&runs).await;
    let snapshot = s.at(&a, "s").await;
    snapshot.record_leaves(&[(0, ones), (1, twos)], &CTL).await.unwrap();
    snapshot.holds(&[(BLOCK, 1), (100, 2), (BLOCK - 100, 0)]).await;
    s.reader(&a).await.record_leaves(&[], &CTL).await.unwrap();
    w.resize(BLOCK + 60, &CTL).await.unwrap();
    w.resize(2 * BLOCK, &CTL).await.unwrap();
    w.holds(&[(7, 1), (3, 4), (BLOCK - 10, 1), (50, 0), (10, 2), (BLOCK - 60, 0)]).await;
}
