//! A store of its own for each test, images to put into it, and the proof that nothing was left.
#![allow(clippy::unwrap_used, dead_code)]

use futures::TryStreamExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use volary::{Ctl, ImportRequest, ImportSource, Namespace, Phase, Progress, Store, StoreUrl, VolumeSpec};

/// A directory with a local store in it.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) ctl: Ctl,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let url = StoreUrl::local(dir.path().join("store"));
        Scene::at(dir, &url).await
    }

    pub(crate) async fn at(dir: tempfile::TempDir, url: &StoreUrl) -> Scene {
        let ctl = Ctl::new();
        let store = Store::connect(url, &ctl).await.unwrap();
        Scene { dir, store, ctl }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A sparse file with runs of data, of zeros that are written, and holes.
    pub(crate) fn raw(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        let mut state = size | 1;
        let mut offset = 0;
        while offset < size {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let len = ((state >> 33) % 300_000 + 1).min(size - offset);
            match (state >> 20) % 3 {
                0 => {}
                1 => file.write_all_at(&vec![0; len as usize], offset).unwrap(),
                _ => {
                    let data: Vec<u8> = (0..len).map(|i| ((i * i) ^ (state >> 40)) as u8).collect();
                    file.write_all_at(&data, offset).unwrap();
                }
            }
            offset += len;
        }
        if size > 0 {
            // The last byte tells whether a tail is lost.
            file.write_all_at(&[0xee], size - 1).unwrap();
        }
        path
    }

    /// The file, converted by QEMU with these options.
    pub(crate) fn qcow2(&self, raw: &Path, name: &str, options: &[&str]) -> PathBuf {
        let path = self.path(name);
        let mut args = vec!["convert", "-f", "raw", "-O", "qcow2"];
        args.extend(options);
        qemu_img(&[&args[..], &[raw.to_str().unwrap(), path.to_str().unwrap()]].concat());
        path
    }

    pub(crate) fn request(&self, path: &Path, spec: &str) -> ImportRequest {
        ImportRequest::new(ImportSource::Path(path.to_owned()), spec.parse().unwrap())
    }

    /// What a volume holds, read by the engine alone.
    pub(crate) async fn content(&self, spec: &str) -> Vec<u8> {
        let spec: VolumeSpec = spec.parse().unwrap();
        let options = volary::engine::OpenOptions::read(spec.snapshot.clone());
        let volume =
            self.store.engine().open(&spec.namespace, &spec.volume, &options, &self.ctl).await.unwrap();
        let size = volume.stat(&self.ctl).await.unwrap().size_bytes;
        let bytes = volume.read(0, size as usize, &self.ctl).await.unwrap();
        volume.close(&self.ctl).await.unwrap();
        bytes.to_vec()
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let namespace = Namespace::default();
        let entries: Vec<_> = self.store.engine().volumes(&namespace, &self.ctl).try_collect().await.unwrap();
        entries.into_iter().map(|entry| entry.name.to_string()).collect()
    }

    /// No volume, nothing in trash, no record, and no byte of data.
    pub(crate) async fn assert_nothing_left(&self) {
        assert_eq!(self.names().await, Vec::<String>::new());
        self.assert_nothing_hidden().await;
        assert_eq!(objects(&self.path("store").join("objects")), Vec::<PathBuf>::new());
    }

    /// Nothing in trash, and no record.
    pub(crate) async fn assert_nothing_hidden(&self) {
        let namespace = Namespace::default();
        assert_eq!(self.store.engine().trash(&namespace, &self.ctl).await.unwrap(), []);
        assert_eq!(self.store.engine().records(&namespace, "", &self.ctl).await.unwrap(), []);
    }
}

/// The files below a directory.
pub(crate) fn objects(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(objects(&path)) } else { found.push(path) }
    }
    found
}

/// Runs `qemu-img`, which must succeed.
pub(crate) fn qemu_img(args: &[&str]) {
    let output = Command::new("qemu-img").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

type Act = Box<dyn FnOnce() + Send>;

/// Does something once, when the first bytes of a phase have moved.
pub(crate) struct Meanwhile {
    wanted: Phase,
    seen: Mutex<(Option<Phase>, Option<Act>)>,
}

impl Meanwhile {
    pub(crate) fn new(wanted: Phase, act: impl FnOnce() + Send + 'static) -> std::sync::Arc<Meanwhile> {
        std::sync::Arc::new(Meanwhile { wanted, seen: Mutex::new((None, Some(Box::new(act)))) })
    }
}

impl Progress for Meanwhile {
    fn phase(&self, phase: Phase, _total_bytes: Option<u64>) {
        self.seen.lock().unwrap().0 = Some(phase);
    }

    fn advance(&self, _bytes: u64) {
        let mut seen = self.seen.lock().unwrap();
        if seen.0 == Some(self.wanted)
            && let Some(act) = seen.1.take()
        {
            act();
        }
    }
}
