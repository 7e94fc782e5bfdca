//! Back to a snapshot.

use super::stage::*;
use volary::ErrorKind;

pub(super) async fn content_comes_back(s: &Stage) {
    let a = s.volume("a", 3 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK + 5, 1).await;
    w.snap("s").await;
    w.fill(BLOCK, 2 * BLOCK, 2).await;
    w.zero(0, BLOCK).await;
    w.sync().await;
    w.rollback(&n("s"), &CTL).await.unwrap();
    let runs = [(BLOCK + 5, 1), (2 * BLOCK - 5, 0)];
    w.holds(&runs).await;
    w.fill(0, 1, 3).await;
    w.shut().await;
    s.at(&a, "s").await.holds(&runs).await;
    s.reader(&a).await.holds(&[(1, 3), (BLOCK + 4, 1), (2 * BLOCK - 5, 0)]).await;
}

pub(super) async fn size_comes_back(s: &Stage) {
    let a = s.volume("a", BLOCK + 9).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK + 9, 1).await;
    w.snap("s").await;
    for size in [5, 3 * BLOCK] {
        w.set_size(size).await;
        w.rollback(&n("s"), &CTL).await.unwrap();
        assert_eq!(w.size().await, BLOCK + 9);
        w.holds(&[(BLOCK + 9, 1)]).await;
    }
    w.set_size(2 * BLOCK).await;
    w.holds(&[(BLOCK + 9, 1), (BLOCK - 9, 0)]).await;
}

pub(super) async fn a_shrunk_clone_gets_its_parents_data_back(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.fill(3, 1, 2).await;
    w.snap("s").await;
    w.set_size(2).await;
    w.set_size(2 * BLOCK).await;
    w.fill(BLOCK, BLOCK, 3).await;
    w.rollback(&n("s"), &CTL).await.unwrap();
    let runs = [(3, 1), (1, 2), (2 * BLOCK - 4, 1)];
    w.holds(&runs).await;
    assert_eq!(w.stat(&CTL).await.unwrap().parent.unwrap().id, p.id);
    w.shut().await;
    s.reader(&c).await.holds(&runs).await;
}

pub(super) async fn a_missing_snapshot_is_not_found(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    refused(w.rollback(&n("s"), &CTL).await, ErrorKind::NotFound);
    w.holds(&[(BLOCK, 1)]).await;
}

pub(super) async fn back_and_forth(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    for (name, byte) in [("one", 1), ("two", 2), ("three", 3)] {
        w.fill(u64::from(byte), BLOCK, byte).await;
        w.snap(name).await;
    }
    let one = [(1, 0), (BLOCK, 1), (BLOCK - 1, 0)];
    let two = [(1, 0), (1, 1), (BLOCK, 2), (BLOCK - 2, 0)];
    let three = [(1, 0), (1, 1), (1, 2), (BLOCK, 3), (BLOCK - 3, 0)];
    let states: [(&str, &[(u64, u8)]); 4] = [("one", &one), ("three", &three), ("two", &two), ("one", &one)];
    for (name, runs) in states {
        w.rollback(&n(name), &CTL).await.unwrap();
        w.holds(runs).await;
    }
    // The head hangs on the first snapshot now; the later ones lead a life of their own.
    w.unsnap("two").await;
    w.holds(&one).await;
    s.at(&a, "three").await.holds(&three).await;
    w.unsnap("one").await;
    w.holds(&one).await;
    s.at(&a, "three").await.holds(&three).await;
    w.unsnap("three").await;
    w.shut().await;
    s.reader(&a).await.holds(&one).await;
    s.remove(&s.ns, &a, &CTL).await.unwrap();
}

pub(super) async fn over_a_dirty_head(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, 10, 1).await;
    w.snap("s").await;
    w.fill(5, BLOCK - 5, 2).await;
    w.rollback(&n("s"), &CTL).await.unwrap();
    w.sync().await;
    w.shut().await;
    s.reader(&a).await.holds(&[(10, 1), (BLOCK - 10, 0)]).await;
}
