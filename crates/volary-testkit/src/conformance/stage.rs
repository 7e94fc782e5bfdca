//! Where a case plays: an engine, a namespace of its own, and short words for what is not under test.

use bytes::Bytes;
use futures::TryStreamExt;
use std::fmt::Display;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use volary::engine::{
    CloneOptions, CreateOptions, Engine, Extent, OpenOptions, SnapshotRef, TrashOptions, Volume, VolumeEntry,
};
use volary::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target};

pub(super) const MIB: u64 = 1 << 20;
/// The block both engines keep data in by default; nothing but where the edges are probed depends on it.
pub(super) const BLOCK: u64 = 4 * MIB;
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) static CTL: LazyLock<Ctl> = LazyLock::new(Ctl::new);

/// An engine and a namespace that only this case uses.
pub struct Stage {
    engine: Arc<dyn Engine>,
    pub(super) ns: Namespace,
}

impl Stage {
    /// Makes the case's namespace in the default pool; its name begins with `prefix`, which nobody else uses in that store.
    ///
    /// # Panics
    /// When the engine cannot.
    pub async fn new(engine: Arc<dyn Engine>, prefix: &str, case: &str) -> Self {
        let name = format!("{prefix}{}", case.replace("::", "-").replace('_', "-"));
        let ns = Namespace { name: Name::new(&name).unwrap(), ..Namespace::default() };
        engine.create_namespace(&ns, &CTL).await.unwrap();
        Stage { engine, ns }
    }

    /// Another namespace beside the case's own.
    pub(super) async fn second_namespace(&self) -> Namespace {
        let name = Name::from_bytes([self.ns.name.as_bytes(), b"-2"].concat());
        let ns = Namespace { pool: self.ns.pool.clone(), name };
        self.create_namespace(&ns, &CTL).await.unwrap();
        ns
    }

    pub(super) async fn volume(&self, name: &str, size: u64) -> VolumeEntry {
        self.volume_in(&self.ns, name, size).await
    }

    pub(super) async fn volume_in(&self, ns: &Namespace, name: &str, size: u64) -> VolumeEntry {
        let id = self.create(ns, &n(name), &CreateOptions::new(size), &CTL).await.unwrap();
        VolumeEntry { name: n(name), id }
    }

    /// A volume with a protected snapshot `s`, filled with one byte.
    pub(super) async fn parent(&self, name: &str, size: u64, byte: u8) -> VolumeEntry {
        let entry = self.volume(name, size).await;
        let v = self.writer(&entry).await;
        v.fill(0, size, byte).await;
        v.snap("s").await;
        v.protect("s").await;
        v.shut().await;
        entry
    }

    pub(super) async fn clone_of(&self, parent: &VolumeEntry, snapshot: &str, name: &str) -> VolumeEntry {
        let id = self.try_clone(parent, snapshot, name).await.unwrap();
        VolumeEntry { name: n(name), id: id.id }
    }

    pub(super) async fn try_clone(
        &self,
        parent: &VolumeEntry,
        snapshot: &str,
        name: &str,
    ) -> Result<VolumeEntry> {
        let from = self.snapshot_ref(parent, snapshot);
        let id = self.clone_volume(&from, &self.ns, &n(name), &CloneOptions::default(), &CTL).await?;
        Ok(VolumeEntry { name: n(name), id })
    }

    pub(super) fn snapshot_ref(&self, parent: &VolumeEntry, snapshot: &str) -> SnapshotRef {
        SnapshotRef { namespace: self.ns.clone(), volume: parent.id.clone(), snapshot: n(snapshot) }
    }

    pub(super) async fn try_open(&self, entry: &VolumeEntry, options: &OpenOptions) -> Result<Opened> {
        self.open(&self.ns, &Target::Id(entry.id.clone()), options, &CTL).await.map(Opened)
    }

    pub(super) async fn writer(&self, entry: &VolumeEntry) -> Opened {
        self.try_open(entry, &OpenOptions::write()).await.unwrap()
    }

    pub(super) async fn reader(&self, entry: &VolumeEntry) -> Opened {
        self.try_open(entry, &OpenOptions::read(None)).await.unwrap()
    }

    pub(super) async fn at(&self, entry: &VolumeEntry, snapshot: &str) -> Opened {
        self.try_open(entry, &OpenOptions::read(Some(n(snapshot)))).await.unwrap()
    }

    pub(super) async fn found(&self, name: &Name) -> Option<VolumeEntry> {
        self.find(&self.ns, &Target::Name(name.clone()), &CTL).await.unwrap()
    }

    pub(super) async fn listed(&self, ns: &Namespace) -> Vec<VolumeEntry> {
        let mut all: Vec<_> = self.volumes(ns, &CTL).try_collect().await.unwrap();
        all.sort();
        all
    }

    pub(super) async fn to_trash(&self, entry: &VolumeEntry, keep: Duration) {
        self.trash_move(&self.ns, entry, &TrashOptions::keep(keep), &CTL).await.unwrap();
    }
}

impl Deref for Stage {
    type Target = dyn Engine;
    fn deref(&self) -> &Self::Target {
        &*self.engine
    }
}

/// An open volume.
pub(super) struct Opened(pub(super) Arc<dyn Volume>);

impl Deref for Opened {
    type Target = dyn Volume;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Opened {
    pub(super) async fn fill(&self, offset: u64, len: u64, byte: u8) {
        self.write(offset, filled(len, byte), &CTL).await.unwrap();
    }

    pub(super) async fn zero(&self, offset: u64, len: u64) {
        self.write_zeroes(offset, len, &CTL).await.unwrap();
    }

    pub(super) async fn sync(&self) {
        self.0.flush(&CTL).await.unwrap();
    }

    pub(super) async fn shut(self) {
        self.0.close(&CTL).await.unwrap();
    }

    pub(super) async fn size(&self) -> u64 {
        self.stat(&CTL).await.unwrap().size_bytes
    }

    pub(super) async fn snap(&self, name: &str) {
        self.create_snapshot(&n(name), &CTL).await.unwrap();
    }

    pub(super) async fn protect(&self, name: &str) {
        self.protect_snapshot(&n(name), &CTL).await.unwrap();
    }

    pub(super) async fn unprotect(&self, name: &str) {
        self.unprotect_snapshot(&n(name), &CTL).await.unwrap();
    }

    pub(super) async fn unsnap(&self, name: &str) {
        self.remove_snapshot(&n(name), &CTL).await.unwrap();
    }

    pub(super) async fn set_size(&self, size: u64) {
        self.resize(size, &CTL).await.unwrap();
    }

    /// Everything, read at once.
    pub(super) async fn content(&self) -> Bytes {
        let size = self.size().await;
        self.read(0, usize::try_from(size).unwrap(), &CTL).await.unwrap()
    }

    /// Checks size, content and extents against runs of one byte each.
    #[track_caller]
    pub(super) fn holds(&self, runs: &[(u64, u8)]) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        let expected = runs.iter().map(|&(len, byte)| filled(len, byte)).collect::<Vec<_>>().concat();
        async move {
            let content = self.content().await;
            assert_same(&content, &expected, at);
            let extents = self.extents(0, expected.len() as u64, &CTL).await.unwrap();
            check_extents(&extents, 0, &expected);
        }
    }

    /// Reads every snapshot back through another handle.
    pub(super) async fn snapshot_names(&self) -> Vec<Name> {
        self.snapshots(&CTL).await.unwrap().into_iter().map(|s| s.name).collect()
    }
}

/// Both are equally long and hold the same bytes.
pub(crate) fn assert_same(content: &[u8], expected: &[u8], at: impl Display) {
    assert_eq!(content.len(), expected.len(), "size, at {at}");
    if content != expected {
        let differs = content.iter().zip(expected).position(|(a, b)| a != b);
        panic!("content differs from byte {differs:?} on, at {at}");
    }
}

/// In order, without gaps, merged, and zero only where the content is.
pub(crate) fn check_extents(extents: &[Extent], offset: u64, content: &[u8]) {
    let mut at = offset;
    for (index, extent) in extents.iter().enumerate() {
        assert_eq!(extent.offset, at, "a gap or overlap in {extents:?}");
        assert!(extent.len > 0, "an empty extent in {extents:?}");
        assert!(index == 0 || extents[index - 1].data != extent.data, "neighbours not merged in {extents:?}");
        let range = usize::try_from(at - offset).unwrap()..usize::try_from(at - offset + extent.len).unwrap();
        assert!(extent.data || is_zero(&content[range]), "data called zero in {extents:?}");
        at += extent.len;
    }
    assert_eq!(at, offset + content.len() as u64, "the extents end early: {extents:?}");
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|&first| first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

pub(super) fn n(name: &str) -> Name {
    Name::from_bytes(name)
}

pub(super) fn filled(len: u64, byte: u8) -> Bytes {
    vec![byte; usize::try_from(len).unwrap()].into()
}

/// The call must have failed in this way.
#[track_caller]
pub(super) fn refused<T>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(_) => panic!("succeeded where {kind} was due"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{}", error.report());
            error
        }
    }
}
