//! Snapshots of one volume.

use super::stage::*;
use volary::ErrorKind;
use volary::engine::VolumeEntry;

pub(super) async fn a_snapshot_keeps_what_was(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.snap("s").await;
    w.fill(BLOCK / 2, BLOCK, 2).await;
    w.holds(&[(BLOCK / 2, 1), (BLOCK, 2), (BLOCK / 2, 0)]).await;
    s.at(&a, "s").await.holds(&[(BLOCK, 1), (BLOCK, 0)]).await;
    w.shut().await;
    s.at(&a, "s").await.holds(&[(BLOCK, 1), (BLOCK, 0)]).await;
    s.reader(&a).await.holds(&[(BLOCK / 2, 1), (BLOCK, 2), (BLOCK / 2, 0)]).await;
}

pub(super) async fn they_are_listed_oldest_first(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    assert_eq!(w.snapshots(&CTL).await.unwrap(), []);
    w.snap("z").await;
    w.set_size(2 * MIB).await;
    w.snap("a").await;
    w.set_size(0).await;
    w.snap("m").await;
    w.protect("a").await;
    for v in [w, s.reader(&a).await, s.at(&a, "z").await] {
        let all = v.snapshots(&CTL).await.unwrap();
        let shown: Vec<_> = all.iter().map(|x| (x.name.to_string(), x.size_bytes, x.protected)).collect();
        let expected = [("z", MIB, false), ("a", 2 * MIB, true), ("m", 0, false)];
        assert_eq!(shown, expected.map(|(name, size, protected)| (name.to_owned(), size, protected)));
        assert!(all.is_sorted_by_key(|x| x.id) && all.iter().all(|x| x.created.is_some()));
    }
}

pub(super) async fn each_that_is_made_counts_for_good(s: &Stage) {
    let (a, b) = (s.volume("a", MIB).await, s.volume("b", MIB).await);
    let made = |of: &VolumeEntry| {
        let id = of.id.clone();
        async move { s.snapshots_made(&s.ns, &id, &CTL).await.unwrap().unwrap() }
    };
    let (first, other) = (made(&a).await, made(&b).await);
    let w = s.writer(&a).await;
    w.snap("s").await;
    let second = made(&a).await;
    assert!(second > first);
    w.rename_snapshot(&n("s"), &n("t"), &CTL).await.unwrap();
    w.fill(0, MIB, 1).await;
    w.rollback(&n("t"), &CTL).await.unwrap();
    w.unsnap("t").await;
    assert_eq!(made(&a).await, second, "what is removed was made all the same, and nothing else was");
    w.snap("s").await;
    let third = made(&a).await;
    assert!(third > second);
    w.unsnap("s").await;
    w.shut().await;
    s.to_trash(&a, HOUR).await;
    assert_eq!((made(&a).await, made(&b).await), (third, other));
    s.trash_remove(&s.ns, &a.id, true, &CTL).await.unwrap();
    assert_eq!(s.snapshots_made(&s.ns, &a.id, &CTL).await.unwrap(), None);
}

pub(super) async fn names_are_exclusive(s: &Stage) {
    let (a, b) = (s.volume("a", MIB).await, s.volume("b", MIB).await);
    let w = s.writer(&a).await;
    w.snap("s").await;
    w.fill(0, MIB, 1).await;
    refused(w.create_snapshot(&n("s"), &CTL).await, ErrorKind::AlreadyExists);
    w.holds(&[(MIB, 1)]).await;
    s.at(&a, "s").await.holds(&[(MIB, 0)]).await;
    s.writer(&b).await.snap("s").await;
}

pub(super) async fn removing_one_leaves_the_others_intact(s: &Stage) {
    for gone in ["s1", "s2", "s3"] {
        let a = s.volume(&format!("v-{gone}"), 3 * BLOCK).await;
        let w = s.writer(&a).await;
        w.fill(0, 3 * BLOCK, 1).await;
        w.snap("s1").await;
        w.fill(0, BLOCK, 2).await;
        w.zero(2 * BLOCK, BLOCK).await;
        w.snap("s2").await;
        w.fill(BLOCK, 10, 3).await;
        w.fill(2 * BLOCK, 10, 3).await;
        w.snap("s3").await;
        w.fill(0, 1, 4).await;
        let states: [(&str, &[(u64, u8)]); 3] = [
            ("s1", &[(3 * BLOCK, 1)]),
            ("s2", &[(BLOCK, 2), (BLOCK, 1), (BLOCK, 0)]),
            ("s3", &[(BLOCK, 2), (10, 3), (BLOCK - 10, 1), (10, 3), (BLOCK - 10, 0)]),
        ];
        let head = [(1, 4), (BLOCK - 1, 2), (10, 3), (BLOCK - 10, 1), (10, 3), (BLOCK - 10, 0)];
        w.unsnap(gone).await;
        for round in 0..2 {
            w.holds(&head).await;
            for (name, runs) in states.iter().filter(|(name, _)| *name != gone) {
                s.at(&a, name).await.holds(runs).await;
            }
            assert_eq!(w.snapshots(&CTL).await.unwrap().len(), 2, "round {round}");
            w.sync().await;
        }
        for (name, _) in states.iter().filter(|(name, _)| *name != gone) {
            w.unsnap(name).await;
            w.holds(&head).await;
        }
        w.shut().await;
        s.reader(&a).await.holds(&head).await;
        s.remove(&s.ns, &a, &CTL).await.unwrap();
    }
}

pub(super) async fn missing_ones_are_not_found(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    let x = n("x");
    refused(w.remove_snapshot(&x, &CTL).await, ErrorKind::NotFound);
    refused(w.protect_snapshot(&x, &CTL).await, ErrorKind::NotFound);
    refused(w.unprotect_snapshot(&x, &CTL).await, ErrorKind::NotFound);
    refused(w.rename_snapshot(&x, &n("y"), &CTL).await, ErrorKind::NotFound);
    refused(w.rollback(&x, &CTL).await, ErrorKind::NotFound);
    refused(w.children(Some(&x), &CTL).await, ErrorKind::NotFound);
}

pub(super) async fn protection_blocks_removal(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    let w = s.writer(&a).await;
    w.protect("s").await;
    refused(w.remove_snapshot(&n("s"), &CTL).await, ErrorKind::Blocked);
    refused(s.remove(&s.ns, &a, &CTL).await, ErrorKind::Blocked);
    assert_eq!(w.snapshot_names().await, [n("s")]);
    w.unprotect("s").await;
    w.unprotect("s").await;
    assert!(!w.snapshots(&CTL).await.unwrap()[0].protected);
    w.unsnap("s").await;
    w.holds(&[(MIB, 1)]).await;
}

pub(super) async fn an_open_one_is_not_removed(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.snap("s").await;
    w.fill(0, BLOCK, 2).await;
    let kept = s.at(&a, "s").await;
    if s.describe(&CTL).await.unwrap().readers_hold {
        refused(w.remove_snapshot(&n("s"), &CTL).await, ErrorKind::Blocked);
    }
    kept.holds(&[(BLOCK, 1)]).await;
    kept.shut().await;
    w.unsnap("s").await;
    w.holds(&[(BLOCK, 2)]).await;
}

pub(super) async fn renamed_ones_keep_everything(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    let w = s.writer(&a).await;
    w.snap("other").await;
    refused(w.rename_snapshot(&n("s"), &n("other"), &CTL).await, ErrorKind::AlreadyExists);
    let before = w.snapshots(&CTL).await.unwrap();
    w.rename_snapshot(&n("s"), &n("t"), &CTL).await.unwrap();
    let after = w.snapshots(&CTL).await.unwrap();
    assert_eq!((after[0].id, &after[0].name, after[0].protected), (before[0].id, &n("t"), true));
    refused(w.remove_snapshot(&n("s"), &CTL).await, ErrorKind::NotFound);
    s.at(&a, "t").await.holds(&[(MIB, 1)]).await;
}

pub(super) async fn ids_are_never_used_again(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    let mut last = None;
    for _ in 0..3 {
        w.snap("s").await;
        let id = Some(w.snapshots(&CTL).await.unwrap()[0].id);
        assert!(id > last, "{id:?} after {last:?}");
        last = id;
        w.unsnap("s").await;
    }
}

pub(super) async fn unflushed_writes_are_kept(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(5, 5, 1).await;
    w.snap("s").await;
    w.fill(6, BLOCK, 2).await;
    w.zero(0, 6).await;
    w.snap("t").await;
    drop(w);
    s.at(&a, "s").await.holds(&[(5, 0), (5, 1), (2 * BLOCK - 10, 0)]).await;
    let runs = [(6, 0), (BLOCK, 2), (BLOCK - 6, 0)];
    s.at(&a, "t").await.holds(&runs).await;
    s.reader(&a).await.holds(&runs).await;
}

pub(super) async fn many_generations(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    for round in 0..20_u8 {
        w.fill(u64::from(round) * 10, 10, round + 1).await;
        w.snap(&format!("s{round}")).await;
    }
    let runs = |upto: u8| {
        let mut runs: Vec<_> = (1..=upto).map(|byte| (10, byte)).collect();
        runs.push((BLOCK - 10 * u64::from(upto), 0));
        runs
    };
    for round in (0..20_u8).step_by(2) {
        w.unsnap(&format!("s{round}")).await;
    }
    w.shut().await;
    for round in (1..20_u8).step_by(2) {
        s.at(&a, &format!("s{round}")).await.holds(&runs(round + 1)).await;
    }
    s.reader(&a).await.holds(&runs(20)).await;
}
