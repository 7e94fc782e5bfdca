//! Removing volumes: plan first, then execute, and say exactly how it ended.

use super::audit::Audit;
use super::handle::named;
use super::outcome::{Failure, Outcome, RemoveReport, StepOutcome};
use super::plan::{Act, Plan, Rules, Subject};
use super::store::no_such_volume;
use crate::engine::{Holder, HolderKind, TrashEntry};
use crate::{Ctl, Error, ErrorKind, Result, Store, Target, VolumeSpec};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How to remove a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Remove its snapshots too; protected ones still block, unless `flatten_children` is set.
    pub purge_snapshots: bool,
    /// Flatten its clones first, and unprotect the snapshots they came from.
    pub flatten_children: bool,
    /// Move it into trash for so long instead; its snapshots then go with it when it is purged.
    pub defer: Option<Duration>,
    /// Whether a volume that is not there is fine.
    pub if_exists: bool,
    /// How long to try again while only watchers are in the way.
    pub wait: Duration,
}

impl Store {
    /// What [`remove`](Store::remove) would do, found out by reading only.
    ///
    /// # Errors
    /// `Usage` for a snapshot; `NotFound` for the pool or namespace; and what reading fails with.
    #[tracing::instrument(name = "plan_remove", skip_all, fields(volume = %spec))]
    pub async fn plan_remove(
        &self,
        spec: &VolumeSpec,
        options: &RemoveOptions,
        ctl: &Ctl,
    ) -> Result<RemoveReport> {
        spec.require_head()?;
        let Some(entry) = self.engine().find(&spec.namespace, &spec.volume, ctl).await? else {
            return self.not_there(spec, options, ctl).await;
        };
        let subject = Subject { shown: named(spec, &entry), id: entry.id };
        let plan = match self.plan_volume(&subject, options, ctl).await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_gone(&subject, ctl).await? => {
                return self.not_there(spec, options, ctl).await;
            }
            plan => plan?,
        };
        Ok(planned(&subject, plan))
    }

    /// Removes a volume, or says what is in the way and changes nothing.
    ///
    /// Every end is a report; [`RemoveReport::error`] is the error it stands for. A removal that fails midway says
    /// in its steps how far it came.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let (web, snap) = (&"web".parse()?, &"web@golden".parse()?);
    /// # store.create(web, 1 << 20, ctl).await?; store.create_snapshot(snap, false, ctl).await?;
    /// let report = store.remove(web, &RemoveOptions::default(), ctl).await?;
    /// assert_eq!(report.outcome, Outcome::Blocked);
    /// assert_eq!(report.error().expect("blocked is an error").kind(), ErrorKind::Blocked);
    /// let purge = RemoveOptions { purge_snapshots: true, ..Default::default() };
    /// assert_eq!(store.remove(web, &purge, ctl).await?.outcome, Outcome::Removed);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`plan_remove`](Store::plan_remove): before anything was changed.
    #[tracing::instrument(name = "remove", skip_all, fields(volume = %spec))]
    pub async fn remove(
        &self,
        spec: &VolumeSpec,
        options: &RemoveOptions,
        ctl: &Ctl,
    ) -> Result<RemoveReport> {
        spec.require_head()?;
        let details = json!({
            "purge_snapshots": options.purge_snapshots,
            "flatten_children": options.flatten_children,
            "defer_seconds": options.defer.map(|keep| keep.as_secs()),
        });
        let audit = Audit::begin("remove", spec, &details);
        let result = self.remove_unaudited(spec, options, ctl).await;
        audit.finish(&result, |report| (report.outcome.as_str().into(), json!(report)));
        result
    }

    async fn remove_unaudited(
        &self,
        spec: &VolumeSpec,
        options: &RemoveOptions,
        ctl: &Ctl,
    ) -> Result<RemoveReport> {
        let Some(entry) = self.engine().find(&spec.namespace, &spec.volume, ctl).await? else {
            return self.not_there(spec, options, ctl).await;
        };
        let subject = Subject { shown: named(spec, &entry), id: entry.id };
        let done = if options.defer.is_some() { Outcome::Deferred } else { Outcome::Removed };
        let patience = Patience::new(options.wait);
        let report = self
            .carry_out(&subject, done, patience, ctl, || self.plan_volume(&subject, options, ctl))
            .await?;
        match report {
            Some(report) if report.outcome == Outcome::Deferred => {
                let trash = self.engine().trash(&spec.namespace, &ctl.for_cleanup()).await?;
                let until = trash.into_iter().find(|entry| entry.id == subject.id).map(|entry| entry.until);
                Ok(RemoveReport { until, ..report })
            }
            Some(report) => Ok(report),
            None => self.not_there(spec, options, ctl).await,
        }
    }

    /// Plans and executes until it is done or cannot be; `None` when the volume turns out not to be there.
    pub(crate) async fn carry_out<F>(
        &self,
        subject: &Subject,
        done: Outcome,
        mut patience: Patience,
        ctl: &Ctl,
        plan: impl Fn() -> F,
    ) -> Result<Option<RemoveReport>>
    where
        F: Future<Output = Result<Plan>>,
    {
        let mut report = RemoveReport::new(subject.shown.clone(), Some(subject.id.clone()), Outcome::Failed);
        loop {
            let attempt = self.attempt(subject, done, &mut patience, &mut report, ctl, &plan).await;
            match attempt {
                Ok(true) => return Ok(Some(report)),
                Ok(false) => {}
                // Nothing was changed yet, so there is nothing to report but the error.
                Err(error) if report.steps.is_empty() => {
                    let gone = error.kind() == ErrorKind::NotFound && self.is_gone(subject, ctl).await?;
                    return if gone { Ok(None) } else { Err(error) };
                }
                Err(error) => {
                    report.failure = Some(Failure::from(&error));
                    return Ok(Some(report));
                }
            }
        }
    }

    /// One round of planning and executing; says whether it was the last.
    async fn attempt<F>(
        &self,
        subject: &Subject,
        done: Outcome,
        patience: &mut Patience,
        report: &mut RemoveReport,
        ctl: &Ctl,
        plan: &impl Fn() -> F,
    ) -> Result<bool>
    where
        F: Future<Output = Result<Plan>>,
    {
        let found = plan().await?;
        if !found.blockers.is_empty() {
            if found.blockers.iter().all(|blocker| may_go(blocker.kind)) && patience.pause(ctl).await? {
                return Ok(false);
            }
            (report.outcome, report.blockers) = (Outcome::Blocked, found.blockers);
            return Ok(true);
        }
        let Err(error) = self.execute(subject, &found.acts, &mut report.steps, ctl).await else {
            report.outcome = done;
            return Ok(true);
        };
        if error.kind() != ErrorKind::Blocked {
            report.failure = Some(Failure::from(&error));
            return Ok(true);
        }
        if patience.pause(ctl).await? {
            return Ok(false);
        }
        // It appeared after the plan was made: name it as well as can be.
        let again = plan().await.map(|plan| plan.blockers).unwrap_or_default();
        report.blockers = if again.is_empty() { vec![blocker_of(&error)] } else { again };
        report.outcome = Outcome::Blocked;
        Ok(true)
    }

    async fn plan_volume(&self, subject: &Subject, options: &RemoveOptions, ctl: &Ctl) -> Result<Plan> {
        let seen = self.see(subject, ctl).await?;
        let flatten_children = options.flatten_children;
        let rules = Rules { unprotect: flatten_children, flatten_children };
        let mut plan = self.plan_snapshots(subject, &seen, options.purge_snapshots, rules, ctl).await?;
        plan.blockers.extend(seen.holders);
        match options.defer {
            None => plan.acts.push(Act::Remove),
            Some(keep) => {
                // The snapshots stay until the purge, so that a restore brings them back.
                plan.acts.retain(|act| !matches!(act, Act::RemoveSnapshot(_)));
                plan.acts.push(Act::MoveToTrash(keep, options.purge_snapshots));
            }
        }
        Ok(plan)
    }

    /// Whether a volume is neither under a name nor in trash, so that "not found" was said of the volume itself.
    async fn is_gone(&self, subject: &Subject, ctl: &Ctl) -> Result<bool> {
        let target = Target::Id(subject.id.clone());
        Ok(self.engine().find(subject.namespace(), &target, ctl).await?.is_none()
            && self.trashed(&subject.shown, &subject.id, ctl).await?.is_none())
    }

    async fn not_there(&self, spec: &VolumeSpec, options: &RemoveOptions, ctl: &Ctl) -> Result<RemoveReport> {
        if let Target::Id(id) = &spec.volume
            && let Some(entry) = self.trashed(spec, id, ctl).await?
        {
            let mut report = RemoveReport::new(spec.clone(), Some(id.clone()), Outcome::Blocked);
            report.blockers.push(trash_blocker(spec, &entry, "`volary trash rm` removes it for good"));
            return Ok(report);
        }
        let mut report = RemoveReport::new(spec.clone(), None, Outcome::Absent);
        report.failure = (!options.if_exists).then(|| Failure::from(&no_such_volume(spec)));
        Ok(report)
    }
}

/// A dry run's report.
fn planned(subject: &Subject, plan: Plan) -> RemoveReport {
    let outcome = if plan.blockers.is_empty() { Outcome::Planned } else { Outcome::Blocked };
    let mut report = RemoveReport::new(subject.shown.clone(), Some(subject.id.clone()), outcome);
    report.steps = plan.acts.iter().map(|act| act.step(subject, StepOutcome::Planned)).collect();
    report.blockers = plan.blockers;
    report
}

/// Whether such a holder can be expected to go by itself; a lock stays until somebody breaks it.
fn may_go(kind: HolderKind) -> bool {
    kind == HolderKind::Watcher
}

pub(crate) fn trash_blocker(spec: &VolumeSpec, entry: &TrashEntry, remedy: &str) -> Holder {
    Holder {
        kind: HolderKind::Trash,
        detail: format!("{spec} (`{}`) is in trash, kept until {}", entry.name, entry.until),
        remedy: remedy.into(),
    }
}

pub(crate) fn blocker_of(error: &Error) -> Holder {
    Holder {
        kind: HolderKind::Watcher,
        detail: error.report(),
        remedy: error.remedy().unwrap_or("try again, or give more time with --wait").into(),
    }
}

/// How long to try again, with growing pauses.
pub(crate) struct Patience {
    until: Instant,
    next: Duration,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Patience { until: Instant::now() + wait, next: Duration::from_millis(100) }
    }

    /// Pauses and says yes, or says no when the time is up.
    async fn pause(&mut self, ctl: &Ctl) -> Result<bool> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        tokio::select! {
            () = ctl.cancel_token().cancelled() => ctl.check("wait")?,
            () = tokio::time::sleep(self.next.min(left)) => {}
        }
        self.next = (self.next * 2).min(Duration::from_secs(2));
        Ok(true)
    }
}
