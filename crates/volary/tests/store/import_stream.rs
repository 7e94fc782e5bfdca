//! Raw streams: into the volume as they come, kept nowhere else, and published only whole.

use super::import::sha256;
use super::scene::Scene;
use std::io::Write;
use std::path::Path;
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;
use volary::{ErrorKind, ImageFormat, ImportRequest, ImportSource};

/// A request for what `write` writes into a pipe, declared raw; no spool could be made for it.
fn piped(
    scene: &Scene,
    spec: &str,
    write: impl FnOnce(&mut std::io::PipeWriter) -> std::io::Result<()> + Send + 'static,
) -> (ImportRequest, JoinHandle<bool>) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let writing = std::thread::spawn(move || write(&mut writer).is_ok());
    let file = std::os::fd::OwnedFd::from(reader).into();
    let stream = ImportSource::Stream { file, spool_dir: scene.path("no-such-directory") };
    let mut request = ImportRequest::new(stream, scene.spec(spec));
    request.format = Some(ImageFormat::Raw);
    (request, writing)
}

fn bytes_of(scene: &Scene, spec: &str, bytes: Vec<u8>) -> (ImportRequest, JoinHandle<bool>) {
    piped(scene, spec, move |pipe| pipe.write_all(&bytes))
}

const MIB: u64 = 1 << 20;

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_stream_becomes_the_volume_its_file_would_whatever_its_length() {
    let scene = Scene::new().await;
    let disk = std::fs::read(scene.raw("disk.raw", 13 * MIB)).unwrap();
    for len in [1, 4 * MIB as usize - 1, 4 * MIB as usize, 8 * MIB as usize + 513, disk.len()] {
        let file = scene.path("cut.raw");
        write(&file, &disk[..len]);
        let (one, other) = (format!("file-{len}"), format!("stream-{len}"));
        let mut request = scene.request(&file, &one);
        request.format = Some(ImageFormat::Raw);
        let from_file = scene.store.import(&request, &scene.ctl).await.unwrap();
        let (request, writing) = bytes_of(&scene, &other, disk[..len].to_vec());
        let report = scene.store.import(&request, &scene.ctl).await.unwrap();
        assert!(writing.join().unwrap());
        let padded = len.next_multiple_of(512);
        assert_eq!((report.size_bytes, report.digest), (padded as u64, from_file.digest), "{len}");
        assert_eq!(report.source.notes, from_file.source.notes);
        assert_eq!(report.source.notes.len(), usize::from(padded > len));
        assert_eq!((report.source.path.as_str(), report.source.file_bytes), ("-", len as u64));
        assert_eq!(report.source.sha256.unwrap(), sha256(&file));
        let mut expected = disk[..len].to_vec();
        expected.resize(padded, 0);
        assert!(scene.content(&other).await == expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_told_size_is_the_volumes_and_the_stream_may_be_shorter_but_not_longer() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB);
    let disk = std::fs::read(&raw).unwrap();
    let mut request = scene.request(&raw, "file");
    request.size_bytes = Some(20 * MIB);
    let from_file = scene.store.import(&request, &scene.ctl).await.unwrap();
    for size in [9 * MIB, 20 * MIB] {
        let (mut request, _writing) = bytes_of(&scene, &format!("stream-{size}"), disk.clone());
        request.size_bytes = Some(size);
        let report = scene.store.import(&request, &scene.ctl).await.unwrap();
        assert_eq!(report.size_bytes, size);
        assert_eq!(report.digest == from_file.digest, size == 20 * MIB);
    }
    // Too small, or no whole number of sectors.
    for size in [9 * MIB - 512, 8 * MIB, 512, 9 * MIB + 1, 1] {
        let (mut request, _writing) = bytes_of(&scene, "stream", disk.clone());
        request.size_bytes = Some(size);
        let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{size}: {error}");
    }
    assert_eq!(scene.names().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_grows_with_a_stream_of_unknown_length() {
    let scene = Scene::new().await;
    let (request, writing) = piped(&scene, "stream", |pipe| {
        let zeros = vec![0; MIB as usize];
        (0..1100).try_for_each(|_| pipe.write_all(&zeros))?;
        pipe.write_all(&[7; 1000])
    });
    let report = scene.store.import(&request, &scene.ctl).await.unwrap();
    assert!(writing.join().unwrap());
    assert_eq!((report.size_bytes, report.verified), (1100 * MIB + 1024, true));
    let info = scene.store.info(&scene.spec("stream"), &scene.ctl).await.unwrap();
    assert!(info.used_bytes <= 4 * MIB, "zeros are not written: {}", info.used_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_what_is_no_raw_content_is_refused_by_its_start_or_its_end() {
    let scene = Scene::new().await;
    let image = std::fs::read(scene.qcow2(&scene.raw("disk.raw", 5 * MIB), "disk.qcow2", &[])).unwrap();
    let mut footer = vec![7; 5 * MIB as usize];
    footer.extend_from_slice(b"conectix");
    footer.resize(5 * MIB as usize + 512, 0);
    for (what, bytes) in [("qcow2", image), ("footer", footer), ("nothing", Vec::new())] {
        let (request, writing) = bytes_of(&scene, "web", bytes);
        let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{what}: {error}");
        drop(request);
        writing.join().unwrap();
        scene.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_stream_with_another_checksum_leaves_nothing() {
    let scene = Scene::new().await;
    let (mut request, _writing) = bytes_of(&scene, "web", vec![9; 5 * MIB as usize]);
    request.checksum = Some(format!("sha256:{}", "0".repeat(64)).parse().unwrap());
    let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    scene.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_stream_that_ends_before_its_expected_length_leaves_nothing() {
    let scene = Scene::new().await;
    for (sent, accepted) in [(5 * MIB, true), (5 * MIB - 1, false), (6 * MIB, false), (1, false)] {
        let (mut request, _writing) = bytes_of(&scene, "web", vec![9; sent as usize]);
        request.expected_bytes = Some(5 * MIB);
        match scene.store.import(&request, &scene.ctl).await {
            Ok(report) => {
                assert!(accepted && report.size_bytes == 5 * MIB);
                let options = volary::RemoveOptions::default();
                scene.store.remove(&scene.spec("web"), &options, &scene.ctl).await.unwrap();
            }
            Err(error) => assert!(!accepted && error.kind() == ErrorKind::Mismatch, "{}", error.report()),
        }
        scene.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_goes_on_beyond_its_expected_length_is_left() {
    let scene = Scene::new().await;
    let (mut request, writing) = piped(&scene, "web", |pipe| {
        loop {
            pipe.write_all(&[7; 65536])?;
        }
    });
    request.expected_bytes = Some(5 * MIB);
    let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{}", error.report());
    drop(request);
    writing.join().unwrap();
    scene.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_left_when_the_import_is_cancelled() {
    let scene = Scene::new().await;
    for sent in [0, 1000, 6 * MIB as usize] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let writing = std::thread::spawn(move || {
            let _ = writer.write_all(&vec![5; sent]);
            writer
        });
        let file = std::os::fd::OwnedFd::from(reader).into();
        let stream = ImportSource::Stream { file, spool_dir: scene.path("no-such-directory") };
        let mut request = ImportRequest::new(stream, scene.spec("web"));
        request.format = Some(ImageFormat::Raw);
        let cancel = CancellationToken::new();
        let ctl = scene.ctl.clone().cancelled_by(cancel.clone());
        // All of it is on its way then, and the pipe stays open.
        let cancelling = tokio::task::spawn_blocking(move || {
            let writer = writing.join().unwrap();
            cancel.cancel();
            writer
        });
        let error = scene.store.import(&request, &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{sent}: {error}");
        drop(cancelling.await.unwrap());
        scene.assert_nothing_left().await;
    }
}
