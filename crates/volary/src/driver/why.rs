//! Who holds a volume, and what would make it let go.

use super::outcome::Outcome;
use super::remove::RemoveOptions;
use crate::engine::{Caveat, Holder};
use crate::{Ctl, Error, ErrorKind, Result, Store, VolumeId, VolumeSpec};
use schemars::JsonSchema;
use serde::Serialize;

/// Who holds a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyReport {
    /// The volume; by id when it is in trash.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: Option<VolumeId>,
    /// Who or what keeps it from being removed, and the remedy of each; nobody, when the list is empty.
    pub holders: Vec<Holder>,
    /// Operations on it that stand in the journal.
    pub pending: Vec<super::journal::PendingListing>,
    /// What the store was told to do with it by others, and will: on Ceph, the tasks of the manager. They keep it from nothing.
    pub tasks: Vec<Caveat>,
    /// Why it cannot be opened, of one that is damaged.
    pub notes: Vec<String>,
}

impl Store {
    /// Who holds a volume, under its name or in trash: watchers, locks, snapshots, clones in every pool, protection,
    /// trash, group, mirror, caches; and the remedy of each. Reads only.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # store.create(&"web".parse()?, 1 << 20, ctl).await?;
    /// store.create_snapshot(&"web@golden".parse()?, true, ctl).await?;
    /// let why = store.why(&"web".parse()?, ctl).await?;
    /// assert!(why.holders.iter().any(|holder| holder.remedy.contains("volary snap unprotect")));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound`; `Usage` for a snapshot.
    #[tracing::instrument(name = "why", skip_all, fields(volume = %spec))]
    pub async fn why(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<WhyReport> {
        let mut plan = self.plan_remove(spec, &RemoveOptions::default(), ctl).await?;
        if let Some(id) = plan.id.clone()
            && self.trashed(spec, &id, ctl).await?.is_some()
        {
            // What holds it there beside its being there.
            let trashed = self.plan_trash_remove(&spec.namespace.volume_by_id(id), false, ctl).await?;
            for more in trashed.blockers {
                if !plan.blockers.iter().any(|named| named.kind == more.kind && named.detail == more.detail) {
                    plan.blockers.push(more);
                }
            }
        }
        if plan.outcome == Outcome::Absent {
            return Err(plan.error().unwrap_or_else(|| {
                Error::new(ErrorKind::NotFound, "no such volume").context("volume", spec)
            }));
        }
        let (pending, tasks) = match &plan.id {
            Some(id) => (
                self.pending_of(&spec.namespace, id, ctl).await?,
                self.tasks_of(&spec.namespace.volume_by_id(id.clone()), ctl).await?,
            ),
            None => (Vec::new(), Vec::new()),
        };
        let (volume, id, holders, notes) = (plan.volume, plan.id, plan.blockers, plan.notes);
        Ok(WhyReport { volume, id, holders, pending, tasks, notes })
    }
}
