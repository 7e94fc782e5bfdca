//! Export: what QEMU reads back, and files that appear whole or not at all.

use super::scene::{Meanwhile, Scene, qemu_img};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use volary::{Algorithm, ErrorKind, ExportFormat, ExportRequest, ExportTarget, Phase};

const MIB: u64 = 1 << 20;

fn to_file(scene: &Scene, volume: &str, path: &Path) -> ExportRequest {
    ExportRequest::new(scene.spec(volume), ExportTarget::File(path.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_exports_hold_the_volumes_bytes_and_pass_qemus_check() {
    let scene = Scene::new().await;
    for size in [512, 64 << 10, 4 * MIB + 512, 9 * MIB + 3 * 512, 530 * MIB] {
        let raw = if size > 100 * MIB {
            let path = scene.raw("large", 3 * MIB);
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();
            std::os::unix::fs::FileExt::write_all_at(
                &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
                b"end",
                size - 3,
            )
            .unwrap();
            path
        } else {
            scene.raw("small", size)
        };
        let name = format!("v{size}");
        let imported = scene.store.import(&scene.request(&raw, &name), &scene.ctl).await.unwrap();

        let out = scene.path(&format!("{size}.raw"));
        let mut request = to_file(&scene, &name, &out);
        request.file_digest = Some(Algorithm::Sha256);
        let report = scene.store.export(request, &scene.ctl).await.unwrap();
        assert!(std::fs::read(&out).unwrap() == std::fs::read(&raw).unwrap());
        assert_eq!(report.digest, imported.digest);
        assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
        let sum = std::process::Command::new("sha256sum").arg(&out).output().unwrap();
        assert_eq!(report.file_digest.unwrap()[7..], String::from_utf8(sum.stdout).unwrap()[..64]);
        if size > 100 * MIB {
            assert!(std::fs::metadata(&out).unwrap().blocks() * 512 < 10 * MIB, "it is sparse");
        }

        let out = scene.path(&format!("{size}.qcow2"));
        let mut request = to_file(&scene, &name, &out);
        request.format = ExportFormat::Qcow2;
        let report = scene.store.export(request, &scene.ctl).await.unwrap();
        assert_eq!(report.file_bytes, std::fs::metadata(&out).unwrap().len());
        qemu_img(&["check", "-f", "qcow2", out.to_str().unwrap()]);
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2", raw.to_str().unwrap(), out.to_str().unwrap()]);
        let again = scene.store.import(&scene.request(&out, &format!("again{size}")), &scene.ctl).await;
        assert_eq!(again.unwrap().digest, imported.digest);
    }
}

/// **S11 Atomic export.** A file appears under its name complete and synced, or not at all; an existing file
/// is refused without `--force`.
#[tokio::test(flavor = "multi_thread")]
async fn s11_an_existing_file_is_refused_and_a_cancelled_export_leaves_none() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 80 * MIB);
    scene.store.import(&scene.request(&raw, "web"), &scene.ctl).await.unwrap();
    let out = scene.path("out");
    std::fs::create_dir(&out).unwrap();
    let file = out.join("web");
    std::fs::write(&file, "mine").unwrap();
    let error = scene.store.export(to_file(&scene, "web", &file), &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    for format in [ExportFormat::Raw, ExportFormat::Qcow2] {
        let ctl = volary::Ctl::new();
        let token = ctl.cancel_token().clone();
        let ctl = ctl.watched_by(Meanwhile::new(Phase::Copy, move || token.cancel()));
        let mut request = to_file(&scene, "web", &file);
        request.force = true;
        request.format = format;
        let error = scene.store.export(request, &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }
    let mut request = to_file(&scene, "web", &file);
    request.force = true;
    scene.store.export(request, &scene.ctl).await.unwrap();
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&raw).unwrap());
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    let missing = scene.store.export(to_file(&scene, "other", &out.join("x")), &scene.ctl).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// The descriptor as a target.
fn stream(sink: impl Into<OwnedFd>) -> ExportTarget {
    ExportTarget::Stream(sink.into().into())
}

/// Reads so many bytes, and is gone; `None` reads all.
fn reader(mut from: impl Read + Send + 'static, most: Option<u64>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        match most {
            Some(most) => from.take(most).read_to_end(&mut bytes).unwrap(),
            None => from.read_to_end(&mut bytes).unwrap(),
        };
        bytes
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gets_every_byte_in_order() {
    let scene = Scene::new().await;
    for size in [512, 9 * MIB + 512, 24 * MIB] {
        let raw = scene.raw("disk.raw", size);
        // The last block and a middle one are holes.
        let mut request = scene.request(&raw, &format!("v{size}"));
        request.size_bytes = Some(size + 13 * MIB);
        scene.store.import(&request, &scene.ctl).await.unwrap();
        let mut expected = std::fs::read(&raw).unwrap();
        expected.resize((size + 13 * MIB) as usize, 0);
        let export = async |sink: ExportTarget| {
            let request = ExportRequest::new(request.spec.clone(), sink);
            scene.store.export(request, &scene.ctl).await.unwrap();
        };
        let (pipe, sink) = std::io::pipe().unwrap();
        let taken = reader(pipe, None);
        export(stream(sink)).await;
        assert!(taken.join().unwrap() == expected, "a pipe");
        // A descriptor that others have made non-blocking.
        let (pipe, sink) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&sink, true).unwrap();
        let taken = reader(pipe, None);
        export(stream(sink)).await;
        assert!(taken.join().unwrap() == expected, "a pipe that does not block");
        let (other, sink) = UnixStream::pair().unwrap();
        let taken = reader(other, None);
        export(stream(sink)).await;
        assert!(taken.join().unwrap() == expected, "a socket");
        let file = scene.path("taken");
        export(stream(std::fs::File::create(&file).unwrap())).await;
        assert!(std::fs::read(&file).unwrap() == expected, "a file");
    }
    let sink = std::fs::File::create(scene.path("taken")).unwrap();
    let mut request = ExportRequest::new(scene.spec("v512"), stream(sink));
    request.format = ExportFormat::Qcow2;
    assert_eq!(scene.store.export(request, &scene.ctl).await.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_stream_that_was_not_taken_whole_is_an_error_which_says_how_much_was() {
    let scene = Scene::new().await;
    let size = 9 * MIB;
    let raw = scene.raw("disk.raw", size);
    scene.store.import(&scene.request(&raw, "web"), &scene.ctl).await.unwrap();
    let export = async |sink: ExportTarget| {
        let error = scene.store.export(ExportRequest::new(scene.spec("web"), sink), &scene.ctl).await;
        let error = error.unwrap_err();
        let found =
            |key| error.contexts().find(|pair| pair.0 == key).map(|pair| pair.1.parse::<u64>().unwrap());
        assert_eq!(found("size_bytes"), Some(size), "{}", error.report());
        (error.kind(), found("taken_bytes").unwrap())
    };
    // Of a pipe, what its reader has read counts: also when all the rest of it fits into the pipe.
    for read in [0, MIB, size - 4096, size - 1] {
        let (pipe, sink) = std::io::pipe().unwrap();
        let taken = reader(pipe, Some(read));
        let (kind, told) = export(stream(sink)).await;
        assert_eq!(taken.join().unwrap().len() as u64, read);
        let most = if size - read <= 65536 { read } else { read + 65536 };
        assert!(kind == ErrorKind::Internal && (read..=most).contains(&told), "{read}: {told}");
    }
    let (other, sink) = UnixStream::pair().unwrap();
    let taken = reader(other, Some(MIB));
    let (kind, told) = export(stream(sink)).await;
    taken.join().unwrap();
    assert!(kind == ErrorKind::Internal && (MIB..size).contains(&told), "{told}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(export(stream(full)).await, (ErrorKind::NoSpace, 0));
    // One that may not be written at all.
    let (kind, told) = export(stream(std::fs::File::open("/dev/null").unwrap())).await;
    assert_eq!((kind, told), (ErrorKind::Internal, 0));
    // A reader that has everything but the last bytes, and neither reads nor goes.
    let ctl = volary::Ctl::new();
    let (mut pipe, sink) = std::io::pipe().unwrap();
    let (token, request) = (ctl.cancel_token().clone(), ExportRequest::new(scene.spec("web"), stream(sink)));
    let reading = std::thread::spawn(move || {
        let mut bytes = vec![0; (size - 1) as usize];
        pipe.read_exact(&mut bytes).unwrap();
        token.cancel();
        pipe
    });
    assert_eq!(scene.store.export(request, &ctl).await.unwrap_err().kind(), ErrorKind::Interrupted);
    drop(reading.join().unwrap());
}
