//! Checking a store for contradictions: what an engine is asked to check, and what it finds.

use crate::{Name, Namespace, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// What part of a store is checked ([`Engine::check`](super::Engine::check)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckScope {
    /// What belongs to no namespace: the database of a local store and the objects that no row names. Nothing on Ceph.
    Store,
    /// The volumes of a namespace, in trash too, and its directory.
    Namespace(Namespace),
}

/// How to check ([`Engine::check`](super::Engine::check)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Whether data whose checksum the store keeps is read and compared, which counts as progress. Without it no data is read.
    pub read: bool,
    /// How many volumes are checked at a time.
    pub jobs: usize,
    /// Looks only at these volumes, for a second look at what was found.
    pub only: Option<BTreeSet<VolumeId>>,
    /// Begins after the volume of this name, and leaves out what has no name, such as trash: for a check in slices.
    pub after: Option<Name>,
}

impl CheckOptions {
    /// Looks at everything without reading data, at `jobs` volumes at a time.
    pub fn new(jobs: usize) -> Self {
        CheckOptions { read: false, jobs, only: None, after: None }
    }
}

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// A volume was looked at; volumes under a name come in the order of their names.
    Volume {
        /// Its name, if it is not in trash.
        name: Option<Name>,
        /// Objects of its data that were looked at one by one.
        objects: u64,
    },
    /// Something does not match.
    Finding(Box<Finding>),
}

/// What kind of thing does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Ceph: the directory's two entries of a volume, name to id and id to name, contradict each other or one is missing.
    DirectoryMismatch,
    /// Ceph: the object `rbd_id.NAME` of a listed volume is missing, so that the volume cannot be opened by name.
    IdObjectMissing,
    /// Ceph: the object `rbd_id.NAME` leads to another volume than the directory.
    IdObjectMismatch,
    /// Ceph: a listed volume has no header, so that it cannot be opened.
    HeaderMissing,
    /// Ceph: the header lacks a value that every image has, or a value cannot be decoded.
    HeaderDamaged,
    /// Ceph: the object map of a head or snapshot is missing.
    ObjectMapMissing,
    /// Ceph: the object map of a head or snapshot is of another size than the volume, or cannot be decoded.
    ObjectMapMismatch,
    /// Ceph: the header says that the object map or its fast-diff part does not hold.
    ObjectMapInvalid,
    /// The parent that a clone reads from, or the parent's snapshot, is missing.
    ParentMissing,
    /// Ceph: an entry of a clone that is not there any more keeps the snapshot that it was a clone of.
    ChildStale,
    /// Ceph: a clone of format 1 has no entry in `rbd_children`, so that its parent can be removed below it.
    ChildUnlisted,
    /// Ceph: the pool of a volume's data was deleted.
    DataPoolMissing,
    /// Ceph: a volume that keeps a journal has none, so that it cannot be changed.
    JournalMissing,
    /// Ceph: the removal of a snapshot was broken off.
    SnapshotHalfRemoved,
    /// Ceph: a move into trash was broken off.
    TrashHalfMoved,
    /// Ceph: a restore from trash was broken off.
    TrashHalfRestored,
    /// Ceph: a removal from trash was broken off; some of the volume's data is left.
    TrashHalfRemoved,
    /// Ceph: an entry of the trash has no volume behind it.
    TrashWithoutVolume,
    /// Ceph: a volume is in trash and listed under a name as well.
    ListedAndTrashed,
    /// An unfinished target of an import, copy or clone is in trash, and the journal has no intent about it.
    StagingWithoutIntent,
    /// A record of the journal cannot be read, or may not be carried out.
    RecordInvalid,
    /// A part of the store could not be read or understood.
    Unreadable,
    /// The content of a volume or snapshot is not what was recorded of it.
    ContentMismatch,
    /// A head differs from its recorded digest, and a client that leaves no time of change may have written it.
    HeadDiffers,
    /// Local: the store is not opened, because its database is missing, damaged or not the one that belongs there.
    DatabaseRefused,
    /// Local: SQLite finds the database damaged.
    DatabaseDamaged,
    /// Local: rows of the database contradict each other, or one is not as it was written.
    RowMismatch,
    /// Local: an object that a row names is missing.
    ObjectMissing,
    /// Local: an object is shorter than its row says.
    ObjectShort,
    /// Local: the bytes of an object are not those that its row has the checksum of.
    ObjectMismatch,
    /// Local: an object that no row names lies among the others.
    ObjectUnnamed,
    /// Local: an object that no row named was moved to `lost/` and waits there for a decision.
    ObjectLost,
    /// Local: a file that is no object lies among the objects.
    FileForeign,
}

impl FindingKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &'static [FindingKind] = &[
        Self::DirectoryMismatch,
        Self::IdObjectMissing,
        Self::IdObjectMismatch,
        Self::HeaderMissing,
        Self::HeaderDamaged,
        Self::ObjectMapMissing,
        Self::ObjectMapMismatch,
        Self::ObjectMapInvalid,
        Self::ParentMissing,
        Self::ChildStale,
        Self::ChildUnlisted,
        Self::DataPoolMissing,
        Self::JournalMissing,
        Self::SnapshotHalfRemoved,
        Self::TrashHalfMoved,
        Self::TrashHalfRestored,
        Self::TrashHalfRemoved,
        Self::TrashWithoutVolume,
        Self::ListedAndTrashed,
        Self::StagingWithoutIntent,
        Self::RecordInvalid,
        Self::Unreadable,
        Self::ContentMismatch,
        Self::HeadDiffers,
        Self::DatabaseRefused,
        Self::DatabaseDamaged,
        Self::RowMismatch,
        Self::ObjectMissing,
        Self::ObjectShort,
        Self::ObjectMismatch,
        Self::ObjectUnnamed,
        Self::ObjectLost,
        Self::FileForeign,
    ];

    /// The stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DirectoryMismatch => "directory_mismatch",
            Self::IdObjectMissing => "id_object_missing",
            Self::IdObjectMismatch => "id_object_mismatch",
            Self::HeaderMissing => "header_missing",
            Self::HeaderDamaged => "header_damaged",
            Self::ObjectMapMissing => "object_map_missing",
            Self::ObjectMapMismatch => "object_map_mismatch",
            Self::ObjectMapInvalid => "object_map_invalid",
            Self::ParentMissing => "parent_missing",
            Self::ChildStale => "child_stale",
            Self::ChildUnlisted => "child_unlisted",
            Self::DataPoolMissing => "data_pool_missing",
            Self::JournalMissing => "journal_missing",
            Self::SnapshotHalfRemoved => "snapshot_half_removed",
            Self::TrashHalfMoved => "trash_half_moved",
            Self::TrashHalfRestored => "trash_half_restored",
            Self::TrashHalfRemoved => "trash_half_removed",
            Self::TrashWithoutVolume => "trash_without_volume",
            Self::ListedAndTrashed => "listed_and_trashed",
            Self::StagingWithoutIntent => "staging_without_intent",
            Self::RecordInvalid => "record_invalid",
            Self::Unreadable => "unreadable",
            Self::ContentMismatch => "content_mismatch",
            Self::HeadDiffers => "head_differs",
            Self::DatabaseRefused => "database_refused",
            Self::DatabaseDamaged => "database_damaged",
            Self::RowMismatch => "row_mismatch",
            Self::ObjectMissing => "object_missing",
            Self::ObjectShort => "object_short",
            Self::ObjectMismatch => "object_mismatch",
            Self::ObjectUnnamed => "object_unnamed",
            Self::ObjectLost => "object_lost",
            Self::FileForeign => "file_foreign",
        }
    }

    /// Whether it is only worth knowing: nothing is damaged, and a check that finds nothing else is clean.
    pub fn is_notice(self) -> bool {
        matches!(self, Self::HeadDiffers | Self::ObjectLost | Self::FileForeign)
    }
}

/// An entry of a clone on Ceph, by which its parent knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneEntry {
    /// The format of the clone: one of format 1 is listed in the object `rbd_children`, one of format 2 in its parent's header.
    pub clone_format: u8,
    /// The number of the snapshot that it is a clone of.
    pub snapshot: u64,
    /// The number of the pool that the clone is in.
    pub pool: i64,
    /// The namespace that the clone is in; empty for the default one.
    pub namespace: Name,
    /// The clone's id.
    pub id: VolumeId,
}

/// What [`Engine::repair`](super::Engine::repair) can do about a finding. Nothing of it removes data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// Adds the entry that is missing to the directory.
    ListAgain,
    /// Makes the object `rbd_id.NAME` anew.
    MakeIdObject,
    /// Rebuilds the object map of the head, or of the snapshot with this number.
    RebuildObjectMap(Option<u64>),
    /// Finishes the removal of the snapshot of this number.
    FinishSnapshotRemoval(u64),
    /// Takes away this entry of a clone that is not there any more.
    ForgetClone(CloneEntry),
    /// Adds the entry of a clone to the list of its namespace's clones.
    EnterClone,
    /// Finishes the move into trash.
    FinishMove,
    /// Finishes the restore from trash, under this name.
    FinishRestore(Name),
    /// Moves the object of this name to `lost/`.
    MoveAside(String),
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListAgain => f.write_str("add the missing entry to the directory"),
            Self::MakeIdObject => f.write_str("make the object that leads from the name to the id anew"),
            Self::RebuildObjectMap(None) => f.write_str("rebuild the object map"),
            Self::RebuildObjectMap(Some(_)) => f.write_str("rebuild the object map of the snapshot"),
            Self::FinishSnapshotRemoval(_) => f.write_str("finish the removal of the snapshot"),
            Self::ForgetClone(of) => write!(f, "take the entry of the clone {} away", of.id),
            Self::EnterClone => f.write_str("add the entry of the clone to rbd_children"),
            Self::FinishMove => f.write_str("finish the move into trash"),
            Self::FinishRestore(name) => write!(f, "finish the restore from trash as {name}"),
            Self::MoveAside(object) => write!(f, "move the object {object} to lost/"),
        }
    }
}

/// Something that does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// The volume or snapshot; by id for one in trash.
    pub volume: Option<VolumeSpec>,
    /// The volume's id.
    pub id: Option<VolumeId>,
    /// What exactly does not match. Two looks are compared by it, so it is the same as long as the cause is the same.
    pub subject: String,
    /// What is wrong with it.
    pub detail: String,
    /// The remedy, as a whole command where there is one.
    pub remedy: String,
    /// What the engine can do about it.
    pub repair: Option<Repair>,
}

impl Finding {
    /// A finding about no volume that nothing repairs.
    pub fn new(
        kind: FindingKind,
        subject: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (subject, detail, remedy) = (subject.into(), detail.into(), remedy.into());
        Finding { kind, volume: None, id: None, subject, detail, remedy, repair: None }
    }

    /// The same, about a volume.
    #[must_use]
    pub fn about(self, volume: VolumeSpec, id: VolumeId) -> Self {
        Finding { volume: Some(volume), id: Some(id), ..self }
    }

    /// The same, with what the engine can do about it.
    #[must_use]
    pub fn repaired_by(self, repair: Repair) -> Self {
        Finding { repair: Some(repair), ..self }
    }

    /// Whether both are about the same thing.
    pub fn is_same(&self, other: &Finding) -> bool {
        (self.kind, &self.id, &self.volume, &self.subject)
            == (other.kind, &other.id, &other.volume, &other.subject)
    }
}
