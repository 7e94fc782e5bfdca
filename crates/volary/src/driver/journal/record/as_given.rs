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
    clones: BTreeSet<VolumeId>,
}

impl AsGiven {
    /// The volume as it is now.
    pub(crate) fn now(name_version: Option<u64>, seen: &Seen) -> AsGiven {
        let newest_snapshot = seen.snapshots.iter().map(|snapshot| snapshot.id).max().unwrap_or(0);
        let clones = seen.children.iter().map(|child| child.id.clone()).take(CLONES).collect();
        AsGiven { name_version, newest_snapshot, clones }
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
    clones: Vec<String>,
}

impl From<&AsGiven> for StoredAsGiven {
    fn from(of: &AsGiven) -> Self {
        StoredAsGiven {
            name_version: of.name_version,
            newest_snapshot: of.newest_snapshot,
            clones: of.clones.iter().map(|id| id.as_str().to_owned()).collect(),
        }
    }
}

impl StoredAsGiven {
    pub(super) fn checked(self) -> Checked<AsGiven> {
        let clone = |id: String| VolumeId::new(id).map_err(|error| error.message().to_owned());
        let clones = self.clones.into_iter().map(clone).collect::<Checked<_>>()?;
        let StoredAsGiven { name_version, newest_snapshot, .. } = self;
        Ok(AsGiven { name_version, newest_snapshot, clones })
    }
}
