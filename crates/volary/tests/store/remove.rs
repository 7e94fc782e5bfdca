//! Removing volumes: no false success (S2), plan first (S3), cancelling (S5).

use super::scene::Scene;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use volary::engine::{HolderKind, OpenOptions, Volume};
use volary::{Ctl, Error, ErrorKind, Name, Outcome, RemoveOptions, RemoveReport, StepOutcome, Target};

fn purge() -> RemoveOptions {
    RemoveOptions { purge_snapshots: true, ..Default::default() }
}

/// Refuses, names the blockers, and leaves everything as it was; the dry run says the same.
async fn refused(f: &Scene, volume: &str, options: &RemoveOptions, kinds: &[HolderKind]) -> RemoveReport {
    let before = f.state().await;
    let planned = f.store.plan_remove(&f.spec(volume), options, &f.ctl).await.unwrap();
    let report = f.store.remove(&f.spec(volume), options, &f.ctl).await.unwrap();
    assert_eq!(f.state().await, before, "a refused plan changes nothing");
    let found: Vec<_> = report.blockers.iter().map(|blocker| blocker.kind).collect();
    assert_eq!((report.outcome, found.as_slice()), (Outcome::Blocked, kinds));
    assert_eq!(planned.blockers, report.blockers);
    assert!(report.blockers.iter().all(|blocker| !blocker.remedy.is_empty()));
    assert!(report.steps.is_empty());
    let error = report.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Blocked);
    assert!(error.message().contains(&report.blockers[0].detail));
    report
}

async fn open(f: &Scene, volume: &str, options: &OpenOptions) -> Arc<dyn Volume> {
    let target = Target::Name(Name::from_bytes(volume));
    f.engine.open(&f.home(), &target, options, &f.ctl).await.unwrap()
}

#[tokio::test]
async fn a_volume_is_removed_and_its_report_says_how() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", false).await;
    f.snapshot("a@2", false).await;
    let planned = f.store.plan_remove(&f.spec("a"), &purge(), &f.ctl).await.unwrap();
    assert_eq!(planned.outcome, Outcome::Planned);
    assert!(planned.error().is_none() && f.store.exists(&f.spec("a@1"), &f.ctl).await.unwrap());
    let report = f.store.remove(&f.spec("a"), &purge(), &f.ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Removed);
    assert!(report.error().is_none());
    let steps: Vec<_> = report
        .steps
        .iter()
        .map(|s| format!("{} {}", s.action, s.target).replace(&f.home().to_string(), "H"))
        .collect();
    assert_eq!(steps, ["remove_snapshot H/a@1", "remove_snapshot H/a@2", "move_to_trash H/a", "remove H/a"]);
    assert!(report.steps.iter().all(|step| step.outcome == StepOutcome::Done));
    assert!(!f.store.exists(&f.spec("a"), &f.ctl).await.unwrap());
}

#[tokio::test]
async fn s02_an_absent_volume_is_an_error_unless_it_may_be() {
    let f = Scene::new().await;
    let report = f.store.remove(&f.spec("a"), &RemoveOptions::default(), &f.ctl).await.unwrap();
    assert_eq!((report.outcome, report.error().unwrap().kind()), (Outcome::Absent, ErrorKind::NotFound));
    let fine = RemoveOptions { if_exists: true, ..Default::default() };
    let report = f.store.remove(&f.spec("a"), &fine, &f.ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Absent);
    assert!(report.error().is_none());
    let elsewhere = f.store.remove(&f.spec("nowhere/a"), &fine, &f.ctl).await;
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::NotFound, "a wrong pool is no absent volume");
}

#[tokio::test]
async fn s03_snapshots_and_protection_block() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", false).await;
    refused(&f, "a", &RemoveOptions::default(), &[HolderKind::Snapshot]).await;
    f.snapshot("a@2", true).await;
    // The first snapshot could go, and stays all the same.
    let report = refused(&f, "a", &purge(), &[HolderKind::Protected]).await;
    assert_eq!(report.blockers[0].remedy, format!("`volary snap unprotect {}`", f.shown("a@2")));
    f.store.unprotect_snapshot(&f.spec("a@2"), &f.ctl).await.unwrap();
    assert_eq!(f.store.remove(&f.spec("a"), &purge(), &f.ctl).await.unwrap().outcome, Outcome::Removed);
}

/// **S3 Plan first.** Removal reads everything first: snapshots, children in all pools and in trash, locks,
/// open handles. A plan that cannot finish changes nothing. Each step checks identity by volume id again,
/// never by name alone. What cannot be seen is a blocker of kind `unknown`, never "none". A refused plan
/// leaves no order behind.
#[tokio::test]
async fn s03_clones_block_wherever_they_are() {
    let f = Scene::new().await;
    let child = format!("{}/b", f.place.elsewhere(&f.store).await);
    f.family("a", &child).await;
    let both = [HolderKind::Child, HolderKind::Protected];
    let report = refused(&f, "a", &purge(), &both).await;
    assert!(report.blockers[0].detail.contains(&child), "{report:?}");

    let moved = f.store.trash_move(&f.spec(&child), Duration::ZERO, &f.ctl).await.unwrap();
    let report = refused(&f, "a", &purge(), &both).await;
    let child = &report.blockers[0];
    assert!(
        child.detail.contains("trash") && child.remedy.contains(&format!("id:{}", moved.id)),
        "{child:?}"
    );
    assert!(f.store.children(&f.spec("a"), &f.ctl).await.unwrap()[0].trash);
}

#[tokio::test]
async fn clones_are_flattened_when_asked_in_trash_too() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    f.store.clone_volume(&f.spec("a@s"), &f.spec("c"), &f.ctl).await.unwrap();
    f.store.trash_move(&f.spec("c"), Duration::ZERO, &f.ctl).await.unwrap();
    let options = RemoveOptions { flatten_children: true, ..purge() };
    let report = f.store.remove(&f.spec("a"), &options, &f.ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Removed, "{report:?}");
    assert_eq!(f.store.parent(&f.spec("b"), &f.ctl).await.unwrap(), None);
}

#[tokio::test]
async fn s02_an_open_handle_blocks_and_it_is_named() {
    let f = Scene::new().await;
    f.create("a").await;
    let readers_hold = f.store.describe(&f.ctl).await.unwrap().readers_hold;
    for options in
        [OpenOptions::write(), OpenOptions::read(None)].into_iter().take(1 + usize::from(readers_hold))
    {
        let held = open(&f, "a", &options).await;
        let report = refused(&f, "a", &RemoveOptions::default(), &[HolderKind::Watcher]).await;
        let holder = f.place.holder();
        assert!(report.blockers[0].detail.contains(&holder), "{report:?}");
        held.close(&f.ctl).await.unwrap();
    }
    let report = f.store.remove(&f.spec("a"), &RemoveOptions::default(), &f.ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Removed);
}

#[tokio::test]
async fn s03_an_open_clone_blocks_before_anything_is_flattened() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    f.store.clone_volume(&f.spec("a@s"), &f.spec("c"), &f.ctl).await.unwrap();
    let held = open(&f, "c", &OpenOptions::write()).await;
    let options = RemoveOptions { flatten_children: true, ..purge() };
    refused(&f, "a", &options, &[HolderKind::Watcher]).await;
    held.close(&f.ctl).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_goes_is_waited_for() {
    let f = Scene::new().await;
    f.create("a").await;
    let held = open(&f, "a", &OpenOptions::write()).await;
    // The holder lets go once the removal has looked at it.
    let (tx, rx) = tokio::sync::oneshot::channel();
    let tx = std::sync::Mutex::new(Some(tx));
    let store = f.faulty(move |call| {
        if call == "holders" {
            let _ = tx.lock().unwrap().take().map(|tx| tx.send(()));
        }
        Ok(())
    });
    let options = RemoveOptions { wait: Duration::from_secs(600), ..Default::default() };
    let (volume, ctl) = (f.spec("a"), f.ctl.clone());
    let (report, ()) = tokio::join!(store.remove(&volume, &options, &ctl), async {
        rx.await.unwrap();
        held.close(&f.ctl).await.unwrap();
    });
    assert_eq!(report.unwrap().outcome, Outcome::Removed);
}

#[tokio::test]
async fn s05_waiting_for_a_holder_ends_when_cancelled() {
    let f = Scene::new().await;
    f.create("a").await;
    let held = open(&f, "a", &OpenOptions::write()).await;
    let ctl = Ctl::new();
    let token = ctl.cancel_token().clone();
    let store = f.faulty(move |call| {
        if call == "holders" {
            token.cancel();
        }
        Ok(())
    });
    let options = RemoveOptions { wait: Duration::from_secs(600), ..Default::default() };
    let error = store.remove(&f.spec("a"), &options, &ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    held.close(&f.ctl).await.unwrap();
    assert!(f.store.exists(&f.spec("a"), &f.ctl).await.unwrap());
}

#[tokio::test]
async fn s02_what_may_not_be_seen_blocks_as_unknown() {
    let f = Scene::new().await;
    f.create("a").await;
    let without = |hidden: &'static [&'static str]| {
        f.faulty(move |call| match hidden.contains(&call) {
            true => Err(Error::new(ErrorKind::Permission, "not yours to see")),
            false => Ok(()),
        })
    };
    for hidden in [&["unheld", "children"], &["unheld", "holders"], &["unheld", "snapshots"]] {
        let store = without(hidden);
        let report = store.remove(&f.spec("a"), &RemoveOptions::default(), &f.ctl).await.unwrap();
        assert_eq!((report.outcome, report.blockers[0].kind), (Outcome::Blocked, HolderKind::Unknown));
        assert_eq!(report.error().unwrap().kind(), ErrorKind::Permission);
        assert!(f.store.exists(&f.spec("a"), &f.ctl).await.unwrap());
    }
    // What a glance is refused, a look may tell.
    let report = without(&["unheld"]).remove(&f.spec("a"), &RemoveOptions::default(), &f.ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Removed);
}

/// Whether a volume, and not another of its name, is under its name or in trash.
async fn is_there(f: &Scene, name: &str) -> bool {
    let trash = f.store.trash(&f.home(), &f.ctl).await.unwrap();
    trash.iter().any(|of| of.name == Name::from_bytes(name))
        || f.store.exists(&f.spec(name), &f.ctl).await.unwrap()
}

/// A volume `a` with a clone `b`, and the state they are in: the one left untouched by the last round, or new.
async fn family(untouched: &mut Option<(Scene, serde_json::Value)>) -> (Scene, serde_json::Value) {
    if let Some(whole) = untouched.take() {
        return whole;
    }
    let f = Scene::new().await;
    f.family("a", "b").await;
    let before = f.state().await;
    (f, before)
}

/// **S2 No false success.** Every destructive operation ends in a typed outcome: `removed`, `deferred` (in
/// trash until a time), `absent`, `blocked` (by whom, and the remedy), `failed`. Success while data stays is
/// a defect of the highest rank.
///
/// Lets the n-th call of a removal fail, for every n: "removed" is said only when the volume is gone, and an error
/// that leaves no report only when nothing was changed.
#[tokio::test]
async fn s02_whatever_call_fails_success_is_never_reported_while_the_volume_stays() {
    for kind in [ErrorKind::Unreachable, ErrorKind::Blocked, ErrorKind::Permission, ErrorKind::NotFound] {
        let mut untouched = None;
        for fails in 0.. {
            let (f, before) = family(&mut untouched).await;
            let calls = Arc::new(AtomicUsize::new(0));
            let counter = calls.clone();
            let store = f.faulty(move |_| match counter.fetch_add(1, Ordering::Relaxed) == fails {
                true => Err(Error::new(kind, "made to fail")),
                false => Ok(()),
            });
            let options = RemoveOptions { flatten_children: true, ..purge() };
            let result = store.remove(&f.spec("a"), &options, &f.ctl).await;
            let there = is_there(&f, "a").await;
            match result {
                Ok(report) => {
                    assert_eq!(report.outcome == Outcome::Removed, !there, "{kind} at {fails}: {report:?}");
                    assert_eq!(report.error().is_some(), there, "{kind} at {fails}: {report:?}");
                    assert_ne!(report.outcome, Outcome::Absent, "{kind} at {fails}: {report:?}");
                    if report.steps.is_empty() {
                        assert_eq!(f.state().await, before, "{kind} at {fails}");
                    }
                }
                Err(_) => assert_eq!(f.state().await, before, "{kind} at {fails}"),
            }
            assert!(f.store.exists(&f.spec("b"), &f.ctl).await.unwrap());
            if calls.load(Ordering::Relaxed) <= fails {
                assert!(fails > 10, "the loop saw only {fails} calls");
                break;
            }
            untouched = (f.state().await == before).then_some((f, before));
        }
    }
}

#[tokio::test]
async fn s05_a_removal_cancelled_at_any_call_says_how_far_it_came() {
    let mut untouched = None;
    for cancelled in 0.. {
        let (f, before) = family(&mut untouched).await;
        let ctl = Ctl::new();
        let (calls, token) = (Arc::new(AtomicUsize::new(0)), ctl.cancel_token().clone());
        let counter = calls.clone();
        let store = f.faulty(move |_| {
            if counter.fetch_add(1, Ordering::Relaxed) == cancelled {
                token.cancel();
            }
            Ok(())
        });
        // What an abandoned call of the last round still holds is let go in a moment.
        let wait = Duration::from_secs(600);
        let options = RemoveOptions { flatten_children: true, wait, ..purge() };
        match store.remove(&f.spec("a"), &options, &ctl).await {
            Ok(report) if report.outcome == Outcome::Removed => {
                assert!(!f.store.exists(&f.spec("a"), &f.ctl).await.unwrap());
            }
            Ok(report) => {
                let kind = if report.pending { ErrorKind::Partial } else { ErrorKind::Interrupted };
                assert_eq!(report.error().unwrap().kind(), kind, "at {cancelled}: {report:?}");
                assert!(is_there(&f, "a").await);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Interrupted);
                assert_eq!(f.state().await, before);
            }
        }
        if calls.load(Ordering::Relaxed) <= cancelled {
            break;
        }
        untouched = (f.state().await == before).then_some((f, before));
    }
}

#[tokio::test]
async fn s03_each_step_checks_the_id_not_the_name() {
    let f = Scene::new().await;
    f.create("a").await;
    // Between plan and removal another volume takes the name.
    let (engine, home) = (f.engine.clone(), f.home());
    let finds = Arc::new(AtomicUsize::new(0));
    let counter = finds.clone();
    let store = f.faulty(move |call| {
        if call == "find" && counter.fetch_add(1, Ordering::Relaxed) == 1 {
            let (engine, namespace) = (engine.clone(), home.clone());
            let swap = async move {
                let ctl = Ctl::new();
                let (a, old) = (Name::from_bytes("a"), Name::from_bytes("old"));
                let entry = engine.find(&namespace, &Target::Name(a.clone()), &ctl).await.unwrap().unwrap();
                engine.rename(&namespace, &entry, &old, &ctl).await.unwrap();
                let options = volary::engine::CreateOptions::new(4096);
                engine.create(&namespace, &a, &options, &ctl).await.unwrap();
            };
            std::thread::scope(|threads| {
                let run = || {
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(swap)
                };
                threads.spawn(run).join().unwrap();
            });
        }
        Ok(())
    });
    let report = store.remove(&f.spec("a"), &RemoveOptions::default(), &f.ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    assert!(f.store.exists(&f.spec("a"), &f.ctl).await.unwrap());
    assert!(f.store.exists(&f.spec("old"), &f.ctl).await.unwrap());
}

#[tokio::test]
async fn s02_a_deferred_removal_says_until_when_and_can_be_taken_back() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", false).await;
    let week = Duration::from_secs(7 * 86_400);
    let plain = RemoveOptions { defer: Some(week), ..Default::default() };
    refused(&f, "a", &plain, &[HolderKind::Snapshot]).await;
    let report = f
        .store
        .remove(&f.spec("a"), &RemoveOptions { purge_snapshots: true, ..plain }, &f.ctl)
        .await
        .unwrap();
    assert_eq!(report.outcome, Outcome::Deferred);
    assert!(report.until.is_some() && report.error().is_none());
    assert!(!f.store.exists(&f.spec("a"), &f.ctl).await.unwrap());
    let by_id = f.home().volume_by_id(report.id.unwrap());
    // By id it is found in trash, and is not removed behind the back of the deferment.
    let again = f.store.remove(&by_id, &purge(), &f.ctl).await.unwrap();
    assert_eq!((again.outcome, again.blockers[0].kind), (Outcome::Blocked, HolderKind::Trash));
    f.store.trash_restore(&by_id, None, &f.ctl).await.unwrap();
    assert!(f.store.exists(&f.spec("a@1"), &f.ctl).await.unwrap());
    assert!(f.store.metadata(&f.spec("a"), &f.ctl).await.unwrap().is_empty());
}

#[tokio::test]
async fn reports_have_the_published_keys() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", false).await;
    let report = f.store.remove(&f.spec("a"), &RemoveOptions::default(), &f.ctl).await.unwrap();
    let json = serde_json::to_value(&report).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json), ["blockers", "id", "notes", "outcome", "pending", "steps", "until", "volume"]);
    assert_eq!(keys(&json["blockers"][0]), ["address", "client", "detail", "kind", "remedy"]);
    assert_eq!(json["volume"], f.shown("a"));
    assert_eq!(json["outcome"], "blocked");
}
