//! Opening and closing, one writer, holders.

use super::stage::*;
use std::sync::Arc;
use std::time::Duration;
use volary::engine::{Holder, HolderKind, OpenOptions, VolumeEntry};
use volary::{ErrorKind, Target, VolumeId};

pub(super) async fn by_name_and_by_id(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    w.fill(0, MIB, 4).await;
    w.snap("s").await;
    w.zero(0, MIB).await;
    w.shut().await;
    for target in [Target::Name(n("a")), Target::Id(a.id.clone())] {
        let head = Opened(s.open(&s.ns, &target, &OpenOptions::read(None), &CTL).await.unwrap());
        assert_eq!(head.stat(&CTL).await.unwrap().id, a.id);
        head.holds(&[(MIB, 0)]).await;
        let kept = Opened(s.open(&s.ns, &target, &OpenOptions::read(Some(n("s"))), &CTL).await.unwrap());
        let stat = kept.stat(&CTL).await.unwrap();
        assert_eq!((stat.id, stat.snapshot.unwrap().name), (a.id.clone(), n("s")));
        kept.holds(&[(MIB, 4)]).await;
    }
}

pub(super) async fn missing_things_are_not_found(s: &Stage) {
    let read = OpenOptions::read(None);
    refused(s.open(&s.ns, &Target::Name(n("a")), &read, &CTL).await, ErrorKind::NotFound);
    refused(s.open(&s.ns, &Target::Name(n("a")), &OpenOptions::write(), &CTL).await, ErrorKind::NotFound);
    let nobody = VolumeId::new("123456789abc").unwrap();
    refused(s.open(&s.ns, &Target::Id(nobody), &read, &CTL).await, ErrorKind::NotFound);
    let a = s.volume("a", MIB).await;
    refused(s.try_open(&a, &OpenOptions::read(Some(n("s")))).await.map(|_| ()), ErrorKind::NotFound);
    let elsewhere = s.second_namespace().await;
    refused(s.open(&elsewhere, &Target::Id(a.id), &read, &CTL).await, ErrorKind::NotFound);
}

pub(super) async fn one_writer_at_a_time(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let first = s.writer(&a).await;
    let error = refused(s.try_open(&a, &OpenOptions::write()).await.map(|_| ()), ErrorKind::Blocked);
    assert!(error.report().chars().any(|c| c.is_ascii_digit()), "no holder named: {}", error.report());
    first.fill(0, MIB, 1).await;
    first.shut().await;
    let second = s.writer(&a).await;
    second.holds(&[(MIB, 1)]).await;
    second.fill(0, MIB, 2).await;
}

pub(super) async fn snapshots_are_read_only(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    let mut options = OpenOptions::write();
    options.snapshot = Some(n("s"));
    refused(s.try_open(&a, &options).await.map(|_| ()), ErrorKind::Usage);
    let kept = s.at(&a, "s").await;
    refused(kept.write(0, filled(1, 2), &CTL).await, ErrorKind::Usage);
    refused(kept.write_zeroes(0, 1, &CTL).await, ErrorKind::Usage);
    kept.holds(&[(MIB, 1)]).await;
}

pub(super) async fn a_read_handle_changes_nothing(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    let c = s.clone_of(&a, "s", "c").await;
    let r = s.reader(&a).await;
    let (kept, new) = (n("s"), n("t"));
    refused(r.write(0, filled(1, 2), &CTL).await, ErrorKind::Usage);
    refused(r.write_zeroes(0, 1, &CTL).await, ErrorKind::Usage);
    refused(r.resize(2 * MIB, &CTL).await, ErrorKind::Usage);
    refused(r.rollback(&kept, &CTL).await, ErrorKind::Usage);
    refused(r.create_snapshot(&new, &CTL).await, ErrorKind::Usage);
    refused(r.rename_snapshot(&kept, &new, &CTL).await, ErrorKind::Usage);
    refused(r.remove_snapshot(&kept, &CTL).await, ErrorKind::Usage);
    refused(r.protect_snapshot(&kept, &CTL).await, ErrorKind::Usage);
    refused(r.unprotect_snapshot(&kept, &CTL).await, ErrorKind::Usage);
    refused(r.set_metadata(b"k", b"v", &CTL).await, ErrorKind::Usage);
    refused(r.remove_metadata(b"k", &CTL).await, ErrorKind::Usage);
    refused(s.reader(&c).await.flatten(&CTL).await, ErrorKind::Usage);
    assert_eq!(r.snapshot_names().await, [kept]);
    r.holds(&[(MIB, 1)]).await;
}

pub(super) async fn a_closed_handle_is_usage(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    w.close(&CTL).await.unwrap();
    w.close(&CTL).await.unwrap();
    refused(w.stat(&CTL).await, ErrorKind::Usage);
    refused(w.read(0, 1, &CTL).await, ErrorKind::Usage);
    refused(w.write(0, filled(1, 1), &CTL).await, ErrorKind::Usage);
    refused(w.write_zeroes(0, 1, &CTL).await, ErrorKind::Usage);
    refused(w.flush(&CTL).await, ErrorKind::Usage);
    refused(w.extents(0, 1, &CTL).await, ErrorKind::Usage);
    refused(w.used_bytes(&CTL).await, ErrorKind::Usage);
    refused(w.resize(1, &CTL).await, ErrorKind::Usage);
    refused(w.flatten(&CTL).await, ErrorKind::Usage);
    refused(w.snapshots(&CTL).await, ErrorKind::Usage);
    refused(w.create_snapshot(&n("s"), &CTL).await, ErrorKind::Usage);
    refused(w.children(None, &CTL).await, ErrorKind::Usage);
    refused(w.metadata(&CTL).await, ErrorKind::Usage);
    refused(w.set_metadata(b"k", b"v", &CTL).await, ErrorKind::Usage);
    refused(w.holders(&CTL).await, ErrorKind::Usage);
    refused(w.caveats(&CTL).await, ErrorKind::Usage);
    s.writer(&a).await.holds(&[(MIB, 0)]).await;
    s.remove(&s.ns, &a, &CTL).await.unwrap();
}

pub(super) async fn a_dropped_writer_lets_go(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    w.fill(0, MIB / 2, 1).await;
    w.sync().await;
    drop(w);
    let w = s.writer(&a).await;
    w.holds(&[(MIB / 2, 1), (MIB / 2, 0)]).await;
    w.fill(0, 1, 2).await;
    drop(w);
    s.remove(&s.ns, &a, &CTL).await.unwrap();
}

pub(super) async fn holders_name_others_only(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    assert_eq!(w.holders(&CTL).await.unwrap(), []);
    let r = s.reader(&a).await;
    let holders = r.holders(&CTL).await.unwrap();
    assert!(!holders.is_empty());
    for holder in holders {
        assert!(!holder.detail.is_empty() && !holder.remedy.is_empty(), "{holder:?}");
    }
    w.shut().await;
    assert_eq!(r.holders(&CTL).await.unwrap(), []);
}

pub(super) async fn readers_beside_a_writer_see_old_or_new(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, 2 * BLOCK, 1).await;
    w.sync().await;
    let early = s.reader(&a).await;
    early.holds(&[(2 * BLOCK, 1)]).await;
    for (round, snapshot) in ["s", "t", "u"].into_iter().enumerate() {
        w.snap(snapshot).await;
        let byte = u8::try_from(round).unwrap() + 2;
        w.fill(0, BLOCK, byte).await;
        w.zero(BLOCK, BLOCK).await;
        w.sync().await;
        let seen = early.read(0, usize::try_from(BLOCK).unwrap(), &CTL).await.unwrap();
        assert!(seen.iter().all(|b| (1..=byte).contains(b)));
        let seen = early.read(BLOCK, usize::try_from(BLOCK).unwrap(), &CTL).await.unwrap();
        assert!(seen.iter().all(|b| *b <= 1));
        s.reader(&a).await.holds(&[(BLOCK, byte), (BLOCK, 0)]).await;
    }
}

pub(super) async fn volumes_outlive_shutdown(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let entry = VolumeEntry { name: n("a"), id: a.id.clone() };
    let w = s.writer(&entry).await;
    w.fill(0, MIB, 1).await;
    s.shutdown().await.unwrap();
    w.fill(0, 1, 2).await;
    w.sync().await;
    let shared = Arc::clone(&w.0);
    drop(w);
    Opened(shared).holds(&[(1, 2), (MIB - 1, 1)]).await;
}

pub(super) async fn nobody_fences_itself(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let (w, r) = (s.writer(&a).await, s.reader(&a).await);
    let hour = Duration::from_secs(3600);
    // Both handles are this process's: whoever of them is told, it is not cut off, and no more is one that is no client.
    let mut holders = r.holders(&CTL).await.unwrap();
    assert!(holders.iter().any(|of| of.kind == HolderKind::Watcher && of.client.is_some()), "{holders:?}");
    holders.push(Holder::new(HolderKind::Child, "the clone b", "remove it"));
    for holder in &holders {
        let error = s.fence(holder, hour, &CTL).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage | ErrorKind::Unsupported), "{}", error.report());
    }
    w.fill(0, MIB, 3).await;
    w.flush(&CTL).await.unwrap();
    s.reader(&a).await.holds(&[(MIB, 3)]).await;
}
