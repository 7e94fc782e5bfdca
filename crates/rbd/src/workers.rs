//! The threads on which blocking calls run, off the async ones.
//!
//! A call that does not return by its limit is given up: its caller has the answer, the thread stays with the call
//! until it returns, and another thread takes its place, up to a bound. What an abandoned call returns is dropped on its thread.

use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// Calls in progress at a time. They wait for the cluster rather than compute: snapshots made at the same time share the monitors' one wait.
const THREADS: usize = 16;

/// Calls given up whose threads are replaced; with more, new calls queue until their own limit.
const STUCK: usize = 64;

/// How long an idle thread stays.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    stuck: usize,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// A pool of threads for one connection.
#[derive(Default)]
pub(crate) struct Workers(Arc<Shared>);

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Queued,
    Running,
    Abandoned,
    Done,
}

/// One call, seen by its caller and its thread; changed only under the pool's lock.
type Call = Arc<Mutex<Phase>>;

impl Workers {
    /// Runs `work` on a thread of the pool; gives it up when `limit` passes or the future is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        symbol: &'static str,
        limit: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let call: Call = Arc::new(Mutex::new(Phase::Queued));
        let abandon = Abandon { call: Arc::clone(&call), shared: Arc::clone(&self.0) };
        let shared = Arc::clone(&self.0);
        // What the thread logs stands below the operation that asked for the call.
        let span = tracing::Span::current();
        self.submit(Box::new(move || {
            if !shared.begin(&call) {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            shared.finish(&call);
            if let Ok(done) = done {
                // Fails when the call was given up: the result is dropped here, off the async threads.
                drop(sender.send(done));
            }
        }));
        let answer = tokio::time::timeout(limit, receiver).await;
        drop(abandon);
        match answer {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Error::Malformed { symbol, detail: "the call panicked".to_owned() }),
            Err(_) => Err(Error::GivenUp { symbol, after: limit }),
        }
    }

    /// Queues a job nobody waits for.
    pub(crate) fn submit(&self, job: Job) {
        let mut state = self.0.lock();
        state.queue.push_back(job);
        self.0.staff(&mut state);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes a thread for the newest job, or starts one.
    fn staff(self: &Arc<Self>, state: &mut State) {
        if state.idle >= state.queue.len() {
            self.wake.notify_one();
        } else if state.threads < THREADS + state.stuck.min(STUCK) {
            let shared = Arc::clone(self);
            let started = thread::Builder::new().name("rbd-call".to_owned()).spawn(move || shared.serve());
            // Without a thread the job stays queued for the others, or its caller's limit passes.
            state.threads += usize::from(started.is_ok());
        }
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                drop(catch_unwind(AssertUnwindSafe(job)));
                state = self.lock();
                continue;
            }
            if state.ended || state.threads > THREADS + state.stuck.min(STUCK) {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    fn begin(&self, call: &Call) -> bool {
        let _state = self.lock();
        let mut phase = call.lock().unwrap_or_else(PoisonError::into_inner);
        let go = *phase == Phase::Queued;
        *phase = if go { Phase::Running } else { *phase };
        go
    }

    fn finish(&self, call: &Call) {
        let mut state = self.lock();
        let mut phase = call.lock().unwrap_or_else(PoisonError::into_inner);
        state.stuck -= usize::from(*phase == Phase::Abandoned);
        *phase = Phase::Done;
    }
}

/// Gives the call up when dropped before it is done.
struct Abandon {
    call: Call,
    shared: Arc<Shared>,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let mut phase = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        match *phase {
            Phase::Running => {
                state.stuck += 1;
                *phase = Phase::Abandoned;
                if !state.queue.is_empty() {
                    self.shared.staff(&mut state);
                }
            }
            Phase::Queued => *phase = Phase::Done,
            Phase::Abandoned | Phase::Done => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{THREADS, Workers};
    use crate::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    struct Told(mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[tokio::test]
    async fn s05_a_call_that_never_returns_is_given_up_and_its_late_result_dropped() {
        let workers = Workers::default();
        let ((told, dropped), begun) = (mpsc::channel(), Arc::new(AtomicUsize::new(0)));
        let mut releases = Vec::new();
        // On a busy machine a call can be given up before a thread has come to it; that one never begins.
        while begun.load(Ordering::SeqCst) < THREADS + 3 {
            let (release, wait) = mpsc::channel::<()>();
            let (told, begun) = (told.clone(), Arc::clone(&begun));
            let answer = workers.run("stuck", Duration::from_millis(20), move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = wait.recv();
                Ok(Told(told))
            });
            assert!(matches!(answer.await, Err(Error::GivenUp { symbol: "stuck", .. })));
            releases.push(release);
        }
        // More calls than threads hang, and another one still runs.
        assert_eq!(workers.run("quick", Duration::from_secs(60), || Ok(1)).await, Ok(1));
        assert!(dropped.try_recv().is_err());
        drop((releases, told));
        // It ends when no call is left that could still tell.
        assert_eq!(dropped.iter().count(), begun.load(Ordering::SeqCst));
        assert_eq!(workers.0.lock().stuck, 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_serves_on() {
        let workers = Workers::default();
        let answer = workers.run::<()>("panics", Duration::from_secs(60), || panic!("on purpose")).await;
        assert!(matches!(answer, Err(Error::Malformed { symbol: "panics", .. })));
        assert_eq!(workers.run("quick", Duration::from_secs(60), || Ok(2)).await, Ok(2));
    }
}
