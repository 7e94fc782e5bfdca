//! One look at a part of a store: what the engine finds there, beside what the journal says.

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

/// How many findings are kept for the second look, so that memory is bounded.
const MOST_SUSPECTS: usize = 100_000;

/// Counts the bytes that are read from all volumes together, and passes them on as one progress.
pub(super) struct Reading {
    bytes: Arc<Counted>,
    /// The limits for the work, with a progress that counts before it passes on.
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

    /// Notes that a volume was looked at. Where no data is read, volumes are the progress.
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
    /// The name of the last volume that was looked at, when there are more after it.
    pub(super) next: Option<Name>,
}

impl Store {
    /// Looks once, at no more than `most` volumes that have a name; [`Look::next`] then names the one to continue after.
    pub(super) async fn look(
        &self,
        scope: &CheckScope,
        options: &CheckOptions,
        most: usize,
        reading: &Reading,
    ) -> Result<Look> {
        let (mut look, ctl) = (Look::default(), &reading.ctl);
        // The trash is read before the journal: an import writes its record before it makes its target in trash.
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
            // A check in slices goes from name to name, and these findings have no name: its first slice reports them.
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

    /// The entries of the trash; none where one cannot be decoded, since the engine reports that as a finding.
    async fn trash_to_check(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        match self.engine().trash(namespace, ctl).await {
            Err(error) if error.kind() == ErrorKind::Internal => Ok(Vec::new()),
            trash => trash,
        }
    }
}

/// Unfinished targets in trash that no record of the journal names.
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
