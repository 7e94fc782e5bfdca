//! What is done in one namespace in one round.

use crate::agent::{Shared, is_silent};
use crate::calls::Call;
use crate::metrics::operation_label;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use volary::{
    Error, ErrorKind, Namespace, OrphanClass, Outcome, PendingListing, PendingPage, Presence, ReapOptions,
    ReapOutcome, ReapReport, Reaper, RemoveReport, Result, SliceChecker, retry_pause,
};

const CLASSES: [OrphanClass; 4] =
    [OrphanClass::DeadStaging, OrphanClass::HalfMoved, OrphanClass::HalfRemoved, OrphanClass::ExpiredTrash];

/// One namespace, and what is remembered of it between rounds.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    pub(crate) namespace: Namespace,
    pool: String,
    name: String,
    reaper: Reaper,
    /// Its place among the agents, of one that stays.
    presence: Option<Presence>,
    /// Where in the journal the next round begins: a long one is looked at in parts.
    after: Vec<u8>,
    /// What was counted since the journal's beginning.
    counted: Counted,
    /// The operations of which the gauge says how many are pending.
    shown: BTreeSet<&'static str>,
    /// How often in a row something due could not be purged, and until when that is left alone.
    unpurged: u32,
    purge_from: Option<Instant>,
    checker: SliceChecker,
    /// The kinds of findings of which the gauge says how many there are.
    found: BTreeSet<&'static str>,
}

/// What a journal holds.
#[derive(Default)]
struct Counted {
    operations: BTreeMap<&'static str, u32>,
    oldest_seconds: u64,
    invalid: u32,
}

/// What a round came to there.
#[derive(Default)]
pub(crate) struct Worked {
    pub(crate) reaped: Vec<ReapReport>,
    pub(crate) purged: Vec<RemoveReport>,
    pub(crate) error: Option<Error>,
}

impl Desk {
    pub(crate) fn new(shared: Arc<Shared>, namespace: Namespace, stays: bool) -> Desk {
        let (pool, name) = (namespace.pool.to_string(), namespace.name.to_string());
        let reaper = Reaper::new(shared.store.clone());
        let presence = stays.then(|| Presence::new(shared.store.clone(), namespace.clone()));
        let checker = SliceChecker::new(shared.store.clone(), namespace.clone());
        Desk {
            shared,
            namespace,
            pool,
            name,
            reaper,
            presence,
            after: Vec::new(),
            counted: Counted::default(),
            shown: BTreeSet::new(),
            unpurged: 0,
            purge_from: None,
            checker,
            found: BTreeSet::new(),
        }
    }

    /// One round: settle what is due, purge what is due, count what is left.
    pub(crate) async fn work(&mut self) -> Worked {
        let mut worked = Worked::default();
        let shared = self.shared.clone();
        // Closed never; and without a permit the round would only be less bounded.
        let _permit = shared.permits.acquire().await.ok();
        worked.error = self.steps(&mut worked).await.err();
        worked
    }

    async fn steps(&mut self, worked: &mut Worked) -> Result<()> {
        let mut page = self.pending().await?;
        self.settle(&page.intents, &mut worked.reaped).await;
        let tried =
            worked.reaped.iter().any(|of| of.outcome == ReapOutcome::Settled || of.error_kind.is_some());
        if tried {
            page = self.pending().await?;
        }
        self.count(&page.intents);
        if page.next.is_none() {
            self.show_counted();
        }
        self.after = page.next.unwrap_or_default();
        if self.purge_from.is_none_or(|from| from <= Instant::now()) {
            worked.purged = self.purge().await?;
        }
        self.count_orphans().await?;
        let announced = self.announce().await;
        if self.shared.options.check > 0 {
            self.check().await?;
        }
        announced
    }

    fn call(&self, operation: &'static str, subject: impl ToString) -> Call {
        Call::new(operation, subject, &self.shared.ctl)
    }

    async fn pending(&mut self) -> Result<PendingPage> {
        let (shared, call) = (self.shared.clone(), self.call("list_pending", &self.namespace));
        let pending = self.reaper.pending(&self.namespace, &self.after, &call.ctl);
        shared.watch(Some(&self.namespace), &call, pending).await
    }

    async fn settle(&mut self, pending: &[PendingListing], reports: &mut Vec<ReapReport>) {
        let shared = self.shared.clone();
        let mut tried = 0;
        for of in pending.iter().filter(|of| of.is_due()) {
            if tried == shared.options.max || shared.ctl.cancel_token().is_cancelled() {
                break;
            }
            // Holders are not waited for: what is blocked is tried again later.
            let options = ReapOptions {
                max: 1,
                only: Some(of.id.clone()),
                wait: Duration::ZERO,
                due_only: true,
                confirm: false,
            };
            let call = self.call("settle", format!("{} {}", of.operation, of.volume));
            let round = self.reaper.round(&self.namespace, &options, &call.ctl);
            let looked = shared.watch(Some(&self.namespace), &call, round).await;
            for report in looked.unwrap_or_else(|error| vec![not_begun(of, &error)]) {
                let (operation, metrics) = (operation_label(&report.operation), &shared.metrics);
                if report.outcome == ReapOutcome::Settled {
                    metrics.settled.add(&[operation], 1);
                }
                if let Some(kind) = report.error_kind {
                    metrics.settle_failures.add(&[operation, kind.as_str()], 1);
                    let error = report.error.as_deref().unwrap_or_default();
                    tracing::warn!(
                        intent = report.id,
                        operation,
                        volume = report.volume,
                        error,
                        "not settled"
                    );
                }
                let kind = report.error_kind;
                tried += usize::from(report.outcome != ReapOutcome::Running);
                // A store that does not answer is asked for nothing more in this round.
                if kind.is_some_and(is_silent) {
                    shared.contact.silent(Some(&self.namespace), report.error.as_deref().unwrap_or_default());
                }
                reports.push(report);
                if kind.is_some_and(|kind| is_silent(kind) || kind == ErrorKind::Interrupted) {
                    return;
                }
            }
        }
    }

    async fn purge(&mut self) -> Result<Vec<RemoveReport>> {
        let (shared, call) = (self.shared.clone(), self.call("trash_purge", &self.namespace));
        let purge = shared.store.trash_purge(&self.namespace, false, shared.options.max, &call.ctl);
        let purged = shared.watch(Some(&self.namespace), &call, purge).await?;
        for report in &purged {
            shared.metrics.trash_purged.add(&[report.outcome.as_str()], 1);
        }
        let left = |of: &RemoveReport| matches!(of.outcome, Outcome::Blocked | Outcome::Failed);
        self.unpurged = if purged.iter().any(left) { self.unpurged.saturating_add(1) } else { 0 };
        self.purge_from = (self.unpurged > 0).then(|| Instant::now() + retry_pause(self.unpurged));
        Ok(purged)
    }

    async fn count_orphans(&self) -> Result<()> {
        let (shared, call) = (&self.shared, self.call("list_orphans", &self.namespace));
        let orphans = shared.store.orphans_in_trash(&self.namespace, &call.ctl);
        let found = shared.watch(Some(&self.namespace), &call, orphans).await?;
        for class in CLASSES {
            let count = found.iter().filter(|of| of.class == class).count();
            shared.metrics.orphans.set(&[&self.pool, &self.name, class.as_str()], count as f64);
        }
        Ok(())
    }

    /// Tells the other agents of this one, and counts them. In an idle local store nothing else is
    /// written, so that this shows a full disk.
    async fn announce(&mut self) -> Result<()> {
        let (shared, call) = (self.shared.clone(), self.call("announce", &self.namespace));
        let Some(presence) = self.presence.as_mut().filter(|presence| presence.is_due()) else {
            return Ok(());
        };
        match shared.watch(Some(&self.namespace), &call, presence.announce(&call.ctl)).await {
            Ok(others) => shared.metrics.agents.set(&[&self.pool, &self.name], others as f64 + 1.0),
            // Whoever may only read can still count what there is.
            Err(error) if error.kind() == ErrorKind::Permission => {
                let (namespace, kind) = (self.namespace.to_string(), error.kind().as_str());
                tracing::warn!(namespace, error = error.report(), "nothing can be written there");
                shared.metrics.namespace_failures.add(&[kind], 1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Checks some volumes, without reading data; the next round looks again at what was found.
    async fn check(&mut self) -> Result<()> {
        const JOBS: usize = 4;
        let (shared, call) = (self.shared.clone(), self.call("check", &self.namespace));
        let slice = self.checker.slice(shared.options.check, JOBS, &call.ctl);
        let slice = shared.watch(Some(&self.namespace), &call, slice).await?;
        let volumes = usize::try_from(slice.volumes).unwrap_or(usize::MAX);
        shared.metrics.checked_volumes.add(&[], volumes);
        let Some(found) = slice.complete else { return Ok(()) };
        let mut counts: BTreeMap<&'static str, u32> = self.found.iter().map(|kind| (*kind, 0)).collect();
        for of in &found {
            let (kind, detail, remedy) = (of.kind.as_str(), &of.detail, &of.remedy);
            let volume = of.volume.as_ref().map(ToString::to_string);
            tracing::warn!(namespace = %self.namespace, volume, kind, detail, remedy, "something does not match");
            *counts.entry(kind).or_default() += 1;
        }
        for (kind, count) in &counts {
            shared.metrics.check_findings.set(&[&self.pool, &self.name, kind], f64::from(*count));
        }
        self.found = counts.into_keys().collect();
        let passed = shared.contact.clock().time.as_second();
        shared.metrics.check_pass.set(&[&self.pool, &self.name], passed as f64);
        Ok(())
    }

    fn count(&mut self, pending: &[PendingListing]) {
        for of in pending {
            if of.invalid.is_some() {
                self.counted.invalid += 1;
                continue;
            }
            *self.counted.operations.entry(operation_label(&of.operation)).or_default() += 1;
            self.counted.oldest_seconds = self.counted.oldest_seconds.max(of.age_seconds);
        }
    }

    /// Shows what was counted from the journal's beginning to its end, and begins anew.
    fn show_counted(&mut self) {
        let Counted { operations, oldest_seconds, invalid } = std::mem::take(&mut self.counted);
        let (metrics, at) = (&self.shared.metrics, [self.pool.as_str(), self.name.as_str()]);
        for operation in self.shown.iter().filter(|operation| !operations.contains_key(*operation)) {
            metrics.pending.set(&[at[0], at[1], operation], 0.0);
        }
        for (operation, count) in &operations {
            metrics.pending.set(&[at[0], at[1], operation], f64::from(*count));
        }
        metrics.pending_oldest.set(&at, oldest_seconds as f64);
        metrics.invalid.set(&at, f64::from(invalid));
        if invalid > 0 {
            let namespace = self.namespace.to_string();
            tracing::warn!(
                namespace,
                invalid,
                "the journal has invalid records: `volary pending` shows them"
            );
        }
        self.shown.extend(operations.into_keys());
    }

    /// The agent ends: the others no longer count it, and nothing more is said of the namespace.
    pub(crate) async fn end(mut self) {
        let (presence, ctl) = (self.presence.take(), self.shared.ctl.for_cleanup());
        let namespace = self.namespace.to_string();
        self.leave();
        let Some(presence) = presence else { return };
        if let Err(error) = presence.withdraw(&ctl).await {
            let error = error.report();
            tracing::warn!(namespace, error, "other agents count this one for another quarter of an hour");
        }
    }

    /// The namespace is gone: nothing more is said of it.
    pub(crate) fn leave(self) {
        let (metrics, at) = (&self.shared.metrics, [self.pool.as_str(), self.name.as_str()]);
        for operation in &self.shown {
            metrics.pending.forget(&[at[0], at[1], operation]);
        }
        metrics.namespace_reachable.forget(&at);
        metrics.pending_oldest.forget(&at);
        metrics.invalid.forget(&at);
        for kind in &self.found {
            metrics.check_findings.forget(&[at[0], at[1], kind]);
        }
        metrics.check_pass.forget(&at);
        for class in CLASSES {
            metrics.orphans.forget(&[at[0], at[1], class.as_str()]);
        }
        metrics.agents.forget(&at);
    }
}

/// The report of an intent that could not be read or taken over.
fn not_begun(of: &PendingListing, error: &Error) -> ReapReport {
    ReapReport {
        id: of.id.clone(),
        namespace: of.namespace.clone(),
        operation: of.operation.clone(),
        volume: of.volume.clone(),
        volume_id: of.volume_id.clone(),
        outcome: ReapOutcome::Pending,
        error: Some(error.report()),
        error_kind: Some(error.kind()),
        hint: error.remedy().map(str::to_owned),
    }
}
