//! One look at a part of a store.

use super::journal::Journal;
use crate::driver::staging::STAGING_PREFIX;
use crate::driver::trash::is_staging;
use crate::engine::{
    CheckOptions, CheckScope, Checked, Finding, FindingKind, Repair, TrashEntry, TrashState,
};
use crate::{Ctl, ErrorKind, Name, Namespace, Progress, Result, Store};
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Findings that are kept for the second look; a store where more does not match is beyond telling them apart one by one.
const MOST_SUSPECTS: usize = 100_000;

/// Counts the bytes that are read, and hands the progress on: of many volumes that are read side by side as one.
pub(super) struct Reading {
    bytes: Arc<Counted>,
    /// The bounds of what reads, and of what looks at metadata.
    pub(super) ctl: Ctl,
    outer: Ctl,
    read: bool,
}

struct Counted {
    bytes: AtomicU64,
    outer: Ctl,
}

impl Progress for Counted {
    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.outer.advance(bytes);
    }
}

impl Reading {
    pub(super) fn new(read: bool, ctl: &Ctl) -> Reading {
        let bytes = Arc::new(Counted { bytes: AtomicU64::new(0), outer: ctl.clone() });
        let inner = Ctl::new()
            .timeout(ctl.call_limit())
            .stall(ctl.stall_limit())
            .cancelled_by(ctl.cancel_token().clone())
            .watched_by(bytes.clone());
        Reading { bytes, ctl: inner, outer: ctl.clone(), read }
    }

    /// A volume was looked at: progress, where no bytes are.
    fn looked(&self) {
        if self.read {
            self.outer.touch();
        } else {
            self.outer.advance(1);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.bytes.load(Ordering::Relaxed)
    }
}

/// What one look found.
#[derive(Default)]
pub(super) struct Look {
    pub(super) findings: Vec<Finding>,
    pub(super) volumes: u64,
    pub(super) objects: u64,
    pub(super) pending: u64,
    /// The last volume by name that was looked at, when the look ended before the last of all.
    pub(super) next: Option<Name>,
}

impl Store {
    /// Looks once; at so many volumes under a name at most, after which [`Look::next`] is where to go on.
    pub(super) async fn look(
        &self,
        scope: &CheckScope,
        options: &CheckOptions,
        most: usize,
        reading: &Reading,
    ) -> Result<Look> {
        let (mut look, ctl) = (Look::default(), &reading.ctl);
        // The trash first: what somebody stages meanwhile is in the journal before it is there.
        let trash = match scope {
            CheckScope::Namespace(namespace) => self.trash_to_check(namespace, ctl).await?,
            CheckScope::Store => Vec::new(),
        };
        let (mut pieces, mut named) = (self.engine().check(scope, options, ctl), 0);
        while let Some(piece) = pieces.try_next().await? {
            match piece {
                Checked::Finding(finding) if look.findings.len() < MOST_SUSPECTS => {
                    look.findings.push(*finding)
                }
                Checked::Finding(_) => {}
                Checked::Volume { name, objects } => {
                    named += usize::from(name.is_some());
                    if named > most {
                        break;
                    }
                    look.volumes += 1;
                    look.objects = look.objects.saturating_add(objects);
                    reading.looked();
                    look.next = name.or(look.next);
                }
            }
        }
        if named <= most {
            look.next = None;
        }
        drop(pieces);
        if let CheckScope::Namespace(namespace) = scope {
            let journal = self.journal(namespace, ctl).await?;
            look.pending = journal.pending;
            look.findings.retain(|of| !journal.is_about(of, &trash));
            // Slices go by the names of volumes, which these findings have none of: the first slice reports them.
            if options.after.is_none() {
                // A record that was not read may be of the operation that makes the target.
                if !journal.unread {
                    look.findings.extend(staged_by_nobody(namespace, &trash, &journal));
                }
                look.findings.extend(journal.invalid);
            }
        }
        look.findings.iter_mut().for_each(without_publishing);
        Ok(look)
    }

    /// The findings that a second look has as well.
    pub(super) async fn look_again(
        &self,
        scope: &CheckScope,
        options: &CheckOptions,
        before: &[Finding],
        reading: &Reading,
    ) -> Result<Vec<Finding>> {
        let mut options = options.clone();
        options.only = Some(before.iter().filter_map(|of| of.id.clone()).collect());
        options.after = None;
        let again = self.look(scope, &options, usize::MAX, reading).await?.findings;
        let mut known = std::collections::HashSet::new();
        for of in before {
            known.insert((of.kind, of.id.clone(), of.subject.clone()));
        }
        let both = |of: &Finding| known.contains(&(of.kind, of.id.clone(), of.subject.clone()));
        Ok(again.into_iter().filter(both).collect())
    }

    /// What is in trash; nothing of it where an entry cannot be decoded, which the engine finds.
    async fn trash_to_check(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        match self.engine().trash(namespace, ctl).await {
            Err(error) if error.kind() == ErrorKind::Internal => Ok(Vec::new()),
            trash => trash,
        }
    }
}

/// Unfinished targets in trash that no intent knows.
fn staged_by_nobody<'a>(
    namespace: &'a Namespace,
    trash: &'a [TrashEntry],
    journal: &'a Journal,
) -> impl Iterator<Item = Finding> + 'a {
    let dead =
        trash.iter().filter(|of| is_staging(of) && of.state == TrashState::Normal && !journal.knows(of));
    dead.map(|entry| {
        let spec = namespace.volume_by_id(entry.id.clone());
        let detail = "the unfinished target of an import, copy or clone that the journal does not know";
        let remedy = format!("volary trash rm --force {spec}");
        let subject = entry.name.to_string();
        Finding::new(FindingKind::StagingWithoutIntent, subject, detail, remedy).about(spec, entry.id.clone())
    })
}

/// An unfinished target must not be given its name by a repair: nobody knows whether it is whole.
fn without_publishing(finding: &mut Finding) {
    if let (Some(Repair::FinishRestore(name)), Some(spec), Some(id)) =
        (&finding.repair, &finding.volume, &finding.id)
        && name.as_bytes().starts_with(STAGING_PREFIX.as_bytes())
    {
        // RBD removes from trash nothing whose restore has begun.
        let restore = format!("rbd trash restore --image NAME {}/{id}", spec.namespace);
        finding.remedy = format!("{restore}, then remove that volume: nobody knows whether it is whole");
        finding.repair = None;
    }
}
