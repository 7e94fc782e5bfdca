//! Whether rounds finish and the store answers; and by which clock.

use crate::Metrics;
use crate::clock::{Clock, Look};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use volary::Namespace;

#[derive(Debug)]
struct State {
    finished: Instant,
    /// What was wrong with the last round.
    problem: Option<String>,
    silent: Option<Silence>,
}

/// Since when the store does not answer, and the first call that showed it.
#[derive(Debug)]
struct Silence {
    since: Timestamp,
    why: String,
}

/// How the agent is. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Health {
    limit: Duration,
    clock: Arc<Clock>,
    state: Arc<Mutex<State>>,
}

impl Health {
    /// Of an agent that starts now, whose rounds must not be further apart than `limit`.
    pub fn new(limit: Duration) -> Health {
        Health::by_clock(limit, Timestamp::now)
    }

    /// The same, on a host whose clock is read so. Agents that share it share what is known of the clock: after a jump forward, volumes leave
    /// the trash by the time as it would be without the jump, until the clock has been steady for a day.
    pub fn by_clock(limit: Duration, read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Health {
        let problem = Some("no round has finished yet".to_owned());
        let state = State { finished: Instant::now(), problem, silent: None };
        Health { limit, clock: Arc::new(Clock::new(read)), state: Arc::new(Mutex::new(state)) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A round has finished: what was wrong with all of it, or nothing.
    pub fn finished(&self, problem: Option<String>) {
        self.with(|state| (state.finished, state.problem) = (Instant::now(), problem));
    }

    /// What is wrong, if anything is.
    pub fn problem(&self) -> Option<String> {
        self.with(|state| {
            if let Some(Silence { since, why }) = &state.silent {
                return Some(format!("the store has not answered since {since:.0}: {why}"));
            }
            let ago = state.finished.elapsed();
            let late = || format!("no round has finished for {} s", ago.as_secs());
            state.problem.clone().or_else(|| (ago > self.limit).then(late))
        })
    }
}

/// What is known of the store from the calls on it: it answers, or it has been silent since the first call that was stuck or not answered.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    health: Health,
    metrics: Metrics,
}

impl Contact {
    pub(crate) fn new(health: &Health, metrics: &Metrics) -> Contact {
        Contact { health: health.clone(), metrics: metrics.clone() }
    }

    /// The clock, as it is now.
    pub(crate) fn clock(&self) -> Look {
        self.health.clock.look(&self.metrics)
    }

    /// A call was answered.
    pub(crate) fn answered(&self, namespace: Option<&Namespace>) {
        self.health.with(|state| state.silent = None);
        self.show(namespace, 1.0);
    }

    /// A call is stuck, or was not answered.
    pub(crate) fn silent(&self, namespace: Option<&Namespace>, why: &str) {
        let since = self.clock().time;
        let first = || Silence { since, why: why.to_owned() };
        self.health.with(|state| {
            state.silent.get_or_insert_with(first);
        });
        self.show(namespace, 0.0);
    }

    fn show(&self, namespace: Option<&Namespace>, answers: f64) {
        self.metrics.reachable.set(&[], answers);
        if let Some(Namespace { pool, name }) = namespace {
            self.metrics.namespace_reachable.set(&[&pool.to_string(), &name.to_string()], answers);
        }
    }
}
