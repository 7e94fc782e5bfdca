//! What is in a namespace and in no inventory: classified, with the command that would settle it. Deletes nothing.

use super::handle::closing;
use super::journal::IntentRecord;
use super::listing::is_of_the_store;
use super::trash::is_staging;
use crate::engine::{TrashEntry, TrashState};
use crate::{Ctl, Name, Namespace, Result, Store, VolumeId, VolumeSpec};
use futures::TryStreamExt;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashSet;

/// What kind of orphan something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrphanClass {
    /// What an import, copy or clone had staged, and no intent of the journal knows.
    DeadStaging,
    /// In trash on its way in or out, where something was cut short.
    HalfMoved,
    /// In trash, half removed.
    HalfRemoved,
    /// In trash past its date.
    ExpiredTrash,
    /// Debris of another tool, by its name.
    ForeignDebris,
    /// A volume of which no data was ever written: what a killed import of another tool may leave.
    Empty,
    /// A volume that cannot be opened, such as one without header.
    Damaged,
    /// Everything else that the inventory does not know.
    Unknown,
}

impl OrphanClass {
    /// The stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadStaging => "dead_staging",
            Self::HalfMoved => "half_moved",
            Self::HalfRemoved => "half_removed",
            Self::ExpiredTrash => "expired_trash",
            Self::ForeignDebris => "foreign_debris",
            Self::Empty => "empty",
            Self::Damaged => "damaged",
            Self::Unknown => "unknown",
        }
    }
}

/// Something that no inventory knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Orphan {
    /// The volume, or the snapshot; by id when it is in trash.
    pub volume: VolumeSpec,
    /// The volume's id.
    pub id: VolumeId,
    /// What kind it is.
    pub class: OrphanClass,
    /// What it is taken for, and why.
    pub detail: String,
    /// What it takes up; unknown for what cannot be opened.
    pub used_bytes: Option<u64>,
    /// The command that would settle it.
    pub remedy: String,
}

/// Names by which other tools' leavings are known: how the name starts and ends, and whose they are.
const DEBRIS: &[(&str, &str, &str)] = &[
    ("zombie_snapshot_", "", "a snapshot that Incus could not remove"),
    ("zombie_", "", "a volume that Incus could not remove"),
    ("csi-vol-", "-temp", "an intermediate clone of ceph-csi"),
    ("csi-snap-", "", "a snapshot image of ceph-csi"),
    ("", ".deleted", "a volume that Cinder has deleted and its clones keep"),
];

/// The same for snapshots.
const SNAPSHOT_DEBRIS: &[(&str, &str, &str)] = &[
    ("nova-resize", "", "what Nova takes for a resize, and forgets when one fails"),
    ("", ".clone_snap", "what Cinder clones from, and leaves when the clone goes"),
    ("libvirt-", "", "what libvirt takes while it copies"),
];

fn debris(name: &Name, of: &[(&str, &str, &'static str)]) -> Option<&'static str> {
    let bytes = name.as_bytes();
    let fits = |start: &str, end: &str| {
        bytes.len() >= start.len() + end.len()
            && bytes.starts_with(start.as_bytes())
            && bytes.ends_with(end.as_bytes())
    };
    of.iter().find(|(start, end, _)| fits(start, end)).map(|(.., what)| *what)
}

/// `<uuid>_disk…`: a disk of a Nova instance.
fn is_instance_disk(name: &Name) -> bool {
    let Some((uuid, rest)) = name.as_bytes().split_at_checked(36) else { return false };
    let dashes = [8, 13, 18, 23];
    let well_formed = |(at, byte): (usize, &u8)| {
        if dashes.contains(&at) { *byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    rest.starts_with(b"_disk") && uuid.iter().enumerate().all(well_formed)
}

impl Store {
    /// What a namespace holds, in its directory and in its trash, and `known` does not name; sorted by kind.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// # store.create(&"zombie_web".parse()?, 1 << 20, ctl).await?;
    /// let known = [Name::new("web")?].into();
    /// let orphans = store.orphans(&Namespace::default(), &known, ctl).await?;
    /// assert_eq!((orphans.len(), orphans[0].class), (1, OrphanClass::ForeignDebris));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace; what reading fails with.
    #[tracing::instrument(name = "orphans", skip_all, fields(namespace = %namespace, known = known.len()))]
    pub async fn orphans(
        &self,
        namespace: &Namespace,
        known: &HashSet<Name>,
        ctl: &Ctl,
    ) -> Result<Vec<Orphan>> {
        let mut found = Vec::new();
        let mut details = self.list_details(namespace, ctl);
        while let Some(of) = details.try_next().await? {
            // What has no id cannot be used, nor removed, by anything here.
            let (crate::Target::Name(name), Some(id)) = (&of.volume.volume, of.id) else { continue };
            self.orphaned_snapshots(&of.volume, &id, &mut found, ctl).await?;
            if known.contains(name) {
                continue;
            }
            // Who migrates it knows it, and what it holds may still lie elsewhere.
            if of.problem.is_none() && self.is_migrating(&of.volume, &id, ctl).await? {
                continue;
            }
            let (class, detail) = match debris(name, DEBRIS) {
                _ if of.problem.is_some() => {
                    (OrphanClass::Damaged, of.problem.as_deref().unwrap_or_default())
                }
                Some(what) => (OrphanClass::ForeignDebris, what),
                None if is_instance_disk(name) => {
                    (OrphanClass::ForeignDebris, "a disk of a Nova instance that is not known")
                }
                None if of.size_bytes == Some(0) => (OrphanClass::Empty, "its size is zero"),
                None if of.used_bytes == Some(0) && of.parent.is_none() => {
                    (OrphanClass::Empty, "nothing was ever written to it")
                }
                None => (OrphanClass::Unknown, "the inventory does not name it"),
            };
            let remedy = match class {
                // It says what is missing, and what brings that back: the volume may be whole but for its name.
                OrphanClass::Damaged => format!("volary info {}", of.volume),
                _ => format!("volary rm {}", of.volume),
            };
            let (volume, used_bytes) = (of.volume, of.used_bytes);
            found.push(Orphan { volume, id, class, detail: detail.into(), used_bytes, remedy });
        }
        for mut orphan in self.orphans_in_trash(namespace, ctl).await? {
            orphan.used_bytes = self.used_by(&orphan.volume, ctl).await?;
            found.push(orphan);
        }
        found.sort_by_key(|of| (of.class, of.volume.to_string()));
        Ok(found)
    }

    /// What is amiss in a namespace's trash, told without opening anything: what each takes up is unknown.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace; what reading fails with.
    pub async fn orphans_in_trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<Orphan>> {
        // The trash first: what somebody stages or removes meanwhile is in the journal before it is there.
        let trash = self.engine().trash(namespace, ctl).await?;
        let pending = self.intents(namespace, |_| true, ctl).await?.found;
        let made: HashSet<&Name> = pending.iter().filter_map(IntentRecord::staging).collect();
        let known: HashSet<&VolumeId> = pending.iter().filter_map(IntentRecord::volume_id).collect();
        let now = self.now();
        let orphan = |entry: TrashEntry| {
            let in_journal = made.contains(&entry.name) || known.contains(&entry.id);
            let (class, detail, remedy) = trashed(namespace, &entry, in_journal, now)?;
            let volume = namespace.volume_by_id(entry.id.clone());
            Some(Orphan { volume, id: entry.id, class, detail, used_bytes: None, remedy })
        };
        Ok(trash.into_iter().filter_map(orphan).collect())
    }

    /// Whether a volume is the target of a migration, as far as that can be seen.
    async fn is_migrating(&self, spec: &VolumeSpec, id: &VolumeId, ctl: &Ctl) -> Result<bool> {
        let read = async {
            let volume = self.open_to_read(&spec.namespace.volume_by_id(id.clone()), ctl).await?;
            let stat = volume.stat(ctl).await;
            closing(&volume, stat, ctl).await
        };
        match read.await {
            Ok(stat) => Ok(stat.features.iter().any(|feature| feature == "migrating")),
            Err(error) if is_of_the_store(&error) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Snapshots that other tools are known to forget, of any volume.
    async fn orphaned_snapshots(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        found: &mut Vec<Orphan>,
        ctl: &Ctl,
    ) -> Result<()> {
        let snapshots = match self.snapshots(&spec.namespace.volume_by_id(id.clone()), ctl).await {
            // The listing says what is wrong with it.
            Err(error) if !is_of_the_store(&error) => return Ok(()),
            snapshots => snapshots?,
        };
        for snapshot in snapshots {
            if let Some(what) = debris(&snapshot.name, SNAPSHOT_DEBRIS) {
                let (volume, class) = (spec.at(snapshot.name), OrphanClass::ForeignDebris);
                let remedy = format!("volary snap rm {volume}");
                let (id, detail) = (id.clone(), what.to_owned());
                found.push(Orphan { volume, id, class, detail, used_bytes: None, remedy });
            }
        }
        Ok(())
    }

    async fn used_by(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Option<u64>> {
        let used = async {
            let volume = self.open_to_read(spec, ctl).await?;
            let used = volume.used_bytes(ctl).await;
            closing(&volume, used, ctl).await
        };
        match used.await {
            Err(error) if !is_of_the_store(&error) => Ok(None),
            used => used.map(Some),
        }
    }
}

/// What is amiss with an entry of the trash, if anything is.
fn trashed(
    namespace: &Namespace,
    entry: &TrashEntry,
    in_journal: bool,
    now: Timestamp,
) -> Option<(OrphanClass, String, String)> {
    let spec = namespace.volume_by_id(entry.id.clone());
    let half = |what: &str| format!("`{}`, {what} when something was cut short", entry.name);
    match entry.state {
        // The journal knows it, and whoever works on it.
        _ if in_journal => None,
        _ if entry.half_migrated => Some((
            OrphanClass::HalfMoved,
            format!("`{}`, the source of a migration whose preparation was cut short", entry.name),
            format!("volary trash restore {spec}"),
        )),
        // A migration needs it until it is committed or aborted.
        TrashState::Normal | TrashState::Moving if entry.source == "migration" => None,
        TrashState::Removing => {
            Some((OrphanClass::HalfRemoved, half("half removed"), format!("volary trash rm --force {spec}")))
        }
        TrashState::Moving => Some((
            OrphanClass::HalfMoved,
            half("on its way into trash"),
            format!("volary trash rm --force {spec}"),
        )),
        TrashState::Restoring => {
            Some((OrphanClass::HalfMoved, half("on its way out"), format!("volary trash restore {spec}")))
        }
        TrashState::Normal if is_staging(entry) => {
            let detail =
                "the unfinished target of an import or copy that the journal does not know".to_owned();
            Some((OrphanClass::DeadStaging, detail, format!("volary trash rm --force {spec}")))
        }
        TrashState::Normal if entry.until < now => {
            let detail = format!("`{}`, kept until {}", entry.name, entry.until);
            Some((OrphanClass::ExpiredTrash, detail, format!("volary trash purge {namespace}")))
        }
        TrashState::Normal => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debris_is_known_by_name() {
        let name = |text: &str| Name::from_bytes(text);
        assert!(debris(&name("zombie_snapshot_x"), DEBRIS).unwrap().contains("snapshot"));
        assert!(debris(&name("csi-vol-1-temp"), DEBRIS).is_some());
        assert!(debris(&name("csi-vol-1"), DEBRIS).is_none());
        assert!(debris(&name("volume-1.deleted"), DEBRIS).unwrap().contains("Cinder"));
        assert!(debris(&name("volume-9.clone_snap"), SNAPSHOT_DEBRIS).is_some());
        assert!(is_instance_disk(&name("0aa61e4c-9b1a-4b0e-8c8f-5a3f6a1b2c3d_disk.config")));
        assert!(!is_instance_disk(&name("0aa61e4c-9b1a-4b0e-8c8f-5a3f6a1b2c3d")));
        assert!(!is_instance_disk(&name("web_disk")));
    }
}
