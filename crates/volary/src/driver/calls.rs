//! Logs what an operation has the engine do: at `INFO` each step, which is a call that changes something users see, at `DEBUG` every
//! call, with what it was about, how it came out, and how long it took.

use crate::Result;
use crate::engine::{Engine, Interpose, Interposed, MadeCall, Volume};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;
use tracing::Level;

/// The target of these lines.
const TARGET: &str = "volary::engine";

/// The calls that change what users see.
const STEPS: &[&str] = &[
    "create_pool",
    "create_namespace",
    "remove_namespace",
    "create",
    "clone_volume",
    "rename",
    "remove",
    "trash_move",
    "trash_restore",
    "trash_remove",
    "fence",
    "repair",
    "resize",
    "flatten",
    "rollback",
    "create_snapshot",
    "rename_snapshot",
    "remove_snapshot",
    "protect_snapshot",
    "unprotect_snapshot",
    "add_lock",
    "break_lock",
];

/// An engine whose calls are logged.
pub(super) fn logged(engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
    Interposed::over(engine, Logged)
}

#[derive(Debug, Clone)]
struct Logged;

/// A volume, and how its lines name it.
#[derive(Debug)]
struct Named {
    volume: Arc<dyn Volume>,
    name: String,
}

impl Interpose for Logged {
    type Open = Named;

    fn opened(&self, volume: Arc<dyn Volume>, name: String) -> Named {
        Named { volume, name }
    }

    fn volume(&self, open: &Named) -> Result<Arc<dyn Volume>> {
        Ok(open.volume.clone())
    }

    async fn call<T: Send>(
        &self,
        call: MadeCall<'_, Named>,
        made: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match Line::begin(&call) {
            Some(line) => line.end(made.await),
            None => made.await,
        }
    }

    fn stream<'a, T: Send + 'a>(
        &'a self,
        call: MadeCall<'_, Named>,
        made: BoxStream<'a, Result<T>>,
    ) -> BoxStream<'a, Result<T>> {
        let Some(mut line) = Line::begin(&call) else { return made };
        let mut made = made;
        // One line for all of it, when it has ended or nobody asks for more.
        let items = stream::poll_fn(move |context| {
            let item = ready!(made.poll_next_unpin(context));
            match &item {
                Some(Ok(_)) => {}
                Some(Err(error)) => line.failed(error),
                None if line.error.is_none() => line.outcome = "done",
                None => {}
            }
            Poll::Ready(item)
        });
        items.boxed()
    }
}

/// The line of a call in progress; a call that is given up has one, too.
struct Line {
    method: &'static str,
    on: String,
    begun: Instant,
    outcome: &'static str,
    error: Option<String>,
}

impl Line {
    /// `None` where nobody listens.
    fn begin(call: &MadeCall<'_, Named>) -> Option<Line> {
        let wanted = match level(call.method) {
            Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
            _ => tracing::enabled!(target: TARGET, Level::DEBUG),
        };
        wanted.then(|| {
            let volume = call.on.map_or("", |open| open.name.as_str());
            let parts = [volume.to_owned(), (call.about)()];
            let on = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>();
            Line {
                method: call.method,
                on: on.join(": "),
                begun: Instant::now(),
                outcome: "given up",
                error: None,
            }
        })
    }

    fn end<T>(mut self, answer: Result<T>) -> Result<T> {
        match &answer {
            Ok(_) => self.outcome = "done",
            Err(error) => self.failed(error),
        }
        answer
    }

    fn failed(&mut self, error: &crate::Error) {
        self.outcome = error.kind().as_str();
        self.error = Some(error.report());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Line { method, on, outcome, error, .. } = self;
        let seconds = self.begun.elapsed().as_secs_f64();
        let (on, error) = (on.as_str(), error.as_deref());
        match level(method) {
            Level::INFO => tracing::info!(target: TARGET, on, outcome, error, seconds, "{method}"),
            _ => tracing::debug!(target: TARGET, on, outcome, error, seconds, "{method}"),
        }
    }
}

fn level(method: &str) -> Level {
    if STEPS.contains(&method) { Level::INFO } else { Level::DEBUG }
}
