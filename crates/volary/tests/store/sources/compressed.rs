//! Compression around a whole source: taken off when asked for, one layer, and never more than is in proportion.

use super::super::import::sha256;
use super::super::scene::Scene;
use super::{MIB, from_url, reason, refused, unwrapped, url};
use std::io::Write;
use volary::{ErrorKind, ImportRequest, ImportSource, Unwrap};
use volary_testkit::images::wrap;
use volary_testkit::web::{Behaviour, WebServer, serve};

#[tokio::test(flavor = "multi_thread")]
async fn s09_what_is_in_each_compression_is_imported_from_wherever_it_comes() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB + 512);
    let disk = std::fs::read(&raw).unwrap();
    let image = std::fs::read(scene.qcow2(&raw, "disk.qcow2", &[])).unwrap();
    for (format, wrapped) in [wrap::all(&disk), wrap::all(&image)].concat() {
        let path = scene.path("disk.packed");
        std::fs::write(&path, &wrapped).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let piped = wrapped.clone();
        let writing = std::thread::spawn(move || writer.write_all(&piped));
        let stream = ImportSource::Stream {
            file: std::os::fd::OwnedFd::from(reader).into(),
            spool_dir: super::spool_dir(&scene),
        };
        let served = wrapped.clone();
        let server =
            WebServer::new(move |number, asked| serve(&served, &Behaviour::default(), number, asked));
        for source in
            [ImportSource::Path(path.clone()), stream, ImportSource::Url(url(&scene, &server, "/x"))]
        {
            let mut request = unwrapped(&scene, source);
            request.checksum = Some(format!("sha256:{}", sha256(&path)).parse().unwrap());
            let report = scene.store.import(&request, &scene.ctl).await.unwrap();
            assert_eq!(report.source.compression.as_deref(), Some(format));
            assert_eq!(report.source.sha256, Some(sha256(&path)));
            assert_eq!(report.source.file_bytes, wrapped.len() as u64);
            assert!(scene.content("web").await == disk, "{format}");
            scene
                .store
                .remove(&scene.spec("web"), &volary::RemoveOptions::default(), &scene.ctl)
                .await
                .unwrap();
        }
        writing.join().unwrap().unwrap();
        let source = unwrapped(&scene, ImportSource::Path(path.clone())).source;
        let report = volary::inspect(&source, &volary::InspectOptions::default(), &scene.ctl).await.unwrap();
        assert!(report.safe);
        assert_eq!((report.compression.as_deref(), report.file_bytes), (Some(format), wrapped.len() as u64));
        let error = refused(&scene, &scene.request(&path, "web")).await;
        assert_eq!(reason(&error), "banned_format");
        assert!(error.remedy().unwrap().contains("--decompress auto"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compressed_is_imported_as_it_is() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 5 * MIB);
    let report =
        scene.store.import(&unwrapped(&scene, ImportSource::Path(raw.clone())), &scene.ctl).await.unwrap();
    assert_eq!((report.source.compression, report.source.sha256), (None, None));
    assert!(scene.content("web").await == std::fs::read(&raw).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streams_in_one_file_are_one() {
    let scene = Scene::new().await;
    let disk = std::fs::read(scene.raw("disk.raw", 3 * MIB)).unwrap();
    let (first, second) = disk.split_at(1_000_000);
    for ((format, mut wrapped), (_, rest)) in wrap::all(first).into_iter().zip(wrap::all(second)) {
        wrapped.extend(rest);
        let path = scene.path("disk.packed");
        std::fs::write(&path, &wrapped).unwrap();
        scene.store.import(&unwrapped(&scene, ImportSource::Path(path)), &scene.ctl).await.unwrap();
        assert!(scene.content("web").await == disk, "{format}");
        scene.store.remove(&scene.spec("web"), &volary::RemoveOptions::default(), &scene.ctl).await.unwrap();
    }
}

async fn refuse(scene: &Scene, bytes: &[u8]) -> String {
    let path = scene.path("disk.packed");
    std::fs::write(&path, bytes).unwrap();
    let error = refused(scene, &unwrapped(scene, ImportSource::Path(path))).await;
    reason(&error).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_damaged_and_incomplete_files_are_refused() {
    let scene = Scene::new().await;
    let disk = std::fs::read(scene.raw("disk.raw", 2 * MIB)).unwrap();
    for (format, wrapped) in wrap::all(&disk) {
        for len in [20, wrapped.len() / 2, wrapped.len() - 1] {
            assert_eq!(refuse(&scene, &wrapped[..len]).await, "truncated", "{format} {len}");
        }
        let mut damaged = wrapped.clone();
        damaged[wrapped.len() / 2] ^= 0x55;
        let seen = refuse(&scene, &damaged).await;
        assert!(["malformed", "truncated"].contains(&seen.as_str()), "{format} {seen}");
        for garbage in [&b"garbage that is long enough to be read as anything"[..], b"x", &[0; 1], &[0; 510]]
        {
            let seen = refuse(&scene, &[&wrapped, garbage].concat()).await;
            assert!(["malformed", "truncated"].contains(&seen.as_str()), "{format} {garbage:?} {seen}");
        }
        let twice = wrap::all(&wrapped);
        assert_eq!(refuse(&scene, &twice[0].1).await, "banned_format", "one layer only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_bombs_and_large_windows_are_refused() {
    let scene = Scene::new().await;
    for (format, bomb) in wrap::bombs() {
        assert_eq!(refuse(&scene, &bomb).await, "bomb", "{format}");
    }
    for (format, greedy) in wrap::greedy() {
        assert_eq!(refuse(&scene, &greedy).await, "limit", "{format}");
    }
    let wrapped = &wrap::all(&vec![7; 2_000_001])[0].1;
    let path = scene.path("disk.packed");
    std::fs::write(&path, wrapped).unwrap();
    let mut unwrap = Unwrap::new(ImportSource::Path(path), super::spool_dir(&scene));
    unwrap.max_bytes = 2_000_000;
    let request = ImportRequest::new(ImportSource::Unwrapped(unwrap), scene.spec("web"));
    assert_eq!(reason(&refused(&scene, &request).await), "limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_a_wrong_checksum_of_a_compressed_file_leaves_nothing() {
    let scene = Scene::new().await;
    let disk = std::fs::read(scene.raw("disk.raw", MIB)).unwrap();
    let path = scene.path("disk.raw");
    // The digest of what is in it is not that of the file.
    let checksum = format!("sha256:{}", sha256(&path));
    let (_, wrapped) = wrap::all(&disk).swap_remove(1);
    let server = WebServer::new(move |number, asked| serve(&wrapped, &Behaviour::default(), number, asked));
    let mut request = unwrapped(&scene, ImportSource::Url(url(&scene, &server, "/disk.xz")));
    request.checksum = Some(checksum.parse().unwrap());
    assert_eq!(refused(&scene, &request).await.kind(), ErrorKind::Mismatch);
    let mut request = from_url(&scene, url(&scene, &server, "/disk.xz"));
    request.checksum = Some(checksum.parse().unwrap());
    assert_eq!(reason(&refused(&scene, &request).await), "banned_format");
}

#[tokio::test(flavor = "multi_thread")]
async fn zeros_in_a_compressed_file_take_no_room() {
    let scene = Scene::new().await;
    let mut disk = vec![0; 64 * MIB as usize];
    disk[40_000_000] = 1;
    let path = scene.path("disk.packed");
    std::fs::write(&path, &wrap::all(&disk)[2].1).unwrap();
    let report = scene.store.import(&unwrapped(&scene, ImportSource::Path(path)), &scene.ctl).await.unwrap();
    assert_eq!(report.size_bytes, 64 * MIB);
    assert!(report.data_bytes < MIB, "{}", report.data_bytes);
}
