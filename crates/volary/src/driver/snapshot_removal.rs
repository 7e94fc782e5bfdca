//! Removing snapshots: plan first, each with an outcome of its own.

use super::audit::audited;
use super::handle::closing;
use super::journal::{AsGiven, Work};
use super::order::Order;
use super::outcome::{Failure, Outcome, SnapshotOutcome, StepOutcome};
use super::patience::Patience;
use super::plan::{Plan, Rules, Seen, Subject};
use super::remove::End;
use crate::engine::{Holder, HolderKind, SnapshotInfo};
use crate::{Ctl, Error, ErrorKind, Name, Result, Store, VolumeSpec};
use serde_json::json;
use std::time::Duration;

/// How to remove snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotRemoveOptions {
    /// Unprotect what is protected; clones still block.
    pub force: bool,
    /// Flatten the clones first, and unprotect: what `rbd snap rm --force` does.
    pub flatten_children: bool,
}

impl SnapshotRemoveOptions {
    fn rules(self, resumed: bool) -> Rules {
        let SnapshotRemoveOptions { force, flatten_children } = self;
        Rules { unprotect: force || flatten_children, flatten_children, resumed }
    }
}

impl Store {
    /// What [`remove_snapshot`](Store::remove_snapshot) would do, found out by reading only.
    ///
    /// # Errors
    /// As [`remove_snapshot`](Store::remove_snapshot).
    #[tracing::instrument(name = "plan_snapshot_remove", skip_all, fields(snapshot = %spec))]
    pub async fn plan_remove_snapshot(
        &self,
        spec: &VolumeSpec,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> Result<SnapshotOutcome> {
        let name = spec.required_snapshot()?;
        let (subject, seen) = self.subject(spec, ctl).await?;
        match seen.snapshots.iter().find(|snapshot| snapshot.name == *name) {
            Some(snapshot) => self.planned_snapshot(&subject, &seen, snapshot, options, ctl).await,
            None => Ok(absent(&subject, name)),
        }
    }

    /// Removes a snapshot, or says what is in the way and changes nothing.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let (web, golden) = (&"web".parse()?, &"web@golden".parse()?);
    /// # store.create(web, 1 << 20, ctl).await?;
    /// # store.create_snapshot(golden, true, ctl).await?;
    /// let blocked = store.remove_snapshot(golden, SnapshotRemoveOptions::default(), ctl).await?;
    /// assert_eq!(blocked.outcome, Outcome::Blocked);
    /// assert!(blocked.blockers[0].remedy.contains("volary snap unprotect"));
    /// store.unprotect_snapshot(golden, ctl).await?;
    /// let removed = store.remove_snapshot(golden, SnapshotRemoveOptions::default(), ctl).await?;
    /// assert_eq!(removed.outcome, Outcome::Removed);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a spec without snapshot; `NotFound` for the volume; what reading fails with. A snapshot that is
    /// not there, or cannot go, is in the outcome.
    pub async fn remove_snapshot(
        &self,
        spec: &VolumeSpec,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> Result<SnapshotOutcome> {
        let ctl = &ctl.for_removal();
        let name = spec.required_snapshot()?;
        let details = json!({"force": options.force, "flatten_children": options.flatten_children});
        let remove = async {
            let (subject, seen) = self.subject(spec, ctl).await?;
            match seen.snapshots.iter().find(|snapshot| snapshot.name == *name) {
                Some(snapshot) => Ok(self.remove_one(&subject, &seen, snapshot, options, ctl).await),
                None => Ok(absent(&subject, name)),
            }
        };
        let outcome = |of: &SnapshotOutcome| (of.outcome.as_str(), json!(of));
        audited("snapshot_remove", spec, details, remove, outcome).await
    }

    /// What [`purge_snapshots`](Store::purge_snapshots) would do, found out by reading only: every outcome is `planned`,
    /// or none is.
    ///
    /// # Errors
    /// As [`purge_snapshots`](Store::purge_snapshots).
    #[tracing::instrument(name = "plan_snapshot_purge", skip_all, fields(volume = %spec))]
    pub async fn plan_purge_snapshots(
        &self,
        spec: &VolumeSpec,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> Result<Vec<SnapshotOutcome>> {
        spec.require_head()?;
        let (subject, seen) = self.subject(spec, ctl).await?;
        self.planned_purge(&subject, &seen, options, ctl).await
    }

    /// Removes all snapshots of a volume; when one cannot go nothing is changed, and each outcome says what is in the
    /// way. One that fails after that does not hide the others.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let web = &"web".parse()?;
    /// # store.create(web, 1 << 20, ctl).await?;
    /// store.create_snapshot(&"web@before".parse()?, false, ctl).await?;
    /// store.create_snapshot(&"web@golden".parse()?, true, ctl).await?;
    /// let refused = store.purge_snapshots(web, SnapshotRemoveOptions::default(), ctl).await?;
    /// assert!(refused.iter().all(|of| of.outcome == Outcome::Blocked));
    /// let force = SnapshotRemoveOptions { force: true, ..Default::default() };
    /// let removed = store.purge_snapshots(web, force, ctl).await?;
    /// assert!(removed.iter().all(|of| of.outcome == Outcome::Removed));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for a snapshot; `NotFound` for the volume; what reading fails with.
    pub async fn purge_snapshots(
        &self,
        spec: &VolumeSpec,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> Result<Vec<SnapshotOutcome>> {
        let ctl = &ctl.for_removal();
        spec.require_head()?;
        let details = json!({"force": options.force, "flatten_children": options.flatten_children});
        let purge = async {
            let (subject, seen) = self.subject(spec, ctl).await?;
            let planned = self.planned_purge(&subject, &seen, options, ctl).await?;
            if planned.iter().any(|of| of.outcome != Outcome::Planned) {
                return Ok(planned);
            }
            let mut outcomes = Vec::new();
            for snapshot in &seen.snapshots {
                outcomes.push(self.remove_one(&subject, &seen, snapshot, options, ctl).await);
            }
            Ok(outcomes)
        };
        audited("snapshot_purge", spec, details, purge, |outcomes| ("done", json!(outcomes))).await
    }

    /// What to do to remove one snapshot, and what is in the way.
    async fn plan_one(
        &self,
        subject: &Subject,
        seen: &Seen,
        snapshot: &SnapshotInfo,
        (rules, expected): (Rules, Option<&AsGiven>),
        ctl: &Ctl,
    ) -> Result<Plan> {
        let mut plan = self.plan_snapshot(subject, seen, snapshot, rules, ctl).await?;
        // Who has the volume open does not matter to a snapshot; who locked it does, and what may not be seen.
        let counts = |holder: &&Holder| matches!(holder.kind, HolderKind::Unknown | HolderKind::Lock);
        plan.blockers.extend(seen.holders.iter().filter(counts).cloned());
        let clones = seen.of_snapshot(&snapshot.name);
        plan.changed = expected.and_then(|of| of.changed(&subject.shown, None, &clones));
        plan.as_given = Some(AsGiven::now(None, &clones));
        Ok(plan)
    }

    async fn planned_snapshot(
        &self,
        subject: &Subject,
        seen: &Seen,
        snapshot: &SnapshotInfo,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> Result<SnapshotOutcome> {
        let plan = self.plan_one(subject, seen, snapshot, (options.rules(false), None), ctl).await?;
        let mut outcome = untouched(subject, &snapshot.name);
        outcome.outcome = if plan.blockers.is_empty() { Outcome::Planned } else { Outcome::Blocked };
        outcome.steps = plan.acts.iter().map(|act| act.step(subject, StepOutcome::Planned)).collect();
        outcome.blockers = plan.blockers;
        Ok(outcome)
    }

    async fn planned_purge(
        &self,
        subject: &Subject,
        seen: &Seen,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> Result<Vec<SnapshotOutcome>> {
        let mut outcomes = Vec::new();
        for snapshot in &seen.snapshots {
            outcomes.push(self.planned_snapshot(subject, seen, snapshot, options, ctl).await?);
        }
        let held = outcomes.iter().find(|of| of.outcome == Outcome::Blocked).map(|of| of.snapshot.clone());
        if let Some(held) = held {
            for free in outcomes.iter_mut().filter(|of| of.outcome == Outcome::Planned) {
                (free.outcome, free.blockers) = (Outcome::Blocked, vec![refused_with(subject, free, &held)]);
                free.steps.clear();
            }
        }
        Ok(outcomes)
    }

    /// A volume, and what it has that matters to removing a snapshot of it.
    pub(crate) async fn subject(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<(Subject, Seen)> {
        let head = spec.head();
        let shown = self.shown(&head, ctl).await?;
        let volume = self.open_to_read(&head, ctl).await?;
        let read = async { Ok((volume.stat(ctl).await?.id, Seen::read(&*volume, &shown, ctl).await?)) };
        let (id, seen) = closing(&volume, read.await, ctl).await?;
        Ok((Subject { shown, id }, seen))
    }

    async fn remove_one(
        &self,
        subject: &Subject,
        seen: &Seen,
        snapshot: &SnapshotInfo,
        options: SnapshotRemoveOptions,
        ctl: &Ctl,
    ) -> SnapshotOutcome {
        let SnapshotRemoveOptions { force: unprotect, flatten_children } = options;
        let work = Work::RemoveSnapshot { snapshot: snapshot.id, unprotect, flatten_children };
        let order = Order::new("snapshot_remove", work);
        let patience = Patience::new(Duration::ZERO);
        self.remove_snapshot_ordered((subject, seen), snapshot, options, patience, order, ctl).await
    }

    /// Removes the snapshot an order, new or found in the journal, is about.
    pub(crate) async fn remove_snapshot_ordered(
        &self,
        (subject, seen): (&Subject, &Seen),
        snapshot: &SnapshotInfo,
        options: SnapshotRemoveOptions,
        patience: Patience,
        mut order: Order,
        ctl: &Ctl,
    ) -> SnapshotOutcome {
        let mut outcome = untouched(subject, &snapshot.name);
        let (rules, expected) = (options.rules(order.is_resumed()), order.expected().cloned());
        let plan = || self.plan_one(subject, seen, snapshot, (rules, expected.as_ref()), ctl);
        let ended = self.pursue(subject, &mut order, patience, &mut outcome.steps, ctl, plan).await;
        let failure = match ended {
            Ok(End::Done(_)) => {
                outcome.outcome = Outcome::Removed;
                None
            }
            Ok(End::Blocked(blockers)) => {
                (outcome.outcome, outcome.blockers) = (Outcome::Blocked, blockers);
                outcome.error()
            }
            Err(error) => {
                outcome.failure = Some(Failure::from(&error));
                Some(error)
            }
        };
        match order.close(self, subject, outcome.outcome, &outcome.steps, failure.as_ref(), ctl).await {
            Ok(pending) => outcome.pending = pending,
            Err(error) => outcome.failure = Some(Failure::from(&error)),
        }
        outcome
    }
}

fn untouched(subject: &Subject, snapshot: &Name) -> SnapshotOutcome {
    SnapshotOutcome {
        volume: subject.shown.clone(),
        id: subject.id.clone(),
        snapshot: snapshot.clone(),
        outcome: Outcome::Failed,
        pending: false,
        blockers: Vec::new(),
        steps: Vec::new(),
        failure: None,
    }
}

fn absent(subject: &Subject, name: &Name) -> SnapshotOutcome {
    let missing = Error::new(ErrorKind::NotFound, "no such snapshot")
        .context("snapshot", subject.shown.at(name.clone()))
        .hint(format!("`volary snap ls {}` shows the snapshots there are", subject.shown));
    let failure = Some(Failure::from(&missing));
    SnapshotOutcome { outcome: Outcome::Absent, failure, ..untouched(subject, name) }
}

/// Why a snapshot stays that nothing holds: another one cannot go, and a purge is done whole or not at all.
fn refused_with(subject: &Subject, free: &SnapshotOutcome, held: &Name) -> Holder {
    let alone = subject.shown.at(free.snapshot.clone());
    let held = subject.shown.at(held.clone());
    let detail = format!("{held} cannot go, and a purge removes all or none");
    Holder::new(HolderKind::Snapshot, detail, format!("`volary snap rm {alone}` removes this one alone"))
}
