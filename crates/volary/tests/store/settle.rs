//! Bulk removal, who holds what, orphans, and what becomes of what is pending.

use super::scene::Scene;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use volary::engine::{HolderKind, OpenOptions, Volume};
use volary::{
    ErrorKind, Name, NamePattern, OrphanClass, Outcome, ReapOptions, ReapOutcome, RemoveOptions, VolumeSpec,
};

async fn held(f: &Scene, volume: &str) -> Arc<dyn Volume> {
    let spec = f.spec(volume);
    f.engine.open(&spec.namespace, &spec.volume, &OpenOptions::write(), &f.ctl).await.unwrap()
}

/// Three hundred clones of a snapshot.
async fn clones(f: &Scene) -> Vec<VolumeSpec> {
    f.create("base").await;
    f.snapshot("base@s", true).await;
    let clones: Vec<_> = (100..400).map(|number| f.spec(&format!("clone-{number}"))).collect();
    let golden = &f.spec("base@s");
    let make = |clone| async move { f.store.clone_volume(golden, clone, &f.ctl).await.unwrap() };
    stream::iter(&clones).map(make).buffer_unordered(16).for_each(|_| std::future::ready(())).await;
    clones
}

/// Changes the record of the one intent there is.
pub(super) async fn rewrite(f: &Scene, edit: impl FnOnce(&mut Value)) {
    let records = f.engine.records(&f.home(), "intent.", b"", 9, &f.ctl).await.unwrap().records;
    let [record] = &records[..] else { panic!("{records:?}") };
    let mut intent: Value = serde_json::from_slice(&record.value).unwrap();
    edit(&mut intent);
    let new = serde_json::to_vec(&intent).unwrap();
    let (home, old) = (f.home(), Some(record.value.as_slice()));
    assert!(f.engine.swap_record(&home, &record.key, old, Some(&new), &f.ctl).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn s02_of_many_one_that_is_held_is_blocked_and_the_others_go() {
    let f = Scene::new().await;
    clones(&f).await;
    let holder = held(&f, "clone-200").await;
    let pattern = NamePattern::new("clone-*").unwrap();
    let clones = f.store.matching(&f.home(), &pattern, &f.ctl).await.unwrap();
    assert_eq!(clones.len(), 300);
    // On the local engine what is just looked at is held for a moment.
    let wait = Duration::from_secs(3);
    let options = RemoveOptions { if_exists: true, wait, ..RemoveOptions::default() };
    let planned = f.store.cleanup(&clones, &options, 16, true, &f.ctl).await;
    let not_planned: Vec<_> = planned.iter().filter(|of| of.outcome != Outcome::Planned).collect();
    assert_eq!(not_planned.len(), 1, "{not_planned:?}");
    assert_eq!(f.names().await.len(), 301, "a dry run changes nothing");
    let reports = f.store.cleanup(&clones, &options, 16, false, &f.ctl).await;
    let not_removed: Vec<_> = reports.iter().filter(|of| of.outcome != Outcome::Removed).collect();
    assert_eq!(not_removed.len(), 1, "{not_removed:?}");
    let blocked: Vec<_> = reports.iter().filter(|of| of.outcome == Outcome::Blocked).collect();
    assert_eq!((blocked.len(), &blocked[0].volume), (1, &f.spec("clone-200")));
    assert_eq!(blocked[0].error().unwrap().kind(), ErrorKind::Blocked);
    assert!(f.store.pending(&f.home(), &f.ctl).await.unwrap().is_empty(), "no order is left behind");
    // Told to retry later, it stays in the journal, and goes when nothing holds it any more.
    let later = RemoveOptions { retry_later: true, ..options.clone() };
    let reports = f.store.cleanup(&clones, &later, 16, false, &f.ctl).await;
    assert_eq!(reports.iter().filter(|of| of.outcome == Outcome::Absent).count(), 299);
    let blocked = reports.iter().find(|of| of.outcome == Outcome::Blocked).unwrap();
    assert!(blocked.pending);
    assert_eq!(blocked.error().unwrap().kind(), ErrorKind::Partial);
    // Asked for again it is the same order, not another.
    let again = RemoveOptions { wait: Duration::ZERO, ..later };
    assert!(f.store.remove(&f.spec("clone-200"), &again, &f.ctl).await.unwrap().pending);
    assert_eq!(f.store.pending(&f.home(), &f.ctl).await.unwrap().len(), 1);
    let quick = ReapOptions { wait: Duration::ZERO, ..ReapOptions::default() };
    let reports = f.store.reap(&[f.home()], &quick, &f.ctl).await.unwrap();
    assert_eq!((reports.len(), reports[0].outcome), (1, ReapOutcome::Pending));
    holder.close(&f.ctl).await.unwrap();
    let reports = f.store.reap(&[f.home()], &ReapOptions::default(), &f.ctl).await.unwrap();
    assert_eq!((reports.len(), reports[0].outcome), (1, ReapOutcome::Settled));
    assert_eq!(f.names().await, ["base"]);
    f.assert_nothing_hidden().await;
}

#[tokio::test]
async fn patterns_are_of_whole_names() {
    let f = Scene::new().await;
    for name in ["web", "web-1", "web-2"] {
        f.create(name).await;
    }
    for (pattern, names) in [("web", &["web"][..]), ("web-?", &["web-1", "web-2"]), ("w{x,eb}", &["web"])] {
        let pattern = NamePattern::new(pattern).unwrap();
        let found = f.store.matching(&f.home(), &pattern, &f.ctl).await.unwrap();
        assert_eq!(found, names.iter().map(|name| f.spec(name)).collect::<Vec<_>>());
    }
    assert_eq!(NamePattern::new("a[").unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_why_names_everything_that_holds_and_changes_nothing() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    let before = f.state().await;
    let why = f.store.why(&f.spec("a"), &f.ctl).await.unwrap();
    let kinds: HashSet<_> = why.holders.iter().map(|holder| holder.kind).collect();
    assert!(kinds.is_superset(&[HolderKind::Child, HolderKind::Protected, HolderKind::Snapshot].into()));
    assert!(why.holders.iter().all(|holder| !holder.remedy.is_empty()));
    assert!(f.store.why(&f.spec("b"), &f.ctl).await.unwrap().holders.is_empty());
    assert_eq!(f.state().await, before);
    let holder = held(&f, "b").await;
    let why = f.store.why(&f.spec("b"), &f.ctl).await.unwrap();
    assert_eq!(why.holders[0].kind, HolderKind::Watcher);
    holder.close(&f.ctl).await.unwrap();
    assert_eq!(f.store.why(&f.spec("gone"), &f.ctl).await.unwrap_err().kind(), ErrorKind::NotFound);
    // In trash it is found by its id.
    let moved = f.store.trash_move(&f.spec("b"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    let why = f.store.why(&f.home().volume_by_id(moved.id), &f.ctl).await.unwrap();
    assert_eq!(why.holders[0].kind, HolderKind::Trash);
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_classified_and_left_alone() {
    let f = Scene::new().await;
    let disk = "0aa61e4c-9b1a-4b0e-8c8f-5a3f6a1b2c3d_disk";
    for name in ["web", "zombie_web", disk, "empty"] {
        f.create(name).await;
    }
    f.snapshot("web@nova-resize", false).await;
    f.store.trash_move(&f.spec("empty"), Duration::ZERO, &f.ctl).await.unwrap();
    f.create("empty").await;
    let before = f.state().await;
    let known = [Name::new("web").unwrap()].into();
    let orphans = f.store.orphans(&f.home(), &known, &f.ctl).await.unwrap();
    let seen: Vec<_> = orphans.iter().map(|of| (of.class, of.volume.to_string())).collect();
    let foreign = |name: &str| (OrphanClass::ForeignDebris, f.shown(name));
    assert!(seen.contains(&foreign("zombie_web")) && seen.contains(&foreign(disk)), "{seen:?}");
    assert!(seen.contains(&foreign("web@nova-resize")), "{seen:?}");
    assert!(seen.contains(&(OrphanClass::Empty, f.shown("empty"))), "{seen:?}");
    assert!(seen.iter().any(|(class, _)| *class == OrphanClass::ExpiredTrash), "{seen:?}");
    assert_eq!(seen.len(), 5);
    assert!(orphans.iter().all(|of| of.remedy.starts_with("volary ")));
    assert_eq!(f.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_an_owner_elsewhere_is_left_alone_until_its_beat_stands_still_for_the_lease() {
    let f = Scene::new().await;
    f.create("web").await;
    let holder = held(&f, "web").await;
    let later = RemoveOptions { retry_later: true, ..RemoveOptions::default() };
    assert!(f.store.remove(&f.spec("web"), &later, &f.ctl).await.unwrap().pending);
    holder.close(&f.ctl).await.unwrap();
    let owner = json!({"host": "elsewhere", "boot_id": "b", "pid_namespace": "n", "pid": 1, "pid_start": 1, "instance": "i"});
    rewrite(&f, |intent| {
        intent["owner"] = owner;
        intent["lease_seconds"] = json!(3);
    })
    .await;
    // Its beat moves while it is watched: it is at work.
    let beat = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        rewrite(&f, |intent| intent["beat"] = json!(7)).await;
    };
    let places = [f.home()];
    let options = ReapOptions::default();
    let (reports, ()) = tokio::join!(f.store.reap(&places, &options, &f.ctl), beat);
    assert_eq!(reports.unwrap()[0].outcome, ReapOutcome::Running);
    assert_eq!(f.names().await, ["web"]);
    let pending = f.store.pending(&f.home(), &f.ctl).await.unwrap();
    assert_eq!(pending[0].owner.as_deref(), Some("elsewhere process 1"));
    // Then it stands still.
    let reports = f.store.reap(&places, &options, &f.ctl).await.unwrap();
    assert_eq!(reports[0].outcome, ReapOutcome::Settled);
    assert_eq!(f.names().await, Vec::<String>::new());
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_forgotten_only_when_nobody_works_on_it() {
    let f = Scene::new().await;
    f.create("web").await;
    let holder = held(&f, "web").await;
    let later = RemoveOptions { retry_later: true, ..RemoveOptions::default() };
    f.store.remove(&f.spec("web"), &later, &f.ctl).await.unwrap();
    holder.close(&f.ctl).await.unwrap();
    let id = f.store.pending(&f.home(), &f.ctl).await.unwrap()[0].id.clone();
    let owner = json!({"host": "elsewhere", "boot_id": "b", "pid_namespace": "n", "pid": 1, "pid_start": 1, "instance": "i"});
    rewrite(&f, |intent| intent["owner"] = owner).await;
    let refused = f.store.forget(&f.home(), &id, false, &f.ctl).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    let whole = f.store.pending_record(&f.home(), &id, &f.ctl).await.unwrap().unwrap();
    assert_eq!((&whole.id, &whole.record["id"]), (&id, &json!(id)));
    assert!(f.store.forget(&f.home(), &id, true, &f.ctl).await.unwrap());
    assert!(!f.store.forget(&f.home(), &id, true, &f.ctl).await.unwrap());
    assert_eq!(f.names().await, ["web"], "what it was about stays");
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_a_volume_renamed_since_is_not_removed_by_the_old_order() {
    let f = Scene::new().await;
    f.create("web").await;
    let holder = held(&f, "web").await;
    let later = RemoveOptions { retry_later: true, ..RemoveOptions::default() };
    f.store.remove(&f.spec("web"), &later, &f.ctl).await.unwrap();
    holder.close(&f.ctl).await.unwrap();
    let refused = f.store.rename(&f.spec("web"), &f.spec("kept"), &f.ctl).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked, "{refused:?}");
    // As another tool does it, which knows nothing of the order.
    let web = f.spec("web").volume;
    let entry = f.engine.find(&f.home(), &web, &f.ctl).await.unwrap().unwrap();
    f.engine.rename(&f.home(), &entry, &volary::Name::new("kept").unwrap(), &f.ctl).await.unwrap();
    f.create("web").await;
    let reports = f.store.reap(&[f.home()], &ReapOptions::default(), &f.ctl).await.unwrap();
    assert_eq!(reports[0].outcome, ReapOutcome::Pending);
    assert!(reports[0].error.as_deref().unwrap().contains("renamed"), "{reports:?}");
    let mut names = f.names().await;
    names.sort();
    assert_eq!(names, ["kept", "web"]);
}
