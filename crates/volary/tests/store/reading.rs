//! What vanishes, is lost or has other bytes while it is read: an error, never zeros, and nothing is published.

use super::scene::Scene;
use crate::place::Place;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use volary::engine::{OpenOptions, Volume};
use volary::{
    CopyOptions, Ctl, Error, ErrorKind, ExportReport, ExportRequest, ExportTarget, Result, Store, VolumeSpec,
};

const BLOCK: usize = 4 << 20;

fn data(blocks: usize) -> Bytes {
    let block = |number: usize| {
        let pattern: Vec<u8> = (0..251).map(|at| (number + at + 1) as u8).collect();
        let mut block = pattern.repeat(BLOCK / pattern.len() + 1);
        block.truncate(BLOCK);
        block
    };
    (0..blocks).map(block).collect::<Vec<_>>().concat().into()
}

async fn open(scene: &Scene, spec: &VolumeSpec, options: OpenOptions) -> Arc<dyn Volume> {
    scene.engine.open(&spec.namespace, &spec.volume, &options, &scene.ctl).await.unwrap()
}

/// A volume of data that nothing is recorded of, kept by a snapshot alone if there is to be one.
async fn unrecorded(scene: &Scene, name: &str, snapshot: bool) {
    let (spec, content) = (scene.spec(name), data(3));
    scene.store.create(&spec, content.len() as u64, &scene.ctl).await.unwrap();
    let volume = open(scene, &spec, OpenOptions::write()).await;
    volume.write(0, content, &scene.ctl).await.unwrap();
    volume.flush(&scene.ctl).await.unwrap();
    if snapshot {
        volume.create_snapshot(&volary::Name::new("s").unwrap(), &scene.ctl).await.unwrap();
        volume.resize(0, &scene.ctl).await.unwrap();
    }
    volume.close(&scene.ctl).await.unwrap();
}

/// Removes the snapshot or volume; the objects are gone then.
async fn remove(scene: &Scene, spec: &VolumeSpec) -> Result<()> {
    let (engine, ctl) = (&scene.engine, &scene.ctl);
    let Some(snapshot) = &spec.snapshot else {
        let entry = engine.find(&spec.namespace, &spec.volume, ctl).await?.unwrap();
        return engine.remove(&spec.namespace, &entry, ctl).await.map(drop);
    };
    let witness = open(scene, spec, OpenOptions::read(Some(snapshot.clone()))).await;
    let before = if Place::LOCAL { None } else { Some(witness.read(0, 16, ctl).await?) };
    if Place::LOCAL {
        witness.close(ctl).await?;
    }
    let volume = open(scene, spec, OpenOptions::write()).await;
    let removed = volume.remove_snapshot(snapshot, ctl).await;
    volume.close(ctl).await?;
    removed?;
    // The OSDs take the objects away when they find the time.
    while before.as_ref().is_some_and(|before| before.iter().any(|byte| *byte != 0)) {
        if witness.read(0, 16, ctl).await?.iter().all(|byte| *byte == 0) {
            break;
        }
        tokio::task::yield_now().await;
    }
    witness.close(ctl).await
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reads {
    Export,
    Copy,
    Verify,
}

impl Reads {
    /// What comes out, as the bytes or the digest of them.
    async fn run(self, scene: &Scene, store: &Store, spec: &VolumeSpec, number: usize) -> Result<String> {
        match self {
            Reads::Export => {
                let file = scene.path(&format!("out-{number}"));
                let request = ExportRequest::new(spec.clone(), ExportTarget::File(file.clone()));
                let done = store.export(request, &scene.ctl).await;
                assert_eq!(done.is_ok(), file.exists(), "a file appears exactly when it is whole");
                let report = done?;
                assert!(std::fs::read(&file).unwrap() == data(3), "{spec}: the file has other bytes");
                std::fs::remove_file(file).unwrap();
                Ok(report.digest.to_string())
            }
            Reads::Copy => {
                let to = scene.spec(&format!("copy-{number}"));
                let done = store.copy(spec, &to, CopyOptions::default(), &scene.ctl).await;
                let there = scene.names().await.iter().any(|name| *name == format!("copy-{number}"));
                assert_eq!(done.is_ok(), there, "a copy appears exactly when it is whole");
                Ok(done?.digest.to_string())
            }
            Reads::Verify => Ok(store.verify(spec, false, &scene.ctl).await?.actual.to_string()),
        }
    }
}

/// The calls that read, of the volume read from: those of the copy come after.
const CALLS: [&str; 4] = ["extents", "read", "read_block", "confirm"];

async fn removed_at_each_call(reads: Reads, snapshot: bool) {
    let scene = Arc::new(Scene::new().await);
    let expected = volary_digest(&data(3));
    for number in 0.. {
        let name = format!("v{number}");
        unrecorded(&scene, &name, snapshot).await;
        let spec = scene.spec(&if snapshot { format!("{name}@s") } else { name });
        if reads == Reads::Verify {
            scene.store.verify(&spec, true, &scene.ctl).await.unwrap();
        }
        let (calls, confirmed) = (AtomicUsize::new(0), AtomicBool::new(false));
        // Whether it was removed, as long as it is read.
        let removed = Arc::new(Mutex::new(None));
        let store = {
            let (scene, spec, removed) = (scene.clone(), spec.clone(), removed.clone());
            scene.clone().faulty(move |call| {
                if CALLS.contains(&call)
                    && !confirmed.load(Ordering::SeqCst)
                    && calls.fetch_add(1, Ordering::SeqCst) == number
                {
                    let removing = remove(&scene, &spec);
                    let done =
                        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(removing));
                    *removed.lock().unwrap() = Some(done);
                }
                confirmed.fetch_or(call == "confirm", Ordering::SeqCst);
                Ok(())
            })
        };
        let done = reads.run(&scene, &store, &spec, number).await;
        let removed = removed.lock().unwrap().take();
        match (&removed, &done) {
            (Some(Ok(())), Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{number}: {}", error.report());
            }
            (Some(Ok(())), Ok(_)) => panic!("{reads:?}: success although it was removed at call {number}"),
            // Local readers keep what they read.
            (Some(Err(error)), done) => {
                assert!(Place::LOCAL && error.kind() == ErrorKind::Blocked, "{}", error.report());
                assert_eq!(*done.as_ref().unwrap(), expected);
            }
            (None, done) => {
                assert_eq!(*done.as_ref().unwrap(), expected);
                assert!(number >= 4, "only {number} calls were seen to read");
                break;
            }
        }
    }
    scene.assert_nothing_hidden().await;
}

/// The digest of whole blocks.
fn volary_digest(content: &Bytes) -> String {
    let mut hasher = volary::ContentHasher::new(content.len() as u64);
    for (index, block) in content.chunks(BLOCK).enumerate() {
        if let Some(leaf) = volary::leaf(block) {
            hasher.add(index as u64, &leaf);
        }
    }
    hasher.finish().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_snapshot_removed_while_it_is_exported_is_never_zeros() {
    removed_at_each_call(Reads::Export, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_volume_removed_while_it_is_exported_is_never_zeros() {
    removed_at_each_call(Reads::Export, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_snapshot_removed_while_it_is_copied_is_never_zeros() {
    removed_at_each_call(Reads::Copy, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_volume_removed_while_it_is_copied_is_never_zeros() {
    removed_at_each_call(Reads::Copy, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_snapshot_removed_while_it_is_verified_is_never_zeros() {
    removed_at_each_call(Reads::Verify, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_volume_removed_while_it_is_verified_is_never_zeros() {
    removed_at_each_call(Reads::Verify, false).await;
}

async fn export(scene: &Scene, spec: &str, accept_mismatch: bool) -> (PathBuf, Result<ExportReport>) {
    let file = scene.path("exported");
    let _ = std::fs::remove_file(&file);
    let mut request = ExportRequest::new(scene.spec(spec), ExportTarget::File(file.clone()));
    request.accept_mismatch = accept_mismatch;
    let done = scene.store.export(request, &scene.ctl).await;
    assert_eq!(done.is_ok(), file.exists(), "a file appears exactly when it is whole");
    (file, done)
}

async fn copy(scene: &Scene, from: &str, to: &str, accept_mismatch: bool) -> Result<volary::CopyReport> {
    let options = CopyOptions { accept_mismatch };
    let done = scene.store.copy(&scene.spec(from), &scene.spec(to), options, &scene.ctl).await;
    assert_eq!(done.is_ok(), scene.names().await.iter().any(|name| name == to));
    scene.assert_nothing_hidden().await;
    done
}

/// An imported volume `web` of three blocks with its snapshot `base`, both recorded.
async fn imported(scene: &Scene) {
    let raw = scene.path("disk.raw");
    std::fs::write(&raw, data(3)).unwrap();
    let mut request = scene.request(&raw, "web");
    request.snapshot = Some(volary::Name::new("base").unwrap());
    request.protect = true;
    scene.store.import(&request, &scene.ctl).await.unwrap();
}

async fn write(scene: &Scene, volume: &str, offset: u64, bytes: &'static [u8]) {
    let volume = open(scene, &scene.spec(volume), OpenOptions::write()).await;
    volume.write(offset, Bytes::from_static(bytes), &scene.ctl).await.unwrap();
    volume.close(&scene.ctl).await.unwrap();
}

/// **S13 Rot is noticed.** Bytes that changed without a write are an error of kind `mismatch` wherever a
/// whole block of them is read and its checksum is known; they are never read as zeros, and never copied on
/// under a new digest. What vanished while it was read is an error, never zeros.
#[tokio::test(flavor = "multi_thread")]
async fn s13_other_bytes_than_were_recorded_are_not_published() {
    let scene = Scene::new().await;
    imported(&scene).await;
    let whole = export(&scene, "web@base", false).await.1.unwrap();
    assert_eq!((whole.matches, whole.expected), (Some(true), Some(whole.digest)));
    let whole = copy(&scene, "web@base", "whole", true).await.unwrap();
    assert_eq!((whole.matches, whole.mismatched_bytes, whole.mismatch_accepted), (Some(true), 0, false));
    assert!(scene.store.verify(&scene.spec("whole"), false, &scene.ctl).await.unwrap().matches);

    let of_web = scene.place.objects();
    for object in of_web {
        scene.place.damage(&object, 70_000);
    }
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{}", error.report());
        assert!(error.remedy().unwrap().contains("--accept-mismatch"), "{:?}", error.remedy());
    };
    refused(export(&scene, "web@base", false).await.1.unwrap_err());
    refused(copy(&scene, "web@base", "copy", false).await.unwrap_err());
    let head = export(&scene, "web", false).await.1;
    if Place::LOCAL {
        refused(head.unwrap_err());
    } else {
        // It may have been written: Ceph does not tell.
        let head = head.unwrap();
        assert_eq!((head.matches, head.mismatch_accepted), (Some(false), false));
        assert!(head.expected.is_some_and(|expected| expected != head.digest));
    }
    let (file, taken) = export(&scene, "web@base", true).await;
    let taken = taken.unwrap();
    assert!(taken.matches == Some(false) && taken.mismatch_accepted);
    assert!(std::fs::read(file).unwrap()[70_000] == !data(1)[70_000]);
    let taken = copy(&scene, "web@base", "copy", true).await.unwrap();
    assert!(taken.matches == Some(false) && taken.mismatch_accepted);
    let unrecorded = scene.store.verify(&scene.spec("copy"), false, &scene.ctl).await.unwrap_err();
    assert_eq!(unrecorded.kind(), ErrorKind::NotFound, "{}", unrecorded.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_stream_has_every_byte_and_ends_as_a_mismatch() {
    let scene = Scene::new().await;
    imported(&scene).await;
    scene.place.damage(&scene.place.objects()[0], 70_000);
    let stream = |file: &std::fs::File| ExportTarget::Stream(file.try_clone().unwrap());
    let (taken, all) = (scene.path("taken"), scene.path("all"));
    let (spec, sink) = (scene.spec("web@base"), std::fs::File::create(&all).unwrap());
    let mut request = ExportRequest::new(spec, stream(&sink));
    request.accept_mismatch = true;
    assert!(scene.store.export(request, &scene.ctl).await.unwrap().mismatch_accepted);
    let sink = std::fs::File::create(&taken).unwrap();
    let request = ExportRequest::new(scene.spec("web@base"), stream(&sink));
    let error = scene.store.export(request, &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{}", error.report());
    let (taken, all) = (std::fs::read(taken).unwrap(), std::fs::read(all).unwrap());
    assert!(all.len() == 3 * BLOCK && all.starts_with(&taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_head_that_was_written_since_is_told_of_and_not_refused() {
    let scene = Scene::new().await;
    imported(&scene).await;
    write(&scene, "web", 5, b"newer").await;
    for report in
        [export(&scene, "web", false).await.1.unwrap(), export(&scene, "web", true).await.1.unwrap()]
    {
        assert_eq!((report.matches, report.mismatch_accepted), (Some(false), false));
    }
    let copied = copy(&scene, "web", "copy", false).await.unwrap();
    assert_eq!((copied.matches, copied.mismatch_accepted), (Some(false), false));
    assert!(scene.store.verify(&scene.spec("copy"), false, &scene.ctl).await.unwrap().matches);
    // A clone has its parent's record, which says nothing of it.
    scene.store.clone_volume(&scene.spec("web@base"), &scene.spec("child"), &scene.ctl).await.unwrap();
    assert_eq!(export(&scene, "child", false).await.1.unwrap().matches, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_head_that_is_being_written_is_not_taken_for_damaged() {
    let scene = Scene::new().await;
    imported(&scene).await;
    write(&scene, "web", 5, b"newer").await;
    scene.store.verify(&scene.spec("web"), true, &scene.ctl).await.unwrap();
    assert_eq!(export(&scene, "web", false).await.1.unwrap().matches, Some(true));
    let writer = open(&scene, &scene.spec("web"), OpenOptions::write()).await;
    writer.write(5, Bytes::from_static(b"newest"), &scene.ctl).await.unwrap();
    let report = export(&scene, "web", false).await.1.unwrap();
    // A local store writes over no block with a checksum: a new one is seen with the flush, and later writes go into it.
    assert!(!report.mismatch_accepted && report.matches == Some(Place::LOCAL));
    writer.flush(&scene.ctl).await.unwrap();
    writer.write(5, Bytes::from_static(b"of all"), &scene.ctl).await.unwrap();
    let report = export(&scene, "web", false).await.1.unwrap();
    assert!(!report.mismatch_accepted && report.matches == Some(false));
    writer.close(&scene.ctl).await.unwrap();
    assert_eq!(export(&scene, "web", false).await.1.unwrap().matches, Some(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_an_object_that_is_lost_is_never_zeros() {
    for (volume, damaged) in [("v", "v"), ("v@s", "v"), ("child", "child")] {
        let scene = Scene::new().await;
        unrecorded(&scene, "v", false).await;
        let mut lost = scene.place.objects();
        scene.snapshot("v@s", true).await;
        if damaged == "child" {
            scene.store.clone_volume(&scene.spec("v@s"), &scene.spec("child"), &scene.ctl).await.unwrap();
            write(&scene, "child", 5 << 20, b"the child's own").await;
            let all = scene.place.objects();
            lost = all.into_iter().filter(|object| !lost.contains(object)).collect();
        }
        scene.store.verify(&scene.spec(volume), true, &scene.ctl).await.unwrap();
        scene.place.lose(&lost[0]);
        let refused =
            |error: Error| assert_eq!(error.kind(), ErrorKind::Mismatch, "{volume}: {}", error.report());
        refused(export(&scene, volume, false).await.1.unwrap_err());
        refused(copy(&scene, volume, "copy", false).await.unwrap_err());
        refused(scene.store.verify(&scene.spec(volume), false, &scene.ctl).await.unwrap_err());
        let (file, taken) = export(&scene, volume, true).await;
        let taken = taken.unwrap();
        assert!(taken.mismatch_accepted && taken.mismatched_bytes == BLOCK as u64, "{taken:?}");
        // On Ceph the clone shows the parent's bytes, which are those that the child wrote over.
        assert_eq!(std::fs::read(file).unwrap() == data(3), damaged == "child" && !Place::LOCAL);
        assert!(copy(&scene, volume, "copy", true).await.unwrap().mismatch_accepted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_objects_that_need_not_be_there_are_not_missed() {
    let scene = Scene::new().await;
    unrecorded(&scene, "v", false).await;
    scene.snapshot("v@s", true).await;
    scene.store.clone_volume(&scene.spec("v@s"), &scene.spec("child"), &scene.ctl).await.unwrap();
    let (ctl, block) = (&scene.ctl, BLOCK as u64);
    for (round, volume) in ["v", "child", "child", "child"].into_iter().enumerate() {
        let writer = open(&scene, &scene.spec(volume), OpenOptions::write()).await;
        match round {
            // All of an object, then a part, then zeros that are written.
            0 | 1 => {
                writer.write_zeroes(0, block, ctl).await.unwrap();
                writer.write_zeroes(block + 7, block / 2, ctl).await.unwrap();
                writer.write(2 * block, Bytes::from(vec![0; BLOCK]), ctl).await.unwrap();
            }
            2 => writer.create_snapshot(&volary::Name::new("t").unwrap(), ctl).await.unwrap(),
            _ => writer.flatten(ctl).await.unwrap(),
        }
        writer.close(ctl).await.unwrap();
        for volume in ["v", "v@s", "child", "child@t"] {
            if volume == "child@t" && round < 2 {
                continue;
            }
            let read = export(&scene, volume, false).await.1.unwrap();
            assert_eq!(read.mismatched_bytes, 0, "{volume} in round {round}");
        }
    }
}

/// A reader that is given up is no reason to believe what was read.
#[tokio::test(flavor = "multi_thread")]
async fn s13_what_cannot_be_confirmed_is_not_published() {
    let scene = Scene::new().await;
    imported(&scene).await;
    let store = scene.faulty(|call| match call {
        "confirm" => Err(Error::new(ErrorKind::Unreachable, "made to fail")),
        _ => Ok(()),
    });
    let file = scene.path("out");
    let request = ExportRequest::new(scene.spec("web"), ExportTarget::File(file.clone()));
    assert_eq!(store.export(request, &Ctl::new()).await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(!file.exists());
    let options = CopyOptions::default();
    let copied = store.copy(&scene.spec("web"), &scene.spec("copy"), options, &scene.ctl).await;
    assert_eq!(copied.unwrap_err().kind(), ErrorKind::Unreachable);
    scene.assert_nothing_hidden().await;
}
