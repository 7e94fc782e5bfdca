//! Growing and shrinking, and the overlap with a parent.

use super::stage::*;
use volary::ErrorKind;

pub(super) async fn growing_reads_zeros(s: &Stage) {
    let a = s.volume("a", 100).await;
    let w = s.writer(&a).await;
    w.fill(0, 100, 1).await;
    w.set_size(BLOCK + 1).await;
    w.holds(&[(100, 1), (BLOCK - 99, 0)]).await;
    w.fill(BLOCK, 1, 2).await;
    w.shut().await;
    let r = s.reader(&a).await;
    r.holds(&[(100, 1), (BLOCK - 100, 0), (1, 2)]).await;
    assert_eq!(r.size().await, BLOCK + 1);
}

pub(super) async fn shrinking_cuts_for_good(s: &Stage) {
    for (from, to) in [(2 * BLOCK, BLOCK), (2 * BLOCK, BLOCK + 7), (BLOCK, 5), (3 * BLOCK + 9, 1)] {
        for flushed in [false, true] {
            let a = s.volume(&format!("v-{from}-{to}-{flushed}"), from).await;
            let w = s.writer(&a).await;
            w.fill(0, from, 1).await;
            if flushed {
                w.sync().await;
            }
            w.set_size(to).await;
            w.holds(&[(to, 1)]).await;
            refused(w.read(to, 1, &CTL).await, ErrorKind::Usage);
            refused(w.write(to - 1, filled(2, 1), &CTL).await, ErrorKind::Usage);
            w.set_size(from).await;
            w.holds(&[(to, 1), (from - to, 0)]).await;
            w.shut().await;
            s.reader(&a).await.holds(&[(to, 1), (from - to, 0)]).await;
        }
    }
}

pub(super) async fn snapshots_keep_their_size(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK + 9).await;
    let w = s.writer(&a).await;
    w.fill(0, 2 * BLOCK + 9, 1).await;
    w.snap("s").await;
    w.set_size(7).await;
    w.snap("t").await;
    w.set_size(2 * BLOCK).await;
    w.holds(&[(7, 1), (2 * BLOCK - 7, 0)]).await;
    w.fill(BLOCK, 1, 2).await;
    w.shut().await;
    let r = s.at(&a, "s").await;
    assert_eq!(
        (r.size().await, r.stat(&CTL).await.unwrap().snapshot.unwrap().size_bytes),
        (2 * BLOCK + 9, 2 * BLOCK + 9)
    );
    r.holds(&[(2 * BLOCK + 9, 1)]).await;
    s.at(&a, "t").await.holds(&[(7, 1)]).await;
    s.reader(&a).await.holds(&[(7, 1), (BLOCK - 7, 0), (1, 2), (BLOCK - 1, 0)]).await;
}

pub(super) async fn the_overlap_shrinks_and_never_grows_back(s: &Stage) {
    let p = s.parent("p", 3 * BLOCK, 1).await;
    for (name, to) in [("c", BLOCK), ("d", BLOCK + 5), ("e", 1)] {
        let c = s.clone_of(&p, "s", name).await;
        let w = s.writer(&c).await;
        w.set_size(to).await;
        assert_eq!(w.stat(&CTL).await.unwrap().parent.unwrap().overlap_bytes, to);
        w.set_size(4 * BLOCK).await;
        assert_eq!(w.stat(&CTL).await.unwrap().parent.unwrap().overlap_bytes, to);
        w.holds(&[(to, 1), (4 * BLOCK - to, 0)]).await;
        w.fill(to + 10, 1, 2).await;
        w.shut().await;
        s.reader(&c).await.holds(&[(to, 1), (10, 0), (1, 2), (4 * BLOCK - to - 11, 0)]).await;
    }
    s.at(&p, "s").await.holds(&[(3 * BLOCK, 1)]).await;
}

pub(super) async fn a_snapshot_keeps_its_overlap(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.fill(0, 1, 2).await;
    w.snap("s").await;
    w.protect("s").await;
    w.set_size(10).await;
    w.set_size(2 * BLOCK).await;
    w.shut().await;
    s.at(&c, "s").await.holds(&[(1, 2), (2 * BLOCK - 1, 1)]).await;
    s.reader(&c).await.holds(&[(1, 2), (9, 1), (2 * BLOCK - 10, 0)]).await;
    let g = s.clone_of(&c, "s", "g").await;
    s.reader(&g).await.holds(&[(1, 2), (2 * BLOCK - 1, 1)]).await;
}

pub(super) async fn to_nothing_and_back(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.set_size(0).await;
    w.holds(&[]).await;
    w.sync().await;
    assert_eq!(w.used_bytes(&CTL).await.unwrap(), 0);
    w.set_size(BLOCK).await;
    w.holds(&[(BLOCK, 0)]).await;
    w.shut().await;
    s.reader(&a).await.holds(&[(BLOCK, 0)]).await;
}

pub(super) async fn too_much_is_usage(s: &Stage) {
    let most = s.describe(&CTL).await.unwrap().max_volume_bytes;
    let Some(over) = most.checked_add(1) else { return };
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    refused(w.resize(over, &CTL).await, ErrorKind::Usage);
    assert_eq!(w.size().await, MIB);
    let options = volary::engine::CreateOptions::new(over);
    refused(s.create(&s.ns, &n("b"), &options, &CTL).await, ErrorKind::Usage);
    assert_eq!(s.found(&n("b")).await, None);
}
