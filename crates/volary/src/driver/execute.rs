//! Executing a plan: each step checks by id that it still means what was planned.

use super::content_record::DigestRecord;
use super::handle::closing;
use super::journal::Intent;
use super::outcome::{Step, StepOutcome};
use super::plan::{Act, Subject};
use crate::engine::{Child, OpenOptions, SnapshotInfo, TrashOptions, Volume, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Phase, Result, Store, Target};
use std::sync::Arc;

impl Store {
    /// Takes the steps in order until one fails, and writes down how each ended; says what of the volume may be left all the same.
    pub(crate) async fn execute(
        &self,
        subject: &Subject,
        acts: &[Act],
        intent: &Intent,
        steps: &mut Vec<Step>,
        ctl: &Ctl,
    ) -> Result<Vec<String>> {
        let (mut writer, mut left) = (None, Vec::new());
        let of_snapshots =
            |act: &Act| matches!(act, Act::Flatten(_) | Act::Unprotect(_) | Act::RemoveSnapshot(_));
        if acts.iter().all(of_snapshots) {
            // The volume stays, and whoever writes to it does not matter to its snapshots.
            writer = Some(self.open_subject(subject, &OpenOptions::change_snapshots(), ctl).await?);
        } else if acts.iter().any(|act| matches!(act, Act::Unprotect(_) | Act::RemoveSnapshot(_))) {
            // Before the first step: whoever writes to the volume must not make the last one fail.
            self.writer(subject, &mut writer, ctl).await?;
        }
        let mut failed = None;
        for (done, act) in acts.iter().enumerate() {
            if failed.is_some() {
                act.step(subject, StepOutcome::Skipped).enter(steps);
                continue;
            }
            let ours = match ctl.check("remove") {
                // What somebody else has taken over must not go on here.
                Ok(()) => intent.step(&act.step(subject, StepOutcome::Planned).action, None, ctl).await,
                cancelled => cancelled,
            };
            if let Err(error) = ours {
                act.step(subject, StepOutcome::Skipped).enter(steps);
                failed = Some(error);
                continue;
            }
            let result = self.perform(subject, act, done == 0, &mut writer, ctl).await;
            let outcome = if result.is_ok() { StepOutcome::Done } else { StepOutcome::Failed };
            act.step(subject, outcome).enter(steps);
            match result {
                Ok(of_it) => left.extend(of_it),
                Err(error) => failed = Some(error),
            }
        }
        let result = failed.map_or(Ok(left), Err);
        match writer.take() {
            Some(volume) => closing(&volume, result, ctl).await,
            None => result,
        }
    }

    /// The volume by the name that a plan has for it. The directory of a damaged one may lead to it from one side alone, from the
    /// id or from the name.
    pub(crate) async fn listed(&self, subject: &Subject, ctl: &Ctl) -> Result<Option<VolumeEntry>> {
        let (engine, namespace) = (self.engine(), subject.namespace());
        let by_id = engine.find(namespace, &Target::Id(subject.id.clone()), ctl).await?;
        if by_id.is_some() {
            return Ok(by_id);
        }
        Ok(engine.find(namespace, &subject.shown.volume, ctl).await?.filter(|entry| entry.id == subject.id))
    }

    /// Takes one step, and says what it may have left; the first comes right after the plan, which looked who holds the volume.
    async fn perform(
        &self,
        subject: &Subject,
        act: &Act,
        first: bool,
        writer: &mut Option<Arc<dyn Volume>>,
        ctl: &Ctl,
    ) -> Result<Vec<String>> {
        match act {
            Act::Unprotect(snapshot) => {
                let volume = self.writer(subject, writer, ctl).await?;
                same_snapshot(&*volume, snapshot, ctl).await?;
                return volume.unprotect_snapshot(&snapshot.name, ctl).await.map(nothing);
            }
            Act::RemoveSnapshot(snapshot) => {
                let volume = self.writer(subject, writer, ctl).await?;
                same_snapshot(&*volume, snapshot, ctl).await?;
                volume.remove_snapshot(&snapshot.name, ctl).await?;
                DigestRecord::forget_snapshot(&*volume, snapshot.id, ctl).await;
                return Ok(Vec::new());
            }
            Act::Flatten(child) => return self.flatten_child(subject, child, ctl).await.map(nothing),
            Act::MoveToTrash(..) | Act::TakeName | Act::RemoveFromTrash { .. } | Act::RemoveRemains => {}
        }
        // What follows needs the volume closed, by this process too.
        if let Some(volume) = writer.take() {
            volume.close(&ctl.for_cleanup()).await?;
        }
        match act {
            Act::MoveToTrash(keep, purge_snapshots) => {
                self.put_into_trash(subject, *keep, *purge_snapshots, ctl).await.map(|_| Vec::new())
            }
            Act::TakeName => {
                let entry = self.entry(subject, ctl).await?;
                let options = TrashOptions { looked: first, ..TrashOptions::default() };
                self.engine().trash_move(subject.namespace(), &entry, &options, ctl).await.map(nothing)
            }
            Act::RemoveRemains => {
                let entry = self.entry(subject, ctl).await?;
                self.engine().remove(subject.namespace(), &entry, ctl).await
            }
            Act::RemoveFromTrash { force } => {
                ctl.phase(Phase::Remove, None);
                self.engine().trash_remove(subject.namespace(), &subject.id, *force, ctl).await
            }
            Act::Flatten(_) | Act::Unprotect(_) | Act::RemoveSnapshot(_) => Ok(Vec::new()),
        }
    }

    /// The name the planned volume has, if it is the one it was planned under.
    pub(crate) async fn entry(&self, subject: &Subject, ctl: &Ctl) -> Result<VolumeEntry> {
        let found = self.listed(subject, ctl).await?;
        let unchanged = found.filter(|entry| Target::Name(entry.name.clone()) == subject.shown.volume);
        unchanged.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the volume was renamed or removed meanwhile")
                .context("volume", &subject.shown)
                .context("id", &subject.id)
        })
    }

    async fn writer(
        &self,
        subject: &Subject,
        writer: &mut Option<Arc<dyn Volume>>,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        match writer {
            Some(volume) => Ok(volume.clone()),
            None => {
                let opened = self.open_subject(subject, &OpenOptions::write(), ctl).await?;
                Ok(writer.insert(opened).clone())
            }
        }
    }

    async fn flatten_child(&self, subject: &Subject, child: &Child, ctl: &Ctl) -> Result<()> {
        let target = Target::Id(child.id.clone());
        let opened = self.engine().open(&child.namespace, &target, &OpenOptions::write(), ctl).await;
        let volume = match opened {
            // Gone meanwhile, which serves as well.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let work = async {
            match volume.stat(ctl).await?.parent {
                Some(parent)
                    if parent.namespace == *subject.namespace()
                        && parent.id == subject.id
                        && parent.snapshot == child.snapshot =>
                {
                    ctl.phase(Phase::Flatten, Some(parent.overlap_bytes));
                    volume.flatten(ctl).await
                }
                // Somebody else flattened it meanwhile, which is all that was wanted.
                _ => Ok(()),
            }
        };
        closing(&volume, work.await, ctl).await
    }
}

/// What most steps leave.
fn nothing((): ()) -> Vec<String> {
    Vec::new()
}

/// Checks that a snapshot's name still stands for the one that was planned.
async fn same_snapshot(volume: &dyn Volume, planned: &SnapshotInfo, ctl: &Ctl) -> Result<()> {
    if volume.snapshots(ctl).await?.iter().any(|now| now.id == planned.id && now.name == planned.name) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, "the snapshot was renamed or removed meanwhile")
        .context("snapshot", &planned.name))
}
