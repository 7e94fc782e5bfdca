//! What a volume was like when an order about it was given.
//!
//! An order can lie in the journal for weeks, and who gave it may have changed their mind since: it is carried out on the volume
//! it was given for, not on what has become of that. That what blocked it has gone is what it waits for.

use super::stored::Checked;
use crate::driver::plan::Seen;
use crate::engine::SnapshotInfo;
use crate::{VolumeId, VolumeSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many clones a record keeps; one beyond them counts as made since.
const CLONES: usize = 1000;

/// A volume as it was when an order about it was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AsGiven {
    /// The version of its name ([`Engine::name_version`](crate::engine::Engine::name_version)).
    name_version: Option<u64>,
    /// The id of its newest snapshot: each new one has a higher id than all before.
    newest_snapshot: u64,
    /// How far its snapshots had been counted ([`Engine::snapshots_made`](crate::engine::Engine::snapshots_made)): one that was made
    /// since counts also when it has been removed again. `None` in records of format 4.
    snapshots_made: Option<u64>,
    clones: BTreeSet<VolumeId>,
}

impl AsGiven {
    /// The volume as it is now.
    pub(crate) fn now(name_version: Option<u64>, seen: &Seen) -> AsGiven {
        let newest_snapshot = seen.snapshots.iter().map(|snapshot| snapshot.id).max().unwrap_or(0);
        let clones = seen.children.iter().map(|child| child.id.clone()).take(CLONES).collect();
        AsGiven { name_version, newest_snapshot, snapshots_made: seen.snapshots_made, clones }
    }

    /// What has become of the volume since that who gave the order cannot have known; `None` when there is nothing.
    pub(crate) fn changed(
        &self,
        shown: &VolumeSpec,
        name_version: Option<u64>,
        seen: &Seen,
    ) -> Option<String> {
        // Listed without the object of its name, it is half in trash, where this very order may have been moving it.
        if name_version.is_some() && self.name_version != name_version {
            return Some(format!("{shown} was without this name for a while since"));
        }
        let is_new = |snapshot: &&SnapshotInfo| snapshot.id > self.newest_snapshot;
        if let Some(snapshot) = seen.snapshots.iter().find(is_new) {
            return Some(format!("the snapshot {} was made since", shown.at(snapshot.name.clone())));
        }
        // Where the number is not told any more, the header is gone: this very order may have been removing the volume.
        if let (Some(given), Some(now)) = (self.snapshots_made, seen.snapshots_made)
            && now > given
        {
            return Some(format!("a snapshot of {shown} was made since that is not listed any more"));
        }
        let clone = seen.children.iter().find(|child| !self.clones.contains(&child.id))?;
        let (clone, parent) = (crate::driver::plan::child_spec(clone), shown.at(clone.snapshot.clone()));
        Some(format!("the clone {clone} of {parent} was made since"))
    }
}

/// The same as a record keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredAsGiven {
    name_version: Option<u64>,
    newest_snapshot: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshots_made: Option<u64>,
    clones: Vec<String>,
}

impl From<&AsGiven> for StoredAsGiven {
    fn from(of: &AsGiven) -> Self {
        StoredAsGiven {
            name_version: of.name_version,
            newest_snapshot: of.newest_snapshot,
            snapshots_made: of.snapshots_made,
            clones: of.clones.iter().map(|id| id.as_str().to_owned()).collect(),
        }
    }
}

impl StoredAsGiven {
    pub(super) fn checked(self) -> Checked<AsGiven> {
        let clone = |id: String| VolumeId::new(id).map_err(|error| error.message().to_owned());
        let clones = self.clones.into_iter().map(clone).collect::<Checked<_>>()?;
        let StoredAsGiven { name_version, newest_snapshot, snapshots_made, .. } = self;
        Ok(AsGiven { name_version, newest_snapshot, snapshots_made, clones })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn seen(snapshots: &[u64], snapshots_made: Option<u64>) -> Seen {
        let info = |id: &u64| SnapshotInfo {
            id: *id,
            name: Name::from_bytes(format!("s{id}")),
            size_bytes: 0,
            protected: false,
            created: None,
        };
        Seen { snapshots: snapshots.iter().map(info).collect(), snapshots_made, ..Seen::default() }
    }

    #[test]
    fn s03_a_snapshot_that_was_made_since_counts_also_when_it_is_gone() {
        let shown: VolumeSpec = "web".parse().unwrap();
        let given = AsGiven::now(Some(1), &seen(&[4], Some(7)));
        let changed = |now: Seen| given.changed(&shown, Some(1), &now);
        for same in [seen(&[4], Some(7)), seen(&[], Some(7)), seen(&[], None)] {
            assert_eq!(changed(same), None);
        }
        assert!(changed(seen(&[4, 8], Some(8))).unwrap().contains("web@s8 was made since"));
        assert!(changed(seen(&[4], Some(8))).unwrap().contains("not listed any more"));
    }

    #[test]
    fn a_record_of_format_4_is_read_and_compares_what_it_has() {
        let stored = r#"{"name_version":1,"newest_snapshot":4,"clones":[]}"#;
        let given = serde_json::from_str::<StoredAsGiven>(stored).unwrap().checked().unwrap();
        let shown: VolumeSpec = "web".parse().unwrap();
        assert_eq!(given.changed(&shown, Some(1), &seen(&[4], Some(9))), None);
        assert!(given.changed(&shown, Some(1), &seen(&[5], Some(9))).is_some());
        let now = AsGiven::now(Some(1), &seen(&[4], Some(9)));
        let kept = serde_json::to_string(&StoredAsGiven::from(&now)).unwrap();
        let read = serde_json::from_str::<StoredAsGiven>(&kept).unwrap().checked().unwrap();
        assert_eq!(read, now);
    }
}
