//! Parting with a parent.

use super::stage::*;
use volary::ErrorKind;

pub(super) async fn it_parts_with_the_parent(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK + 5, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.flatten(&CTL).await.unwrap();
    w.holds(&[(2 * BLOCK + 5, 1)]).await;
    assert_eq!(w.stat(&CTL).await.unwrap().parent, None);
    let used = w.used_bytes(&CTL).await.unwrap();
    assert!(used >= 2 * BLOCK + 5, "{used}");
    w.shut().await;
    let w = s.writer(&p).await;
    assert_eq!(w.children(None, &CTL).await.unwrap(), []);
    w.unprotect("s").await;
    w.unsnap("s").await;
    w.shut().await;
    s.remove(&s.ns, &p, &CTL).await.unwrap();
    s.reader(&c).await.holds(&[(2 * BLOCK + 5, 1)]).await;
}

pub(super) async fn snapshots_are_filled_too(s: &Stage) {
    let p = s.parent("p", 3 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.snap("a").await;
    w.fill(0, 5, 2).await;
    w.snap("b").await;
    w.set_size(BLOCK).await;
    w.snap("c").await;
    w.set_size(2 * BLOCK).await;
    w.flatten(&CTL).await.unwrap();
    for v in [&w, &s.at(&c, "a").await, &s.at(&c, "b").await, &s.at(&c, "c").await] {
        assert_eq!(v.stat(&CTL).await.unwrap().parent, None);
    }
    w.shut().await;
    let w = s.writer(&p).await;
    w.unprotect("s").await;
    w.unsnap("s").await;
    w.shut().await;
    s.remove(&s.ns, &p, &CTL).await.unwrap();
    s.at(&c, "a").await.holds(&[(3 * BLOCK, 1)]).await;
    s.at(&c, "b").await.holds(&[(5, 2), (3 * BLOCK - 5, 1)]).await;
    s.at(&c, "c").await.holds(&[(5, 2), (BLOCK - 5, 1)]).await;
    s.reader(&c).await.holds(&[(5, 2), (BLOCK - 5, 1), (BLOCK, 0)]).await;
}

pub(super) async fn own_data_and_zeros_win(s: &Stage) {
    let p = s.parent("p", 3 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.zero(0, BLOCK).await;
    w.zero(BLOCK + 1, 1).await;
    w.fill(2 * BLOCK, 7, 2).await;
    w.flatten(&CTL).await.unwrap();
    let runs = [(BLOCK, 0), (1, 1), (1, 0), (BLOCK - 2, 1), (7, 2), (BLOCK - 7, 1)];
    w.holds(&runs).await;
    w.shut().await;
    s.reader(&c).await.holds(&runs).await;
}

pub(super) async fn without_parent_is_usage(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    refused(s.writer(&p).await.flatten(&CTL).await, ErrorKind::Usage);
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.flatten(&CTL).await.unwrap();
    refused(w.flatten(&CTL).await, ErrorKind::Usage);
    w.holds(&[(MIB, 1)]).await;
}

pub(super) async fn the_clones_of_a_clone_stay_whole(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.fill(0, 1, 2).await;
    w.snap("s").await;
    w.protect("s").await;
    w.fill(0, 1, 3).await;
    let g = s.clone_of(&c, "s", "g").await;
    w.flatten(&CTL).await.unwrap();
    let r = s.reader(&g).await;
    r.holds(&[(1, 2), (2 * BLOCK - 1, 1)]).await;
    assert_eq!(r.stat(&CTL).await.unwrap().parent.unwrap().id, c.id);
    r.shut().await;
    let middle = s.writer(&g).await;
    middle.flatten(&CTL).await.unwrap();
    w.unprotect("s").await;
    w.unsnap("s").await;
    middle.holds(&[(1, 2), (2 * BLOCK - 1, 1)]).await;
    w.holds(&[(1, 3), (2 * BLOCK - 1, 1)]).await;
}

pub(super) async fn only_the_overlap_comes_in(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.set_size(BLOCK + 3).await;
    w.set_size(3 * BLOCK).await;
    w.flatten(&CTL).await.unwrap();
    w.shut().await;
    s.reader(&c).await.holds(&[(BLOCK + 3, 1), (2 * BLOCK - 3, 0)]).await;
}
