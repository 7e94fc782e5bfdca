//! Create, find, list, rename, remove.

use super::stage::*;
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;
use volary::engine::{CreateOptions, TrashOptions, VolumeEntry};
use volary::{Ctl, ErrorKind, Name, Target};

pub(super) async fn a_new_volume_is_listed_found_and_zero(s: &Stage) {
    assert_eq!(s.listed(&s.ns).await, []);
    let entry = s.volume("a", 5 * MIB).await;
    assert_eq!(s.listed(&s.ns).await, [entry.clone()]);
    assert_eq!(s.found(&n("a")).await, Some(entry.clone()));
    let v = s.reader(&entry).await;
    let stat = v.stat(&CTL).await.unwrap();
    assert_eq!((&stat.id, stat.size_bytes, &stat.parent, &stat.snapshot), (&entry.id, 5 * MIB, &None, &None));
    assert!(stat.object_bytes.is_power_of_two() && stat.created.is_some());
    v.holds(&[(5 * MIB, 0)]).await;
}

pub(super) async fn a_taken_name_is_refused(s: &Stage) {
    let entry = s.volume("a", MIB).await;
    let w = s.writer(&entry).await;
    w.fill(0, MIB, 7).await;
    w.shut().await;
    refused(s.create(&s.ns, &n("a"), &CreateOptions::new(2 * MIB), &CTL).await, ErrorKind::AlreadyExists);
    assert_eq!(s.listed(&s.ns).await, [entry.clone()]);
    s.reader(&entry).await.holds(&[(MIB, 7)]).await;
}

pub(super) async fn two_creators_of_one_name(s: &Stage) {
    let (name, options) = (n("a"), CreateOptions::new(MIB));
    let all = futures::future::join_all((0..4).map(|_| s.create(&s.ns, &name, &options, &CTL))).await;
    let (won, lost): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| r.is_ok());
    assert_eq!(won.len(), 1);
    for result in lost {
        refused(result, ErrorKind::AlreadyExists);
    }
    assert_eq!(s.found(&name).await.unwrap().id, *won[0].as_ref().unwrap());
    assert_eq!(s.listed(&s.ns).await.len(), 1);
}

pub(super) async fn names_of_any_bytes(s: &Stage) {
    let odd: [&[u8]; 9] =
        [b"\xff\xfe", b"a\nb", b"a/b", b"a@b", b"\x1b[31m", b" a ", b"id:x", b"..", b"%41*?'\"\\"];
    let mut expected = BTreeSet::new();
    for bytes in odd {
        let name = Name::from_bytes(bytes);
        let id = s.create(&s.ns, &name, &CreateOptions::new(MIB), &CTL).await.unwrap();
        let entry = VolumeEntry { name: name.clone(), id };
        assert_eq!(s.found(&name).await.as_ref(), Some(&entry));
        let w = s.open(&s.ns, &Target::Name(name.clone()), &volary::engine::OpenOptions::write(), &CTL).await;
        let w = Opened(w.unwrap());
        w.create_snapshot(&name, &CTL).await.unwrap();
        assert_eq!(w.snapshot_names().await, [name.clone()]);
        w.remove_snapshot(&name, &CTL).await.unwrap();
        w.shut().await;
        expected.insert(entry);
    }
    assert_eq!(s.listed(&s.ns).await, expected.iter().cloned().collect::<Vec<_>>());
    for entry in expected {
        s.to_trash(&entry, HOUR).await;
        assert_eq!(s.trash(&s.ns, &CTL).await.unwrap()[0].name, entry.name);
        s.trash_restore(&s.ns, &entry.id, &entry.name, &CTL).await.unwrap();
        s.rename(&s.ns, &entry, &n("plain"), &CTL).await.unwrap();
        let plain = VolumeEntry { name: n("plain"), id: entry.id };
        s.rename(&s.ns, &plain, &entry.name, &CTL).await.unwrap();
        s.remove(&s.ns, &VolumeEntry { name: entry.name, id: plain.id }, &CTL).await.unwrap();
    }
    assert_eq!(s.listed(&s.ns).await, []);
}

pub(super) async fn find_opens_nothing_and_misses_politely(s: &Stage) {
    assert_eq!(s.found(&n("a")).await, None);
    let entry = s.volume("a", MIB).await;
    let by_id = Target::Id(entry.id.clone());
    assert_eq!(s.find(&s.ns, &by_id, &CTL).await.unwrap(), Some(entry.clone()));
    let w = s.writer(&entry).await;
    assert_eq!(s.found(&n("a")).await, Some(entry.clone()), "while a writer has it");
    w.shut().await;
    s.remove(&s.ns, &entry, &CTL).await.unwrap();
    assert_eq!(s.find(&s.ns, &by_id, &CTL).await.unwrap(), None);
    assert_eq!(s.found(&n("a")).await, None);
}

pub(super) async fn rename_keeps_the_id_and_open_handles(s: &Stage) {
    let entry = s.volume("a", MIB).await;
    let w = s.writer(&entry).await;
    s.rename(&s.ns, &entry, &n("b"), &CTL).await.unwrap();
    w.fill(0, MIB, 5).await;
    w.shut().await;
    let renamed = VolumeEntry { name: n("b"), id: entry.id };
    assert_eq!(s.listed(&s.ns).await, [renamed.clone()]);
    assert_eq!(s.found(&n("a")).await, None);
    s.reader(&renamed).await.holds(&[(MIB, 5)]).await;
}

pub(super) async fn rename_refuses_stale_entries_and_taken_names(s: &Stage) {
    let (a, b) = (s.volume("a", MIB).await, s.volume("b", MIB).await);
    refused(s.rename(&s.ns, &a, &n("b"), &CTL).await, ErrorKind::AlreadyExists);
    let swapped = VolumeEntry { name: a.name.clone(), id: b.id.clone() };
    refused(s.rename(&s.ns, &swapped, &n("c"), &CTL).await, ErrorKind::NotFound);
    let gone = VolumeEntry { name: n("x"), id: a.id.clone() };
    refused(s.rename(&s.ns, &gone, &n("c"), &CTL).await, ErrorKind::NotFound);
    assert_eq!(s.found(&n("a")).await, Some(a));
    assert_eq!(s.found(&n("b")).await, Some(b));
    assert_eq!(s.found(&n("c")).await, None);
}

pub(super) async fn a_name_that_was_away_has_another_version(s: &Stage) {
    let (a, b) = (s.volume("a", MIB).await, n("b"));
    let renamed = VolumeEntry { name: b.clone(), id: a.id.clone() };
    let version = || async { s.name_version(&s.ns, &a, &CTL).await.unwrap() };
    let first = version().await;
    assert!(first.is_some());
    let w = s.writer(&a).await;
    w.fill(0, MIB, 3).await;
    w.snap("s").await;
    w.shut().await;
    assert_eq!(version().await, first, "it is of the name, not of the content");
    s.rename(&s.ns, &a, &b, &CTL).await.unwrap();
    assert_eq!(version().await, None);
    s.rename(&s.ns, &renamed, &a.name, &CTL).await.unwrap();
    let second = version().await;
    assert!(second.is_some() && second != first);
    s.to_trash(&a, HOUR).await;
    assert_eq!(version().await, None);
    s.trash_restore(&s.ns, &a.id, &a.name, &CTL).await.unwrap();
    let third = version().await;
    assert!(third.is_some() && third != second && third != first);
    let other = VolumeEntry { id: s.volume("other", MIB).await.id, ..a.clone() };
    assert_eq!(s.name_version(&s.ns, &other, &CTL).await.unwrap(), None, "the name of another volume");
}

pub(super) async fn remove_frees_the_name(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    w.fill(0, MIB, 9).await;
    w.shut().await;
    s.remove(&s.ns, &a, &CTL).await.unwrap();
    assert_eq!(s.listed(&s.ns).await, []);
    assert_eq!(s.trash(&s.ns, &CTL).await.unwrap(), []);
    let again = s.volume("a", MIB).await;
    assert_ne!(again.id, a.id, "an id is never used again");
    s.reader(&again).await.holds(&[(MIB, 0)]).await;
}

pub(super) async fn remove_refuses_stale_entries(s: &Stage) {
    let old = s.volume("a", MIB).await;
    s.remove(&s.ns, &old, &CTL).await.unwrap();
    refused(s.remove(&s.ns, &old, &CTL).await, ErrorKind::NotFound);
    let new = s.volume("a", MIB).await;
    refused(s.remove(&s.ns, &old, &CTL).await, ErrorKind::NotFound);
    let misnamed = VolumeEntry { name: n("b"), id: new.id.clone() };
    refused(s.remove(&s.ns, &misnamed, &CTL).await, ErrorKind::NotFound);
    assert_eq!(s.listed(&s.ns).await, [new]);
}

pub(super) async fn remove_is_blocked_by_snapshots(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    w.fill(0, MIB, 3).await;
    w.snap("s").await;
    w.shut().await;
    refused(s.remove(&s.ns, &a, &CTL).await, ErrorKind::Blocked);
    s.reader(&a).await.holds(&[(MIB, 3)]).await;
    s.at(&a, "s").await.holds(&[(MIB, 3)]).await;
    let w = s.writer(&a).await;
    w.unsnap("s").await;
    w.shut().await;
    s.remove(&s.ns, &a, &CTL).await.unwrap();
}

pub(super) async fn remove_is_blocked_by_a_writer(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    refused(s.remove(&s.ns, &a, &CTL).await, ErrorKind::Blocked);
    w.fill(0, MIB, 3).await;
    w.shut().await;
    s.reader(&a).await.holds(&[(MIB, 3)]).await;
    s.remove(&s.ns, &a, &CTL).await.unwrap();
}

pub(super) async fn remove_is_blocked_by_a_reader(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let r = s.reader(&a).await;
    if s.describe(&CTL).await.unwrap().readers_hold {
        refused(s.remove(&s.ns, &a, &CTL).await, ErrorKind::Blocked);
        r.shut().await;
    }
    s.remove(&s.ns, &a, &CTL).await.unwrap();
}

pub(super) async fn a_long_listing_is_complete(s: &Stage) {
    let mut expected = Vec::new();
    for index in 0..70 {
        expected.push(s.volume(&format!("v{index:03}"), 0).await);
    }
    assert_eq!(s.listed(&s.ns).await, expected);
}

pub(super) async fn cancelled_calls_change_nothing(s: &Stage) {
    let token = CancellationToken::new();
    token.cancel();
    let ctl = Ctl::new().cancelled_by(token);
    let a = s.volume("a", MIB).await;
    refused(s.create(&s.ns, &n("b"), &CreateOptions::new(MIB), &ctl).await, ErrorKind::Interrupted);
    refused(s.rename(&s.ns, &a, &n("b"), &ctl).await, ErrorKind::Interrupted);
    refused(s.trash_move(&s.ns, &a, &TrashOptions::keep(HOUR), &ctl).await, ErrorKind::Interrupted);
    refused(s.remove(&s.ns, &a, &ctl).await, ErrorKind::Interrupted);
    assert_eq!(s.listed(&s.ns).await, [a.clone()]);
    assert_eq!(s.trash(&s.ns, &CTL).await.unwrap(), []);
    s.reader(&a).await.holds(&[(MIB, 0)]).await;
}

pub(super) async fn a_head_is_told_without_opening(s: &Stage) {
    let parent = s.parent("a", 5 * MIB, 7).await;
    let child = s.clone_of(&parent, "s", "b").await;
    for target in [Target::Name(n("a")), Target::Id(parent.id.clone())] {
        let head = s.head(&s.ns, &target, &CTL).await.unwrap().unwrap();
        assert_eq!((head.entry, head.size_bytes), (parent.clone(), 5 * MIB));
    }
    // It is as it is now, whoever has it open.
    let w = s.writer(&child).await;
    w.set_size(9 * MIB).await;
    let name = Target::Name(n("b"));
    let head = s.head(&s.ns, &name, &CTL).await.unwrap().unwrap();
    assert_eq!(head.size_bytes, 9 * MIB);
    // What is told of the parent is what the open volume tells.
    assert_eq!((**s).parent(&s.ns, &parent.id, &CTL).await.unwrap(), None);
    let told = (**s).parent(&s.ns, &child.id, &CTL).await.unwrap();
    assert_eq!(told, w.stat(&CTL).await.unwrap().parent);
    assert_eq!(told.map(|of| (of.volume, of.snapshot, of.overlap_bytes)), Some((n("a"), n("s"), 5 * MIB)));
    assert!(!s.unheld(&s.ns, &child.id, &CTL).await.unwrap());
    assert!(!s.unheld(&s.ns, &parent.id, &CTL).await.unwrap());
    w.flatten(&CTL).await.unwrap();
    w.shut().await;
    assert_eq!((**s).parent(&s.ns, &child.id, &CTL).await.unwrap(), None);
    assert_eq!(s.head(&s.ns, &Target::Name(n("none")), &CTL).await.unwrap(), None);
    s.to_trash(&child, Default::default()).await;
    assert_eq!(s.head(&s.ns, &name, &CTL).await.unwrap(), None);
    assert_eq!(s.head(&s.ns, &Target::Id(child.id), &CTL).await.unwrap(), None);
}
