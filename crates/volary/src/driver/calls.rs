//! Logs what an operation has the engine do: at `INFO` each step, which is a call that changes something users see, at `DEBUG` every
//! call, with what it was about, how it ended, and how long it took. The message is the name of the method; `doing` says it in words.

use crate::Result;
use crate::engine::{Engine, Interpose, Interposed, MadeCall, Volume};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};
use std::time::Instant;
use tracing::Level;

/// The target of these lines.
const TARGET: &str = "volary::engine";

/// A call that changes what users see.
const STEP: Level = Level::INFO;
/// Any other call.
const CALL: Level = Level::DEBUG;

/// Every method of the traits, with the level of its line in the log and the phrase for it; the line goes on with the object of the call and
/// ends with the answer.
const CALLS: &[(&str, Level, &str)] = &[
    ("fence", STEP, "cut off"),
    ("describe", CALL, "ask what the store is"),
    ("examine", CALL, "examine the store"),
    ("pools", CALL, "list the pools"),
    ("pool_info", CALL, "ask for the figures of the pool"),
    ("create_pool", STEP, "make the pool"),
    ("namespaces", CALL, "list the namespaces of"),
    ("create_namespace", STEP, "make the namespace"),
    ("remove_namespace", STEP, "remove the namespace"),
    ("volumes", CALL, "list the volumes of"),
    ("unusable", CALL, "look for images that cannot be used in"),
    ("find", CALL, "look for"),
    ("name_version", CALL, "ask which version the name has"),
    ("snapshots_made", CALL, "count the snapshots ever made of"),
    ("head", CALL, "look for"),
    ("usage", CALL, "ask what is used by"),
    ("parent", CALL, "look for the parent of"),
    ("known_clones", CALL, "look for clones of"),
    ("unheld", CALL, "look whether anything holds"),
    ("create", STEP, "make"),
    ("clone_volume", STEP, "clone"),
    ("rename", STEP, "rename"),
    ("remove", STEP, "remove"),
    ("trash", CALL, "list the trash of"),
    ("trash_move", STEP, "move into trash"),
    ("trash_restore", STEP, "take out of trash as"),
    ("trash_remove", STEP, "remove from trash"),
    ("open", CALL, "open"),
    ("records", CALL, "read the journal's records in"),
    ("swap_record", CALL, "write into the journal of"),
    ("check", CALL, "check"),
    ("repair", STEP, "repair"),
    ("shutdown", CALL, "let go of the store"),
    ("stat", CALL, "read the size of"),
    ("read", CALL, "read"),
    ("read_block", CALL, "read a block of"),
    ("write", CALL, "write"),
    ("write_zeroes", CALL, "write zeros"),
    ("expect_writes", CALL, "announce what will be written to"),
    ("flush", CALL, "wait until all is on disk of"),
    ("record_leaves", CALL, "note the digests of blocks of"),
    ("extents", CALL, "ask where data is in"),
    ("confirm", CALL, "confirm that all was there to be read of"),
    ("used_bytes", CALL, "ask what is used by"),
    ("resize", STEP, "resize"),
    ("flatten", STEP, "fill from the parent"),
    ("rollback", STEP, "roll back"),
    ("snapshots", CALL, "list the snapshots of"),
    ("create_snapshot", STEP, "make a snapshot of"),
    ("rename_snapshot", STEP, "rename a snapshot of"),
    ("remove_snapshot", STEP, "remove a snapshot of"),
    ("protect_snapshot", STEP, "protect a snapshot of"),
    ("unprotect_snapshot", STEP, "end the protection of a snapshot of"),
    ("children", CALL, "look for clones of"),
    ("metadata", CALL, "read the metadata of"),
    ("set_metadata", CALL, "set metadata of"),
    ("remove_metadata", CALL, "remove metadata of"),
    ("lockers", CALL, "list the locks of"),
    ("add_lock", STEP, "lock"),
    ("break_lock", STEP, "break a lock of"),
    ("holders", CALL, "look who has open"),
    ("caveats", CALL, "look for unwritten changes and tasks of"),
    ("close", CALL, "close"),
];

tokio::task_local! {
    /// How the calls of a part of an operation are put, where that says better what they are for.
    static PUT: &'static str;
}

/// Makes a call, and has its line put it so: what a call is for may tell more than what it does.
pub(super) fn called<F: Future>(doing: &'static str, call: F) -> impl Future<Output = F::Output> {
    PUT.scope(doing, call)
}

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
            Some(line) => line.end(made.await, call.answer),
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
    level: Level,
    doing: &'static str,
    on: String,
    begun: Instant,
    outcome: &'static str,
    result: Option<Cow<'static, str>>,
    error: Option<String>,
}

impl Line {
    /// `None` where nobody listens.
    fn begin(call: &MadeCall<'_, Named>) -> Option<Line> {
        let known = CALLS.iter().find(|(method, ..)| *method == call.method);
        let (level, doing) = known.map_or((CALL, call.method), |(_, level, doing)| (*level, *doing));
        let wanted = match level {
            STEP => tracing::enabled!(target: TARGET, Level::INFO),
            _ => tracing::enabled!(target: TARGET, Level::DEBUG),
        };
        wanted.then(|| {
            let volume = call.on.map_or("", |open| open.name.as_str());
            let parts = [volume.to_owned(), (call.about)()];
            let on = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>();
            Line {
                method: call.method,
                level,
                doing: PUT.try_with(|doing| *doing).unwrap_or(doing),
                on: on.join(", "),
                begun: Instant::now(),
                outcome: "given up",
                result: None,
                error: None,
            }
        })
    }

    fn end<T>(mut self, answer: Result<T>, words: &OnceLock<Cow<'static, str>>) -> Result<T> {
        match &answer {
            Ok(_) => (self.outcome, self.result) = ("done", words.get().cloned()),
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
        let Line { method, doing, on, outcome, result, error, .. } = self;
        let seconds = self.begun.elapsed().as_secs_f64();
        let (on, doing, outcome) = (on.as_str(), *doing, *outcome);
        let (result, error) = (result.as_deref(), error.as_deref());
        match self.level {
            STEP => {
                tracing::info!(target: TARGET, doing, on, outcome, result, error, seconds, "{method}");
            }
            _ => tracing::debug!(target: TARGET, doing, on, outcome, result, error, seconds, "{method}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CALLS;

    #[test]
    fn every_method_of_engines_and_volumes_is_put_in_words_once() {
        let traits = [include_str!("../engine/mod.rs"), include_str!("../engine/volume.rs")].concat();
        let name = |line: &str| {
            let rest = line.strip_prefix("    async fn ").or_else(|| line.strip_prefix("    fn "))?;
            Some(rest.split(['(', '<']).next()?.to_owned())
        };
        let mut methods: Vec<String> = traits.lines().filter_map(name).collect();
        let mut put: Vec<&str> = CALLS.iter().map(|(method, ..)| *method).collect();
        methods.sort();
        put.sort_unstable();
        assert_eq!(methods, put);
    }
}
