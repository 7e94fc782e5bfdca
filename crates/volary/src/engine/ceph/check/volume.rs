//! One volume: its header, the object maps of its head and snapshots, snapshots whose removal was broken off, its parent, the
//! pool of its data, its journal.

use super::super::directory::id_of;
use super::super::header::{self, Header};
use super::super::object_map::{Fit, fit};
use super::super::unopenable::{ParentState, parent_state, ways_without_parent};
use super::super::{NO_LIMIT, data_pool};
use super::Look;
use crate::engine::{Finding, FindingKind, Repair, VolumeEntry};
use crate::{Name, Result, VolumeId, VolumeSpec};
use futures::try_join;

impl Look<'_> {
    pub(super) async fn listed(&self, entry: &VolumeEntry, both_ways: bool) -> Result<Vec<Finding>> {
        let pool = &self.pool;
        let (leads_to, header) = try_join!(id_of(pool, &entry.name), header::read_whole(pool, &entry.id))?;
        let mut found = Vec::new();
        if !both_ways || leads_to.as_ref() != Some(&entry.id) || header.is_none() {
            let directory = self.directory_of(entry, leads_to.as_ref(), header.is_some()).await?;
            let Some(directory) = directory else { return Ok(Vec::new()) };
            found = directory;
        }
        if let Some(header) = header {
            found.extend(self.content_of(&self.named(entry), &entry.id, &header).await?);
        }
        Ok(found)
    }

    /// What does not match of what a header says, if the header is still the same afterwards.
    pub(super) async fn content_of(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        header: &Header,
    ) -> Result<Vec<Finding>> {
        if let Some(key) = header.lacks() {
            let detail = format!("the header has no {key}, or one that cannot be decoded");
            let remedy = format!("restore a backup; `rados listomapvals rbd_header.{id}` shows what is left");
            return Ok(vec![
                Finding::new(FindingKind::HeaderDamaged, key, detail, remedy).about(spec.clone(), id.clone()),
            ]);
        }
        // Reads from elsewhere while it is being migrated.
        if header.is_migrated() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        if let Some(objects) = header.objects(header.size_bytes).filter(|_| header.has_map()) {
            found.extend(self.map_of(spec, id, None, (header.flags(), objects)).await?);
        }
        for snapshot in header.snapshot_states() {
            let Some((snapshot, state)) = snapshot else {
                let detail = "an entry of a snapshot in the header cannot be decoded";
                let remedy = format!("restore a backup; `rados listomapvals rbd_header.{id}` shows it");
                found.push(
                    Finding::new(FindingKind::HeaderDamaged, "snapshot", detail, remedy)
                        .about(spec.clone(), id.clone()),
                );
                continue;
            };
            let at = spec.at(Name::from_bytes(snapshot.name));
            if state.is_some_and(|state| state.is_in_trash()) {
                if !header.has_clones_of(snapshot.id) {
                    let detail =
                        format!("the removal of the snapshot with the number {} was broken off", snapshot.id);
                    let subject = format!("snapshot {}", snapshot.id);
                    let finding = Finding::new(
                        FindingKind::SnapshotHalfRemoved,
                        subject,
                        detail,
                        self.repair_command(),
                    );
                    let repair = Repair::FinishSnapshotRemoval(snapshot.id);
                    found.push(finding.about(spec.clone(), id.clone()).repaired_by(repair));
                }
                continue;
            }
            if let Some(objects) = header.objects(snapshot.size_bytes).filter(|_| header.has_map()) {
                let flags = state.map_or(0, |state| state.flags);
                found.extend(self.map_of(&at, id, Some(snapshot.id), (flags, objects)).await?);
            }
        }
        match self.parent_of(spec, id, header).await? {
            Some(missing) => found.push(missing),
            None => found.extend(self.unlisted_clone(spec, id, header).await?),
        }
        found.extend(self.stale_clones(spec, id, header).await?);
        found.extend(self.missing_beside(spec, id, header).await?);
        if found.is_empty() {
            return Ok(found);
        }
        let now = header::read_whole(&self.pool, id).await?;
        if now.is_none_or(|now| !now.is_as(header)) {
            return Ok(Vec::new());
        }
        let broken_off = |of: &Finding| of.kind == FindingKind::SnapshotHalfRemoved;
        // Who removes a snapshot has the volume open; and what looks broken off is not finished beside another writer.
        if found.iter().any(broken_off) && self.is_watched(id).await? {
            found.retain(|of| !broken_off(of));
        }
        Ok(found)
    }

    /// What is wrong with the map of a head or snapshot.
    async fn map_of(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        snapshot: Option<u64>,
        (flags, objects): (u64, u64),
    ) -> Result<Option<Finding>> {
        let (kind, detail) = match flags {
            0 => match fit(&self.pool, id, snapshot, objects).await? {
                Fit::Fits => return Ok(None),
                Fit::Missing => (FindingKind::ObjectMapMissing, "the object map is missing"),
                Fit::Differs => {
                    (FindingKind::ObjectMapMismatch, "the object map is of another size than the volume")
                }
            },
            _ => (FindingKind::ObjectMapInvalid, "the header says that the object map does not hold"),
        };
        let subject = snapshot.map_or_else(|| "head".to_owned(), |snapshot| format!("snapshot {snapshot}"));
        let finding = Finding::new(kind, subject, detail, self.repair_command());
        Ok(Some(finding.about(spec.clone(), id.clone()).repaired_by(Repair::RebuildObjectMap(snapshot))))
    }

    /// A parent that is not there, or has lost the snapshot; what may not be read is not known to be missing.
    async fn parent_of(&self, spec: &VolumeSpec, id: &VolumeId, header: &Header) -> Result<Option<Finding>> {
        let Some(parent) = header.parent() else { return Ok(None) };
        let ParentState::Missing(what) = parent_state(self.on, &parent).await? else { return Ok(None) };
        let parent_id = crate::escape(parent.id);
        let detail = format!("its parent is missing: {what}; the volume cannot be opened");
        let remedy = ways_without_parent(spec, id, header);
        let finding = Finding::new(FindingKind::ParentMissing, format!("parent {parent_id}"), detail, remedy);
        Ok(Some(finding.about(spec.clone(), id.clone())))
    }

    /// What the header says there is beside it, and is not: the pool of the data, and the journal.
    async fn missing_beside(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        header: &Header,
    ) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let about = |finding: Finding| finding.about(spec.clone(), id.clone());
        if let Some(number) = header.data_pool()
            && data_pool::is_deleted(self.on, number).await?
        {
            let detail = format!("the pool of its data, number {number}, was deleted");
            let remedy = format!("volary rm {spec}, unless there is a backup to restore");
            found.push(about(Finding::new(FindingKind::DataPoolMissing, "data pool", detail, remedy)));
        }
        let journal = [b"journal.", id.as_str().as_bytes()].concat();
        if header.has_journal() && self.pool.object_stat(&journal, NO_LIMIT).await?.is_none() {
            let detail = "its journal has no header, so that it cannot be changed";
            let remedy = format!("rbd feature disable {spec} journaling");
            found.push(about(Finding::new(FindingKind::JournalMissing, "journal", detail, remedy)));
        }
        Ok(found)
    }

    pub(super) async fn is_watched(&self, id: &VolumeId) -> Result<bool> {
        header::is_watched(&self.pool, id).await
    }
}
