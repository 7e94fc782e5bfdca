//! Clones, parents and children.

use super::stage::*;
use volary::engine::{CloneOptions, SnapshotRef};
use volary::{ErrorKind, VolumeId};

pub(super) async fn a_clone_reads_its_parent(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK + 5, 1).await;
    let w = s.writer(&p).await;
    w.fill(0, BLOCK, 9).await;
    w.shut().await;
    let c = s.clone_of(&p, "s", "c").await;
    assert_ne!(c.id, p.id);
    let r = s.reader(&c).await;
    r.holds(&[(2 * BLOCK + 5, 1)]).await;
    let parent = r.stat(&CTL).await.unwrap().parent.unwrap();
    assert_eq!((parent.namespace, parent.volume, parent.id), (s.ns.clone(), n("p"), p.id));
    assert_eq!((parent.snapshot, parent.overlap_bytes, parent.trash), (n("s"), 2 * BLOCK + 5, false));
    assert_eq!(r.snapshots(&CTL).await.unwrap(), []);
}

pub(super) async fn it_needs_protection(s: &Stage) {
    let p = s.volume("p", MIB).await;
    s.writer(&p).await.snap("s").await;
    let made = s.try_clone(&p, "s", "c").await;
    if s.describe(&CTL).await.unwrap().clone_needs_protection {
        refused(made, ErrorKind::Blocked);
        assert_eq!(s.found(&n("c")).await, None);
    } else {
        made.unwrap();
    }
}

pub(super) async fn it_needs_parent_snapshot_and_a_free_name(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    refused(s.try_clone(&p, "x", "c").await, ErrorKind::NotFound);
    refused(s.try_clone(&p, "s", "p").await, ErrorKind::AlreadyExists);
    let options = CloneOptions::default();
    let nobody = SnapshotRef { volume: VolumeId::new("123456789abc").unwrap(), ..s.snapshot_ref(&p, "s") };
    refused(s.clone_volume(&nobody, &s.ns, &n("c"), &options, &CTL).await, ErrorKind::NotFound);
    let nowhere = volary::Namespace { name: n("nowhere"), ..s.ns.clone() };
    refused(
        s.clone_volume(&s.snapshot_ref(&p, "s"), &nowhere, &n("c"), &options, &CTL).await,
        ErrorKind::NotFound,
    );
    assert_eq!(s.listed(&s.ns).await, [p.clone()]);
    assert_eq!(s.reader(&p).await.children(None, &CTL).await.unwrap(), []);
}

pub(super) async fn writes_stay_in_the_clone(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK, 1).await;
    let (c, d) = (s.clone_of(&p, "s", "c").await, s.clone_of(&p, "s", "d").await);
    let w = s.writer(&c).await;
    w.fill(0, BLOCK, 2).await;
    w.shut().await;
    let w = s.writer(&p).await;
    w.fill(BLOCK, BLOCK, 3).await;
    w.shut().await;
    s.reader(&c).await.holds(&[(BLOCK, 2), (BLOCK, 1)]).await;
    s.reader(&d).await.holds(&[(2 * BLOCK, 1)]).await;
    s.reader(&p).await.holds(&[(BLOCK, 1), (BLOCK, 3)]).await;
    s.at(&p, "s").await.holds(&[(2 * BLOCK, 1)]).await;
}

pub(super) async fn a_grown_parent_shows_the_snapshots_size(s: &Stage) {
    let p = s.parent("p", BLOCK, 1).await;
    let w = s.writer(&p).await;
    w.set_size(3 * BLOCK).await;
    w.fill(BLOCK, 2 * BLOCK, 2).await;
    w.shut().await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    assert_eq!(w.stat(&CTL).await.unwrap().parent.unwrap().overlap_bytes, BLOCK);
    w.set_size(2 * BLOCK).await;
    w.holds(&[(BLOCK, 1), (BLOCK, 0)]).await;
    assert_eq!(w.stat(&CTL).await.unwrap().parent.unwrap().overlap_bytes, BLOCK);
}

pub(super) async fn children_are_listed(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    let w = s.writer(&p).await;
    w.snap("t").await;
    w.protect("t").await;
    let c = s.clone_of(&p, "s", "c").await;
    let d = s.clone_of(&p, "t", "d").await;
    let all = w.children(None, &CTL).await.unwrap();
    let mut shown: Vec<_> =
        all.iter().map(|x| (x.volume.clone(), x.id.clone(), x.snapshot.clone())).collect();
    shown.sort();
    assert_eq!(shown, [(n("c"), c.id.clone(), n("s")), (n("d"), d.id, n("t"))]);
    assert!(all.iter().all(|x| x.namespace == s.ns && !x.trash));
    let of_s = w.children(Some(&n("s")), &CTL).await.unwrap();
    assert_eq!(of_s.iter().map(|x| &x.id).collect::<Vec<_>>(), [&c.id]);
    s.remove(&s.ns, &c, &CTL).await.unwrap();
    assert_eq!(w.children(Some(&n("s")), &CTL).await.unwrap(), []);
    assert_eq!(w.children(None, &CTL).await.unwrap().len(), 1);
}

pub(super) async fn children_block_unprotect_and_removal(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&p).await;
    refused(w.unprotect_snapshot(&n("s"), &CTL).await, ErrorKind::Blocked);
    refused(w.remove_snapshot(&n("s"), &CTL).await, ErrorKind::Blocked);
    assert!(w.snapshots(&CTL).await.unwrap()[0].protected);
    s.reader(&c).await.holds(&[(MIB, 1)]).await;
    s.remove(&s.ns, &c, &CTL).await.unwrap();
    w.unprotect("s").await;
    w.unsnap("s").await;
    w.holds(&[(MIB, 1)]).await;
}

pub(super) async fn a_clone_of_a_clone(s: &Stage) {
    let p = s.parent("p", 3 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.fill(BLOCK, BLOCK, 2).await;
    w.snap("s").await;
    w.protect("s").await;
    w.fill(0, 3 * BLOCK, 9).await;
    w.shut().await;
    let g = s.clone_of(&c, "s", "g").await;
    let w = s.writer(&g).await;
    w.fill(2 * BLOCK + 1, 1, 3).await;
    w.shut().await;
    let r = s.reader(&g).await;
    r.holds(&[(BLOCK, 1), (BLOCK, 2), (1, 1), (1, 3), (BLOCK - 2, 1)]).await;
    assert_eq!(r.stat(&CTL).await.unwrap().parent.unwrap().id, c.id);
}

pub(super) async fn it_crosses_namespaces(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    let other = s.second_namespace().await;
    let from = s.snapshot_ref(&p, "s");
    let id = s.clone_volume(&from, &other, &n("p"), &CloneOptions::default(), &CTL).await.unwrap();
    let children = s.reader(&p).await.children(None, &CTL).await.unwrap();
    assert_eq!((&children[0].namespace, &children[0].id), (&other, &id));
    let target = volary::Target::Id(id);
    let r = Opened(s.open(&other, &target, &volary::engine::OpenOptions::read(None), &CTL).await.unwrap());
    r.holds(&[(MIB, 1)]).await;
    assert_eq!(r.stat(&CTL).await.unwrap().parent.unwrap().namespace, s.ns);
}

pub(super) async fn names_of_parents_follow_renames(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    s.rename(&s.ns, &p, &n("q"), &CTL).await.unwrap();
    s.rename(&s.ns, &c, &n("d"), &CTL).await.unwrap();
    s.writer(&p).await.rename_snapshot(&n("s"), &n("t"), &CTL).await.unwrap();
    let parent = s.reader(&c).await.stat(&CTL).await.unwrap().parent.unwrap();
    assert_eq!((parent.volume, parent.snapshot), (n("q"), n("t")));
    let children = s.reader(&p).await.children(Some(&n("t")), &CTL).await.unwrap();
    assert_eq!((&children[0].volume, &children[0].snapshot), (&n("d"), &n("t")));
    s.reader(&c).await.holds(&[(MIB, 1)]).await;
}

pub(super) async fn partial_writes_copy_up(s: &Stage) {
    let p = s.parent("p", BLOCK + 100, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    w.set_size(2 * BLOCK).await;
    w.fill(BLOCK - 1, 2, 2).await;
    w.fill(BLOCK + 200, 1, 3).await;
    let runs = [(BLOCK - 1, 1), (2, 2), (99, 1), (100, 0), (1, 3), (BLOCK - 201, 0)];
    w.holds(&runs).await;
    w.snap("s").await;
    w.fill(5, 1, 4).await;
    w.shut().await;
    s.at(&c, "s").await.holds(&runs).await;
    let runs = [&[(5, 1), (1, 4), (BLOCK - 7, 1)], &runs[1..]].concat();
    s.reader(&c).await.holds(&runs).await;
}
