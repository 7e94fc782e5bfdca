//! Export: what QEMU reads back, and files that appear whole or not at all.

use super::scene::{Meanwhile, Scene, qemu_img};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
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

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gets_every_byte_in_order() {
    let scene = Scene::new().await;
    for size in [1, 9 * MIB + 5, 24 * MIB] {
        let raw = scene.raw("disk.raw", size);
        // The last block and a middle one are holes.
        let mut request = scene.request(&raw, &format!("v{size}"));
        request.size_bytes = Some(size + 13 * MIB);
        scene.store.import(&request, &scene.ctl).await.unwrap();
        let sink = Sink::default();
        let target = ExportTarget::Stream(Box::new(sink.clone()));
        let request = ExportRequest::new(request.spec.clone(), target);
        scene.store.export(request, &scene.ctl).await.unwrap();
        let mut expected = std::fs::read(&raw).unwrap();
        expected.resize((size + 13 * MIB) as usize, 0);
        assert!(*sink.0.lock().unwrap() == expected);
    }
    let mut request = ExportRequest::new(scene.spec("v1"), ExportTarget::Stream(Box::new(Sink::default())));
    request.format = ExportFormat::Qcow2;
    assert_eq!(scene.store.export(request, &scene.ctl).await.unwrap_err().kind(), ErrorKind::Usage);
}
