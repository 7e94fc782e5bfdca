//! A store and its volumes: the two traits every engine implements, and nothing the driver can do by itself.
//!
//! Each call has at most one visible effect: it has happened whole or not at all, also when the process dies in it.
//! The last argument bounds the call ([`Ctl`]). What is true of every engine is written here, at the method, and
//! held by the conformance suite; what still differs is a row of `docs/semantics.md`.

mod caveat;
pub mod ceph;
mod check;
mod interpose;
pub mod local;
mod options;
mod types;
mod volume;

pub use caveat::*;
pub use check::*;
pub use interpose::*;
pub use options::*;
pub use types::*;
pub use volume::*;

use crate::{Ctl, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::fmt;
use std::sync::Arc;

/// A store: pools, namespaces, the directory of volumes, trash, and small records.
///
/// Kinds of error that any method may return are not repeated at each: [`Permission`](crate::ErrorKind::Permission),
/// [`NoSpace`](crate::ErrorKind::NoSpace), [`Unreachable`](crate::ErrorKind::Unreachable),
/// [`Deadline`](crate::ErrorKind::Deadline), [`Interrupted`](crate::ErrorKind::Interrupted),
/// [`Internal`](crate::ErrorKind::Internal). A pool or namespace that is not there is `NotFound` everywhere.
///
/// `Display` is the store's URL without anything secret.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + fmt::Display {
    /// What this store is and what it can do.
    async fn describe(&self, ctl: &Ctl) -> Result<StoreDescription>;

    /// What else there is to say of how fit the store is for use, found out by reading only. What the user may not see is
    /// `Unknown`, no error.
    async fn examine(&self, ctl: &Ctl) -> Result<Vec<Check>>;

    /// The names of the pools, sorted.
    async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>>;

    /// A pool's figures; `None` for a new pool of which the store has none yet.
    async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<Option<PoolInfo>>;

    /// Makes a pool.
    ///
    /// # Errors
    /// `AlreadyExists`; `Unsupported` where pools are the administrator's business, as on Ceph.
    async fn create_pool(&self, pool: &Name, ctl: &Ctl) -> Result<()>;

    /// The names of a pool's namespaces, sorted, without the default one (`rbd_namespace_list`).
    async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Name>>;

    /// Makes a namespace (`rbd_namespace_create`).
    ///
    /// # Errors
    /// `AlreadyExists`; `Usage` for the empty name.
    async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()>;

    /// Removes an empty namespace (`rbd_namespace_remove`).
    ///
    /// # Errors
    /// `NotFound`; `Blocked` while it holds volumes, in trash too; `Usage` for the default namespace.
    async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()>;

    /// The volumes of a namespace by name, in no order, without those in trash (`rbd_list2`).
    ///
    /// A volume made or removed meanwhile may or may not be seen. The stream ends after its first error.
    fn volumes<'a>(&'a self, namespace: &'a Namespace, ctl: &'a Ctl) -> BoxStream<'a, Result<VolumeEntry>>;

    /// What has a name in a namespace and is no volume that can be used here, by name: on Ceph images of format 1
    /// (`rbd_list`). [`volumes`](Engine::volumes) leaves them out.
    async fn unusable(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<Unusable>>;

    /// The name and id of a volume that is not in trash, or `None`; opens nothing.
    ///
    /// # Errors
    /// `Mismatch` for the id of a volume that is there, and of which the store has lost the name.
    async fn find(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<VolumeEntry>>;

    /// A number that is the same only while a volume has had its name without a break: a rename there and back changes it, a move
    /// into trash and out of it too. `None` when the name does not stand for the volume (the version of `rbd_id.NAME`).
    async fn name_version(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        ctl: &Ctl,
    ) -> Result<Option<u64>>;

    /// A number that grows with each snapshot that is made of a volume, whoever makes it and for whatever, and stays the same when
    /// one is removed. `None` where there is no such volume, or its header does not tell (`snap_seq` in the header).
    async fn snapshots_made(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<u64>>;

    /// Id and size of the head of a volume that is not in trash, or `None`; opens nothing where the store's own records tell
    /// exactly.
    async fn head(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<Head>>;

    /// The size of a volume's head and what it takes up itself, where the store's own records tell exactly, without opening
    /// it. `None` when only opening it tells, and when it is not there.
    async fn usage(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Usage>>;

    /// The snapshot that the head of a volume, in trash or not, is a clone of; opens nothing where the store's own records tell
    /// exactly.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume.
    async fn parent(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Parent>>;

    /// Clones that read from a volume which cannot be opened, as far as that is told without it and in its own namespace, by name, or by
    /// id for one in trash. On Ceph those of format 1, some of them if there are many. What can be opened has
    /// [`Volume::children`], which tells all.
    async fn known_clones(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Vec<VolumeSpec>>;

    /// Whether a volume surely has no snapshots and nobody and nothing holds it, told without opening it; `false` says
    /// nothing: only opening it tells.
    ///
    /// Not for looking only: on Ceph whoever has it open is told to look at it again (a notification of the header).
    async fn unheld(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<bool>;

    /// Makes an empty volume that reads as zeros (`rbd_create4`).
    ///
    /// # Errors
    /// `AlreadyExists` for a name in use; `Usage` for options out of range; `Unsupported` for unknown features.
    async fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId>;

    /// Makes a volume whose content is a snapshot's, sharing its data (`rbd_clone4`).
    ///
    /// The parent is named by its id; one in trash serves too where [`StoreDescription::clones_from_trash`] says so, and
    /// is `Unsupported` elsewhere. The child inherits the parent's metadata.
    ///
    /// # Errors
    /// `NotFound` for the parent or snapshot; `AlreadyExists` for the child's name; `Blocked` when the snapshot is
    /// not protected (where the store demands it), or its protection is being taken away.
    async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId>;

    /// Gives a volume another name in the same namespace (`rbd_rename`); open handles stay valid.
    ///
    /// # Errors
    /// `NotFound` when `volume.name` no longer stands for `volume.id`; `AlreadyExists` for the new name.
    async fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name, ctl: &Ctl) -> Result<()>;

    /// Removes a volume and its data for good (`rbd_remove_with_progress`), and says what of it may be left, each with the command
    /// that shows it: nothing, but of a volume that was damaged so that the store did not know all that was its own.
    ///
    /// # Errors
    /// `NotFound` when `volume.name` no longer stands for `volume.id`; `Blocked`, with nothing changed, while it
    /// has snapshots or somebody has it open to write, or to read where [`StoreDescription::readers_hold`] says so;
    /// `Mismatch`, with nothing changed, for one that is damaged so that the store cannot remove it.
    async fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<Vec<String>>;

    /// What is in a namespace's trash, half-moved and half-removed entries included (`rbd_trash_list`).
    async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>>;

    /// Takes a volume's name away and puts it into trash, kept until `options.keep` has passed (`rbd_trash_move`).
    ///
    /// Repeating it after an interruption finishes it. Snapshots, children and metadata stay as they are.
    ///
    /// # Errors
    /// `NotFound` when `volume.name` no longer stands for `volume.id`; `Blocked` while somebody has it open, unless the
    /// caller has [`looked`](TrashOptions::looked).
    async fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        options: &TrashOptions,
        ctl: &Ctl,
    ) -> Result<()>;

    /// Brings a volume back under `name`; the exclusive creation of the name decides (`rbd_trash_restore`).
    ///
    /// It may be open, for writing too: this is how staging volumes are published. Repeating it after an
    /// interruption finishes it; when the volume already has that very name, it succeeds. The source of a migration that was cut
    /// short before its header told of it ([`TrashEntry::half_migrated`]) comes back as any other, while nobody has it open.
    ///
    /// # Errors
    /// `NotFound` for the id; `AlreadyExists` when another volume has the name, `NoSpace`, and `Blocked` for the source of a
    /// migration, which only aborting that brings back: the entry stays in trash.
    async fn trash_restore(&self, namespace: &Namespace, id: &VolumeId, name: &Name, ctl: &Ctl)
    -> Result<()>;

    /// Removes a volume in trash for good (`rbd_trash_remove_with_progress`), and says what of it may be left, as
    /// [`remove`](Engine::remove) does.
    ///
    /// # Errors
    /// `NotFound`; `Blocked` while its deferment lasts and not `force`, while it has snapshots, or while
    /// somebody has it open; `Mismatch` as [`remove`](Engine::remove).
    async fn trash_remove(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        force: bool,
        ctl: &Ctl,
    ) -> Result<Vec<String>>;

    /// Opens the head or a snapshot of a volume, by name, or by id also in trash (`rbd_open`, `rbd_open_by_id`).
    ///
    /// One handle at a time may write; readers come and go beside it. One that is to change snapshots alone
    /// ([`OpenOptions::change_snapshots`]) may be opened beside another client's writer on Ceph, where who holds the exclusive
    /// lock makes the change, between two writes. Opening to write finishes what a snapshot's
    /// removal that was cut short had left where no listing shows it.
    ///
    /// # Errors
    /// `NotFound`; `Blocked`, naming the holder, when another handle writes, and for writing to the secondary of a mirror; `Usage` for
    /// writing to a snapshot.
    async fn open(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>>;

    /// A page of a namespace's small records: at most `most` of those whose key starts with `prefix` and comes after
    /// `after`, sorted by key. An empty `after` begins at the first; [`RecordPage::next`] is the `after` of the next page.
    ///
    /// Keys that [`swap_record`](Engine::swap_record) would refuse are left out. A value can be longer than it allows:
    /// whoever may write the namespace can also write there without Volary.
    async fn records(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: &[u8],
        most: usize,
        ctl: &Ctl,
    ) -> Result<RecordPage>;

    /// Replaces a record in one step if it is as `expected` (`None`: absent) and says whether it did.
    ///
    /// `new: None` removes it. Keys are up to 256 bytes of ASCII, values up to 64 KiB.
    async fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        ctl: &Ctl,
    ) -> Result<bool>;

    /// Keeps a client that has a volume open ([`Volume::holders`]) from the store for so long: whatever it has open there fails,
    /// and what it wrote last may be lost (`rados_blocklist_add`).
    ///
    /// # Errors
    /// `Usage` for this process itself and for a holder that is no client; `Permission` without the right to it;
    /// `Unsupported` where only the process can be ended.
    async fn fence(&self, holder: &Holder, keep: std::time::Duration, ctl: &Ctl) -> Result<()>;

    /// Looks whether a part of the store matches itself, changing nothing: a finding for each thing that does not, and a piece
    /// for each volume that was looked at. Volumes are looked at as the stream is asked for more.
    ///
    /// What others make, rename, move or remove meanwhile may look like a finding for a moment: a finding counts when a second
    /// look after a pause has it too. Something of a volume that cannot be read is a finding; the stream ends after an error,
    /// such as `Unreachable` or `Permission`.
    fn check<'a>(
        &'a self,
        scope: &'a CheckScope,
        options: &'a CheckOptions,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<Checked>>;

    /// Does what a finding of [`check`](Engine::check) says can be done about it, after another look at what is concerned:
    /// `false` when that is no longer as it was found. Removes no data.
    ///
    /// # Errors
    /// `Usage` for a finding without repair; `Blocked` while somebody has the volume open.
    async fn repair(&self, scope: &CheckScope, finding: &Finding, ctl: &Ctl) -> Result<bool>;

    /// Lets go of the store, and returns what dropping would swallow. Open volumes keep working until closed.
    async fn shutdown(&self) -> Result<()>;
}
