//! What engines tell: plain data, the same for every engine.

use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a store is and what it can do ([`Engine::describe`](super::Engine::describe)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreDescription {
    /// The engine: `local` or `ceph`.
    pub engine: String,
    /// The store's own lasting id: the fsid on Ceph.
    pub id: String,
    /// The version of what keeps the store.
    pub version: String,
    /// Whom the store takes this process for: `client.ID` on Ceph, nobody in particular on local.
    pub user: Option<String>,
    /// The monitors of a Ceph cluster, by rank; other stores have none.
    pub monitors: Vec<Monitor>,
    /// How the cluster says it is; `None` for a store that does not say.
    pub health: Option<Health>,
    /// Whether a snapshot must be protected before it can be cloned.
    pub clone_needs_protection: bool,
    /// The largest volume it keeps.
    pub max_volume_bytes: u64,
    /// Whether who reads a volume or snapshot keeps it from being removed.
    pub readers_hold: bool,
    /// Whether a volume in trash can be cloned.
    pub clones_from_trash: bool,
    /// Whether every write to a head changes its time of change at once: then a head that is unchanged by it and differs from
    /// its digest is damaged.
    pub heads_tell_changes: bool,
    /// Whether what was zeroed over a parent's data shows as a hole; else as data that reads as zeros.
    pub holes_over_parents: bool,
}

impl StoreDescription {
    /// The description of an engine whose snapshots need protection and whose volumes may have any size.
    pub fn new(engine: impl Into<String>, id: impl Into<String>, version: impl Into<String>) -> Self {
        StoreDescription {
            engine: engine.into(),
            id: id.into(),
            version: version.into(),
            user: None,
            monitors: Vec::new(),
            health: None,
            clone_needs_protection: true,
            max_volume_bytes: u64::MAX,
            readers_hold: true,
            clones_from_trash: true,
            heads_tell_changes: true,
            holes_over_parents: true,
        }
    }
}

/// A monitor of a Ceph cluster (`mon dump`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Monitor {
    /// Its name.
    pub name: String,
    /// Where it listens, the newest protocol first.
    pub addresses: Vec<MonitorAddress>,
    /// Whether it is one of those that decide now.
    pub in_quorum: bool,
}

/// Where a monitor listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MonitorAddress {
    /// `v2`, or `v1` of old clients.
    pub protocol: String,
    /// Host and port; an IPv6 address is in brackets.
    pub address: String,
}

/// How a Ceph cluster says it is (`ceph health`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    pub status: String,
    /// What is not as it should be.
    pub checks: Vec<HealthCheck>,
}

/// One thing that is not as it should be with a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HealthCheck {
    /// Ceph's code for it, such as `OSD_DOWN`.
    pub code: String,
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    pub severity: String,
    /// What Ceph says.
    pub message: String,
}

/// A pool's figures, net of replication, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolInfo {
    /// The pool.
    pub pool: Name,
    /// What it can hold in all.
    pub total_bytes: u64,
    /// What its volumes take.
    pub used_bytes: u64,
    /// What can still be written, within the quota.
    pub available_bytes: u64,
    /// What it may hold at most, where a quota is set.
    pub quota_bytes: Option<u64>,
    /// How many objects it may hold at most, where a quota is set; each holds up to 4 MiB of a volume, unless that was made otherwise.
    pub quota_objects: Option<u64>,
}

/// A volume in its namespace's directory: identity is the id, the name only leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeEntry {
    /// The name it has now.
    pub name: Name,
    /// The id it has for life.
    pub id: VolumeId,
}

/// What has a name and is no volume that can be used ([`Engine::unusable`](super::Engine::unusable)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The name, which nothing else can have.
    pub name: Name,
    /// Why it cannot be used.
    pub why: String,
}

/// What can be said of a volume's head without opening it ([`Engine::head`](super::Engine::head)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its name and id.
    pub entry: VolumeEntry,
    /// The size of the head.
    pub size_bytes: u64,
}

/// How large a head is and what it takes up itself ([`Engine::usage`](super::Engine::usage)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Its size.
    pub size_bytes: u64,
    /// What it takes up itself.
    pub used_bytes: u64,
    /// `false` when it surely is no clone.
    pub may_have_parent: bool,
}

/// A snapshot, by identity ([`Engine::clone_volume`](super::Engine::clone_volume)).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotRef {
    /// Where the volume is.
    pub namespace: Namespace,
    /// The volume, in trash or not.
    pub volume: VolumeId,
    /// The snapshot's name.
    pub snapshot: Name,
}

/// What a handle knows of its volume, at the head or snapshot it is open at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The id.
    pub id: VolumeId,
    /// The size of the head or snapshot that is open.
    pub size_bytes: u64,
    /// The size of the objects its data is kept in; whole ones are written fastest.
    pub object_bytes: u64,
    /// The features of an RBD image, by Ceph's names.
    pub features: Vec<String>,
    /// The snapshot it is a clone of.
    pub parent: Option<Parent>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its data last changed, as exactly as the store knows; another value than before means a change.
    pub modified: Option<Timestamp>,
    /// Whether the same value as before means that nothing changed: it is set, durably, before the first byte changes.
    pub modified_is_exact: bool,
    /// The snapshot that is open.
    pub snapshot: Option<SnapshotInfo>,
}

impl Stat {
    /// A stat of a volume without parent, features or dates.
    pub fn new(id: VolumeId, size_bytes: u64, object_bytes: u64) -> Self {
        Stat {
            id,
            size_bytes,
            object_bytes,
            features: Vec::new(),
            parent: None,
            created: None,
            modified: None,
            modified_is_exact: false,
            snapshot: None,
        }
    }
}

/// The snapshot a clone reads from where it has no data of its own (`rbd_get_parent`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Parent {
    /// The parent's pool and namespace.
    pub namespace: Namespace,
    /// The parent's name, or the last one it had.
    pub volume: Name,
    /// The parent's id.
    pub id: VolumeId,
    /// The snapshot.
    pub snapshot: Name,
    /// How much of the clone, from its start, can read from the parent.
    pub overlap_bytes: u64,
    /// Whether the parent is in trash.
    pub trash: bool,
}

/// A snapshot of a volume (`rbd_snap_list`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SnapshotInfo {
    /// Its id in the volume; never used again.
    pub id: u64,
    /// Its name.
    pub name: Name,
    /// The volume's size when it was made.
    pub size_bytes: u64,
    /// Whether it is protected from removal, so that it can be cloned.
    pub protected: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// A clone of a snapshot, wherever it is (`rbd_list_children3`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Child {
    /// The child's pool and namespace.
    pub namespace: Namespace,
    /// The child's name, or the last one it had.
    pub volume: Name,
    /// The child's id.
    pub id: VolumeId,
    /// The snapshot it is a clone of.
    pub snapshot: Name,
    /// Whether the child is in trash.
    pub trash: bool,
}

/// How far a volume is on its way into or out of trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrashState {
    /// In trash, whole.
    Normal,
    /// On its way in; repeating the move finishes it.
    Moving,
    /// On its way out; repeating the restore finishes it.
    Restoring,
    /// Its removal has begun; only removing it again makes sense.
    Removing,
}

/// An entry of a namespace's trash (`rbd_trash_get`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashEntry {
    /// The volume's id.
    pub id: VolumeId,
    /// The name it had.
    pub name: Name,
    /// Who put it there, in Ceph's words: `user`, `mirroring`, `migration`, `removing`, `user_parent`.
    pub source: String,
    /// When it was put there.
    pub deleted: Timestamp,
    /// Until when it is kept.
    pub until: Timestamp,
    /// How far it is.
    pub state: TrashState,
    /// Whether it is the source of an RBD migration whose preparation was cut short before there was a target: it has the only
    /// data, no command of `rbd` brings it back, and [`Engine::trash_restore`](super::Engine::trash_restore) does.
    pub half_migrated: bool,
}

/// A small record with its key ([`Engine::records`](super::Engine::records)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
}

/// A page of small records ([`Engine::records`](super::Engine::records)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The records, sorted by key; there may be none though more pages follow.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Vec<u8>>,
}

/// A range of a volume that may hold data, or surely reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Whether it may hold data; if not, it reads as zeros.
    pub data: bool,
}

/// What keeps a volume from going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HolderKind {
    /// A process that has it open.
    Watcher,
    /// A lock.
    Lock,
    /// A snapshot.
    Snapshot,
    /// A protected snapshot.
    Protected,
    /// A clone.
    Child,
    /// Membership in a group.
    Group,
    /// Mirroring.
    Mirror,
    /// A migration that has been prepared and is not committed.
    Migration,
    /// Writes in a client's cache, which would be lost.
    Cache,
    /// It lies in trash and its deferment lasts.
    Trash,
    /// Something the user may not see: never "none".
    Unknown,
}

impl HolderKind {
    /// The stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watcher => "watcher",
            Self::Lock => "lock",
            Self::Snapshot => "snapshot",
            Self::Protected => "protected",
            Self::Child => "child",
            Self::Group => "group",
            Self::Mirror => "mirror",
            Self::Migration => "migration",
            Self::Cache => "cache",
            Self::Trash => "trash",
            Self::Unknown => "unknown",
        }
    }
}

/// A holder of a volume's advisory lock (`rbd_list_lockers`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Locker {
    /// What the locker called its lock; `rbd` calls it the lock's id.
    pub cookie: Name,
    /// Who took it: `client.N` on Ceph, `pid.N` on local; it may be long gone.
    pub client: Name,
    /// Where that client was.
    pub address: String,
    /// What those who share the lock agreed on; `None` for a lock held alone.
    pub tag: Option<Name>,
}

/// One holder of a volume that only the engine can see: watchers, group, mirror, and what is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// Who it is: process id on this host, or client address and id.
    pub detail: String,
    /// What would make it let go.
    pub remedy: String,
    /// The client, of one that has the volume open or locked: `client.N` on Ceph, `pid.N` on local.
    pub client: Option<String>,
    /// Where that client is: its address and nonce on Ceph, as blocklists name it.
    pub address: Option<String>,
}

impl Holder {
    /// A holder that is no client.
    pub fn new(kind: HolderKind, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Holder { kind, detail: detail.into(), remedy: remedy.into(), client: None, address: None }
    }

    /// The same, of a client.
    pub(crate) fn by(self, client: impl Into<String>, address: Option<String>) -> Self {
        Holder { client: Some(client.into()), address, ..self }
    }
}

/// How one check of a store came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It serves, but somebody should know.
    Warning,
    /// It does not serve.
    Failed,
    /// It could not be found out.
    Unknown,
}

/// One check of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What would make it better.
    pub remedy: Option<String>,
    /// Of a check that failed: the kind of error that use of the store meets.
    #[serde(skip)]
    pub kind: Option<ErrorKind>,
}

impl Check {
    fn new(name: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Check { name: name.into(), verdict, detail: detail.into(), remedy: None, kind: None }
    }

    /// All is well.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Check::new(name, Verdict::Ok, detail)
    }

    /// It serves, but somebody should know.
    pub fn warning(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Check { remedy: Some(remedy.into()), ..Check::new(name, Verdict::Warning, detail) }
    }

    /// It could not be found out.
    pub fn unknown(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Check { remedy: Some(remedy.into()), ..Check::new(name, Verdict::Unknown, detail) }
    }

    /// It does not serve, for this reason.
    pub fn failed(name: impl Into<String>, why: &Error) -> Self {
        let remedy = why.remedy().map(str::to_owned);
        Check { remedy, kind: Some(why.kind()), ..Check::new(name, Verdict::Failed, why.report()) }
    }
}

/// Something was removed while a volume was read.
pub(crate) fn vanished(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} was removed while it was read"))
        .hint("what was read is not used; read a volume or snapshot that stays")
}

/// A head was made smaller while it was read.
pub(crate) fn shrunk(read_bytes: u64, size_bytes: u64) -> Error {
    Error::new(ErrorKind::Mismatch, "the volume was shrunk while it was read")
        .context("read_bytes", read_bytes)
        .context("size_bytes", size_bytes)
        .hint("what was read is not used; read the volume again, or a snapshot of it")
}

/// What stands in the way of changing a volume that somebody has locked.
pub(crate) fn locked(by: &Locker) -> Error {
    Error::new(ErrorKind::Blocked, "the volume is locked")
        .context("cookie", &by.cookie)
        .context("client", &by.client)
        .context("address", &by.address)
        .hint("see `volary lock ls`; `volary lock rm` breaks a lock")
}

/// Refuses cookies that no lock can have, or that Ceph takes for its own.
pub(crate) fn usable_cookie(cookie: &Name) -> Result<()> {
    let bytes = cookie.as_bytes();
    if bytes.is_empty() || bytes.contains(&0) || bytes.starts_with(b"auto ") {
        return Err(Error::new(ErrorKind::Usage, "a lock cannot have this cookie")
            .context("cookie", cookie)
            .hint("it must not be empty, start with `auto ` or contain a NUL byte"));
    }
    Ok(())
}
