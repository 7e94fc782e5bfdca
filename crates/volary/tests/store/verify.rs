//! Verification and copies of volumes.

use super::scene::{Meanwhile, Scene};
use crate::place::Place;
use bytes::Bytes;
use volary::engine::OpenOptions;
use volary::{CopyOptions, ErrorKind, Phase};

const MIB: u64 = 1 << 20;

async fn write(scene: &Scene, volume: &str, bytes: &'static [u8]) {
    let spec = scene.spec(volume);
    let engine = &scene.engine;
    let volume = engine.open(&spec.namespace, &spec.volume, &OpenOptions::write(), &scene.ctl).await.unwrap();
    volume.write(0, Bytes::from_static(bytes), &scene.ctl).await.unwrap();
    volume.close(&scene.ctl).await.unwrap();
}

async fn with_snapshot(scene: &Scene) {
    let raw = scene.raw("disk.raw", 9 * MIB);
    let mut request = scene.request(&raw, "web");
    request.snapshot = Some(volary::Name::new("base").unwrap());
    request.protect = true;
    scene.store.import(&request, &scene.ctl).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_a_head_that_was_written_since_differs_and_its_snapshot_does_not() {
    let scene = Scene::new().await;
    with_snapshot(&scene).await;
    write(&scene, "web", b"other bytes than before").await;
    let head = scene.store.verify(&scene.spec("web"), false, &scene.ctl).await.unwrap();
    assert!(!head.matches && head.actual != head.expected);
    // Ceph tells the time of a change no more exactly than to a minute.
    assert!(head.modified || !Place::LOCAL);
    assert!(scene.store.verify(&scene.spec("web@base"), false, &scene.ctl).await.unwrap().matches);
    let json = serde_json::to_value(&head).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["actual", "expected", "id", "match", "modified", "notes", "volume"]);
    scene.store.verify(&scene.spec("web"), true, &scene.ctl).await.unwrap();
    let head = scene.store.verify(&scene.spec("web"), false, &scene.ctl).await.unwrap();
    assert!(head.matches && !head.modified);
}

/// **S9 Proof of content.** The expected digest is compared before publication; the content digest
/// ([digest.md](digest.md)) is kept with the volume; `verify` reads the volume back and compares.
#[tokio::test(flavor = "multi_thread")]
async fn s09_bytes_that_changed_behind_the_stores_back_are_found() {
    let scene = Scene::new().await;
    with_snapshot(&scene).await;
    scene.place.damage(&scene.place.objects().pop().unwrap(), 70_000);
    for volume in ["web", "web@base"] {
        match scene.store.verify(&scene.spec(volume), false, &scene.ctl).await {
            Ok(report) => assert!(!report.matches && !report.modified, "{volume}"),
            // A local store knows it by the checksums of its blocks.
            Err(error) => assert!(error.kind() == ErrorKind::Mismatch && Place::LOCAL, "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_a_record_that_a_clone_inherits_is_not_its_own() {
    let scene = Scene::new().await;
    with_snapshot(&scene).await;
    scene.store.clone_volume(&scene.spec("web@base"), &scene.spec("child"), &scene.ctl).await.unwrap();
    let error = scene.store.verify(&scene.spec("child"), false, &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.remedy().unwrap().contains("--record"));
    scene.store.verify(&scene.spec("child"), true, &scene.ctl).await.unwrap();
    let child = scene.store.verify(&scene.spec("child"), false, &scene.ctl).await.unwrap();
    let base = scene.store.verify(&scene.spec("web@base"), false, &scene.ctl).await.unwrap();
    assert!(child.matches && child.actual == base.actual);
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_a_copy_is_whole_independent_and_recorded() {
    let scene = Scene::new().await;
    with_snapshot(&scene).await;
    let base = scene.content("web@base").await;
    write(&scene, "web", b"newer").await;
    let report = scene
        .store
        .copy(&scene.spec("web@base"), &scene.spec("copy"), CopyOptions::default(), &scene.ctl)
        .await
        .unwrap();
    assert!(report.verified && scene.content("copy").await == base);
    let verified = scene.store.verify(&scene.spec("copy"), false, &scene.ctl).await.unwrap();
    assert!(verified.matches && verified.actual == report.digest);
    let error = scene
        .store
        .copy(&scene.spec("web"), &scene.spec("copy"), CopyOptions::default(), &scene.ctl)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(scene.content("copy").await == base);
    let missing = scene
        .store
        .copy(&scene.spec("web@none"), &scene.spec("other"), CopyOptions::default(), &scene.ctl)
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    scene.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_cancelled_copy_leaves_nothing() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 80 * MIB);
    scene.store.import(&scene.request(&raw, "web"), &scene.ctl).await.unwrap();
    let before = scene.place.objects().len();
    let ctl = volary::Ctl::new();
    let token = ctl.cancel_token().clone();
    let ctl = ctl.watched_by(Meanwhile::new(Phase::Copy, move || token.cancel()));
    let error = scene
        .store
        .copy(&scene.spec("web"), &scene.spec("copy"), CopyOptions::default(), &ctl)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(scene.names().await, ["web"]);
    scene.assert_nothing_hidden().await;
    assert_eq!(scene.place.objects().len(), before);
}

#[tokio::test]
async fn a_snapshot_that_is_removed_takes_its_digest_along() {
    let scene = Scene::new().await;
    with_snapshot(&scene).await;
    let kept = async || {
        let metadata = scene.store.metadata(&scene.spec("web"), &scene.ctl).await.unwrap();
        metadata.iter().filter(|(key, _)| key.starts_with(b"volary.digest.")).count()
    };
    assert_eq!(kept().await, 2);
    let options = volary::SnapshotRemoveOptions { force: true, ..Default::default() };
    let outcome = scene.store.remove_snapshot(&scene.spec("web@base"), options, &scene.ctl).await.unwrap();
    assert_eq!((outcome.outcome, kept().await), (volary::Outcome::Removed, 1), "{outcome:?}");
}
