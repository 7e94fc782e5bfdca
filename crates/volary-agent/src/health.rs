//! Whether rounds finish and the store answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
struct State {
    finished: Instant,
    problem: Option<String>,
}

/// How the agent is. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Health {
    limit: Duration,
    state: Arc<Mutex<State>>,
}

impl Health {
    /// Of an agent that starts now, whose rounds must not be further apart than `limit`.
    pub fn new(limit: Duration) -> Health {
        let problem = Some("no round has finished yet".to_owned());
        Health { limit, state: Arc::new(Mutex::new(State { finished: Instant::now(), problem })) }
    }

    /// A round has finished, or the store was tried: why it did not answer, or nothing.
    pub fn finished(&self, problem: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { finished: Instant::now(), problem };
    }

    /// What is wrong, if anything is.
    pub fn problem(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = state.finished.elapsed();
        match &state.problem {
            Some(problem) => Some(problem.clone()),
            None if ago > self.limit => Some(format!("no round has finished for {} s", ago.as_secs())),
            None => None,
        }
    }
}
