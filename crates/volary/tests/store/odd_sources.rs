//! Sources that are no files, or do not stay what they were: refused or noticed, never waited for, never a torn volume.

use super::scene::{Meanwhile, Scene};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use volary::{ErrorKind, ImportRequest, ImportSource, InspectOptions, Phase};
use volary_testkit::images::{Cluster, Qcow2};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn s06_what_is_no_file_is_refused_however_it_comes() {
    let scene = Scene::new().await;
    let file = scene.raw("file", MIB);
    symlink(&file, scene.path("link")).unwrap();
    symlink("/nowhere", scene.path("dangling")).unwrap();
    symlink(scene.dir.path(), scene.path("link-to-directory")).unwrap();
    // No writer ever opens it: whoever waited for one would hang here.
    rustix::fs::mknodat(CWD, scene.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listening = UnixListener::bind(scene.path("socket")).unwrap();
    let made = ["link", "dangling", "link-to-directory", "fifo", "socket", "."].map(|name| scene.path(name));
    let given = ["/dev/zero", "/dev/null", "/proc/version", "/proc/self/maps", "/sys/kernel/mm"];
    for path in made.into_iter().chain(given.map(PathBuf::from)) {
        let early = ImportSource::opened(&path).unwrap_err();
        let error = scene.store.import(&scene.request(&path, "web"), &scene.ctl).await.unwrap_err();
        let looked =
            volary::inspect(&ImportSource::Path(path.clone()), &InspectOptions::default(), &scene.ctl).await;
        for error in [early, error, looked.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Refused, "{}: {error:?}", path.display());
            assert!(error.contexts().any(|pair| pair == ("reason", "not_a_file")), "{error:?}");
        }
    }
    // The same, open already and handed over: a device that never ends would fill the disk.
    for path in ["/dev/zero", "/dev/null", "/proc/version", scene.dir.path().to_str().unwrap()] {
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let source = ImportSource::Stream { file: file.into(), spool_dir: scene.dir.path().to_owned() };
        let request = ImportRequest::new(source, scene.spec("web"));
        let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
        assert!(error.contexts().any(|pair| pair == ("reason", "not_a_file")), "{path}: {error:?}");
    }
    scene.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_file_opened_before_is_imported_under_the_name_it_had() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 5 * MIB);
    let request = ImportRequest::new(ImportSource::opened(&raw).unwrap(), scene.spec("web"));
    let plan = scene.store.plan_import(&request, &scene.ctl).await.unwrap();
    let report = scene.store.import(&request, &scene.ctl).await.unwrap();
    assert_eq!(report.source.path, raw.to_str().unwrap());
    assert_eq!((plan.source.path, plan.size_bytes), (report.source.path.clone(), report.size_bytes));
    assert!(scene.content("web").await == fs::read(&raw).unwrap());
    let missing = ImportSource::opened(&scene.path("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// Something that is done to a file behind the importer's back.
type Change = (&'static str, fn(&Path));

/// Each leaves the file's length as it was; those that change it are tested with the import.
const CHANGES: [Change; 4] = [
    ("replaced", |path| {
        let other = path.with_extension("other");
        fs::copy(path, &other).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("removed", |path| fs::remove_file(path).unwrap()),
    ("written, its date put back", |path| {
        let file = File::options().write(true).open(path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"other", 3 * MIB).unwrap();
        file.set_modified(modified).unwrap();
    }),
    ("cut and filled up again", |path| {
        let file = File::options().write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len();
        file.set_len(MIB).unwrap();
        file.set_len(len).unwrap();
    }),
];

/// Waits until a file that is changed now has a later date than this one: the kernel's clock for dates is coarse.
fn wait_for_the_clock(path: &Path) {
    let changed = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let probe = path.with_extension("clock");
    loop {
        fs::write(&probe, b"now").unwrap();
        if changed(&probe) > changed(path) {
            return;
        }
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_s01_what_is_done_to_a_source_behind_the_import_is_noticed() {
    let scene = Scene::new().await;
    let mut disk = Qcow2 { cluster_bits: 16, ..Qcow2::new(64 * MIB) };
    for cluster in 0..1024 {
        disk = disk.with(cluster, Cluster::Plain(vec![cluster as u8 | 1; 1 << 16]));
    }
    let image = disk.build().bytes;
    for (what, change) in CHANGES {
        for name in ["disk.raw", "disk.qcow2"] {
            let path = scene.path(name);
            let write = || {
                match name {
                    "disk.raw" => drop(scene.raw(name, 80 * MIB)),
                    _ => fs::write(&path, &image).unwrap(),
                }
                wait_for_the_clock(&path);
            };
            write();
            let at = path.clone();
            let ctl = volary::Ctl::new().watched_by(Meanwhile::new(Phase::Copy, move || change(&at)));
            let error = scene.store.import(&scene.request(&path, "web"), &ctl).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SourceChanged, "{what} {name}: {error:?}");
            scene.assert_nothing_left().await;
            // Between its being opened and its being read, and as what somebody else had opened.
            write();
            let opened = ImportSource::opened(&path).unwrap();
            change(&path);
            let request = ImportRequest::new(opened, scene.spec("web"));
            let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SourceChanged, "{what} {name}: {error:?}");
            write();
            let (file, at) = (File::open(&path).unwrap(), path.clone());
            let source = ImportSource::Stream { file, spool_dir: scene.dir.path().to_owned() };
            let ctl = volary::Ctl::new().watched_by(Meanwhile::new(Phase::Copy, move || change(&at)));
            let request = ImportRequest::new(source, scene.spec("web"));
            let error = scene.store.import(&request, &ctl).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SourceChanged, "{what} {name}: {error:?}");
            scene.assert_nothing_left().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_disk_that_begins_as_an_image_is_imported_only_when_that_is_allowed() {
    let scene = Scene::new().await;
    let mut disk = vec![0; 4096];
    disk[..4].copy_from_slice(b"QFI\xfb");
    let image =
        Qcow2 { cluster_bits: 12, ..Qcow2::new(MIB) }.with(0, Cluster::Plain(disk.clone())).build().bytes;
    let path = scene.path("nested.qcow2");
    fs::write(&path, image).unwrap();
    let mut request = scene.request(&path, "web");
    let error = scene.store.import(&request, &scene.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.contexts().any(|pair| pair == ("reason", "nested_header")), "{error:?}");
    assert!(error.remedy().is_some_and(|hint| hint.contains("--allow-nested")), "{error:?}");
    scene.assert_nothing_left().await;
    request.allow_nested = true;
    scene.store.import(&request, &scene.ctl).await.unwrap();
    let content = scene.content("web").await;
    assert!(content[..4096] == disk && content[4096..].iter().all(|byte| *byte == 0));
    let mut options = InspectOptions::default();
    for allow_nested in [false, true] {
        options.allow_nested = allow_nested;
        let report = volary::inspect(&request.source, &options, &scene.ctl).await.unwrap();
        assert_eq!((report.safe, report.error().is_none()), (allow_nested, allow_nested));
    }
}
