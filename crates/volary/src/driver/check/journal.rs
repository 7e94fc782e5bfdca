//! What a check reads from the journal of a namespace: the volumes that operations work on, and the invalid records.

use crate::engine::{Finding, FindingKind, TrashEntry};
use crate::{Ctl, Name, Namespace, Result, Store, VolumeId};
use std::collections::HashSet;

/// How many invalid records are reported at most: whoever may write to the namespace can leave any number of them.
const MOST_INVALID: usize = 10_000;

/// The journal of a namespace.
#[derive(Default)]
pub(super) struct Journal {
    /// How many operations have begun and are not finished.
    pub(super) pending: u64,
    /// Records that cannot be read or may not be carried out.
    pub(super) invalid: Vec<Finding>,
    /// Whether an operation may be missing from what was read: a record cannot be read, or there are too many.
    pub(super) unread: bool,
    volumes: HashSet<VolumeId>,
    staging: HashSet<Name>,
}

impl Journal {
    /// Whether an operation of the journal makes this entry of the trash, or works on it.
    pub(super) fn knows(&self, entry: &TrashEntry) -> bool {
        self.volumes.contains(&entry.id) || self.staging.contains(&entry.name)
    }

    /// Whether an operation of the journal works on the volume of a finding. Its owner or a reaper then finishes or undoes what was
    /// found. That does not hold for damaged content, which no operation leaves behind.
    pub(super) fn is_about(&self, finding: &Finding, trash: &[TrashEntry]) -> bool {
        let content = matches!(
            finding.kind,
            FindingKind::ObjectMissing | FindingKind::ObjectShort | FindingKind::ObjectMismatch
        );
        let Some(id) = finding.id.as_ref().filter(|_| !content) else { return false };
        self.volumes.contains(id) || trash.iter().any(|entry| entry.id == *id && self.knows(entry))
    }
}

impl Store {
    pub(super) async fn journal(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Journal> {
        let (mut journal, mut after) = (Journal::default(), Some(Vec::new()));
        while let Some(start) = after {
            ctl.check("check")?;
            let page = self.pending_page(namespace, &start, ctl).await?;
            for of in page.intents {
                let Some(reason) = of.invalid else {
                    journal.pending += 1;
                    continue;
                };
                if journal.invalid.len() < MOST_INVALID {
                    let id = of.id;
                    let detail = format!("the record {id} of the journal is invalid: {reason}");
                    let remedy = format!("volary pending forget {id} {namespace}");
                    journal.invalid.push(Finding::new(FindingKind::RecordInvalid, id, detail, remedy));
                }
            }
            after = page.next;
        }
        let intents = self.intents(namespace, |_| true, ctl).await?;
        journal.unread = intents.unread;
        for intent in intents.found {
            journal.volumes.extend(intent.volume_id().cloned());
            journal.staging.extend(intent.staging().cloned());
        }
        Ok(journal)
    }
}
