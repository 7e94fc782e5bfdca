//! Removing volumes: plan first, then execute, and say exactly how it ended.

use super::audit::audited;
use super::handle::named;
use super::journal::{AsGiven, Work};
use super::order::Order;
use super::outcome::{Failure, Outcome, RemoveReport, Step, StepOutcome};
use super::patience::Patience;
use super::plan::{Act, Plan, Rules, Seen, Subject, known_clone_blocker};
use super::trash::{require_keep, way_out};
use crate::engine::{Holder, HolderKind, TrashEntry, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Result, Store, Target, VolumeSpec};
use serde_json::json;
use std::time::Duration;

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
    /// Leave the order in the journal when it is refused: a reaper carries it out once nothing is in the way.
    pub retry_later: bool,
}

/// How a removal ended, unless it failed.
pub(crate) enum End {
    Done(Box<Plan>),
    Blocked(Vec<Holder>),
}

impl RemoveOptions {
    fn work(&self) -> Work {
        Work::Remove {
            purge_snapshots: self.purge_snapshots,
            flatten_children: self.flatten_children,
            keep: self.defer,
        }
    }
}

impl Store {
    /// What [`remove`](Store::remove) would do, found out by reading only.
    ///
    /// # Errors
    /// `Usage` for a snapshot, and for keeping it longer than 50 years; `NotFound` for the pool or namespace; and what reading
    /// fails with.
    #[tracing::instrument(name = "plan_remove", skip_all, fields(volume = %spec))]
    pub async fn plan_remove(
        &self,
        spec: &VolumeSpec,
        options: &RemoveOptions,
        ctl: &Ctl,
    ) -> Result<RemoveReport> {
        spec.require_head()?;
        options.defer.map_or(Ok(()), require_keep)?;
        let Some(entry) = self.engine().find(&spec.namespace, &spec.volume, ctl).await? else {
            return self.not_there(spec, options, ctl).await;
        };
        let subject = Subject { shown: named(spec, &entry), id: entry.id };
        let seen = self.see(&subject, ctl).await;
        let plan = match self.plan_volume(&subject, seen, options, false, ctl).await {
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
    /// in its steps how far it came. One that is done, and after which data of a damaged volume may be left, stands for `Partial`; its
    /// notes say what.
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
    pub async fn remove(
        &self,
        spec: &VolumeSpec,
        options: &RemoveOptions,
        ctl: &Ctl,
    ) -> Result<RemoveReport> {
        spec.require_head()?;
        options.defer.map_or(Ok(()), require_keep)?;
        let ctl = &ctl.for_removal();
        let details = json!({
            "purge_snapshots": options.purge_snapshots,
            "flatten_children": options.flatten_children,
            "defer_seconds": options.defer.map(|keep| keep.as_secs()),
        });
        let work = self.remove_unaudited(spec, options, ctl);
        audited("remove", spec, details, work, |report| (report.outcome.as_str(), json!(report))).await
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
        let mut order = Order::new("remove", options.work());
        order.retry_later = options.retry_later;
        match self.remove_ordered(&subject, options, order, ctl).await? {
            Some(report) if report.outcome == Outcome::Deferred => {
                let trash = self.engine().trash(&spec.namespace, &ctl.for_cleanup()).await?;
                let until = trash.into_iter().find(|entry| entry.id == subject.id).map(|entry| entry.until);
                Ok(RemoveReport { until, ..report })
            }
            Some(report) => Ok(report),
            None => self.not_there(spec, options, ctl).await,
        }
    }

    /// Removes what an order, new or found in the journal, is about.
    pub(crate) async fn remove_ordered(
        &self,
        subject: &Subject,
        options: &RemoveOptions,
        order: Order,
        ctl: &Ctl,
    ) -> Result<Option<RemoveReport>> {
        let (patience, resumed) = (Patience::new(options.wait), order.is_resumed());
        let expected = order.expected().cloned();
        self.carry_out(subject, patience, order, ctl, || async {
            // Side by side: what an order keeps costs a removal no time.
            let (seen, version, made) = futures::join!(
                self.see_to_remove(subject, ctl),
                self.name_version(subject, ctl),
                self.snapshots_made(subject, ctl)
            );
            let (version, snapshots_made) = (version?, made?);
            let seen = seen.map(|seen| Seen { snapshots_made, ..seen });
            let none = Seen { snapshots_made, ..Seen::default() };
            let found = seen.as_ref().unwrap_or(&none);
            let changed = expected.as_ref().and_then(|of| of.changed(&subject.shown, version, found));
            let as_given = Some(AsGiven::now(version, found));
            let plan = self.plan_volume(subject, seen, options, resumed, ctl).await?;
            Ok(Plan { as_given, changed, ..plan })
        })
        .await
    }

    /// Plans and executes until it is done or cannot be; `None` when the volume turns out not to be there.
    ///
    /// # Errors
    /// When nothing was changed.
    pub(crate) async fn carry_out<F>(
        &self,
        subject: &Subject,
        patience: Patience,
        mut order: Order,
        ctl: &Ctl,
        plan: impl Fn() -> F,
    ) -> Result<Option<RemoveReport>>
    where
        F: Future<Output = Result<Plan>>,
    {
        let mut report = RemoveReport::new(subject.shown.clone(), Some(subject.id.clone()), Outcome::Failed);
        let (mut parent, mut left) = (None, Vec::new());
        let failure = match self.pursue(subject, &mut order, patience, &mut report.steps, ctl, plan).await {
            Ok(End::Blocked(blockers)) => {
                (report.outcome, report.blockers) = (Outcome::Blocked, blockers);
                report.error()
            }
            Ok(End::Done(plan)) => {
                (report.outcome, report.blockers, parent) = (plan.outcome(), plan.clones, plan.parent);
                (report.notes, left) = (plan.notes, plan.left);
                report.notes.extend_from_slice(&left);
                None
            }
            Err(error) => {
                let gone = error.kind() == ErrorKind::NotFound && self.is_gone(subject, ctl).await?;
                report.outcome = if gone { Outcome::Absent } else { Outcome::Failed };
                Some(error)
            }
        };
        let (outcome, steps) = (report.outcome, &report.steps);
        report.pending = order.close(self, subject, outcome, steps, failure.as_ref(), ctl).await?;
        if outcome == Outcome::Removed
            && let Some(parent) = parent.filter(|of| of.trash && of.namespace == *subject.namespace())
        {
            report.steps.extend(self.remove_with_last_clone(&parent, ctl).await);
        }
        match failure {
            // Nothing was changed, so there is nothing to report but the error.
            Some(_) if outcome == Outcome::Absent && report.steps.is_empty() => return Ok(None),
            Some(error) if outcome == Outcome::Failed && report.steps.is_empty() => return Err(error),
            Some(error) if outcome != Outcome::Blocked => report.failure = Some(Failure::from(&error)),
            None if !left.is_empty() => report.failure = Some(Failure::from(&remains(subject, &left))),
            _ => {}
        }
        Ok(Some(report))
    }

    /// Plans and executes anew while what is in the way may go by itself and there is patience left.
    pub(crate) async fn pursue<F>(
        &self,
        subject: &Subject,
        order: &mut Order,
        mut patience: Patience,
        steps: &mut Vec<Step>,
        ctl: &Ctl,
        plan: impl Fn() -> F,
    ) -> Result<End>
    where
        F: Future<Output = Result<Plan>>,
    {
        loop {
            let mut found = plan().await?;
            order.consider(&found)?;
            if !found.blockers.is_empty() {
                let may_go = found.blockers.iter().all(|blocker| may_go(blocker.kind));
                let held = |by: &Holder| format!("{}: {}", by.kind.as_str(), by.detail);
                let why = found.blockers.first().map(held).unwrap_or_default();
                if may_go && patience.pause(why, ctl).await? {
                    continue;
                }
                return Ok(End::Blocked(found.blockers));
            }
            let intent = order.intent(self, subject, ctl).await?;
            match self.execute(subject, &found.acts, intent, steps, ctl).await {
                Ok(left) => {
                    found.left = if found.has_no_data { Vec::new() } else { left };
                    return Ok(End::Done(Box::new(found)));
                }
                Err(error) if error.kind() == ErrorKind::Blocked => {
                    if patience.pause(error.report(), ctl).await? {
                        continue;
                    }
                    // It appeared after the plan was made: name it as well as can be.
                    let again = plan().await.map(|plan| plan.blockers).unwrap_or_default();
                    return Ok(End::Blocked(if again.is_empty() { vec![blocker_of(&error)] } else { again }));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn plan_volume(
        &self,
        subject: &Subject,
        seen: Result<Seen>,
        options: &RemoveOptions,
        resumed: bool,
        ctl: &Ctl,
    ) -> Result<Plan> {
        let mut seen = seen?;
        if let Some(error) = seen.unopenable.take() {
            // Trash keeps only what can be opened.
            if options.defer.is_some() {
                return Err(error);
            }
            let (engine, namespace) = (self.engine(), subject.namespace());
            // What the directory alone has lost is whole: it is to be listed again, and then goes as any other volume.
            if engine.find(namespace, &Target::Id(subject.id.clone()), ctl).await?.is_none() {
                return Err(error);
            }
            let clones = engine.known_clones(namespace, &subject.id, ctl).await?;
            return Ok(Plan {
                acts: vec![Act::RemoveRemains],
                blockers: clones.iter().map(known_clone_blocker).collect(),
                notes: vec![unopenable_note(&error)],
                ..Plan::default()
            });
        }
        let flatten_children = options.flatten_children;
        let rules = Rules { unprotect: flatten_children, flatten_children, resumed };
        let mut plan = self.plan_snapshots(subject, &seen, options.purge_snapshots, rules, ctl).await?;
        plan.blockers.extend(seen.holders);
        // With clones that do not need it under a name it waits in trash for the last of them.
        match options.defer.or((!plan.clones.is_empty()).then_some(Duration::ZERO)) {
            // By name it goes first, so that whatever happens nobody finds half a volume under it.
            None => plan.acts.extend([Act::TakeName, Act::RemoveFromTrash { force: true }]),
            Some(keep) => {
                // The snapshots stay until the purge, so that a restore brings them back.
                plan.acts.retain(|act| !matches!(act, Act::RemoveSnapshot(_)));
                plan.acts.push(Act::MoveToTrash(keep, options.purge_snapshots));
            }
        }
        Ok(plan)
    }

    /// The version of the name that a volume is shown by ([`Engine::name_version`](crate::engine::Engine::name_version)).
    pub(crate) async fn name_version(&self, subject: &Subject, ctl: &Ctl) -> Result<Option<u64>> {
        let Target::Name(name) = &subject.shown.volume else { return Ok(None) };
        let entry = VolumeEntry { name: name.clone(), id: subject.id.clone() };
        self.engine().name_version(subject.namespace(), &entry, ctl).await
    }

    /// How far the snapshots of a volume have been counted ([`Engine::snapshots_made`](crate::engine::Engine::snapshots_made)).
    async fn snapshots_made(&self, subject: &Subject, ctl: &Ctl) -> Result<Option<u64>> {
        match self.engine().snapshots_made(subject.namespace(), &subject.id, ctl).await {
            // What may not be read is a blocker of the plan, which names the right.
            Err(error) if error.kind() == ErrorKind::Permission => Ok(None),
            made => made,
        }
    }

    /// Whether a volume is neither under a name nor in trash, so that "not found" was said of the volume itself.
    async fn is_gone(&self, subject: &Subject, ctl: &Ctl) -> Result<bool> {
        Ok(self.listed(subject, ctl).await?.is_none()
            && self.trashed(&subject.shown, &subject.id, ctl).await?.is_none())
    }

    async fn not_there(&self, spec: &VolumeSpec, options: &RemoveOptions, ctl: &Ctl) -> Result<RemoveReport> {
        if let Target::Id(id) = &spec.volume
            && let Some(entry) = self.trashed(spec, id, ctl).await?
        {
            let mut report = RemoveReport::new(spec.clone(), Some(id.clone()), Outcome::Blocked);
            report.blockers.push(trash_blocker(spec, &entry, &way_out(spec, &entry)));
            return Ok(report);
        }
        let mut report = RemoveReport::new(spec.clone(), None, Outcome::Absent);
        if !options.if_exists {
            report.failure = Some(Failure::from(&self.no_such_volume(spec, ctl).await));
        }
        Ok(report)
    }
}

/// A dry run's report.
pub(crate) fn planned(subject: &Subject, plan: Plan) -> RemoveReport {
    let outcome = if plan.blockers.is_empty() { Outcome::Planned } else { Outcome::Blocked };
    let mut report = RemoveReport::new(subject.shown.clone(), Some(subject.id.clone()), outcome);
    report.steps = plan.acts.iter().map(|act| act.step(subject, StepOutcome::Planned)).collect();
    report.blockers = if plan.blockers.is_empty() { plan.clones } else { plan.blockers };
    report.notes = plan.notes;
    report
}

/// The error of a removal that is done, and after which nobody knows of all of the volume that it is gone.
fn remains(subject: &Subject, left: &[String]) -> Error {
    Error::new(ErrorKind::Partial, "the volume is removed, but data of it may be left")
        .context("volume", &subject.shown)
        .context("id", &subject.id)
        .hint(left.join("; "))
}

/// The note on the removal of a volume that cannot be opened.
pub(crate) fn unopenable_note(error: &Error) -> String {
    format!("it cannot be opened: {}", error.message())
}

/// Whether such a holder can be expected to go by itself; a lock stays until somebody breaks it.
fn may_go(kind: HolderKind) -> bool {
    kind == HolderKind::Watcher
}

pub(crate) fn trash_blocker(spec: &VolumeSpec, entry: &TrashEntry, remedy: &str) -> Holder {
    let detail = format!("{spec} (`{}`) is in trash, kept until {}", entry.name, entry.until);
    Holder::new(HolderKind::Trash, detail, remedy)
}

fn blocker_of(error: &Error) -> Holder {
    let remedy = error.remedy().unwrap_or("try again, or give more time with --wait");
    Holder::new(HolderKind::Watcher, error.report(), remedy)
}
