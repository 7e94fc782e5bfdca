//! Trash: entries whose way in or out was broken off, and entries that nothing is behind.

use super::super::NO_LIMIT;
use super::super::directory::{entries, id_key};
use super::super::header;
use super::super::trash::{self, TRASH};
use super::{Look, Work};
use crate::engine::{Finding, FindingKind, Repair, TrashEntry, TrashState};
use crate::{Name, Result, VolumeId};

/// How many entries are read at a time.
const PAGE: u64 = 512;

impl Look<'_> {
    pub(super) async fn trash_page(&self, after: &[u8]) -> Result<(Vec<Work>, Option<Vec<u8>>)> {
        let pool = &self.pool;
        let page = pool.omap_page(TRASH, after, b"id_", PAGE, NO_LIMIT).await?;
        let mut work = Vec::new();
        for (key, value) in &page.entries {
            let id = VolumeId::new(String::from_utf8_lossy(key.strip_prefix(b"id_").unwrap_or(key)));
            let entry = id.ok().and_then(|id| trash::decode(id, value));
            match entry {
                Some(entry) if !self.wants(&entry.id) => {}
                Some(entry) => work.push(Work::Trashed(entry)),
                None => {
                    let key = crate::escape(key);
                    let detail = format!("the entry {key} of rbd_trash cannot be decoded");
                    let remedy = format!(
                        "see it with `rados getomapval rbd_trash {key}`; a newer Ceph may have written it"
                    );
                    let subject = format!("rbd_trash {key}");
                    work.push(Work::Found(Finding::new(FindingKind::Unreadable, subject, detail, remedy)));
                }
            }
        }
        Ok((work, page.entries.last().filter(|_| page.more).map(|(key, _)| key.clone())))
    }

    pub(super) async fn trashed(&self, entry: &TrashEntry) -> Result<Vec<Finding>> {
        let pool = &self.pool;
        let spec = self.namespace.volume_by_id(entry.id.clone());
        // A later move of the same volume is another matter.
        let since = format!("since {}", entry.deleted);
        let about = |kind, detail: String, remedy: String| {
            Finding::new(kind, since.clone(), detail, remedy).about(spec.clone(), entry.id.clone())
        };
        let name = &entry.name;
        let remove = format!("volary trash rm --force {spec}");
        let id = id_key(&entry.id);
        if entry.state != TrashState::Removing && trash::is_half_migrated(pool, entry).await? {
            let detail =
                format!("the preparation of a migration of {name} was cut short: it has the only data");
            let restore = format!("volary trash restore {spec}");
            return Ok(vec![about(FindingKind::TrashHalfMoved, detail, restore)]);
        }
        match entry.state {
            TrashState::Moving => {
                let detail = format!("the move of {name} into trash was broken off");
                let finding = about(FindingKind::TrashHalfMoved, detail, self.repair_command());
                return Ok(vec![finding.repaired_by(Repair::FinishMove)]);
            }
            TrashState::Restoring => {
                let detail = format!("the restore of {name} from trash was broken off");
                let finding = about(FindingKind::TrashHalfRestored, detail, self.repair_command());
                // It may have had another name given.
                let listed = entries(pool, vec![id.clone()]).await?.remove(&id).map(Name::from_bytes);
                let name = listed.unwrap_or_else(|| name.clone());
                return Ok(vec![finding.repaired_by(Repair::FinishRestore(name))]);
            }
            TrashState::Removing => {
                // Who is at it has the header open.
                if self.is_watched(&entry.id).await? {
                    return Ok(Vec::new());
                }
                let detail =
                    format!("the removal of {name} from trash was broken off, some of its data is left");
                return Ok(vec![about(FindingKind::TrashHalfRemoved, detail, remove)]);
            }
            TrashState::Normal => {}
        }
        let Some(header) = header::read_whole(pool, &entry.id).await? else {
            if !self.is_still_there(entry).await? {
                return Ok(Vec::new());
            }
            let detail = format!("{name} is in trash and has no header: it was half made or half removed");
            return Ok(vec![about(FindingKind::TrashWithoutVolume, detail, remove)]);
        };
        let mut found = self.content_of(&spec, &entry.id, &header).await?;
        if let Some(listed) = entries(pool, vec![id.clone()]).await?.remove(&id)
            && self.is_still_there(entry).await?
        {
            let listed = self.namespace.volume(Name::from_bytes(listed));
            let detail = format!(
                "it is in trash and listed as {listed}: removing it from trash would remove that volume"
            );
            let remedy = format!("volary trash restore {spec} NAME, if it is not to be removed");
            found.push(about(FindingKind::ListedAndTrashed, detail, remedy));
        }
        Ok(found)
    }

    async fn is_still_there(&self, entry: &TrashEntry) -> Result<bool> {
        let found = self.pool.omap_values(TRASH, vec![trash::key(&entry.id)], NO_LIMIT).await?;
        let now = found.into_iter().find_map(|(_, value)| trash::decode(entry.id.clone(), &value));
        Ok(now.as_ref() == Some(entry))
    }
}
