//! A namespace of its own for one case, with a bystander in it.

use super::case::Operation;
use futures::TryStreamExt;
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use volary::engine::{Engine, OpenOptions};
use volary::{
    Ctl, ImportRequest, ImportSource, Name, Namespace, ReapOptions, ReapReport, Reaper, Store, VolumeSpec,
};

pub(crate) const BLOCK: u64 = 4 << 20;
static NEXT: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Yard {
    pub(crate) store: Store,
    pub(crate) ctl: Ctl,
    place: Namespace,
    disk: tempfile::NamedTempFile,
}

impl Yard {
    /// Everything the operation needs, and a volume that it must not touch, in a namespace whose name begins with `prefix`.
    pub(crate) async fn new(engine: Arc<dyn Engine>, prefix: &str, operation: Operation) -> Yard {
        let ctl = Ctl::new();
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = Name::new(&format!("{prefix}{number}")).unwrap();
        let place = Namespace { name, ..Namespace::default() };
        engine.create_namespace(&place, &ctl).await.unwrap();
        // A little in each of three blocks: there are thousands of cases, and a test cluster keeps all in memory.
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(3 * BLOCK).unwrap();
        for block in 0..3_u8 {
            disk.as_file().write_all_at(&[block + 1; 32 << 10], u64::from(block) * BLOCK).unwrap();
        }
        let yard = Yard { store: Store::over(engine), ctl, place, disk };
        yard.import(&yard.store, "bystander").await.unwrap();
        yard.prepare(operation).await;
        yard
    }

    pub(crate) fn spec(&self, text: &str) -> VolumeSpec {
        format!("{}/{text}", self.place).parse().unwrap()
    }

    pub(crate) async fn import(&self, store: &Store, name: &str) -> volary::Result<()> {
        let source = ImportSource::Path(self.disk.path().to_owned());
        let mut request = ImportRequest::new(source, self.spec(name));
        request.snapshot = Some(Name::new("golden").unwrap());
        request.protect = true;
        store.import(&request, &self.ctl).await.map(drop)
    }

    /// The id of a volume in trash by the name it had.
    pub(crate) async fn in_trash(&self, name: &str) -> VolumeSpec {
        let trash = self.store.trash(&self.place, &self.ctl).await.unwrap();
        let found = trash.into_iter().find(|entry| entry.name == Name::from_bytes(name)).unwrap();
        self.place.volume_by_id(found.id)
    }

    /// What a user can see, without what is different each time: ids and dates.
    pub(crate) async fn shape(&self) -> Value {
        let (store, ctl) = (&self.store, &self.ctl);
        let mut listed: Vec<_> = store.list(&self.place, ctl).try_collect().await.unwrap();
        listed.sort_by_key(|listing| listing.volume.to_string());
        let mut volumes = Vec::new();
        for listing in listed {
            let name = listing.volume.volume.to_string();
            let snapshots = store.snapshots(&listing.volume, ctl).await.unwrap();
            let snapshots: Vec<_> =
                snapshots.iter().map(|of| json!([of.name, of.size_bytes, of.protected])).collect();
            let parent = store.parent(&listing.volume, ctl).await.unwrap();
            let parent = parent.map(|of| of.volume.volume.to_string());
            volumes.push(json!([name, snapshots, parent, self.content(&listing.volume).await]));
        }
        let trash = store.trash(&self.place, ctl).await.unwrap();
        let trash: Vec<_> = trash.into_iter().map(|of| of.name).collect();
        json!({"volumes": volumes, "trash": trash})
    }

    /// The leaf of every block.
    async fn content(&self, spec: &VolumeSpec) -> Vec<Option<String>> {
        let options = OpenOptions::read(None);
        let volume = self.store.engine().open(&spec.namespace, &spec.volume, &options, &self.ctl);
        let volume = volume.await.unwrap();
        let size = volume.stat(&self.ctl).await.unwrap().size_bytes;
        let mut leaves = Vec::new();
        for offset in (0..size).step_by(BLOCK as usize) {
            let len = BLOCK.min(size - offset) as usize;
            let bytes = volume.read(offset, len, &self.ctl).await.unwrap();
            leaves.push(volary::leaf(&bytes).map(|leaf| format!("{:02x}{:02x}", leaf[0], leaf[1])));
        }
        volume.close(&self.ctl).await.unwrap();
        leaves
    }

    /// Makes it look as if the process that owns what is pending had died: another one has its number now.
    pub(crate) async fn orphan(&self) {
        let engine = self.store.engine();
        let mut changed = true;
        while changed {
            changed = false;
            let found = engine.records(&self.place, "intent.", b"", 1000, &self.ctl).await.unwrap();
            for record in found.records {
                let mut intent: Value = serde_json::from_slice(&record.value).unwrap();
                if !intent["owner"].is_null() {
                    intent["owner"]["pid_start"] = json!(1);
                }
                let new = serde_json::to_vec(&intent).unwrap();
                let old = Some(record.value.as_slice());
                // A call that the operation has given up may be carried out only now, and change the record.
                changed |=
                    !engine.swap_record(&self.place, &record.key, old, Some(&new), &self.ctl).await.unwrap();
            }
        }
    }

    pub(crate) async fn reap(&self) -> Vec<ReapReport> {
        let places = std::slice::from_ref(&self.place);
        self.store.reap(places, &ReapOptions::default(), &self.ctl).await.unwrap()
    }

    /// Reaps, round after round, until it is over.
    pub(crate) async fn look_on(&self, over: &AtomicBool) -> Vec<ReapReport> {
        let (mut reaper, mut reports) = (Reaper::new(self.store.clone()), Vec::new());
        while !over.load(Ordering::SeqCst) {
            reports.extend(reaper.round(&self.place, &ReapOptions::default(), &self.ctl).await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        reports
    }

    pub(crate) async fn assert_nothing_pending(&self) {
        self.assert_nothing_pending_because("").await;
    }

    pub(crate) async fn assert_nothing_pending_because(&self, told: &str) {
        let pending = self.store.pending(&self.place, &self.ctl).await.unwrap();
        assert!(pending.is_empty(), "{told}: {pending:?}");
    }
}
