//! Clones and parents that know nothing of each other: entries of clones that are gone, and clones without entry.

use super::super::children;
use super::super::header::Header;
use super::Look;
use crate::engine::{CloneEntry, Finding, FindingKind, Repair};
use crate::{Result, VolumeId, VolumeSpec};

impl Look<'_> {
    /// Entries of clones of a volume that are not there any more.
    pub(super) async fn stale_clones(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        header: &Header,
    ) -> Result<Vec<Finding>> {
        let stale = children::stale(self.on, &self.pool, self.namespace, id, header).await?;
        let finding = |entry: CloneEntry| {
            let (clone, snapshot) = (&entry.id, entry.snapshot);
            let subject = format!("clone {clone} of snapshot {snapshot}");
            let detail = format!(
                "an entry of the clone {clone} in the pool with the number {}, which is not there any more, keeps the snapshot {snapshot}",
                entry.pool
            );
            Finding::new(FindingKind::ChildStale, subject, detail, self.repair_command())
                .about(spec.clone(), id.clone())
                .repaired_by(Repair::ForgetClone(entry))
        };
        Ok(stale.into_iter().map(finding).collect())
    }

    /// That a volume is a clone of which its parent's snapshot does not know.
    pub(super) async fn unlisted_clone(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        header: &Header,
    ) -> Result<Option<Finding>> {
        if !children::is_unlisted(&self.pool, id, header).await? {
            return Ok(None);
        }
        let detail = "rbd_children has no entry of the clone: its parent can be removed below it";
        let finding = Finding::new(FindingKind::ChildUnlisted, "", detail, self.repair_command());
        Ok(Some(finding.about(spec.clone(), id.clone()).repaired_by(Repair::EnterClone)))
    }
}
