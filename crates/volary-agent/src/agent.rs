//! Rounds: every namespace is worked on, some at a time, and one in which a call is stuck does not hold up the others.

use crate::calls::Call;
use crate::desk::{Desk, Worked};
use crate::health::Contact;
use crate::round::{RoundOutcome, RoundReport};
use crate::{Health, Metrics};
use futures::stream::{self, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use volary::{Ctl, Error, ErrorKind, Namespace, Result, Store, StoreUrl, retry_pause, somewhat_earlier};

/// A store that is back is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How an agent works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOptions {
    /// Where.
    pub places: Vec<Namespace>,
    /// In every namespace of their pools, listed anew each round.
    pub all_namespaces: bool,
    /// How long after a round the next one begins, less some chance.
    pub interval: Duration,
    /// A call that makes no progress for longer is reported, and held up for no more.
    pub stuck: Duration,
    /// So many intents are tried at most in a namespace in a round, and so many volumes in trash.
    pub max: usize,
    /// So many namespaces are worked on at a time.
    pub jobs: usize,
    /// How many volumes of each namespace a round checks, beginning again after the last; 0 checks none.
    pub check: usize,
}

impl Default for AgentOptions {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        AgentOptions {
            places: vec![Namespace::default()],
            all_namespaces: false,
            interval: minute,
            stuck: minute,
            max: 100,
            jobs: 8,
            check: 0,
        }
    }
}

/// Whether an error says that the store does not answer.
pub(crate) fn is_silent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Deadline | ErrorKind::Unreachable)
}

/// What all its work shares.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) options: AgentOptions,
    pub(crate) metrics: Metrics,
    pub(crate) contact: Contact,
    pub(crate) permits: Semaphore,
    /// Limits and the token that ends it all.
    pub(crate) ctl: Ctl,
}

impl Shared {
    /// Waits for a call on what is in a namespace, if it is in one, and notes what it shows of the store.
    pub(crate) async fn watch<T>(
        &self,
        namespace: Option<&Namespace>,
        call: &Call,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let stuck = |why: &str| self.contact.silent(namespace, why);
        let ended = call.watch(self.options.stuck, &self.metrics.stuck_calls, stuck, work).await;
        match ended.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Interrupted) => {}
            Err(kind) if is_silent(kind) => {
                let why = ended.as_ref().err().map(Error::report).unwrap_or_default();
                self.contact.silent(namespace, &why);
            }
            _ => self.contact.answered(namespace),
        }
        ended
    }
}

/// Settles and purges what is due in a store, round after round; several on one store are safe.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use volary::*; use volary_agent::*; let dir = tempfile::tempdir().unwrap(); let ctl = Ctl::new();
/// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), &ctl).await?;
/// let (metrics, health) = (Metrics::new()?, Health::new(std::time::Duration::from_secs(180)));
/// let mut agent = Agent::new(store, AgentOptions::default(), metrics, health, &ctl);
/// assert_eq!(agent.round().await.outcome, RoundOutcome::Done);
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
pub struct Agent {
    shared: Arc<Shared>,
    health: Health,
    idle: HashMap<Namespace, Desk>,
    at_work: HashMap<Id, Namespace>,
    /// Whether it works until it is cancelled: others are to know of it then.
    stays: bool,
    work: JoinSet<(Desk, Worked)>,
}

impl Agent {
    /// An agent under the limits of `ctl`, until it is cancelled.
    pub fn new(store: Store, options: AgentOptions, metrics: Metrics, health: Health, ctl: &Ctl) -> Agent {
        let permits = Semaphore::new(options.jobs);
        let contact = Contact::new(&health, &metrics);
        let clock = contact.clone();
        let store = store.by_clock(move || clock.clock().believed);
        let shared = Shared { store, options, metrics, contact, permits, ctl: ctl.clone() };
        let (idle, at_work, work) = (HashMap::new(), HashMap::new(), JoinSet::new());
        Agent { shared: Arc::new(shared), health, idle, at_work, stays: false, work }
    }

    /// Works until it is cancelled, and tells `each` what every round came to. Cancelled, it begins nothing more and
    /// lets the calls at hand end; what one does not finish stays pending.
    ///
    /// # Errors
    /// Those of `each`.
    pub async fn run(mut self, mut each: impl FnMut(&RoundReport) -> Result<()>) -> Result<()> {
        self.stays = true;
        let shared = self.shared.clone();
        let cancelled = shared.ctl.cancel_token();
        let mut failures = 0_u32;
        while !cancelled.is_cancelled() {
            let report = self.round().await;
            each(&report)?;
            let pause = somewhat_earlier(shared.options.interval);
            let failed = report.outcome == RoundOutcome::Failed;
            failures = if failed { failures.saturating_add(1) } else { 0 };
            let pause = match failures {
                0 => pause,
                // Both bounds are in order: the upper is never below the interval.
                _ => retry_pause(failures).clamp(pause, LONGEST_PAUSE.max(shared.options.interval)),
            };
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
        // Another agent of this process may go on, and begins to count anew.
        stream::iter(self.idle.into_values()).for_each_concurrent(shared.options.jobs, Desk::end).await;
        Ok(())
    }

    /// One round. It ends when all namespaces are done with, or nothing has ended for as long as a call may be stuck.
    pub async fn round(&mut self) -> RoundReport {
        let (started, mut report) = (Instant::now(), RoundReport::new());
        while let Some(joined) = self.work.try_join_next_with_id() {
            self.put_back(joined, &mut report);
        }
        let namespaces = self.namespaces(&mut report).await;
        report.namespaces = namespaces.len() + report.failed.len();
        let known = report.failed.is_empty();
        let gone =
            self.idle.keys().filter(|of| known && !namespaces.contains(of)).cloned().collect::<Vec<_>>();
        for namespace in gone {
            self.idle.remove(&namespace).into_iter().for_each(Desk::leave);
        }
        for namespace in namespaces {
            if self.at_work.values().any(|of| *of == namespace) {
                continue;
            }
            let desk = self.idle.remove(&namespace);
            let mut desk =
                desk.unwrap_or_else(|| Desk::new(self.shared.clone(), namespace.clone(), self.stays));
            let task = self.work.spawn(async move {
                let worked = desk.work().await;
                (desk, worked)
            });
            self.at_work.insert(task.id(), namespace);
        }
        loop {
            tokio::select! {
                joined = self.work.join_next_with_id() => match joined {
                    Some(joined) => self.put_back(joined, &mut report),
                    None => break,
                },
                () = sleep(self.shared.options.stuck) => break,
            }
        }
        report.at_work = self.at_work.values().map(Namespace::to_string).collect();
        report.seconds = started.elapsed().as_secs_f64();
        self.conclude(&mut report);
        report
    }

    /// The namespaces to work on now.
    async fn namespaces(&self, report: &mut RoundReport) -> Vec<Namespace> {
        let (shared, mut namespaces) = (&self.shared, Vec::new());
        for place in &shared.options.places {
            if !shared.options.all_namespaces {
                namespaces.push(place.clone());
                continue;
            }
            let call = Call::new("list_namespaces", place, &shared.ctl);
            match shared.watch(None, &call, shared.store.namespaces(&place.pool, &call.ctl)).await {
                Ok(listed) => namespaces.extend(listed),
                Err(error) => report.fail(place, &error),
            }
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces
    }

    fn put_back(&mut self, joined: Result<(Id, (Desk, Worked)), JoinError>, report: &mut RoundReport) {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(namespace) = self.at_work.remove(&id) else { return };
        match joined {
            Ok((_, (desk, worked))) => {
                report.reaped.extend(worked.reaped);
                report.purged.extend(worked.purged);
                if let Some(error) = worked.error {
                    report.fail(&namespace, &error);
                }
                self.idle.insert(namespace, desk);
            }
            Err(error) => {
                let error =
                    Error::new(ErrorKind::Internal, "the work on a namespace broke off").because(error);
                report.fail(&namespace, &error);
            }
        }
    }

    fn conclude(&self, report: &mut RoundReport) {
        let metrics = &self.shared.metrics;
        if self.shared.ctl.cancel_token().is_cancelled() {
            // What was cut short says nothing about the store.
            report.outcome = RoundOutcome::Partial;
            return;
        }
        for of in &report.failed {
            let (namespace, error) = (&of.namespace, &of.error);
            tracing::warn!(namespace, error, "a namespace could not be worked on");
            metrics.namespace_failures.add(&[of.error_kind.as_str()], 1);
        }
        let problem = report.unanswered().map(|of| of.error.clone());
        report.outcome = match &problem {
            Some(_) => RoundOutcome::Failed,
            None if report.is_left() => RoundOutcome::Partial,
            None => RoundOutcome::Done,
        };
        if let Some(problem) = problem.as_ref().filter(|_| report.failed.len() >= report.namespaces) {
            self.shared.contact.silent(None, problem);
        }
        metrics.rounds.add(&[report.outcome.as_str()], 1);
        metrics.round_seconds.observe(report.seconds);
        metrics.namespaces.set(&[], report.namespaces as f64);
        metrics.last_round.set(&[], self.shared.contact.clock().time.as_second() as f64);
        self.health.finished(problem);
        let (outcome, seconds) = (report.outcome.as_str(), report.seconds);
        let (reaped, purged) = (report.reaped.len(), report.purged.len());
        tracing::info!(outcome, seconds, namespaces = report.namespaces, reaped, purged, "a round has ended");
    }
}

/// Connects to a store for as long as it takes: one that does not answer is tried again, ever less often.
///
/// # Errors
/// `Interrupted` when cancelled; what trying again does not mend, such as `Permission`.
pub async fn connect(url: &StoreUrl, metrics: &Metrics, health: &Health, ctl: &Ctl) -> Result<Store> {
    let mut failures = 0_u32;
    loop {
        let error = match Store::connect(url, ctl).await {
            Err(error) if matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unreachable) => error,
            ended => return ended,
        };
        failures = failures.saturating_add(1);
        tracing::warn!(error = error.report(), failures, "the store does not answer");
        Contact::new(health, metrics).silent(None, &error.report());
        tokio::select! {
            () = ctl.cancel_token().cancelled() => ctl.check("connect")?,
            () = sleep(retry_pause(failures).min(LONGEST_PAUSE)) => {}
        }
    }
}
