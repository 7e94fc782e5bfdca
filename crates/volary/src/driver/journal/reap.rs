//! The reaper: takes over what dead owners left, and settles it.

use super::record::{INTENT_PREFIX, IntentRecord};
use super::{Intent, PendingListing};
use crate::engine::Record;
use crate::{Ctl, ErrorKind, Name, Namespace, Result, Store, VolumeId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often an owner that may be dead is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How to reap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReapOptions {
    /// Settle so many at most.
    pub max: usize,
    /// Only this one, by its id.
    pub only: Option<String>,
    /// How long to wait for who holds a volume: a dead client's watch lasts for a while.
    pub wait: Duration,
    /// Leave alone what failed a short while ago, the longer the more often.
    pub due_only: bool,
}

impl Default for ReapOptions {
    fn default() -> Self {
        ReapOptions { max: usize::MAX, only: None, wait: Duration::from_secs(40), due_only: false }
    }
}

/// How an intent fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReapOutcome {
    /// What it had begun is finished or undone; it is out of the journal.
    Settled,
    /// It is still pending: the error says why.
    Pending,
    /// Its owner is at work, or cannot yet be told from one that is.
    Running,
}

/// An intent that a reaper looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReapReport {
    /// The intent's id.
    pub id: String,
    /// What had been asked for.
    pub operation: String,
    /// The volume, as it was called then.
    pub volume: String,
    /// The volume's id, if it had one.
    pub volume_id: Option<VolumeId>,
    /// How it fared.
    pub outcome: ReapOutcome,
    /// Why it is still pending.
    pub error: Option<String>,
    /// The kind of failure, when it was tried now.
    pub error_kind: Option<ErrorKind>,
}

/// A record's owner and beat, and since when they stand still.
struct Sighting {
    record: Vec<u8>,
    since: Instant,
}

/// Settles what dead owners left in the journals of a store, round after round.
///
/// It takes over from an owner that was on this host and is gone at once, from any other when it has itself seen the
/// beat stand still for the lease: no two clocks are compared. Several reapers on one store are safe.
pub struct Reaper {
    store: Store,
    sightings: HashMap<(Namespace, String), Sighting>,
}

impl Reaper {
    /// A reaper that has seen nothing yet.
    pub fn new(store: Store) -> Reaper {
        Reaper { store, sightings: HashMap::new() }
    }

    /// Looks at every intent of a namespace once, and settles those that nobody works on.
    ///
    /// # Errors
    /// When the journal cannot be read. What cannot be settled is in its report.
    pub async fn round(
        &mut self,
        namespace: &Namespace,
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<Vec<ReapReport>> {
        let prefix = format!("{INTENT_PREFIX}{}", options.only.as_deref().unwrap_or_default());
        let mut records = self.store.engine().records(namespace, &prefix, ctl).await?;
        if options.only.is_some() {
            records.retain(|record| record.key == prefix);
        } else {
            self.forget_all_but(namespace, &records);
        }
        let mut reports = Vec::new();
        for record in &records {
            ctl.check("reap")?;
            let settled = reports.iter().filter(|of: &&ReapReport| of.outcome == ReapOutcome::Settled);
            if settled.count() >= options.max {
                break;
            }
            reports.extend(self.look(namespace, record, options, ctl).await?);
        }
        Ok(reports)
    }

    /// What is pending in a namespace, as [`Store::pending`]; what was seen of others in its journal is forgotten.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pending(&mut self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<PendingListing>> {
        let records = self.store.engine().records(namespace, INTENT_PREFIX, ctl).await?;
        self.forget_all_but(namespace, &records);
        Ok(records.iter().map(PendingListing::of).collect())
    }

    fn forget_all_but(&mut self, namespace: &Namespace, records: &[Record]) {
        self.sightings
            .retain(|(place, key), _| place != namespace || records.iter().any(|record| record.key == *key));
    }

    /// Whether an owner is being watched that may be dead.
    pub fn is_watching(&self) -> bool {
        !self.sightings.is_empty()
    }

    async fn look(
        &mut self,
        namespace: &Namespace,
        record: &Record,
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<Option<ReapReport>> {
        let intent = match IntentRecord::decode(record) {
            Ok(intent) => intent,
            Err(error) => {
                let id = record.key.trim_start_matches(INTENT_PREFIX).to_owned();
                let mut report = unknown(id);
                (report.error, report.error_kind) = (Some(error.report()), Some(error.kind()));
                return Ok(Some(report));
            }
        };
        let mut report = ReapReport {
            id: intent.id.clone(),
            operation: intent.operation.clone(),
            volume: intent.volume.clone(),
            volume_id: intent.volume_id.clone(),
            outcome: ReapOutcome::Running,
            error: None,
            error_kind: None,
        };
        if !self.is_free(namespace, record, &intent) {
            return Ok(Some(report));
        }
        let due = intent.next_attempt.is_none_or(|at| at <= Timestamp::now());
        if options.due_only && !due {
            report.outcome = ReapOutcome::Pending;
            report.error = intent.last_error;
            return Ok(Some(report));
        }
        let engine = self.store.shared_engine();
        let Some(ours) = Intent::take_over(engine, namespace, record, intent.clone(), ctl).await? else {
            // Another reaper, or the owner after all, was quicker.
            return Ok(Some(report));
        };
        self.sightings.remove(&(namespace.clone(), record.key.clone()));
        tracing::info!(
            intent = intent.id,
            operation = intent.operation,
            volume = intent.volume,
            "taken over"
        );
        match self.store.settle(ours, &intent, options, ctl).await {
            Ok(()) => report.outcome = ReapOutcome::Settled,
            Err(error) => {
                report.outcome = ReapOutcome::Pending;
                (report.error, report.error_kind) = (Some(error.report()), Some(error.kind()));
            }
        }
        Ok(Some(report))
    }

    /// Whether nobody works on an intent any more.
    fn is_free(&mut self, namespace: &Namespace, record: &Record, intent: &IntentRecord) -> bool {
        let key = (namespace.clone(), record.key.clone());
        let Some(owner) = &intent.owner else { return true };
        if owner.is_gone() {
            return true;
        }
        let now = Instant::now();
        match self.sightings.get(&key) {
            // Every change raises the beat: the same bytes are the same beat.
            Some(seen) if seen.record == record.value => {
                now.saturating_duration_since(seen.since) >= intent.lease()
            }
            _ => {
                self.sightings.insert(key, Sighting { record: record.value.clone(), since: now });
                false
            }
        }
    }
}

impl Store {
    /// Settles once what dead owners left in the journals of some namespaces, waiting for those that may be dead until
    /// it is known.
    ///
    /// # Errors
    /// When a journal cannot be read. What cannot be settled is in its report.
    #[tracing::instrument(name = "reap", skip_all)]
    pub async fn reap(
        &self,
        namespaces: &[Namespace],
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<Vec<ReapReport>> {
        let mut reaper = Reaper::new(self.clone());
        let mut reports: Vec<ReapReport> = Vec::new();
        let mut beats: HashMap<(Namespace, String), Instant> = HashMap::new();
        let mut options = options.clone();
        let most = options.max;
        loop {
            let settled = |of: &ReapReport| of.outcome == ReapOutcome::Settled;
            for namespace in namespaces {
                options.max = most.saturating_sub(reports.iter().filter(|of| settled(of)).count());
                for report in reaper.round(namespace, &options, ctl).await? {
                    match reports.iter_mut().find(|of| of.id == report.id) {
                        Some(before) => *before = report,
                        None => reports.push(report),
                    }
                }
            }
            // What could not be settled is not tried again at once.
            options.due_only = true;
            // An owner whose beat has moved since it was first seen is alive.
            for (key, seen) in &reaper.sightings {
                beats.entry(key.clone()).or_insert(seen.since);
            }
            reaper.sightings.retain(|key, seen| beats.get(key) == Some(&seen.since));
            if !reaper.is_watching() {
                return Ok(reports);
            }
            tokio::select! {
                () = ctl.cancel_token().cancelled() => ctl.check("reap")?,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

fn unknown(id: String) -> ReapReport {
    ReapReport {
        id,
        operation: "unknown".to_owned(),
        volume: Name::default().to_string(),
        volume_id: None,
        outcome: ReapOutcome::Pending,
        error: None,
        error_kind: None,
    }
}
