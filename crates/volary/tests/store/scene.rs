//! A store of its own for each test, images to put into it, and the proof that nothing was left.

use crate::place::Place;
use futures::TryStreamExt;
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use volary::engine::Engine;
use volary::{Ctl, ImportRequest, ImportSource, Namespace, Phase, Progress, Result, Store, VolumeSpec};
use volary_testkit::fault::{Before, Faults};
use volary_testkit::images;

/// A store that is the test's own, and a directory for files.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) store: Store,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) ctl: Ctl,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path()).await;
        Scene::at(dir, place).await
    }

    pub(crate) async fn at(dir: tempfile::TempDir, place: Place) -> Scene {
        let (engine, ctl) = (place.open().await, Ctl::new());
        Scene { dir, place, store: Store::over(engine.clone()), engine, ctl }
    }

    /// The namespace that is the test's own.
    pub(crate) fn home(&self) -> Namespace {
        self.place.home()
    }

    /// A volume or snapshot in the test's own namespace, or anywhere when a pool is named.
    pub(crate) fn spec(&self, text: &str) -> VolumeSpec {
        if text.contains('/') { text.parse().unwrap() } else { self.shown(text).parse().unwrap() }
    }

    /// How a volume of the test's own namespace is shown.
    pub(crate) fn shown(&self, volume: &str) -> String {
        format!("{}/{volume}", self.home())
    }

    /// The same store through an engine whose calls fail when `before` says so.
    pub(crate) fn faulty(
        &self,
        before: impl Fn(&'static str) -> Result<()> + Send + Sync + 'static,
    ) -> Store {
        let before: Before = Arc::new(before);
        Store::over(Faults::before(self.engine.clone(), before))
    }

    pub(crate) async fn create(&self, volume: &str) {
        self.store.create(&self.spec(volume), 8 << 20, &self.ctl).await.unwrap();
    }

    pub(crate) async fn snapshot(&self, snapshot: &str, protect: bool) {
        self.store.create_snapshot(&self.spec(snapshot), protect, &self.ctl).await.unwrap();
    }

    /// A volume, its protected snapshot `@s`, and a clone of that.
    pub(crate) async fn family(&self, parent: &str, child: &str) {
        self.create(parent).await;
        let golden = format!("{parent}@s");
        self.snapshot(&golden, true).await;
        self.store.clone_volume(&self.spec(&golden), &self.spec(child), &self.ctl).await.unwrap();
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
                    file.write_all_at(&images::noise(state, len as usize), offset).unwrap();
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
        ImportRequest::new(ImportSource::Path(path.to_owned()), self.spec(spec))
    }

    /// What a volume holds, read by the engine alone.
    pub(crate) async fn content(&self, spec: &str) -> Vec<u8> {
        let spec = self.spec(spec);
        let options = volary::engine::OpenOptions::read(spec.snapshot.clone());
        let volume = self.engine.open(&spec.namespace, &spec.volume, &options, &self.ctl).await.unwrap();
        let size = volume.stat(&self.ctl).await.unwrap().size_bytes;
        let bytes = volume.read(0, size as usize, &self.ctl).await.unwrap();
        volume.close(&self.ctl).await.unwrap();
        bytes.to_vec()
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let namespace = self.home();
        let entries: Vec<_> = self.engine.volumes(&namespace, &self.ctl).try_collect().await.unwrap();
        entries.into_iter().map(|entry| entry.name.to_string()).collect()
    }

    /// No volume, nothing in trash, no record, and no byte of data.
    pub(crate) async fn assert_nothing_left(&self) {
        assert_eq!(self.names().await, Vec::<String>::new());
        self.assert_nothing_hidden().await;
        assert_eq!(self.place.objects(), Vec::<String>::new());
    }

    /// Everything that can be seen of the test's own namespaces.
    pub(crate) async fn state(&self) -> Value {
        let mut all = Vec::new();
        for pool in self.store.pools(&self.ctl).await.unwrap() {
            // Another test's pool may be gone a moment later.
            let own = pool.to_string().starts_with(&self.place.name(""));
            if !own && pool != self.home().pool {
                continue;
            }
            for namespace in self.store.namespaces(&pool, &self.ctl).await.unwrap() {
                if !namespace.name.to_string().starts_with(&self.place.name("")) {
                    continue;
                }
                let mut listed: Vec<_> = self.store.list(&namespace, &self.ctl).try_collect().await.unwrap();
                listed.sort_by_key(|listing| listing.volume.to_string());
                let mut volumes = Vec::new();
                for listing in listed {
                    let mut info = self.store.info(&listing.volume, &self.ctl).await.unwrap();
                    // The journal is told once, below.
                    info.pending.clear();
                    let children = self.store.children(&listing.volume, &self.ctl).await.unwrap();
                    volumes.push(json!({"info": info, "children": children}));
                }
                let trash = self.store.trash(&namespace, &self.ctl).await.unwrap();
                let pending = self.store.pending(&namespace, &self.ctl).await.unwrap();
                all.push(
                    json!({"namespace": namespace, "volumes": volumes, "trash": trash, "pending": pending}),
                );
            }
        }
        json!(all)
    }

    /// Nothing in trash, and no record.
    pub(crate) async fn assert_nothing_hidden(&self) {
        let namespace = self.home();
        assert_eq!(self.engine.trash(&namespace, &self.ctl).await.unwrap(), []);
        assert_eq!(self.engine.records(&namespace, "", b"", 9, &self.ctl).await.unwrap().records, []);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Let go before the process ends: Ceph's libraries do not like to be left at work.
        if std::thread::panicking() {
            return;
        }
        let engine = self.engine.clone();
        let end = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(engine.shutdown()).unwrap();
        });
        end.join().unwrap();
    }
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
