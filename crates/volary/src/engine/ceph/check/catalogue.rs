//! The directory of a namespace: its two entries of each volume, and the object that leads from the name to the id.

use super::super::NO_LIMIT;
use super::super::directory::{DIRECTORY, both, entries, id_key, name_key, string};
use super::super::trash::{self, TRASH};
use super::{Look, Work};
use crate::engine::{Finding, FindingKind, Repair, TrashState, VolumeEntry};
use crate::{Name, Result, VolumeId};

/// How many entries are read at a time.
const PAGE: u64 = 512;

impl Look<'_> {
    /// A page of the directory by names.
    pub(super) async fn name_page(&self, after: &[u8]) -> Result<(Vec<Work>, Option<Vec<u8>>)> {
        let pool = &self.pool;
        let page = pool.omap_page(DIRECTORY, after, b"name_", PAGE, NO_LIMIT).await?;
        let (mut work, mut listed) = (Vec::new(), Vec::new());
        for (key, value) in &page.entries {
            let name = Name::from_bytes(key.strip_prefix(b"name_").unwrap_or(key));
            match string(value).and_then(|(id, _)| VolumeId::new(String::from_utf8_lossy(id)).ok()) {
                Some(id) => listed.push(VolumeEntry { name, id }),
                None => work.push(Work::Found(self.undecodable(key))),
            }
        }
        listed.retain(|entry| self.wants(&entry.id));
        let back = entries(pool, listed.iter().map(|entry| id_key(&entry.id)).collect()).await?;
        work.extend(listed.into_iter().map(|entry| {
            let both_ways = back.get(&id_key(&entry.id)).is_some_and(|name| name == entry.name.as_bytes());
            Work::Listed(entry, both_ways)
        }));
        Ok((work, page.entries.last().filter(|_| page.more).map(|(key, _)| key.clone())))
    }

    /// What a page of the directory by ids has that does not match the directory by names.
    pub(super) async fn id_page(&self, after: &[u8]) -> Result<(Vec<Work>, Option<Vec<u8>>)> {
        let pool = &self.pool;
        let page = pool.omap_page(DIRECTORY, after, b"id_", PAGE, NO_LIMIT).await?;
        let (mut work, mut listed) = (Vec::new(), Vec::new());
        for (key, value) in &page.entries {
            let id = VolumeId::new(String::from_utf8_lossy(key.strip_prefix(b"id_").unwrap_or(key))).ok();
            match id.zip(string(value)) {
                Some((id, (name, _))) => listed.push(VolumeEntry { name: Name::from_bytes(name), id }),
                None => work.push(Work::Found(self.undecodable(key))),
            }
        }
        listed.retain(|entry| self.wants(&entry.id));
        let names = listed.iter().map(|entry| name_key(entry.name.as_bytes())).collect();
        let forward = entries(pool, names).await?;
        listed.retain(|entry| {
            forward.get(&name_key(entry.name.as_bytes())).is_none_or(|id| id != entry.id.as_str().as_bytes())
        });
        work.extend(listed.into_iter().map(Work::Backward));
        Ok((work, page.entries.last().filter(|_| page.more).map(|(key, _)| key.clone())))
    }

    fn undecodable(&self, key: &[u8]) -> Finding {
        let subject = format!("rbd_directory {}", crate::escape(key));
        let detail = format!("the entry {} of rbd_directory cannot be decoded", crate::escape(key));
        let remedy = "compare it with `rados getomapval` and write it anew with `rados setomapval`";
        Finding::new(FindingKind::Unreadable, subject, detail, remedy)
    }

    /// An entry from id to name that no entry from name to id matches, if that is still so.
    pub(super) async fn backward(&self, entry: &VolumeEntry) -> Result<Option<Finding>> {
        let pool = &self.pool;
        let both = both(pool, entry).await?;
        let (id, name) = (entry.id.as_str().as_bytes(), entry.name.as_bytes());
        let stands = both.backward.as_deref() == Some(name) && both.forward.as_deref() != Some(id);
        if !stands || self.is_moving(&entry.id).await? {
            return Ok(None);
        }
        let detail = match &both.forward {
            None => format!("the directory leads from the id to the name {}, and not back", entry.name),
            Some(other) => {
                let other = crate::escape(other);
                format!(
                    "the directory leads from the id to the name {}, and from there to the id {other}",
                    entry.name
                )
            }
        };
        Ok(Some(self.mismatch(entry, "id to name", detail, both.forward.is_none())))
    }

    /// What does not match of a listed volume's entries and its id object; `None` when it is not listed so any more, or on its
    /// way into trash or out.
    pub(super) async fn directory_of(
        &self,
        entry: &VolumeEntry,
        leads_to: Option<&VolumeId>,
        has_header: bool,
    ) -> Result<Option<Vec<Finding>>> {
        let both = both(&self.pool, entry).await?;
        if both.forward.as_deref() != Some(entry.id.as_str().as_bytes()) || self.is_moving(&entry.id).await? {
            return Ok(None);
        }
        let (spec, mut found) = (self.named(entry), Vec::new());
        let about = |finding: Finding| finding.about(spec.clone(), entry.id.clone());
        if both.backward.as_deref() != Some(entry.name.as_bytes()) {
            let detail = match &both.backward {
                None => format!("the directory leads from the name to the id {}, and not back", entry.id),
                Some(other) => {
                    let other = crate::escape(other);
                    format!(
                        "the directory leads from the name to the id {}, and from there to {other}",
                        entry.id
                    )
                }
            };
            found.push(self.mismatch(entry, "name to id", detail, both.backward.is_none()));
        }
        if !has_header {
            let detail =
                "the volume is listed and has no header: its removal was cut short, or the header was lost";
            let remedy = format!(
                "volary rm {spec}, if it was to be removed; its data is found under rbd_data.{}",
                entry.id
            );
            found.push(about(Finding::new(FindingKind::HeaderMissing, "", detail, remedy)));
        } else if leads_to.is_none() {
            let detail =
                format!("the object rbd_id.{} is missing: the volume cannot be opened by name", entry.name);
            let finding = Finding::new(FindingKind::IdObjectMissing, "", detail, self.repair_command());
            found.push(about(finding.repaired_by(Repair::MakeIdObject)));
        }
        if let Some(other) = leads_to.filter(|leads| **leads != entry.id) {
            let name = &entry.name;
            let detail =
                format!("the object rbd_id.{name} leads to the id {other}, the directory to {}", entry.id);
            let by_id = self.namespace.volume_by_id(other.clone());
            let remedy = format!(
                "see with `volary info {by_id}` which of both the name belongs to, and write the other entry with `rados`"
            );
            found.push(about(Finding::new(FindingKind::IdObjectMismatch, "", detail, remedy)));
        }
        Ok(Some(found))
    }

    /// A mismatch of the directory; the entry that is missing can be added.
    fn mismatch(&self, entry: &VolumeEntry, way: &str, detail: String, missing: bool) -> Finding {
        let remedy = match missing {
            true => self.repair_command(),
            false => "see with `volary info` by id which of them is right, and write the other entry with `rados setomapval`".to_owned(),
        };
        let finding = Finding::new(FindingKind::DirectoryMismatch, way, detail, remedy)
            .about(self.named(entry), entry.id.clone());
        if missing { finding.repaired_by(Repair::ListAgain) } else { finding }
    }

    /// Whether a volume is on its way into trash or out, where its entry of the trash is what matters.
    async fn is_moving(&self, id: &VolumeId) -> Result<bool> {
        let found = self.pool.omap_values(TRASH, vec![trash::key(id)], NO_LIMIT).await?;
        let entry = found.into_iter().find_map(|(_, value)| trash::decode(id.clone(), &value));
        Ok(entry.is_some_and(|entry| entry.state != TrashState::Normal))
    }
}
