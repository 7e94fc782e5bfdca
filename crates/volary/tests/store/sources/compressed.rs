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

/// What the tool itself makes of a file; `None` when it fails.
fn by_tool(tool: &str, path: &std::path::Path) -> Option<Vec<u8>> {
    let mut command = std::process::Command::new(tool);
    let output = command.args(["-d", "-c"]).stdin(std::fs::File::open(path).unwrap()).output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// A frame of zstd that decoders pass over.
fn skippable(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[0x50 | kind, 0x2a, 0x4d, 0x18][..], &(content.len() as u32).to_le_bytes(), content].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_decompression_takes_what_each_tool_takes() {
    let scene = Scene::new().await;
    let disk = std::fs::read(scene.raw("disk.raw", MIB)).unwrap();
    let (first, second) = disk.split_at(MIB as usize / 2);
    let parts = |format: usize| {
        let of = |bytes: &[u8]| wrap::all(bytes).swap_remove(format).1;
        (of(first), of(second), of(b""))
    };
    let zeros = |len: usize| vec![0; len];
    for (index, tool) in ["gzip", "xz", "zstd", "bzip2"].into_iter().enumerate() {
        let (one, two, none) = parts(index);
        let both = [&one[..], &two].concat();
        let mut files = vec![
            ("two streams", both.clone()),
            ("an empty stream first", [&none[..], &both].concat()),
            ("an empty stream between", [&one[..], &none, &two].concat()),
            ("an empty stream last", [&both[..], &none].concat()),
            ("a zero behind", [&both[..], &zeros(1)].concat()),
            ("four zeros behind", [&both[..], &zeros(4)].concat()),
            ("a tape's zeros behind", [&both[..], &zeros(10_240)].concat()),
            ("four zeros between", [&one[..], &zeros(4), &two].concat()),
            ("zeros and then something", [&both[..], &zeros(300_000), b"x"].concat()),
            ("something behind", [&both[..], b"something"].concat()),
        ];
        if tool == "zstd" {
            let mut pzstd = skippable(0, &(one.len() as u32).to_le_bytes());
            pzstd.extend(&one);
            pzstd.extend(skippable(0, &(two.len() as u32).to_le_bytes()));
            pzstd.extend(&two);
            files.extend([
                ("as pzstd writes it", pzstd),
                ("a frame to pass over, last", [&both[..], &skippable(15, b"index")].concat()),
                (
                    "two to pass over, first",
                    [&skippable(7, b"")[..], &skippable(1, &zeros(100_000)), &both].concat(),
                ),
                ("one to pass over, cut", [&both[..], &skippable(3, b"index")[..10]].concat()),
                ("one to pass over, larger than the file", [&skippable(3, &zeros(9))[..12], &both].concat()),
            ]);
        }
        for (name, bytes) in files {
            let path = scene.path("disk.packed");
            std::fs::write(&path, &bytes).unwrap();
            let taken = by_tool(tool, &path);
            let ours =
                scene.store.import(&unwrapped(&scene, ImportSource::Path(path.clone())), &scene.ctl).await;
            // bzip2 passes over whatever follows with a warning; only zeros are passed over here.
            let stricter = tool == "bzip2" && (name.contains("something") || name.contains("between"));
            match (taken, ours) {
                (Some(content), Ok(_)) => {
                    assert!(content == disk, "{tool}, {name}");
                    assert!(scene.content("web").await == disk, "{tool}, {name}");
                    let options = volary::RemoveOptions::default();
                    scene.store.remove(&scene.spec("web"), &options, &scene.ctl).await.unwrap();
                }
                (None, Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Refused, "{tool}, {name}: {}", error.report());
                }
                (Some(_), Err(error)) => assert!(stricter, "{tool}, {name}: {}", error.report()),
                (None, Ok(_)) => panic!("{tool} does not take {name}, and Volary does"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_behind_frames_to_pass_over_is_what_it_is() {
    let scene = Scene::new().await;
    let disk = std::fs::read(scene.raw("disk.raw", MIB)).unwrap();
    let lz4 =
        std::process::Command::new("lz4").args(["-q", "-c"]).arg(scene.path("disk.raw")).output().unwrap();
    let path = scene.path("disk.packed");
    std::fs::write(&path, [skippable(0, b"name"), lz4.stdout].concat()).unwrap();
    let error = refused(&scene, &unwrapped(&scene, ImportSource::Path(path.clone()))).await;
    assert!(
        error.report().contains("LZ4") && error.remedy().unwrap().contains("lz4 -dc"),
        "{}",
        error.report()
    );
    // By the tool that writes such files, where there is one.
    if let Ok(packed) =
        std::process::Command::new("pzstd").args(["-q", "-c"]).arg(scene.path("disk.raw")).output()
    {
        assert!(packed.status.success() && packed.stdout.starts_with(&[0x50, 0x2a, 0x4d, 0x18]));
        std::fs::write(&path, packed.stdout).unwrap();
        scene.store.import(&unwrapped(&scene, ImportSource::Path(path)), &scene.ctl).await.unwrap();
        assert!(scene.content("web").await == disk);
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
        for garbage in [&b"garbage that is long enough to be read as anything"[..], b"x", b"\0x"] {
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
