//! Running the library's operations under Python: other threads go on, signals are heeded, a forked child starts anew.
//!
//! The locks here are taken and let go while the thread is attached to the interpreter, as `os.fork` is: no child ever finds
//! one of them held by a thread that it does not have.

use crate::errors::raised;
use crate::progress::{Gathered, Seen};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::future::Future;
use std::mem::forget;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use volary::{Ctl, Error, ErrorKind, StoreUrl};

/// How often the thread that waits looks for signals and tells of progress.
const LOOK: Duration = Duration::from_millis(50);

/// This process's threads. Of a parent's only the forking thread lives on in a child, so each process makes its own.
static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);

/// The stores that are open, to be let go of before the interpreter and Ceph's libraries end.
static OPEN: Mutex<Vec<Weak<Opened>>> = Mutex::new(Vec::new());

/// The operations at work, to be ended before the interpreter does.
static RUNNING: Mutex<Vec<Weak<Running>>> = Mutex::new(Vec::new());

/// Whether the interpreter is ending: nothing begins any more.
static ENDED: AtomicBool = AtomicBool::new(false);

/// How long operations that are cancelled at the interpreter's end may take to undo what they had begun.
const ENDING: Duration = Duration::from_secs(10);

/// How many operations are at work on local stores.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Whether the process was forked while one was: its SQLite then believes to hold locks that the parent holds.
static TORN: AtomicBool = AtomicBool::new(false);

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime() -> PyResult<Arc<Runtime>> {
    let mut kept = locked(&RUNTIME);
    match kept.take() {
        Some((pid, runtime)) if pid == std::process::id() => {
            *kept = Some((pid, runtime.clone()));
            return Ok(runtime);
        }
        // The parent's, whose threads are not here to be ended.
        Some(inherited) => {
            forget(inherited);
            TORN.fetch_or(AT_WORK.swap(0, Ordering::Relaxed) > 0, Ordering::Relaxed);
        }
        None => {}
    }
    let made = Builder::new_multi_thread().enable_all().build();
    let made = Arc::new(made.map_err(|error| PyRuntimeError::new_err(format!("starting threads: {error}")))?);
    *kept = Some((std::process::id(), made.clone()));
    Ok(made)
}

/// A store that this process is connected to.
pub(crate) struct Opened {
    pid: u32,
    local: bool,
    store: volary::Store,
}

/// An operation at work in this process, for as long as it lives.
struct Running {
    pid: u32,
    token: CancellationToken,
}

impl Running {
    fn begin(token: &CancellationToken) -> Arc<Running> {
        let this = Arc::new(Running { pid: std::process::id(), token: token.clone() });
        let mut running = locked(&RUNNING);
        running.retain(|other| other.strong_count() > 0);
        running.push(Arc::downgrade(&this));
        this
    }

    /// Those that are at work in this process, not those that its parent had.
    fn all() -> Vec<Arc<Running>> {
        let pid = std::process::id();
        locked(&RUNNING).iter().filter_map(Weak::upgrade).filter(|running| running.pid == pid).collect()
    }
}

/// Counts an operation on a local store for as long as it lives.
struct AtWork;

impl AtWork {
    fn begin() -> AtWork {
        AT_WORK.fetch_add(1, Ordering::Relaxed);
        AtWork
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where operations run: a store's URL and bounds, and the connection of this process once there is one.
pub(crate) struct Connector {
    pub(crate) url: StoreUrl,
    pub(crate) timeout: Duration,
    pub(crate) stall: Duration,
    opened: Mutex<Option<Arc<Opened>>>,
}

impl Connector {
    pub(crate) fn new(url: StoreUrl, timeout: Duration, stall: Duration) -> Self {
        Connector { url, timeout, stall, opened: Mutex::new(None) }
    }

    fn is_local(&self) -> bool {
        matches!(self.url, StoreUrl::Local(_))
    }

    fn ctl(&self) -> Ctl {
        Ctl::new().timeout(self.timeout).stall(self.stall)
    }

    /// The store; connected to now, if this process is not yet.
    pub(crate) fn store(&self, py: Python<'_>) -> PyResult<volary::Store> {
        {
            let mut opened = locked(&self.opened);
            match opened.take() {
                Some(here) if here.pid == std::process::id() => {
                    let store = here.store.clone();
                    *opened = Some(here);
                    return Ok(store);
                }
                inherited => forget(inherited),
            }
        }
        runtime()?;
        if self.is_local() && TORN.load(Ordering::Relaxed) {
            let error =
                Error::new(ErrorKind::Unsupported, "the process was forked in the middle of an operation")
                    .context("store", &self.url)
                    .hint("fork while nothing is at work on a local store, or start processes by `spawn`");
            return Err(raised(py, &error, None));
        }
        let (url, ctl) = (self.url.clone(), self.ctl());
        let at_work = self.is_local().then(AtWork::begin);
        let store = run(py, ctl, None, async move |ctl| {
            let connected = volary::Store::connect(&url, &ctl).await;
            drop(at_work);
            connected
        })?;
        let here = Arc::new(Opened { pid: std::process::id(), local: self.is_local(), store: store.clone() });
        let mut opened = locked(&self.opened);
        if let Some(theirs) = opened.as_ref() {
            // Another thread was faster; ours is let go of when dropped.
            return Ok(theirs.store.clone());
        }
        let mut open = locked(&OPEN);
        open.retain(|open| open.strong_count() > 0);
        open.push(Arc::downgrade(&here));
        *opened = Some(here);
        Ok(store)
    }

    /// Works on the store.
    pub(crate) fn on_store<T, F>(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(volary::Store, Ctl) -> F + Send + 'static,
    ) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = volary::Result<T>> + Send + 'static,
    {
        let store = self.store(py)?;
        let at_work = self.is_local().then(AtWork::begin);
        run(py, self.ctl(), progress, async move |ctl| {
            let done = work(store, ctl).await;
            drop(at_work);
            done
        })
    }

    /// Lets go of the store; the next use connects again.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let opened = locked(&self.opened).take();
        match opened {
            Some(here) if here.pid == std::process::id() => {
                run(py, self.ctl(), None, async move |_| here.store.shutdown().await)
            }
            inherited => {
                forget(inherited);
                Ok(())
            }
        }
    }
}

/// Ends what is at work and lets go of every store that is still open: what Python calls at its end.
///
/// Daemon threads may be in the middle of an operation; it is cancelled, and undone. The process is the host's to end, and its exit
/// handlers destroy what Ceph's libraries use: what cannot be ended in time stays as it is, and no thread goes on inside them.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    ENDED.store(true, Ordering::Relaxed);
    Running::all().iter().for_each(|running| running.token.cancel());
    let begun = Instant::now();
    while begun.elapsed() < ENDING && !Running::all().is_empty() {
        py.detach(|| std::thread::sleep(LOOK));
    }
    let shut = shut(py, open_here().into_iter());
    volary::engine::ceph::park();
    shut
}

/// Closes the databases of local stores, which open again when they are used: what Python calls before a fork. SQLite's
/// connections must not be there in a child, not even unused.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) -> PyResult<()> {
    shut(py, open_here().into_iter().filter(|open| open.local))
}

fn open_here() -> Vec<Arc<Opened>> {
    let pid = std::process::id();
    locked(&OPEN).iter().filter_map(Weak::upgrade).filter(|open| open.pid == pid).collect()
}

/// Lets go of each, and raises what went wrong first.
fn shut(py: Python<'_>, open: impl Iterator<Item = Arc<Opened>>) -> PyResult<()> {
    let all =
        open.map(|here| run_to_its_end(py, Ctl::new(), None, async move |_| here.store.shutdown().await));
    // Each one is tried, also after one has failed.
    all.collect::<Vec<_>>().into_iter().collect()
}

/// Runs an operation to its end, detached from the interpreter.
///
/// A signal whose handler raises (Ctrl-C) cancels it, and so does a progress callback that does: what it had begun is undone,
/// then the exception goes on. A second signal leaves it behind, for a reaper to settle.
pub(crate) fn run<T, F>(
    py: Python<'_>,
    ctl: Ctl,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(Ctl) -> F + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    F: Future<Output = volary::Result<T>> + Send + 'static,
{
    if ENDED.load(Ordering::Relaxed) {
        return Err(PyRuntimeError::new_err("the interpreter is ending, and its stores are closed"));
    }
    run_to_its_end(py, ctl, progress, work)
}

fn run_to_its_end<T, F>(
    py: Python<'_>,
    ctl: Ctl,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(Ctl) -> F + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    F: Future<Output = volary::Result<T>> + Send + 'static,
{
    let token = ctl.cancel_token().clone();
    let gathered = Arc::new(Gathered::default());
    let ctl = if progress.is_some() { ctl.watched_by(gathered.clone()) } else { ctl };
    let (sender, mut ended) = sync_channel(1);
    let runtime = runtime()?;
    let running = Running::begin(&token);
    runtime.spawn(async move {
        let done = work(ctl).await;
        drop(running);
        // Whoever waited may have left.
        let _ = sender.send(done);
    });
    let (mut told, mut stopping) = (None, None);
    loop {
        let (answer, waiting) = py.detach(move || (ended.recv_timeout(LOOK), ended));
        ended = waiting;
        if stopping.is_none()
            && let Err(stop) = py.check_signals().and_then(|()| tell(progress, &gathered, &mut told))
        {
            token.cancel();
            stopping = Some(stop);
        } else if stopping.is_some() {
            py.check_signals()?;
        }
        match answer {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the operation's task has ended"));
            }
            Ok(answer) => {
                return match (stopping, answer) {
                    // Undone, or done all the same: the caller wanted to stop.
                    (Some(stop), Ok(_)) => Err(stop),
                    (Some(stop), Err(error)) if error.kind() == volary::ErrorKind::Interrupted => Err(stop),
                    (_, Err(error)) => Err(raised(py, &error, None)),
                    (None, Ok(value)) => Ok(value),
                };
            }
        }
    }
}

fn tell(progress: Option<&Bound<'_, PyAny>>, gathered: &Gathered, told: &mut Option<Seen>) -> PyResult<()> {
    let (Some(progress), Some(seen)) = (progress, gathered.seen()) else { return Ok(()) };
    if told.replace(seen) == Some(seen) {
        return Ok(());
    }
    progress.call1((seen.phase, seen.done_bytes, seen.total_bytes)).map(drop)
}
