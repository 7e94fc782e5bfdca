//! Looking twice, in slices, and at a store that stops answering.

use super::scene::Scene;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use volary::engine::{CreateOptions, Engine, FindingKind};
use volary::{CheckRequest, Ctl, ErrorKind, Namespace, SliceChecker, Store, StoreCheckReport};
use volary_testkit::fault::{Fault, Faults};

/// A record of the journal that no version writes.
const NONE: &str = "intent.nonsense";

async fn swap(engine: &Arc<dyn Engine>, home: &Namespace, old: Option<&[u8]>, new: Option<&[u8]>) {
    assert!(engine.swap_record(home, NONE, old, new, &Ctl::new()).await.unwrap());
}

async fn put(scene: &Scene) {
    swap(&scene.engine, &scene.home(), None, Some(b"{}")).await;
}

async fn take_away(scene: &Scene) {
    swap(&scene.engine, &scene.home(), Some(b"{}"), None).await;
}

async fn check(scene: &Scene, store: &Store) -> StoreCheckReport {
    let mut request = CheckRequest::default();
    request.pause = Duration::ZERO;
    store.check(&[scene.home()], &request, &scene.ctl).await
}

fn kinds(report: &StoreCheckReport) -> Vec<FindingKind> {
    report.findings.iter().map(|of| of.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_one_of_two_looks_has_is_no_finding() {
    let scene = Scene::new().await;
    scene.create("web").await;
    put(&scene).await;
    assert_eq!(kinds(&check(&scene, &scene.store).await), [FindingKind::RecordInvalid]);
    // The store, the namespace, and before the second look at that somebody takes the record away.
    let (looks, engine, home) = (AtomicUsize::new(0), scene.engine.clone(), scene.home());
    let store = scene.faulty(move |method| {
        if method == "check" && looks.fetch_add(1, Ordering::SeqCst) == 2 {
            let gone = swap(&engine, &home, Some(b"{}"), None);
            std::thread::scope(|scope| {
                let away = || tokio::runtime::Runtime::new().unwrap().block_on(gone);
                scope.spawn(away).join().unwrap();
            });
        }
        Ok(())
    });
    let report = check(&scene, &store).await;
    assert_eq!((kinds(&report), report.complete, report.volumes), (vec![], true, 1));
    assert_eq!(scene.store.pending(&scene.home(), &scene.ctl).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_called_nobodys_only_when_the_whole_journal_was_read() {
    let scene = Scene::new().await;
    let staging = volary::Name::new("volary-staging-0").unwrap();
    let options = CreateOptions::new(8 << 20).in_trash(Duration::from_secs(3600));
    let id = scene.engine.create(&scene.home(), &staging, &options, &scene.ctl).await.unwrap();
    assert_eq!(kinds(&check(&scene, &scene.store).await), [FindingKind::StagingWithoutIntent]);
    put(&scene).await;
    assert_eq!(kinds(&check(&scene, &scene.store).await), [FindingKind::RecordInvalid]);
    take_away(&scene).await;
    scene.engine.trash_remove(&scene.home(), &id, true, &scene.ctl).await.unwrap();
    assert_eq!(kinds(&check(&scene, &scene.store).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_in_slices_finds_each_thing_once_and_begins_again() {
    let scene = Scene::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        scene.create(name).await;
    }
    put(&scene).await;
    let mut checker = SliceChecker::new(scene.store.clone(), scene.home());
    let mut passes = Vec::new();
    for round in 0..9 {
        // During the first slice of the second pass.
        if round == 4 {
            take_away(&scene).await;
        }
        let slice = checker.slice(2, 2, &scene.ctl).await.unwrap();
        let found = slice.complete.map(|found| found.into_iter().map(|of| of.kind).collect::<Vec<_>>());
        passes.push((slice.volumes, found));
    }
    let last = |found: &[FindingKind]| (1, Some(found.to_vec()));
    let (some, none) = (last(&[FindingKind::RecordInvalid]), last(&[]));
    let go_on = (2, None);
    assert_eq!(passes[..3], [go_on.clone(), go_on.clone(), some]);
    assert_eq!(passes[3..6], [go_on.clone(), go_on.clone(), none.clone()], "seen once only");
    assert_eq!(passes[6..], [go_on.clone(), go_on, none]);
    // All at once: a slice more looks again at what was found.
    put(&scene).await;
    let slice = checker.slice(100, 2, &scene.ctl).await.unwrap();
    assert_eq!((slice.volumes, slice.complete), (5, None));
    let slice = checker.slice(100, 2, &scene.ctl).await.unwrap();
    assert_eq!((slice.volumes, slice.complete.unwrap().len()), (0, 1));
    take_away(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_failed_is_made_again() {
    let scene = Scene::new().await;
    for name in ["a", "b", "c"] {
        scene.create(name).await;
    }
    for call in 0..6 {
        let faulty = Faults::at(call, Fault::Fail(ErrorKind::Unreachable)).over(scene.engine.clone());
        let mut checker = SliceChecker::new(Store::over(faulty), scene.home());
        let (mut volumes, mut failed, mut complete) = (0, 0, false);
        while !complete {
            match checker.slice(2, 1, &scene.ctl).await {
                Ok(slice) => (volumes, complete) = (volumes + slice.volumes, slice.complete.is_some()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unreachable);
                    failed += 1;
                }
            }
        }
        assert_eq!((volumes, failed), (3, 1), "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_whose_store_stops_answering_says_so_and_finds_nothing_more() {
    let scene = Scene::new().await;
    scene.family("web", "child").await;
    put(&scene).await;
    let mut outcomes = BTreeSet::new();
    for call in 0.. {
        let faults = Faults::at(call, Fault::Fail(ErrorKind::Unreachable));
        let store = Store::over(faults.over(scene.engine.clone()));
        let report = check(&scene, &store).await;
        if faults.calls() <= call {
            assert_eq!(kinds(&report), [FindingKind::RecordInvalid]);
            break;
        }
        let error = report.error().unwrap();
        assert_eq!((error.kind(), report.complete), (ErrorKind::Unreachable, false), "{call}");
        assert!(kinds(&report).iter().all(|kind| *kind == FindingKind::RecordInvalid));
        outcomes.insert(report.volumes);
    }
    assert!(outcomes.len() > 1, "it failed before and after volumes were looked at: {outcomes:?}");
    take_away(&scene).await;
    let request = CheckRequest::default();
    scene.ctl.cancel_token().cancel();
    let report = scene.store.check(&[scene.home()], &request, &scene.ctl).await;
    assert_eq!(report.error().unwrap().kind(), ErrorKind::Interrupted);
}
