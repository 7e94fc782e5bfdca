//! How each kind of work that was begun is finished, or undone.

use super::record::{AsGiven, IntentRecord, Work};
use super::{Intent, reap::ReapOptions};
use crate::driver::handle::{closing, named};
use crate::driver::order::Order;
use crate::driver::outcome::{Outcome, RemoveReport};
use crate::driver::patience::{Patience, patiently};
use crate::driver::plan::Seen;
use crate::driver::plan::Subject;
use crate::driver::remove::RemoveOptions;
use crate::driver::snapshot_removal::SnapshotRemoveOptions;
use crate::driver::staging::{PUBLISHING, Staging};
use crate::engine::{SnapshotInfo, TrashEntry, TrashOptions, TrashState, Volume, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Name, Result, Store, VolumeId, VolumeSpec};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A rollback that was cut short longer ago is not finished unasked: the volume may have been written to since.
const ROLLBACK_GOES_ON: SignedDuration = SignedDuration::from_hours(1);
/// By how much the clocks of two hosts may differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// What was found of a volume that somebody had begun to remove.
enum Found {
    Gone,
    Named(VolumeSpec),
    Trashed(TrashEntry),
}

impl Store {
    /// Finishes or undoes what an intent of this process, taken over from another, had begun.
    ///
    /// # Errors
    /// Why it could not; the intent is left in the journal then.
    pub(super) async fn settle(
        &self,
        intent: Intent,
        record: &IntentRecord,
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<()> {
        let (wait, confirmed) = (options.wait, options.confirm);
        let spec = record.spec();
        if let Work::Make { staging } = &record.work {
            return self.settle_made(intent, record, &spec, staging, wait, ctl).await;
        }
        let Some(id) = &record.volume_id else {
            let error = Error::new(ErrorKind::Internal, "an intent names no volume");
            return concluded(intent, Err(error), ctl).await;
        };
        match &record.work {
            Work::Make { .. } => Ok(()),
            Work::Remove { purge_snapshots, flatten_children, keep } => {
                let options = RemoveOptions {
                    purge_snapshots: *purge_snapshots,
                    flatten_children: *flatten_children,
                    defer: *keep,
                    wait,
                    ..RemoveOptions::default()
                };
                self.settle_removal(intent, record, (&spec, id), &options, confirmed, ctl).await
            }
            Work::MoveToTrash { keep } => {
                let subject = Subject { shown: spec.clone(), id: id.clone() };
                let moved = async {
                    match self.look_for(&spec, id, ctl).await? {
                        Found::Named(shown) if shown == spec => {
                            let version = self.name_version(&subject, ctl).await?;
                            let as_given = record.as_given().filter(|_| !confirmed);
                            let changed = |of: &AsGiven| of.changed(&spec, version, &Seen::default());
                            if let Some(why) = as_given.and_then(changed) {
                                return waiting(&intent, record, why, ctl).await;
                            }
                            self.put_into_trash(&subject, *keep, false, ctl).await.map(drop)
                        }
                        // Under another name it is somebody's again.
                        Found::Named(_) | Found::Trashed(_) | Found::Gone => Ok(()),
                    }
                };
                let moved = moved.await;
                concluded(intent, moved, ctl).await
            }
            Work::RemoveSnapshot { snapshot, unprotect, flatten_children } => {
                let options =
                    SnapshotRemoveOptions { force: *unprotect, flatten_children: *flatten_children };
                let subject = (&spec, id, *snapshot);
                self.settle_snapshot_removal(intent, record, subject, options, (wait, confirmed), ctl).await
            }
            Work::RemoveTrashed => {
                let by_id = spec.namespace.volume_by_id(id.clone());
                match self.trashed(&spec, id, ctl).await {
                    Ok(Some(entry)) if !confirmed && is_later(entry.deleted, record.created) => {
                        let why = "it was brought back, and put into trash again, since".to_owned();
                        let waits = waiting(&intent, record, why, ctl).await;
                        concluded(intent, waits, ctl).await
                    }
                    Ok(Some(entry)) => {
                        let order = Order::resumed(record, intent, confirmed);
                        settled(self.remove_trashed(&by_id, entry, true, wait, order, ctl).await?)
                    }
                    other => concluded(intent, other.map(drop), ctl).await,
                }
            }
            Work::Restore { name } => {
                let restored = async {
                    let Some(entry) = self.trashed(&spec, id, ctl).await? else { return Ok(()) };
                    if *name != entry.name {
                        name.clone().checked_for_creation()?;
                    }
                    let by_id = spec.namespace.volume_by_id(id.clone());
                    self.require_behind(&by_id, &entry, ctl).await?;
                    self.engine().trash_restore(&spec.namespace, id, name, ctl).await
                };
                concluded(intent, unless(restored.await, ErrorKind::AlreadyExists), ctl).await
            }
            work @ (Work::Flatten | Work::Rollback { .. } | Work::Protect { .. }) => {
                let by_id = spec.namespace.volume_by_id(id.clone());
                let done = async {
                    let age = Timestamp::now().duration_since(record.created);
                    if matches!(work, Work::Rollback { .. }) && !confirmed && age > ROLLBACK_GOES_ON {
                        let why = format!(
                            "it may have been written to, and that would be lost: the rollback is of {}",
                            record.created
                        );
                        return waiting(&intent, record, why, ctl).await;
                    }
                    if *work == Work::Flatten {
                        self.reads_at_home(&spec, id, ctl).await?;
                    }
                    patiently(wait, ctl, || self.repeat(&by_id, work, ctl)).await
                };
                let done = unless(done.await, ErrorKind::NotFound);
                concluded(intent, done, ctl).await
            }
        }
    }

    /// Checks that a clone reads from volumes of its own namespace alone: whoever may write its header can name any parent,
    /// and parting the two copies what the parent holds.
    async fn reads_at_home(&self, spec: &VolumeSpec, id: &VolumeId, ctl: &Ctl) -> Result<()> {
        match self.ancestor_outside(&spec.namespace, id, ctl).await? {
            None => Ok(()),
            Some(parent) => Err(Error::new(ErrorKind::Blocked, "the clone reads from another namespace")
                .context("volume", spec)
                .context("parent", parent.namespace.volume_by_id(parent.id))
                .hint(format!("`volary flatten {spec}`, by a user with rights to both"))),
        }
    }

    async fn settle_made(
        &self,
        intent: Intent,
        record: &IntentRecord,
        spec: &VolumeSpec,
        staging: &Name,
        wait: Duration,
        ctl: &Ctl,
    ) -> Result<()> {
        let announced = record.steps.last().is_some_and(|step| step == PUBLISHING);
        // Only what is called so there is what it makes, whatever id the record tells.
        let in_trash = match &record.volume_id {
            Some(id) => self.trashed(spec, id, ctl).await.map(|found| found.filter(|of| of.name == *staging)),
            None => Ok(None),
        };
        let id = match in_trash {
            // It was published, and what became of it since is no matter of ours.
            Ok(None) if announced => return concluded(intent, Ok(()), ctl).await,
            Ok(entry) => entry.map(|entry| entry.id),
            Err(error) => return concluded(intent, Err(error), ctl).await,
        };
        let staging = Staging::resume(self, spec, staging.clone(), id, intent, wait)?;
        let error = if announced {
            match staging.publish_announced(ctl).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            }
        } else {
            staging.undo(Error::new(ErrorKind::Interrupted, "its process is gone"), ctl).await
        };
        if error.kind() == ErrorKind::Partial { Err(error) } else { Ok(()) }
    }

    async fn settle_removal(
        &self,
        intent: Intent,
        record: &IntentRecord,
        (spec, id): (&VolumeSpec, &VolumeId),
        options: &RemoveOptions,
        confirmed: bool,
        ctl: &Ctl,
    ) -> Result<()> {
        let report = match self.look_for(spec, id, ctl).await {
            Ok(Found::Named(shown)) if shown == *spec => {
                let subject = Subject { shown, id: id.clone() };
                let order = Order::resumed(record, intent, confirmed);
                self.remove_ordered(&subject, options, order, ctl).await?
            }
            Ok(Found::Named(shown)) => {
                let error = Error::new(ErrorKind::Blocked, "the volume has been renamed since")
                    .context("volume", spec)
                    .context("now", &shown)
                    .hint(format!(
                        "`volary pending forget {} {}` keeps it; `volary rm {shown}` removes it",
                        record.id, spec.namespace
                    ));
                return concluded(intent, Err(error), ctl).await;
            }
            Ok(Found::Trashed(entry)) if options.defer.is_none() => {
                // With a note of this order's move it was to lie there, until its last clone goes; an older one says nothing.
                match self.note_of(spec, &entry, ctl).await {
                    Ok(note) if note.as_ref().is_none_or(|note| note.at < record.created) => {}
                    settled => return concluded(intent, settled.map(drop), ctl).await,
                }
                if !confirmed && !record.has_begun("move_to_trash") {
                    let why = "somebody has put it into trash since".to_owned();
                    let waits = waiting(&intent, record, why, ctl).await;
                    return concluded(intent, waits, ctl).await;
                }
                let order = Order::resumed(record, intent, confirmed);
                let by_id = spec.namespace.volume_by_id(id.clone());
                self.remove_trashed(&by_id, entry, true, options.wait, order, ctl).await?
            }
            Ok(Found::Trashed(_) | Found::Gone) => return concluded(intent, Ok(()), ctl).await,
            Err(error) => return concluded(intent, Err(error), ctl).await,
        };
        settled(report)
    }

    /// Where a volume is now; a move into trash that was cut short is finished.
    async fn look_for(&self, spec: &VolumeSpec, id: &VolumeId, ctl: &Ctl) -> Result<Found> {
        let subject = Subject { shown: spec.clone(), id: id.clone() };
        if let Some(entry) = self.listed(&subject, ctl).await? {
            return Ok(Found::Named(named(spec, &entry)));
        }
        let Some(entry) = self.trashed(spec, id, ctl).await? else { return Ok(Found::Gone) };
        if entry.state == TrashState::Moving {
            let volume = VolumeEntry { name: entry.name.clone(), id: id.clone() };
            self.engine().trash_move(&spec.namespace, &volume, &TrashOptions::default(), ctl).await?;
        }
        Ok(Found::Trashed(entry))
    }

    async fn settle_snapshot_removal(
        &self,
        intent: Intent,
        record: &IntentRecord,
        (spec, id, snapshot): (&VolumeSpec, &VolumeId, u64),
        options: SnapshotRemoveOptions,
        (wait, confirmed): (Duration, bool),
        ctl: &Ctl,
    ) -> Result<()> {
        let by_id = spec.namespace.volume_by_id(id.clone());
        let (subject, seen) = match self.subject(&by_id, ctl).await {
            Ok(read) => read,
            Err(error) => return concluded(intent, unless(Err(error), ErrorKind::NotFound), ctl).await,
        };
        let Some(found) = seen.snapshots.iter().find(|found| found.id == snapshot) else {
            // Not listed, it may still be half there: opening to write finishes that.
            let open = || async { self.open_to_write(&by_id, ctl).await?.close(&ctl.for_cleanup()).await };
            let done = patiently(wait, ctl, open).await;
            return concluded(intent, unless(done, ErrorKind::NotFound), ctl).await;
        };
        let order = Order::resumed(record, intent, confirmed);
        let (read, patience) = ((&subject, &seen), Patience::new(wait));
        let outcome = self.remove_snapshot_ordered(read, found, options, patience, order, ctl).await;
        outcome.error().map_or(Ok(()), Err)
    }

    /// Does once more what may have been cut short.
    async fn repeat(&self, spec: &VolumeSpec, work: &Work, ctl: &Ctl) -> Result<()> {
        let volume: Arc<dyn Volume> = self.open_to_write(spec, ctl).await?;
        let done = async {
            let snapshots = volume.snapshots(ctl).await?;
            let find = |wanted: &dyn Fn(&SnapshotInfo) -> bool| {
                snapshots.iter().find(|snapshot| wanted(snapshot)).map(|snapshot| &snapshot.name)
            };
            match work {
                Work::Flatten if volume.stat(ctl).await?.parent.is_some() => volume.flatten(ctl).await,
                Work::Rollback { snapshot } => match find(&|found| found.id == *snapshot) {
                    Some(name) => volume.rollback(name, ctl).await,
                    None => Ok(()),
                },
                Work::Protect { snapshot } => match find(&|found| found.name == *snapshot) {
                    Some(name) => volume.protect_snapshot(name, ctl).await,
                    None => Ok(()),
                },
                _ => Ok(()),
            }
        };
        closing(&volume, done.await, ctl).await
    }
}

/// How an order ended that was carried out to this report.
fn settled(report: Option<RemoveReport>) -> Result<()> {
    let Some(report) = report else { return Ok(()) };
    // The report of a reaper has no place for them.
    for note in &report.notes {
        tracing::warn!(volume = %report.volume, %note, "removed");
    }
    match report.outcome {
        // What may be left of it no reaper can take away.
        Outcome::Removed => Ok(()),
        _ => report.error().map_or(Ok(()), Err),
    }
}

/// Records why an order waits to be confirmed, and fails with that.
async fn waiting(intent: &Intent, record: &IntentRecord, why: String, ctl: &Ctl) -> Result<()> {
    let error = record.unconfirmed(&why);
    intent.reconsider(Some(why), None, ctl).await?;
    Err(error)
}

/// Whether a time is later than another, whichever hosts' clocks told them.
fn is_later(time: Timestamp, than: Timestamp) -> bool {
    time.duration_since(than) > CLOCKS_DIFFER
}

/// Success, where failing so means that nothing is left to do.
fn unless(result: Result<()>, settled: ErrorKind) -> Result<()> {
    match result {
        Err(error) if error.kind() == settled => Ok(()),
        result => result,
    }
}

/// Takes the intent out of the journal when its work is settled, and else leaves it there with the reason.
async fn concluded(intent: Intent, result: Result<()>, ctl: &Ctl) -> Result<()> {
    // Told to stop, it still says how far it came.
    let ctl = &ctl.for_cleanup();
    match result {
        Ok(()) => intent.finish(ctl).await,
        Err(error) => {
            intent.leave(&error, ctl).await;
            Err(error)
        }
    }
}
