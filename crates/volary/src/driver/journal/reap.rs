//! The reaper: takes over what dead owners left, and settles it.

use super::pages::{Found, PAGE, record_of};
use super::pending::UNKNOWN;
use super::record::{INTENT_PREFIX, IntentRecord};
use super::{Intent, PendingListing, PendingPage};
use crate::driver::audit::audited;
use crate::engine::Record;
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Store, VolumeId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};
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
    /// Carry out also an order that waits to be confirmed ([`PendingListing::unconfirmed`]), on the volume as it is now.
    pub confirm: bool,
}

impl Default for ReapOptions {
    fn default() -> Self {
        ReapOptions {
            max: usize::MAX,
            only: None,
            wait: Duration::from_secs(40),
            due_only: false,
            confirm: false,
        }
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
    /// Volary did not write it for the namespace it lies in: nothing of it was carried out, and the error says why.
    Invalid,
}

/// An intent that a reaper looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReapReport {
    /// The intent's id; empty, when the journal of the namespace could not be read.
    pub id: String,
    /// The pool and namespace in whose journal it lies.
    pub namespace: Namespace,
    /// What had been asked for.
    pub operation: String,
    /// The volume, as it was called then.
    pub volume: String,
    /// The volume's id, if it had one.
    pub volume_id: Option<VolumeId>,
    /// How it fared.
    pub outcome: ReapOutcome,
    /// Why it is still pending, or invalid.
    pub error: Option<String>,
    /// The kind of failure, when it was tried now.
    pub error_kind: Option<ErrorKind>,
    /// What would help, when it was tried now.
    pub hint: Option<String>,
}

impl ReapReport {
    /// Takes in why it is not settled.
    fn failed(&mut self, error: &Error) {
        self.error = Some(error.report());
        self.error_kind = Some(error.kind());
        self.hint = error.remedy().map(str::to_owned);
    }
}

/// A record as it was seen, and since when it has not changed.
struct Sighting {
    record: blake3::Hash,
    since: Instant,
}

/// Settles what dead owners left in the journals of a store, round after round.
///
/// It takes over from an owner that was on this host and is gone at once, from any other when it has itself seen the
/// beat stand still for the lease: no two clocks are compared. Several reapers on one store are safe.
pub struct Reaper {
    store: Store,
    sightings: HashMap<(Namespace, String), Sighting>,
    /// Where in a namespace's journal the next round begins.
    cursors: HashMap<Namespace, Vec<u8>>,
}

impl Reaper {
    /// A reaper that has seen nothing yet.
    pub fn new(store: Store) -> Reaper {
        Reaper { store, sightings: HashMap::new(), cursors: HashMap::new() }
    }

    /// Looks at up to a thousand intents of a namespace, and settles those that nobody works on. The next round goes on
    /// where this one ended, and from the last intent back to the first.
    ///
    /// # Errors
    /// When the journal cannot be read. What cannot be settled is in its report.
    pub async fn round(
        &mut self,
        namespace: &Namespace,
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<Vec<ReapReport>> {
        if options.only.is_some() {
            return Ok(self.part(namespace, &[], options, ctl).await?.0);
        }
        let after = self.cursors.remove(namespace).unwrap_or_default();
        let (reports, next) = self.part(namespace, &after, options, ctl).await?;
        if let Some(next) = next {
            self.cursors.insert(namespace.clone(), next);
        }
        Ok(reports)
    }

    /// A page of what is pending in a namespace, as [`Store::pending_page`]. What was seen of other records there is forgotten.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pending(&mut self, namespace: &Namespace, after: &[u8], ctl: &Ctl) -> Result<PendingPage> {
        let page = self.store.journal_page(namespace, after, ctl).await?;
        self.forget_gone(namespace, after, &page.found, page.next.as_deref());
        let intents = page.found.iter().map(|found| PendingListing::of(namespace, found)).collect();
        Ok(PendingPage { intents, next: page.next })
    }

    /// Looks at one page of a journal, or at the one intent that is asked for, and says where the next page begins.
    async fn part(
        &mut self,
        namespace: &Namespace,
        after: &[u8],
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<(Vec<ReapReport>, Option<Vec<u8>>)> {
        let (found, next) = match &options.only {
            Some(id) => {
                let key = format!("{INTENT_PREFIX}{id}");
                let record = record_of(self.store.engine(), namespace, &key, ctl).await?;
                let read = |record| Found { read: IntentRecord::read(namespace, &record), record };
                (record.into_iter().map(read).collect::<Vec<_>>(), None)
            }
            None => {
                let page = self.store.journal_page(namespace, after, ctl).await?;
                self.forget_gone(namespace, after, &page.found, page.next.as_deref());
                (page.found, page.next)
            }
        };
        let (mut reports, mut settled) = (Vec::with_capacity(found.len().min(PAGE)), 0);
        for found in found {
            ctl.check("reap")?;
            if settled >= options.max {
                return Ok((reports, None));
            }
            let report = self.look(namespace, found, options, ctl).await?;
            settled += usize::from(report.outcome == ReapOutcome::Settled);
            reports.push(report);
        }
        Ok((reports, next))
    }

    /// Forgets what was seen of records that are not there any more, in the part of the journal that was read.
    fn forget_gone(&mut self, namespace: &Namespace, after: &[u8], found: &[Found], next: Option<&[u8]>) {
        let there: HashSet<&str> = found.iter().map(|found| found.record.key.as_str()).collect();
        self.sightings.retain(|(place, key), _| {
            let read = key.as_bytes() > after && next.is_none_or(|next| key.as_bytes() <= next);
            place != namespace || !read || there.contains(key.as_str())
        });
    }

    /// Whether an owner is being watched that may be dead.
    pub fn is_watching(&self) -> bool {
        !self.sightings.is_empty()
    }

    async fn look(
        &mut self,
        namespace: &Namespace,
        found: Found,
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<ReapReport> {
        let id = found.shown_id();
        let Found { record, read } = found;
        let intent = match read {
            Ok(intent) => intent,
            Err(unread) => {
                let error = unread.error(namespace, &id);
                let mut report = ReapReport::unread(id, namespace, &error);
                if let Some(reason) = unread.invalid() {
                    report.outcome = ReapOutcome::Invalid;
                    report.error = Some(reason.to_owned());
                }
                return Ok(report);
            }
        };
        let mut report = ReapReport {
            id: intent.id.clone(),
            namespace: namespace.clone(),
            operation: intent.operation.clone(),
            volume: intent.spec().to_string(),
            volume_id: intent.volume_id.clone(),
            outcome: ReapOutcome::Running,
            error: None,
            error_kind: None,
            hint: None,
        };
        if !self.is_free(namespace, &record, &intent) {
            return Ok(report);
        }
        if options.due_only && !intent.is_due() {
            report.outcome = ReapOutcome::Pending;
            report.error = intent.last_error;
            return Ok(report);
        }
        if let Some(why) = intent.unconfirmed.as_ref().filter(|_| !options.confirm) {
            report.outcome = ReapOutcome::Pending;
            report.failed(&intent.unconfirmed(why));
            return Ok(report);
        }
        let ctl = &ctl.for_removal();
        let engine = self.store.shared_engine();
        let Some(ours) = Intent::take_over(engine, &record, intent.clone(), ctl).await? else {
            // Another reaper, or the owner after all, was quicker.
            return Ok(report);
        };
        self.sightings.remove(&(namespace.clone(), record.key.clone()));
        tracing::info!(
            intent = intent.id,
            operation = intent.operation,
            volume = report.volume,
            "taken over"
        );
        let details = json!({"intent": intent.id, "of": intent.operation});
        let settle = self.store.settle(ours, &intent, options, ctl);
        match audited("reap", &report.volume, details, settle, |()| ("settled", json!({}))).await {
            Ok(()) => report.outcome = ReapOutcome::Settled,
            Err(error) => {
                report.outcome = ReapOutcome::Pending;
                report.failed(&error);
            }
        }
        Ok(report)
    }

    /// Whether nobody works on an intent any more.
    fn is_free(&mut self, namespace: &Namespace, record: &Record, intent: &IntentRecord) -> bool {
        let key = (namespace.clone(), record.key.clone());
        let Some(owner) = &intent.owner else { return true };
        if owner.is_gone() {
            return true;
        }
        let (now, hash) = (Instant::now(), blake3::hash(&record.value));
        match self.sightings.get(&key) {
            // Every change raises the beat: the same bytes are the same beat.
            Some(seen) if seen.record == hash => now.saturating_duration_since(seen.since) >= intent.lease(),
            _ => {
                self.sightings.insert(key, Sighting { record: hash, since: now });
                false
            }
        }
    }
}

impl ReapReport {
    /// What is said of a record, or a whole journal, that could not be read.
    fn unread(id: String, namespace: &Namespace, error: &Error) -> ReapReport {
        let mut report = ReapReport {
            id,
            namespace: namespace.clone(),
            operation: UNKNOWN.to_owned(),
            volume: String::new(),
            volume_id: None,
            outcome: ReapOutcome::Pending,
            error: None,
            error_kind: None,
            hint: None,
        };
        report.failed(error);
        report
    }
}

/// The reports of one `reap`: one of each intent, the latest.
struct Reports {
    all: Vec<ReapReport>,
    places: HashMap<(Namespace, String), usize>,
    settled: usize,
}

impl Reports {
    fn take(&mut self, reports: Vec<ReapReport>) {
        for report in reports {
            self.settled += usize::from(report.outcome == ReapOutcome::Settled);
            let key = (report.namespace.clone(), report.id.clone());
            match self.places.get(&key).and_then(|place| self.all.get_mut(*place)) {
                Some(before) => *before = report,
                None => {
                    self.places.insert(key, self.all.len());
                    self.all.push(report);
                }
            }
        }
    }
}

impl Store {
    /// Settles once what dead owners left in the journals of some namespaces, waiting for those that may be dead until
    /// it is known. Long journals are looked at in turns, so that one does not hold up the others.
    ///
    /// # Errors
    /// When none of the journals can be read. One of several that cannot be has a report without id; what cannot be
    /// settled is in its report.
    #[tracing::instrument(name = "reap", skip_all)]
    pub async fn reap(
        &self,
        namespaces: &[Namespace],
        options: &ReapOptions,
        ctl: &Ctl,
    ) -> Result<Vec<ReapReport>> {
        let mut reaper = Reaper::new(self.clone());
        let mut reports = Reports { all: Vec::new(), places: HashMap::new(), settled: 0 };
        let mut options = options.clone();
        let (most, mut unread) = (options.max, 0);
        let mut parts: Vec<_> = namespaces.iter().map(|namespace| (namespace, Vec::new())).collect();
        while !parts.is_empty() {
            let mut more = Vec::new();
            for (namespace, after) in parts {
                options.max = most.saturating_sub(reports.settled);
                match reaper.part(namespace, &after, &options, ctl).await {
                    Ok((looked, next)) => {
                        reports.take(looked);
                        more.extend(next.map(|next| (namespace, next)));
                    }
                    Err(error) => {
                        ctl.check("reap")?;
                        unread += 1;
                        if unread == namespaces.len() {
                            return Err(error.context("namespace", namespace));
                        }
                        reports.take(vec![ReapReport::unread(String::new(), namespace, &error)]);
                    }
                }
            }
            parts = more;
        }
        // Only what was seen by now is watched: what appears meanwhile is left to the next reaper.
        let first: HashMap<_, _> =
            reaper.sightings.iter().map(|(key, seen)| (key.clone(), seen.since)).collect();
        loop {
            // An owner whose beat has moved since it was first seen is alive.
            reaper.sightings.retain(|key, seen| first.get(key) == Some(&seen.since));
            options.max = most.saturating_sub(reports.settled);
            if !reaper.is_watching() || options.max == 0 {
                return Ok(reports.all);
            }
            tokio::select! {
                () = ctl.cancel_token().cancelled() => ctl.check("reap")?,
                () = tokio::time::sleep(LOOK) => {}
            }
            options.due_only = true;
            for (namespace, key) in reaper.sightings.keys().cloned().collect::<Vec<_>>() {
                options.only = key.strip_prefix(INTENT_PREFIX).map(str::to_owned);
                let looked = reaper.part(&namespace, &[], &options, ctl).await?;
                if looked.0.is_empty() {
                    // Its owner has finished it.
                    reaper.sightings.remove(&(namespace, key));
                }
                reports.take(looked.0);
            }
        }
    }
}
