//! Import: round trips with QEMU's images, and nothing left by whatever goes wrong.

use super::scene::{Meanwhile, Scene, qemu_img};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Command;
use volary::{ErrorKind, ImportSource, Phase};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn s06_every_kind_of_qcow2_becomes_the_bytes_qemu_reads() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB + 3 * 512);
    let expected = std::fs::read(&raw).unwrap();
    let mut images: Vec<Vec<String>> = vec![vec!["compat=v2".into()]];
    for bits in 9..=21 {
        let cluster = format!("cluster_size={}", 1 << bits);
        images.push(vec![cluster.clone()]);
        images.push(vec![cluster.clone(), "-c".into()]);
        images.push(vec![format!("{cluster},compression_type=zstd"), "-c".into()]);
        if bits >= 14 {
            images.push(vec![format!("{cluster},extended_l2=on")]);
        }
    }
    for (index, options) in images.iter().enumerate() {
        let mut args = vec!["-o"];
        args.extend(options.iter().map(String::as_str));
        let image = scene.qcow2(&raw, &format!("{index}.qcow2"), &args);
        let name = format!("v{index}");
        let report = scene.store.import(&scene.request(&image, &name), &scene.ctl).await.unwrap();
        assert_eq!(report.size_bytes, expected.len() as u64);
        assert_eq!(report.source.sha256.unwrap(), sha256(&image), "{options:?}");
        assert!(scene.content(&name).await == expected, "{options:?}");
        let verified = scene.store.verify(&scene.spec(&name), false, &scene.ctl).await.unwrap();
        assert!(verified.matches && !verified.modified && verified.actual == report.digest);
    }
    scene.assert_nothing_hidden().await;
}

pub(crate) fn sha256(path: &std::path::Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_equal_bytes_have_equal_digests_whatever_their_layout_and_size() {
    let scene = Scene::new().await;
    for size in [1, 511, 512, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 512] {
        let sparse = scene.raw(&format!("{size}.raw"), size);
        let full = scene.path(&format!("{size}.full"));
        std::fs::write(&full, std::fs::read(&sparse).unwrap()).unwrap();
        let (a, b) = (format!("a{size}"), format!("b{size}"));
        let import = async |path, name: &str| {
            let mut request = scene.request(path, name);
            request.format = Some(volary::ImageFormat::Raw);
            scene.store.import(&request, &scene.ctl).await.unwrap()
        };
        let (first, second) = (import(&sparse, &a).await, import(&full, &b).await);
        // The last sector is filled up, which the report says.
        let padded = size.next_multiple_of(512);
        assert_eq!((first.digest, first.size_bytes, first.source.file_bytes), (second.digest, padded, size));
        assert_eq!(first.source.notes.len(), usize::from(padded > size), "{:?}", first.source.notes);
        let mut disk = std::fs::read(&sparse).unwrap();
        disk.resize(padded as usize, 0);
        assert!(scene.content(&a).await == disk, "{size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_no_whole_number_of_sectors_is_refused_and_one_that_is_there_is_read_and_copied() {
    let scene = Scene::new().await;
    let (store, ctl) = (&scene.store, &scene.ctl);
    let raw = scene.raw("disk.raw", MIB);
    let mut request = scene.request(&raw, "web");
    request.size_bytes = Some(MIB + 1);
    let usage = |error: volary::Error| {
        assert_eq!(error.kind(), ErrorKind::Usage, "{}", error.report());
        assert!(error.remedy().unwrap().contains(&format!("{}B", MIB + 512)), "{:?}", error.remedy());
    };
    usage(store.import(&request, ctl).await.unwrap_err());
    usage(store.create(&scene.spec("web"), MIB + 1, ctl).await.unwrap_err());
    scene.assert_nothing_left().await;
    scene.create("web").await;
    usage(store.resize(&scene.spec("web"), MIB + 1, true, ctl).await.unwrap_err());
    // As others make them.
    let odd = scene.spec("odd");
    let name = odd.new_name().unwrap();
    scene
        .engine
        .create(&scene.home(), &name, &volary::engine::CreateOptions::new(MIB + 1), ctl)
        .await
        .unwrap();
    let copied = store.copy(&odd, &scene.spec("copy"), volary::CopyOptions::default(), ctl).await.unwrap();
    assert_eq!(copied.size_bytes, MIB + 1);
    let remedy =
        |spec: &volary::VolumeSpec| format!("`volary resize {spec} --size {}B` fills that up", MIB + 512);
    assert!(copied.notes[0].contains(&remedy(&copied.volume)), "{:?}", copied.notes);
    let export = async |spec: &volary::VolumeSpec, file: &str| {
        let target = volary::ExportTarget::File(scene.path(file));
        store.export(volary::ExportRequest::new(spec.clone(), target), ctl).await.unwrap()
    };
    let exported = export(&odd, "head.raw").await;
    assert_eq!(exported.size_bytes, MIB + 1);
    assert!(exported.notes[0].contains(&remedy(&odd)), "{:?}", exported.notes);
    assert_eq!(std::fs::metadata(scene.path("head.raw")).unwrap().len(), MIB + 1);
    // A snapshot stays as it is.
    let snapshot = scene.spec("odd@s");
    store.create_snapshot(&snapshot, false, ctl).await.unwrap();
    let exported = export(&snapshot, "snapshot.raw").await;
    assert!(exported.notes.len() == 1 && !exported.notes[0].contains("resize"), "{:?}", exported.notes);
    store.verify(&scene.spec("copy"), false, ctl).await.unwrap();
    store.resize(&odd, MIB + 512, false, ctl).await.unwrap();
    assert!(export(&odd, "whole.raw").await.notes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_source_of_another_length_than_expected_leaves_nothing() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 5 * MIB);
    let image = scene.qcow2(&raw, "disk.qcow2", &[]);
    for path in [raw, image] {
        let len = std::fs::metadata(&path).unwrap().len();
        for (expected, accepted) in [(len, true), (len - 1, false), (len + 512, false)] {
            let mut request = scene.request(&path, "web");
            request.expected_bytes = Some(expected);
            let planned = scene.store.plan_import(&request, &scene.ctl).await;
            assert_eq!(planned.is_ok(), accepted);
            if !accepted {
                let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Mismatch, "{}", error.report());
                scene.assert_nothing_left().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_an_import_keeps_snapshot_protection_and_provenance() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 5 * MIB);
    let mut request = scene.request(&raw, "web");
    request.snapshot = Some("base".parse_name());
    request.protect = true;
    request.size_bytes = Some(20 * MIB);
    request.checksum = Some(format!("sha256:{}", sha256(&raw)).parse().unwrap());
    let plan = scene.store.plan_import(&request, &scene.ctl).await.unwrap();
    assert_eq!((plan.size_bytes, plan.protect), (20 * MIB, true));
    scene.assert_nothing_left().await;
    let report = scene.store.import(&request, &scene.ctl).await.unwrap();
    assert_eq!((report.size_bytes, report.snapshot), (20 * MIB, request.snapshot.clone()));
    assert_eq!(report.source.sha256.unwrap(), sha256(&raw));
    let at = scene.content("web@base").await;
    assert!(
        at[..5 * MIB as usize] == std::fs::read(&raw).unwrap()
            && at[5 * MIB as usize..].iter().all(|b| *b == 0)
    );
    let info = scene.store.info(&scene.spec("web"), &scene.ctl).await.unwrap();
    assert!(info.snapshots[0].protected);
    for spec in ["web", "web@base"] {
        assert!(scene.store.verify(&scene.spec(spec), false, &scene.ctl).await.unwrap().matches);
    }
    request.size_bytes = Some(MIB);
    request.spec = scene.spec("small");
    assert_eq!(scene.store.import(&request, &scene.ctl).await.unwrap_err().kind(), ErrorKind::Usage);
}

trait ParseName {
    fn parse_name(&self) -> volary::Name;
}
impl ParseName for str {
    fn parse_name(&self) -> volary::Name {
        volary::Name::new(self).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_a_wrong_checksum_leaves_nothing() {
    let scene = Scene::new().await;
    let image = scene.qcow2(&scene.raw("disk.raw", 9 * MIB), "disk.qcow2", &[]);
    for checksum in [format!("sha256:{}", "0".repeat(64)), format!("md5:{}", "1".repeat(32))] {
        let mut request = scene.request(&image, "web");
        request.checksum = Some(checksum.parse().unwrap());
        request.snapshot = Some("base".parse_name());
        let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        scene.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_an_existing_name_is_refused_and_untouched() {
    let scene = Scene::new().await;
    let (first, second) = (scene.raw("a.raw", 5 * MIB), scene.raw("b.raw", 6 * MIB));
    scene.store.import(&scene.request(&first, "web"), &scene.ctl).await.unwrap();
    let error = scene.store.import(&scene.request(&second, "web"), &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(scene.content("web").await == std::fs::read(&first).unwrap());
    scene.assert_nothing_hidden().await;
}

/// **S1 Atomic publication.** A volume appears under its name complete and checked, or not at all. Import and
/// copy write to a staging volume in trash, which no listing of volumes shows, verify it, and publish it
/// under its name in one step.
#[tokio::test(flavor = "multi_thread")]
async fn s01_of_two_imports_of_one_name_one_wins_and_the_other_leaves_nothing() {
    let scene = Scene::new().await;
    let (first, second) = (scene.raw("a.raw", 9 * MIB), scene.raw("b.raw", 10 * MIB));
    let (a, b) = (scene.request(&first, "web"), scene.request(&second, "web"));
    let results = tokio::join!(scene.store.import(&a, &scene.ctl), scene.store.import(&b, &scene.ctl));
    let (winner, loser) = match results {
        (Ok(_), Err(error)) => (first, error),
        (Err(error), Ok(_)) => (second, error),
        other => panic!("one must win: {other:?}"),
    };
    assert_eq!(loser.kind(), ErrorKind::AlreadyExists);
    assert!(scene.content("web").await == std::fs::read(&winner).unwrap());
    assert_eq!(scene.names().await, ["web"]);
    scene.assert_nothing_hidden().await;
    scene.store.remove(&scene.spec("web"), &volary::RemoveOptions::default(), &scene.ctl).await.unwrap();
    scene.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_name_there_is_no_room_for_leaves_nothing_and_nobody_publishes_it_later() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB);
    // The last step is refused, and then taking the volume away is too.
    for undone in [true, false] {
        let store = scene.faulty(move |method| {
            let fails = method == "trash_restore" || (!undone && method == "trash_remove");
            if fails { Err(volary::Error::new(ErrorKind::NoSpace, "full")) } else { Ok(()) }
        });
        let refused = store.import(&scene.request(&raw, "web"), &scene.ctl).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            if undone { ErrorKind::NoSpace } else { ErrorKind::Partial },
            "{refused:?}"
        );
        let (home, options) = ([scene.home()], volary::ReapOptions::default());
        let reaped = scene.store.reap(&home, &options, &scene.ctl).await.unwrap();
        assert_eq!(reaped.len(), usize::from(!undone));
        assert!(reaped.iter().all(|report| report.error.is_none()), "{reaped:?}");
        scene.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_a_name_that_was_given_though_no_room_was_told_is_not_taken_for_undone() {
    use std::sync::{Arc, Mutex};
    use volary_testkit::fault::{Fault, Faults};
    let scene = Scene::new().await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let store = scene.faulty(move |method| {
        seen.lock().unwrap().push(method);
        Ok(())
    });
    store.create(&scene.spec("first"), 1 << 20, &scene.ctl).await.unwrap();
    let publishing = calls.lock().unwrap().iter().position(|method| *method == "trash_restore").unwrap();
    // The name is given, that is not told, and asking again is refused.
    let lost = Faults::at(publishing, Fault::LoseAnswer(ErrorKind::NoSpace)).over(scene.engine.clone());
    let restores = Mutex::new(0);
    let refusing = Faults::before(
        lost,
        Arc::new(move |method| {
            let mut restores = restores.lock().unwrap();
            *restores += usize::from(method == "trash_restore");
            let again = method == "trash_restore" && *restores > 1;
            if again { Err(volary::Error::new(ErrorKind::NoSpace, "full")) } else { Ok(()) }
        }),
    );
    let told = volary::Store::over(refusing).create(&scene.spec("web"), 1 << 20, &scene.ctl).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Partial);
    let reaped =
        scene.store.reap(&[scene.home()], &volary::ReapOptions::default(), &scene.ctl).await.unwrap();
    assert!(reaped.len() == 1 && reaped[0].error.is_none(), "{reaped:?}");
    let mut names = scene.names().await;
    names.sort();
    assert_eq!(names, ["first", "web"]);
    scene.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_cancel_in_any_phase_leaves_nothing() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 80 * MIB);
    for phase in [Phase::Copy, Phase::Verify] {
        let ctl = volary::Ctl::new();
        let token = ctl.cancel_token().clone();
        let ctl = ctl.watched_by(Meanwhile::new(phase, move || token.cancel()));
        let error = scene.store.import(&scene.request(&raw, "web"), &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{phase:?}");
        scene.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_a_dropped_import_is_pending_and_its_name_is_free() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 80 * MIB);
    let (moved, mut moving) = tokio::sync::mpsc::unbounded_channel();
    let ctl = volary::Ctl::new().watched_by(Meanwhile::new(Phase::Copy, move || moved.send(()).unwrap()));
    let request = scene.request(&raw, "web");
    tokio::select! {
        result = scene.store.import(&request, &ctl) => panic!("it was not dropped: {result:?}"),
        _ = moving.recv() => {}
    }
    assert_eq!(scene.names().await, Vec::<String>::new());
    let namespace = scene.home();
    let records = scene.engine.records(&namespace, "intent.", b"", 9, &scene.ctl).await.unwrap().records;
    let intent: serde_json::Value = serde_json::from_slice(&records[0].value).unwrap();
    let trash = scene.engine.trash(&namespace, &scene.ctl).await.unwrap();
    assert_eq!((records.len(), trash.len()), (1, 1));
    assert_eq!(intent["volume_id"], trash[0].id.as_str());
    assert_eq!((&intent["operation"], &intent["volume"]), (&"import".into(), &"web".into()));
    let pending = scene.store.pending(&namespace, &scene.ctl).await.unwrap();
    assert_eq!((pending.len(), pending[0].step.as_deref()), (1, Some("staged")));
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_source_that_changes_while_it_is_read_is_refused() {
    let scene = Scene::new().await;
    type Change = fn(&std::path::Path);
    let changes: [Change; 3] = [
        |path| {
            let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            (&file).write_all(b"more").unwrap();
        },
        |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(b"other", 0).unwrap();
        },
        |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1).unwrap(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let raw = scene.raw(&format!("{index}.raw"), 80 * MIB);
        let path = raw.clone();
        let ctl = volary::Ctl::new().watched_by(Meanwhile::new(Phase::Copy, move || change(&path)));
        let error = scene.store.import(&scene.request(&raw, "web"), &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{index}: {error:?}");
        scene.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_refused_sources_create_nothing() {
    let scene = Scene::new().await;
    let base = scene.raw("base.raw", MIB);
    let backed = scene.path("backed.qcow2");
    let (base_path, backed_path) = (base.to_str().unwrap(), backed.to_str().unwrap());
    qemu_img(&["create", "-f", "qcow2", "-F", "raw", "-b", base_path, backed_path]);
    let truncated = scene.qcow2(&base, "truncated.qcow2", &[]);
    let file = std::fs::OpenOptions::new().write(true).open(&truncated).unwrap();
    file.set_len(std::fs::metadata(&truncated).unwrap().len() / 2).unwrap();
    let plain = scene.qcow2(&base, "plain.qcow2", &[]);
    // A disk with a partition table that is an image as well.
    let polyglot = scene.path("polyglot");
    let mut bytes = std::fs::read(&plain).unwrap();
    bytes.truncate(bytes.len() - 512);
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    bytes.extend(footer);
    std::fs::write(&polyglot, bytes).unwrap();
    let link = scene.path("link");
    std::os::unix::fs::symlink(&base, &link).unwrap();
    let raw = Some(volary::ImageFormat::Raw);
    for (path, format, reason) in [
        (&backed, None, "backing_file"),
        (&truncated, None, "truncated"),
        (&plain, raw, "format_mismatch"),
        (&polyglot, None, "polyglot"),
        (&link, None, "not_a_file"),
    ] {
        let mut request = scene.request(path, "web");
        request.format = format;
        let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(error.contexts().any(|(key, value)| (key, value) == ("reason", reason)), "{error:?}");
        scene.assert_nothing_left().await;
    }
    let missing = scene.request(&scene.path("missing"), "web");
    assert_eq!(scene.store.import(&missing, &scene.ctl).await.unwrap_err().kind(), ErrorKind::NotFound);
    for spec in ["-web", "web@snap"] {
        let error = scene.store.import(&scene.request(&base, spec), &scene.ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{spec}");
    }
    let url =
        ImportSource::from_argument("ftp://x/y".into(), &scene.path("spool"), || panic!("it is no stream"));
    assert_eq!(url.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piped_image_is_spooled_without_a_trace_and_digested() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB);
    let image = scene.qcow2(&raw, "disk.qcow2", &[]);
    let spool_dir = scene.path("spool");
    std::fs::create_dir(&spool_dir).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bytes = std::fs::read(&image).unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    let stream = ImportSource::Stream {
        file: std::os::fd::OwnedFd::from(reader).into(),
        spool_dir: spool_dir.clone(),
    };
    let request = volary::ImportRequest::new(stream, scene.spec("web"));
    let report = scene.store.import(&request, &scene.ctl).await.unwrap();
    writing.join().unwrap();
    assert_eq!((report.source.path.as_str(), report.source.format.as_str()), ("-", "qcow2"));
    assert_eq!(report.source.sha256.unwrap(), sha256(&image));
    assert!(scene.content("web").await == std::fs::read(&raw).unwrap());
    assert_eq!(std::fs::read_dir(&spool_dir).unwrap().count(), 0);
}
