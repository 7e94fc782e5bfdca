//! Advisory locks.

use super::stage::*;
use std::time::Duration;
use volary::ErrorKind;
use volary::engine::{Locker, OpenOptions, TrashOptions};

async fn break_all(volume: &Opened) {
    for Locker { cookie, client, .. } in volume.lockers(&CTL).await.unwrap() {
        volume.break_lock(&cookie, &client, &CTL).await.unwrap();
    }
}

pub(super) async fn a_lock_is_told_and_broken(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let r = s.reader(&a).await;
    assert_eq!(r.lockers(&CTL).await.unwrap(), []);
    let lock = r.add_lock(&n("x y"), None, &CTL).await.unwrap();
    assert_eq!((&lock.cookie, &lock.tag), (&n("x y"), &None));
    assert!(!lock.client.is_empty() && !lock.address.is_empty(), "{lock:?}");
    assert_eq!(r.lockers(&CTL).await.unwrap(), [lock.clone()]);
    assert_eq!(s.reader(&a).await.lockers(&CTL).await.unwrap(), [lock.clone()]);
    refused(r.break_lock(&n("y"), &lock.client, &CTL).await, ErrorKind::NotFound);
    refused(r.break_lock(&lock.cookie, &n("client.1"), &CTL).await, ErrorKind::NotFound);
    r.break_lock(&lock.cookie, &lock.client, &CTL).await.unwrap();
    refused(r.break_lock(&lock.cookie, &lock.client, &CTL).await, ErrorKind::NotFound);
    assert_eq!(r.lockers(&CTL).await.unwrap(), []);
    r.close(&CTL).await.unwrap();
    refused(r.lockers(&CTL).await, ErrorKind::Usage);
    refused(r.add_lock(&n("x"), None, &CTL).await, ErrorKind::Usage);
}

pub(super) async fn one_alone_or_many_of_one_tag(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let r = s.reader(&a).await;
    let (blue, red) = (n("blue"), n("red"));
    r.add_lock(&n("1"), None, &CTL).await.unwrap();
    refused(r.add_lock(&n("1"), None, &CTL).await, ErrorKind::AlreadyExists);
    refused(r.add_lock(&n("2"), None, &CTL).await, ErrorKind::Blocked);
    refused(r.add_lock(&n("2"), Some(&blue), &CTL).await, ErrorKind::Blocked);
    break_all(&r).await;
    r.add_lock(&n("1"), Some(&blue), &CTL).await.unwrap();
    r.add_lock(&n("2"), Some(&blue), &CTL).await.unwrap();
    refused(r.add_lock(&n("2"), Some(&blue), &CTL).await, ErrorKind::AlreadyExists);
    refused(r.add_lock(&n("3"), Some(&red), &CTL).await, ErrorKind::Blocked);
    refused(r.add_lock(&n("3"), None, &CTL).await, ErrorKind::Blocked);
    let mut lockers = r.lockers(&CTL).await.unwrap();
    lockers.sort();
    let told: Vec<_> = lockers.into_iter().map(|of| (of.cookie, of.tag)).collect();
    assert_eq!(told, [(n("1"), Some(blue.clone())), (n("2"), Some(blue))]);
    break_all(&r).await;
    r.add_lock(&n("3"), Some(&red), &CTL).await.unwrap();
    break_all(&r).await;
}

pub(super) async fn a_lock_keeps_writers_and_removal_away(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    let r = s.reader(&a).await;
    r.add_lock(&n("x"), Some(&n("t")), &CTL).await.unwrap();
    let error = s.try_open(&a, &OpenOptions::write()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Blocked);
    let lock = r.lockers(&CTL).await.unwrap().remove(0);
    assert!(error.report().contains(&lock.client.to_string()), "{}", error.report());
    refused(s.trash_move(&s.ns, &a, &TrashOptions::keep(Duration::ZERO), &CTL).await, ErrorKind::Blocked);
    refused(s.rename(&s.ns, &a, &n("z"), &CTL).await, ErrorKind::Blocked);
    assert_eq!(s.found(&a.name).await, Some(a.clone()));
    // Reading and cloning change nothing of it.
    s.at(&a, "s").await.holds(&[(MIB, 1)]).await;
    let c = s.clone_of(&a, "s", "c").await;
    s.remove(&s.ns, &c, &CTL).await.unwrap();
    let b = s.volume("b", MIB).await;
    let rb = s.reader(&b).await;
    rb.add_lock(&n("x"), None, &CTL).await.unwrap();
    rb.shut().await;
    refused(s.remove(&s.ns, &b, &CTL).await, ErrorKind::Blocked);
    let rb = s.reader(&b).await;
    break_all(&rb).await;
    rb.shut().await;
    s.remove(&s.ns, &b, &CTL).await.unwrap();
    break_all(&r).await;
    r.shut().await;
    s.writer(&a).await.fill(0, MIB, 2).await;
}

pub(super) async fn a_writer_keeps_locks_away(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let r = s.reader(&a).await;
    // Before the writer's first write, and after it.
    for first in [true, false] {
        let w = s.writer(&a).await;
        if !first {
            w.fill(0, MIB, 1).await;
        }
        refused(r.add_lock(&n("x"), None, &CTL).await, ErrorKind::Blocked);
        refused(w.add_lock(&n("x"), None, &CTL).await, ErrorKind::Blocked);
        assert_eq!(r.lockers(&CTL).await.unwrap(), []);
        w.fill(0, MIB, 2).await;
        w.shut().await;
    }
    r.add_lock(&n("x"), None, &CTL).await.unwrap();
    break_all(&r).await;
}

pub(super) async fn strange_cookies_are_usage(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let r = s.reader(&a).await;
    for cookie in ["", "auto 1", "a\0b"] {
        refused(r.add_lock(&n(cookie), None, &CTL).await, ErrorKind::Usage);
    }
    let odd = volary::Name::from_bytes(b"\xff /@".as_slice());
    let lock = r.add_lock(&odd, Some(&odd), &CTL).await.unwrap();
    assert_eq!((lock.cookie, lock.tag), (odd.clone(), Some(odd)));
    break_all(&r).await;
}

pub(super) async fn it_outlives_the_handle(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let r = s.reader(&a).await;
    let lock = r.add_lock(&n("x"), None, &CTL).await.unwrap();
    r.shut().await;
    let r = s.reader(&a).await;
    assert_eq!(r.lockers(&CTL).await.unwrap(), [lock]);
    break_all(&r).await;
}

pub(super) async fn locks_of_a_snapshots_handle(s: &Stage) {
    let a = s.parent("a", MIB, 1).await;
    let at = s.at(&a, "s").await;
    // The volume is what is locked.
    at.add_lock(&n("x"), None, &CTL).await.unwrap();
    assert_eq!(s.reader(&a).await.lockers(&CTL).await.unwrap().len(), 1);
    break_all(&at).await;
}
