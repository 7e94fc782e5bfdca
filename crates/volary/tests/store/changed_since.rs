//! Orders that outlive a change of mind: what is left in the journal is carried out on the volume that it was given for, as that
//! was then, or waits until somebody confirms it.

use super::scene::Scene;
use super::settle::rewrite;
use futures::TryStreamExt;
use serde_json::json;
use std::time::Duration;
use volary::engine::{OpenOptions, VolumeEntry};
use volary::{
    Name, PendingListing, ReapOptions, ReapOutcome, ReapReport, RemoveOptions, SnapshotRemoveOptions,
};

async fn reap(f: &Scene, confirm: bool) -> ReapReport {
    let options = ReapOptions { wait: Duration::ZERO, confirm, ..ReapOptions::default() };
    let mut reports = f.store.reap(&[f.home()], &options, &f.ctl).await.unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

/// The one order there is.
async fn pending(f: &Scene) -> PendingListing {
    let mut pending = f.store.pending(&f.home(), &f.ctl).await.unwrap();
    assert_eq!(pending.len(), 1, "{pending:?}");
    pending.remove(0)
}

/// Orders a removal that a lock keeps from being carried out, and takes the lock away when the removal has been refused.
async fn ordered(f: &Scene, volume: &str, options: &RemoveOptions) {
    let (spec, cookie) = (f.spec(volume), Name::new("mine").unwrap());
    let lock = f.store.add_lock(&spec, &cookie, None, &f.ctl).await.unwrap();
    let later = RemoveOptions { retry_later: true, ..options.clone() };
    assert!(f.store.remove(&spec, &later, &f.ctl).await.unwrap().pending);
    f.store.break_lock(&spec, &cookie, &lock.client, &f.ctl).await.unwrap();
}

/// Renames a volume as another tool does, which knows nothing of orders.
async fn rename(f: &Scene, from: &str, to: &str) {
    let spec = f.spec(from);
    let entry = f.engine.find(&spec.namespace, &spec.volume, &f.ctl).await.unwrap().unwrap();
    f.engine.rename(&spec.namespace, &entry, &Name::new(to).unwrap(), &f.ctl).await.unwrap();
}

/// The order waits, whoever looks at it and whenever, and says why.
async fn assert_waits(f: &Scene, since: &str) {
    for _ in 0..2 {
        let report = reap(f, false).await;
        assert_eq!(report.outcome, ReapOutcome::Pending, "{report:?}");
        assert!(report.error.as_ref().unwrap().contains(since), "{report:?}");
        let of = pending(f).await;
        assert!(of.unconfirmed.as_ref().unwrap().contains(since), "{of:?}");
        assert!(!of.is_due() && of.owner.is_none(), "{of:?}");
        for command in ["pending retry --confirm", "pending forget"] {
            let whole = format!("`volary {command} {} {}`", of.id, f.home());
            assert!(of.remedy.contains(&whole) && report.hint.as_ref().unwrap().contains(&whole), "{of:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_waits_when_its_volume_was_renamed_there_and_back() {
    let f = Scene::new().await;
    f.create("web").await;
    ordered(&f, "web", &RemoveOptions::default()).await;
    rename(&f, "web", "kept").await;
    rename(&f, "kept", "web").await;
    assert_waits(&f, "without this name").await;
    assert_eq!(f.names().await, ["web"]);
    // Whoever looks at the volume sees it, with the commands that settle it.
    let of = pending(&f).await;
    let info = f.store.info(&f.spec("web"), &f.ctl).await.unwrap();
    let why = f.store.why(&f.spec("web"), &f.ctl).await.unwrap();
    let home = f.home();
    let listed: Vec<_> = f.store.list_details(&home, &f.ctl).try_collect().await.unwrap();
    for shown in [&info.pending, &why.pending, &listed[0].pending] {
        assert_eq!((shown.len(), &shown[0].id, &shown[0].remedy), (1, &of.id, &of.remedy));
    }
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_does_not_take_a_snapshot_that_is_younger() {
    let f = Scene::new().await;
    f.create("web").await;
    f.snapshot("web@old", false).await;
    ordered(&f, "web", &RemoveOptions { purge_snapshots: true, ..RemoveOptions::default() }).await;
    f.snapshot("web@new", false).await;
    assert_waits(&f, "web@new was made since").await;
    let snapshots = f.store.info(&f.spec("web"), &f.ctl).await.unwrap().snapshots;
    assert_eq!(snapshots.len(), 2);
    // It was seen to be in use: that its mark has gone is no confirmation.
    let (new, plain) = (f.spec("web@new"), SnapshotRemoveOptions::default());
    f.store.remove_snapshot(&new, plain, &f.ctl).await.unwrap();
    assert_waits(&f, "web@new was made since").await;
    let id = pending(&f).await.id;
    assert!(f.store.forget(&f.home(), &id, false, &f.ctl).await.unwrap());
    assert_eq!(f.names().await, ["web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_waits_when_a_younger_snapshot_has_come_and_gone_unseen() {
    let f = Scene::new().await;
    f.create("web").await;
    f.snapshot("web@old", false).await;
    let later = RemoveOptions { retry_later: true, ..RemoveOptions::default() };
    assert!(f.store.remove(&f.spec("web"), &later, &f.ctl).await.unwrap().pending);
    f.snapshot("web@new", false).await;
    for gone in ["web@new", "web@old"] {
        let removed = f.store.remove_snapshot(&f.spec(gone), SnapshotRemoveOptions::default(), &f.ctl).await;
        assert!(removed.unwrap().error().is_none(), "{gone}");
    }
    assert_waits(&f, "was made since that is not listed any more").await;
    assert_eq!(f.names().await, ["web"]);
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_of_format_4_compares_the_snapshots_that_are_there() {
    let f = Scene::new().await;
    f.create("web").await;
    f.snapshot("web@old", false).await;
    ordered(&f, "web", &RemoveOptions { purge_snapshots: true, ..RemoveOptions::default() }).await;
    rewrite(&f, |record| {
        record["format"] = json!(4);
        record["as_given"].as_object_mut().unwrap().remove("snapshots_made").unwrap();
    })
    .await;
    f.snapshot("web@new", false).await;
    f.store.remove_snapshot(&f.spec("web@new"), SnapshotRemoveOptions::default(), &f.ctl).await.unwrap();
    assert_eq!(reap(&f, false).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_does_not_flatten_a_clone_that_is_younger() {
    let f = Scene::new().await;
    f.family("web", "known").await;
    let all = RemoveOptions { purge_snapshots: true, flatten_children: true, ..RemoveOptions::default() };
    ordered(&f, "web", &all).await;
    f.store.clone_volume(&f.spec("web@s"), &f.spec("younger"), &f.ctl).await.unwrap();
    assert_waits(&f, "younger").await;
    assert!(f.store.info(&f.spec("known"), &f.ctl).await.unwrap().parent.is_some());
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    let mut names = f.names().await;
    names.sort();
    assert_eq!(names, ["known", "younger"]);
    assert!(f.store.info(&f.spec("younger"), &f.ctl).await.unwrap().parent.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_goes_on_once_what_blocked_it_is_gone() {
    let f = Scene::new().await;
    f.family("web", "child").await;
    f.snapshot("web@other", false).await;
    let later = RemoveOptions { retry_later: true, ..RemoveOptions::default() };
    assert!(f.store.remove(&f.spec("web"), &later, &f.ctl).await.unwrap().pending);
    assert_eq!(reap(&f, false).await.outcome, ReapOutcome::Pending);
    f.store.remove(&f.spec("child"), &RemoveOptions::default(), &f.ctl).await.unwrap();
    let force = SnapshotRemoveOptions { force: true, ..SnapshotRemoveOptions::default() };
    f.store.purge_snapshots(&f.spec("web"), force, &f.ctl).await.unwrap();
    assert_eq!(pending(&f).await.unconfirmed, None);
    assert_eq!(reap(&f, false).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_what_is_confirmed_and_blocked_is_about_the_volume_as_it_is_then() {
    let f = Scene::new().await;
    f.create("web").await;
    ordered(&f, "web", &RemoveOptions { purge_snapshots: true, ..RemoveOptions::default() }).await;
    f.snapshot("web@second", true).await;
    assert_waits(&f, "web@second").await;
    let report = reap(&f, true).await;
    assert!(report.error.as_ref().is_some_and(|error| error.contains("protected")), "{report:?}");
    assert_eq!(pending(&f).await.unconfirmed, None);
    f.snapshot("web@third", false).await;
    f.store.unprotect_snapshot(&f.spec("web@second"), &f.ctl).await.unwrap();
    assert_waits(&f, "web@third").await;
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_what_lies_in_trash_by_another_order_stays_there() {
    let f = Scene::new().await;
    f.create("web").await;
    ordered(&f, "web", &RemoveOptions::default()).await;
    let spec = f.spec("web");
    let entry = f.engine.find(&spec.namespace, &spec.volume, &f.ctl).await.unwrap().unwrap();
    let keep = volary::engine::TrashOptions::keep(Duration::from_secs(3600));
    f.engine.trash_move(&f.home(), &entry, &keep, &f.ctl).await.unwrap();
    assert_waits(&f, "put it into trash since").await;
    assert_eq!(f.store.trash(&f.home(), &f.ctl).await.unwrap().len(), 1);
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

/// An order in the journal that nobody works on, as a process that was killed a while ago leaves it.
async fn left(f: &Scene, entry: &VolumeEntry, operation: &str, work: serde_json::Value, created: &str) {
    let id = format!("{:032x}", 77);
    let record = json!({
        "format": 4, "id": id, "operation": operation, "owner": null, "beat": 7, "lease_seconds": 30,
        "volume": entry.name.to_string(), "volume_id": entry.id, "work": work, "steps": [], "attempts": 1,
        "last_error": null, "next_attempt": null, "created": created,
    });
    let (key, new) = (format!("intent.{id}"), serde_json::to_vec(&record).unwrap());
    assert!(f.engine.swap_record(&f.home(), &key, None, Some(&new), &f.ctl).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_a_rollback_of_long_ago_does_not_undo_what_was_written_since() {
    let f = Scene::new().await;
    f.create("web").await;
    f.snapshot("web@s", false).await;
    let spec = f.spec("web");
    let entry = f.engine.find(&spec.namespace, &spec.volume, &f.ctl).await.unwrap().unwrap();
    let volume = f.engine.open(&f.home(), &spec.volume, &OpenOptions::write(), &f.ctl).await.unwrap();
    let snapshot = volume.snapshots(&f.ctl).await.unwrap()[0].id;
    volume.write(0, vec![7; 4096].into(), &f.ctl).await.unwrap();
    volume.close(&f.ctl).await.unwrap();
    let work = json!({"rollback": {"snapshot": snapshot}});
    left(&f, &entry, "rollback", work, "2026-01-01T00:00:00Z").await;
    assert_waits(&f, "written to").await;
    assert_eq!(f.content("web").await[..4096], [7; 4096]);
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    assert_eq!(f.content("web").await[..4096], [0; 4096]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_what_was_restored_and_trashed_again_is_not_removed_by_the_old_order() {
    let f = Scene::new().await;
    f.create("web").await;
    let moved = f.store.trash_move(&f.spec("web"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    let entry = VolumeEntry { name: Name::new("web").unwrap(), id: moved.id };
    left(&f, &entry, "trash_remove", json!("remove_trashed"), "2026-01-01T00:00:00Z").await;
    assert_waits(&f, "put into trash again").await;
    assert_eq!(f.store.trash(&f.home(), &f.ctl).await.unwrap().len(), 1);
    rewrite(&f, |record| record["created"] = json!(jiff::Timestamp::now())).await;
    assert_eq!(reap(&f, true).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_an_order_of_an_earlier_version_says_nothing_of_the_volume_and_is_carried_out() {
    let f = Scene::new().await;
    f.create("web").await;
    ordered(&f, "web", &RemoveOptions::default()).await;
    rewrite(&f, |record| {
        record["format"] = json!(3);
        record.as_object_mut().unwrap().remove("as_given").unwrap();
    })
    .await;
    assert_eq!(reap(&f, false).await.outcome, ReapOutcome::Settled);
    f.assert_nothing_left().await;
}
