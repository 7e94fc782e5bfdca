//! Trash, in every state a volume can have there.

use super::stage::*;
use std::time::Duration;
use volary::engine::{CloneOptions, CreateOptions, OpenOptions, TrashOptions, TrashState, VolumeEntry};
use volary::{ErrorKind, Target, VolumeId};

impl Stage {
    async fn trashed(&self) -> Vec<VolumeId> {
        let mut ids: Vec<_> = self.trash(&self.ns, &CTL).await.unwrap().into_iter().map(|t| t.id).collect();
        ids.sort();
        ids
    }
}

pub(super) async fn it_takes_the_name_away(s: &Stage) {
    assert_eq!(s.trash(&s.ns, &CTL).await.unwrap(), []);
    let a = s.volume("a", MIB).await;
    s.to_trash(&a, HOUR).await;
    assert_eq!(s.listed(&s.ns).await, []);
    assert_eq!(s.found(&a.name).await, None);
    assert_eq!(s.find(&s.ns, &Target::Id(a.id.clone()), &CTL).await.unwrap(), None);
    let by_name = Target::Name(n("a"));
    refused(s.open(&s.ns, &by_name, &OpenOptions::read(None), &CTL).await, ErrorKind::NotFound);
    let all = s.trash(&s.ns, &CTL).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0].id, &all[0].name, all[0].state), (&a.id, &n("a"), TrashState::Normal));
    assert_eq!(all[0].source, "user");
    let kept = all[0].until.duration_since(all[0].deleted);
    assert!((3595..=3605).contains(&kept.as_secs()), "{kept:?}");
    let again = s.volume("a", MIB).await;
    assert_ne!(again.id, a.id);
}

/// What was just made in trash, the one thing there.
async fn made_in_trash(s: &Stage, name: &str, id: VolumeId) -> VolumeEntry {
    let all = s.trash(&s.ns, &CTL).await.unwrap();
    let [made] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((&made.id, &made.name, made.state), (&id, &n(name), TrashState::Normal));
    assert_eq!(made.source, "user");
    let kept = made.until.duration_since(made.deleted);
    assert!((3595..=3605).contains(&kept.as_secs()), "{kept:?}");
    assert_eq!(s.find(&s.ns, &Target::Id(id.clone()), &CTL).await.unwrap(), None);
    VolumeEntry { name: n(name), id }
}

pub(super) async fn made_there_it_has_no_name_before(s: &Stage) {
    let named = s.volume("a", MIB).await;
    let options = CreateOptions::new(2 * BLOCK + 512).in_trash(HOUR);
    let id = s.create(&s.ns, &n("a"), &options, &CTL).await.unwrap();
    let made = made_in_trash(s, "a", id).await;
    assert_eq!(s.listed(&s.ns).await, [named]);
    let w = s.writer(&made).await;
    w.holds(&[(2 * BLOCK + 512, 0)]).await;
    assert_eq!(w.used_bytes(&CTL).await.unwrap(), 0);
    w.fill(BLOCK, BLOCK, 7).await;
    w.snap("s").await;
    w.shut().await;
    s.trash_restore(&s.ns, &made.id, &n("b"), &CTL).await.unwrap();
    assert_eq!(s.found(&n("b")).await.unwrap().id, made.id);
    s.at(&made, "s").await.holds(&[(BLOCK, 0), (BLOCK, 7), (512, 0)]).await;
    let nothing = s.create(&s.ns, &n("c"), &CreateOptions::new(0).in_trash(HOUR), &CTL).await.unwrap();
    s.trash_remove(&s.ns, &nothing, true, &CTL).await.unwrap();
    let most = s.describe(&CTL).await.unwrap().max_volume_bytes;
    let options = CreateOptions::new(most + 1).in_trash(HOUR);
    refused(s.create(&s.ns, &n("d"), &options, &CTL).await, ErrorKind::Usage);
    assert_eq!(s.trashed().await, []);
}

pub(super) async fn cloned_there_it_has_no_name_before(s: &Stage) {
    let a = s.parent("a", BLOCK, 3).await;
    let (from, options) = (s.snapshot_ref(&a, "s"), CloneOptions::default().in_trash(HOUR));
    let id = s.clone_volume(&from, &s.ns, &n("a"), &options, &CTL).await.unwrap();
    let made = made_in_trash(s, "a", id).await;
    assert_eq!(s.listed(&s.ns).await, [a.clone()]);
    s.reader(&made).await.holds(&[(BLOCK, 3)]).await;
    let children = s.reader(&a).await.children(Some(&n("s")), &CTL).await.unwrap();
    assert_eq!(children.iter().map(|child| (&child.id, child.trash)).collect::<Vec<_>>(), [(&made.id, true)]);
    // The snapshot is not protected: nothing is left of the try.
    let w = s.writer(&a).await;
    w.snap("bare").await;
    w.shut().await;
    let bare = s.snapshot_ref(&a, "bare");
    refused(s.clone_volume(&bare, &s.ns, &n("b"), &options, &CTL).await, ErrorKind::Blocked);
    assert_eq!(s.trashed().await, [made.id.clone()]);
    s.trash_restore(&s.ns, &made.id, &n("c"), &CTL).await.unwrap();
    s.reader(&made).await.holds(&[(BLOCK, 3)]).await;
}

pub(super) async fn everything_works_in_trash(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.set_metadata(b"k", b"v", &CTL).await.unwrap();
    w.shut().await;
    s.to_trash(&a, HOUR).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.snap("s").await;
    w.protect("s").await;
    w.set_size(2 * BLOCK).await;
    w.set_metadata(b"l", b"w", &CTL).await.unwrap();
    w.shut().await;
    if s.describe(&CTL).await.unwrap().clones_from_trash {
        let c = s.clone_of(&a, "s", "c").await;
        s.reader(&c).await.holds(&[(BLOCK, 1)]).await;
    } else {
        refused(s.try_clone(&a, "s", "c").await, ErrorKind::Unsupported);
    }
    let r = s.reader(&a).await;
    r.holds(&[(BLOCK, 1), (BLOCK, 0)]).await;
    let pairs = [("k", "v"), ("l", "w")].map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()));
    assert_eq!(r.metadata(&CTL).await.unwrap(), pairs);
    assert_eq!(s.trashed().await, [a.id]);
}

pub(super) async fn restore_brings_it_back(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    s.to_trash(&a, HOUR).await;
    s.trash_restore(&s.ns, &a.id, &n("a"), &CTL).await.unwrap();
    assert_eq!(s.listed(&s.ns).await, [a.clone()]);
    assert_eq!(s.trash(&s.ns, &CTL).await.unwrap(), []);
    s.reader(&a).await.holds(&[(MIB, 1)]).await;
    s.at(&a, "s").await.holds(&[(MIB, 1)]).await;
}

pub(super) async fn restore_under_another_name(s: &Stage) {
    let a = s.volume("a", MIB).await;
    s.to_trash(&a, HOUR).await;
    let new = s.volume("a", MIB).await;
    s.trash_restore(&s.ns, &a.id, &n("b"), &CTL).await.unwrap();
    assert_eq!(s.listed(&s.ns).await, [new, VolumeEntry { name: n("b"), id: a.id }]);
    assert_eq!(s.trashed().await, []);
}

pub(super) async fn restore_of_a_taken_name_leaves_it_in_trash(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    s.to_trash(&a, HOUR).await;
    let before = s.trash(&s.ns, &CTL).await.unwrap();
    let new = s.volume("a", MIB).await;
    refused(s.trash_restore(&s.ns, &a.id, &n("a"), &CTL).await, ErrorKind::AlreadyExists);
    assert_eq!(s.trash(&s.ns, &CTL).await.unwrap(), before);
    assert_eq!(s.listed(&s.ns).await, [new.clone()]);
    s.reader(&a).await.holds(&[(MIB, 1)]).await;
    s.remove(&s.ns, &new, &CTL).await.unwrap();
    s.trash_restore(&s.ns, &a.id, &n("a"), &CTL).await.unwrap();
    assert_eq!(s.listed(&s.ns).await, [a]);
}

pub(super) async fn restore_is_idempotent(s: &Stage) {
    let a = s.volume("a", MIB).await;
    s.trash_restore(&s.ns, &a.id, &n("a"), &CTL).await.unwrap();
    s.to_trash(&a, HOUR).await;
    for _ in 0..2 {
        s.trash_restore(&s.ns, &a.id, &n("b"), &CTL).await.unwrap();
        assert_eq!(s.listed(&s.ns).await, [VolumeEntry { name: n("b"), id: a.id.clone() }]);
    }
}

pub(super) async fn restore_publishes_an_open_volume(s: &Stage) {
    let a = s.volume("staging", BLOCK).await;
    s.to_trash(&a, Duration::ZERO).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.sync().await;
    s.trash_restore(&s.ns, &a.id, &n("published"), &CTL).await.unwrap();
    assert_eq!(s.found(&n("published")).await.unwrap().id, a.id);
    w.fill(0, 1, 2).await;
    w.shut().await;
    s.reader(&a).await.holds(&[(1, 2), (BLOCK - 1, 1)]).await;
}

pub(super) async fn move_refuses_stale_entries(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let misnamed = VolumeEntry { name: n("b"), id: a.id.clone() };
    refused(s.trash_move(&s.ns, &misnamed, &TrashOptions::keep(HOUR), &CTL).await, ErrorKind::NotFound);
    s.to_trash(&a, HOUR).await;
    let new = s.volume("a", MIB).await;
    refused(s.trash_move(&s.ns, &a, &TrashOptions::keep(HOUR), &CTL).await, ErrorKind::NotFound);
    refused(s.remove(&s.ns, &a, &CTL).await, ErrorKind::NotFound);
    refused(s.rename(&s.ns, &a, &n("c"), &CTL).await, ErrorKind::NotFound);
    assert_eq!(s.listed(&s.ns).await, [new]);
    assert_eq!(s.trashed().await, [a.id]);
}

pub(super) async fn move_is_blocked_by_a_writer(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    refused(s.trash_move(&s.ns, &a, &TrashOptions::keep(HOUR), &CTL).await, ErrorKind::Blocked);
    assert_eq!(s.listed(&s.ns).await, [a.clone()]);
    w.fill(0, MIB, 1).await;
    w.shut().await;
    s.to_trash(&a, HOUR).await;
    s.reader(&a).await.holds(&[(MIB, 1)]).await;
}

pub(super) async fn removal_waits_for_the_deferment(s: &Stage) {
    let (a, b) = (s.volume("a", MIB).await, s.volume("b", MIB).await);
    s.to_trash(&a, HOUR).await;
    s.to_trash(&b, Duration::ZERO).await;
    refused(s.trash_remove(&s.ns, &a.id, false, &CTL).await, ErrorKind::Blocked);
    s.reader(&a).await.holds(&[(MIB, 0)]).await;
    s.trash_remove(&s.ns, &b.id, false, &CTL).await.unwrap();
    assert_eq!(s.trashed().await, [a.id.clone()]);
    s.trash_remove(&s.ns, &a.id, true, &CTL).await.unwrap();
    assert_eq!(s.trashed().await, []);
    refused(s.try_open(&a, &OpenOptions::read(None)).await.map(|_| ()), ErrorKind::NotFound);
}

pub(super) async fn removal_is_blocked_by_snapshots_and_handles(s: &Stage) {
    let a = s.volume("a", MIB).await;
    s.to_trash(&a, Duration::ZERO).await;
    let w = s.writer(&a).await;
    for force in [false, true] {
        refused(s.trash_remove(&s.ns, &a.id, force, &CTL).await, ErrorKind::Blocked);
    }
    w.fill(0, MIB, 1).await;
    w.snap("s").await;
    w.shut().await;
    for force in [false, true] {
        refused(s.trash_remove(&s.ns, &a.id, force, &CTL).await, ErrorKind::Blocked);
    }
    s.at(&a, "s").await.holds(&[(MIB, 1)]).await;
    let w = s.writer(&a).await;
    w.unsnap("s").await;
    w.shut().await;
    s.trash_remove(&s.ns, &a.id, false, &CTL).await.unwrap();
}

pub(super) async fn missing_ids_are_not_found(s: &Stage) {
    let nobody = VolumeId::new("123456789abc").unwrap();
    refused(s.trash_restore(&s.ns, &nobody, &n("a"), &CTL).await, ErrorKind::NotFound);
    refused(s.trash_remove(&s.ns, &nobody, true, &CTL).await, ErrorKind::NotFound);
    let named = s.volume("a", MIB).await;
    refused(s.trash_remove(&s.ns, &named.id, true, &CTL).await, ErrorKind::NotFound);
    let elsewhere = s.second_namespace().await;
    let b = s.volume("b", MIB).await;
    s.to_trash(&b, HOUR).await;
    refused(s.trash_restore(&elsewhere, &b.id, &n("b"), &CTL).await, ErrorKind::NotFound);
    refused(s.trash_remove(&elsewhere, &b.id, true, &CTL).await, ErrorKind::NotFound);
    assert_eq!((s.listed(&s.ns).await, s.trashed().await), (vec![named], vec![b.id]));
}

pub(super) async fn a_parent_in_trash_serves_its_clones(s: &Stage) {
    let p = s.parent("p", 2 * BLOCK, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    s.to_trash(&p, Duration::ZERO).await;
    let w = s.writer(&c).await;
    w.fill(0, 1, 2).await;
    w.holds(&[(1, 2), (2 * BLOCK - 1, 1)]).await;
    let parent = w.stat(&CTL).await.unwrap().parent.unwrap();
    assert_eq!((parent.volume, parent.id, parent.trash), (n("p"), p.id.clone(), true));
    let d = match s.describe(&CTL).await.unwrap().clones_from_trash {
        true => Some(s.clone_of(&p, "s", "d").await),
        false => None,
    };
    if let Some(d) = &d {
        s.reader(d).await.holds(&[(2 * BLOCK, 1)]).await;
    }
    refused(s.trash_remove(&s.ns, &p.id, true, &CTL).await, ErrorKind::Blocked);
    let of_p = s.writer(&p).await;
    refused(of_p.unprotect_snapshot(&n("s"), &CTL).await, ErrorKind::Blocked);
    w.flatten(&CTL).await.unwrap();
    if let Some(d) = d {
        s.remove(&s.ns, &d, &CTL).await.unwrap();
    }
    of_p.unprotect("s").await;
    of_p.unsnap("s").await;
    of_p.shut().await;
    s.trash_remove(&s.ns, &p.id, false, &CTL).await.unwrap();
    w.holds(&[(1, 2), (2 * BLOCK - 1, 1)]).await;
}

pub(super) async fn a_child_in_trash_still_counts(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    let c = s.clone_of(&p, "s", "c").await;
    s.to_trash(&c, Duration::ZERO).await;
    let w = s.writer(&p).await;
    let children = w.children(None, &CTL).await.unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!((&children[0].id, &children[0].volume, children[0].trash), (&c.id, &n("c"), true));
    refused(w.unprotect_snapshot(&n("s"), &CTL).await, ErrorKind::Blocked);
    s.reader(&c).await.holds(&[(MIB, 1)]).await;
    s.trash_remove(&s.ns, &c.id, false, &CTL).await.unwrap();
    assert_eq!(w.children(None, &CTL).await.unwrap(), []);
    w.unprotect("s").await;
}

pub(super) async fn two_of_one_name(s: &Stage) {
    let first = s.volume("a", MIB).await;
    s.to_trash(&first, HOUR).await;
    let second = s.volume("a", 2 * MIB).await;
    s.to_trash(&second, HOUR).await;
    let mut both = [first.id.clone(), second.id.clone()];
    both.sort();
    assert_eq!(s.trashed().await, both);
    assert!(s.trash(&s.ns, &CTL).await.unwrap().iter().all(|t| t.name == n("a")));
    s.trash_restore(&s.ns, &second.id, &n("a"), &CTL).await.unwrap();
    assert_eq!(s.reader(&second).await.size().await, 2 * MIB);
    assert_eq!(s.trashed().await, [first.id]);
}

pub(super) async fn two_restores_of_one_name(s: &Stage) {
    let mut staged = Vec::new();
    for index in 0..4 {
        let entry = s.volume(&format!("staging{index}"), MIB).await;
        s.to_trash(&entry, HOUR).await;
        staged.push(entry.id);
    }
    let name = n("a");
    let all = staged.iter().map(|id| s.trash_restore(&s.ns, id, &name, &CTL));
    let all = futures::future::join_all(all).await;
    let winner = all.iter().position(Result::is_ok).unwrap();
    for (index, result) in all.into_iter().enumerate().filter(|(index, _)| *index != winner) {
        refused(result, ErrorKind::AlreadyExists);
        assert!(s.trashed().await.contains(&staged[index]));
    }
    assert_eq!(s.listed(&s.ns).await, [VolumeEntry { name: n("a"), id: staged[winner].clone() }]);
}
