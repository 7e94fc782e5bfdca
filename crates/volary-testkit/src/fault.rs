//! An engine over another whose calls can be made to fail, to see what the driver makes of it.
#![allow(clippy::unwrap_used)]

use futures::stream::{self, BoxStream, StreamExt};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use volary::engine::{Engine, Interpose, Interposed, MadeCall, Volume};
use volary::{Error, ErrorKind, Result};

/// Asked before every call, by the method's name; an error it returns is the call's, and the call is not made.
///
/// Letting go (`close`, `shutdown`) is never asked about.
pub type Before = Arc<dyn Fn(&'static str) -> Result<()> + Send + Sync>;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails so and is not made.
    Fail(ErrorKind),
    /// It is made, and its answer is lost: it fails so all the same.
    LoseAnswer(ErrorKind),
    /// It never answers; giving it up is all that ends it.
    Hang,
    /// It is made so much later.
    Delay(Duration),
    /// It is not made, nor is any later one; every open handle is let go without flushing, as when the process dies.
    Crash,
}

struct Plan {
    before: Before,
    /// The call that a fault happens to, counted from 0.
    planned: Option<(usize, Fault)>,
    calls: AtomicUsize,
    crashed: AtomicBool,
    handles: Mutex<Vec<Weak<Handle>>>,
}

type Handle = Mutex<Option<Arc<dyn Volume>>>;

/// Stands before an engine whose calls fail when told to.
#[derive(Clone)]
pub struct Faults(Arc<Plan>);

/// An open volume, whose handle a simulated crash drops.
pub struct Open(Arc<Handle>);

fn made_to_fail(kind: ErrorKind) -> Error {
    Error::new(kind, "made to fail")
}

impl Faults {
    /// Puts `before` in front of every call of an engine and of the volumes it opens.
    pub fn before(inner: Arc<dyn Engine>, before: Before) -> Arc<dyn Engine> {
        Interposed::over(inner, Faults::new(before, None))
    }

    /// The call of that number, from 0, has a fault.
    pub fn at(call: usize, fault: Fault) -> Faults {
        Faults::new(Arc::new(|_| Ok(())), Some((call, fault)))
    }

    /// An engine that has these faults.
    pub fn over(&self, inner: Arc<dyn Engine>) -> Arc<dyn Engine> {
        Interposed::over(inner, self.clone())
    }

    fn new(before: Before, planned: Option<(usize, Fault)>) -> Faults {
        Faults(Arc::new(Plan {
            before,
            planned,
            calls: AtomicUsize::new(0),
            crashed: AtomicBool::new(false),
            handles: Mutex::default(),
        }))
    }

    /// How many calls were asked for.
    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }
}

impl Plan {
    /// Whether the call is made; `Ok(Some)` for one whose answer is lost.
    fn ask(&self, method: &'static str) -> Result<Option<Error>> {
        if self.crashed.load(Ordering::SeqCst) {
            return Err(made_to_fail(ErrorKind::Unreachable));
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        (self.before)(method)?;
        match self.planned.filter(|(planned, _)| *planned == call) {
            None => Ok(None),
            Some((_, Fault::Fail(kind))) => Err(made_to_fail(kind)),
            Some((_, Fault::LoseAnswer(kind))) => Ok(Some(made_to_fail(kind))),
            // Only calls that are awaited can be held up, and they are before they ask.
            Some((_, Fault::Hang | Fault::Delay(_))) => Ok(None),
            Some((_, Fault::Crash)) => {
                self.crashed.store(true, Ordering::SeqCst);
                for handle in self.handles.lock().unwrap().drain(..) {
                    drop(handle.upgrade().and_then(|handle| handle.lock().unwrap().take()));
                }
                Err(made_to_fail(ErrorKind::Unreachable))
            }
        }
    }
}

/// Letting go is never asked about.
const NEVER_ASKED: &[&str] = &["close", "shutdown"];

impl Interpose for Faults {
    type Open = Open;

    fn opened(&self, volume: Arc<dyn Volume>, _about: String) -> Open {
        let handle = Arc::new(Mutex::new(Some(volume)));
        self.0.handles.lock().unwrap().push(Arc::downgrade(&handle));
        Open(handle)
    }

    fn volume(&self, open: &Open) -> Result<Arc<dyn Volume>> {
        open.0.lock().unwrap().clone().ok_or_else(|| made_to_fail(ErrorKind::Unreachable))
    }

    async fn call<T: Send>(
        &self,
        call: MadeCall<'_, Open>,
        made: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let Plan { planned, calls, .. } = &*self.0;
        if NEVER_ASKED.contains(&call.method) {
            return made.await;
        }
        if let Some((planned, fault @ (Fault::Hang | Fault::Delay(_)))) = *planned
            && calls.compare_exchange(planned, planned + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            let Fault::Delay(delay) = fault else { return std::future::pending().await };
            tokio::time::sleep(delay).await;
            return made.await;
        }
        match self.0.ask(call.method)? {
            None => made.await,
            Some(lost) => made.await.and(Err(lost)),
        }
    }

    fn stream<'a, T: Send + 'a>(
        &'a self,
        call: MadeCall<'_, Open>,
        made: BoxStream<'a, Result<T>>,
    ) -> BoxStream<'a, Result<T>> {
        match self.0.ask(call.method) {
            Ok(None) => made,
            Ok(Some(error)) | Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.0.planned).finish()
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Open").field(&self.0).finish()
    }
}
