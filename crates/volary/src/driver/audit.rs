//! An operation that changes or takes something: its audit trail, and the span that all its lines in the log stand in.
//!
//! The trail is one event when it begins and one when it ends, also when it is abandoned. Events have the target `volary::audit`; a
//! subscriber sends them where they are to be kept. Both events, the span, and the owner of the operation's intents in the journal have
//! the operation's id.

use super::journal::random_hex;
use crate::{ErrorKind, Result, steps};
use serde_json::Value;
use std::fmt::Display;
use std::time::Instant;
use tracing::Instrument;

/// The target of the audit events.
pub const AUDIT_TARGET: &str = "volary::audit";

tokio::task_local! {
    static ID: String;
}

/// The id of the operation that is under way in this task.
pub(crate) fn operation_id() -> Option<String> {
    ID.try_with(String::clone).ok()
}

/// Runs `operation` on `subject` (a spec, escaped) under audit, with what it was asked to do as `details`.
///
/// `outcome` says how a success came out, in a word, and with what; of an error its kind is the outcome. Where the future is dropped, the
/// outcome is `abandoned`.
///
/// The work stands on the heap: operations are called from one another, and all in one would be larger than a thread's stack.
pub(crate) fn audited<T>(
    operation: &'static str,
    subject: impl Display,
    details: Value,
    work: impl Future<Output = Result<T>>,
    outcome: impl FnOnce(&T) -> (&'static str, Value),
) -> impl Future<Output = Result<T>> {
    let work = Box::pin(work);
    async move {
        // Without random bits nothing can be recorded in the journal either, and that says so.
        let id = random_hex().unwrap_or_default();
        let subject = subject.to_string();
        let span = tracing::info_span!("operation", operation, on = %subject, id);
        let audit = Audit { operation, subject, id: id.clone(), started: Instant::now(), finished: false };
        let run = async {
            audit.begin(&details);
            let result = steps::logged(work).await;
            audit.finish(&result, outcome);
            result
        };
        ID.scope(id, run.instrument(span)).await
    }
}

/// An operation under audit; dropped without [`finish`](Audit::finish), its outcome is `abandoned`.
struct Audit {
    operation: &'static str,
    subject: String,
    id: String,
    started: Instant,
    finished: bool,
}

impl Audit {
    fn begin(&self, details: &Value) {
        let Audit { operation, subject, id, .. } = self;
        tracing::info!(target: AUDIT_TARGET, operation, %subject, id, %details, "begins");
    }

    fn finish<T>(mut self, result: &Result<T>, outcome: impl FnOnce(&T) -> (&'static str, Value)) {
        self.finished = true;
        let seconds = self.started.elapsed().as_secs_f64();
        let Audit { operation, subject, id, .. } = &self;
        match result {
            Ok(value) => {
                let (outcome, details) = outcome(value);
                tracing::info!(target: AUDIT_TARGET, operation, %subject, id, outcome, seconds, %details, "ends");
            }
            Err(error) if error.kind() == ErrorKind::Internal => {
                let (outcome, error) = (error.kind().as_str(), error.report());
                tracing::error!(target: AUDIT_TARGET, operation, %subject, id, outcome, seconds, error, "ends");
            }
            Err(error) => {
                let (outcome, error) = (error.kind().as_str(), error.report());
                tracing::warn!(target: AUDIT_TARGET, operation, %subject, id, outcome, seconds, error, "ends");
            }
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if !self.finished {
            let Audit { operation, subject, id, .. } = &*self;
            let (outcome, seconds) = ("abandoned", self.started.elapsed().as_secs_f64());
            tracing::warn!(target: AUDIT_TARGET, operation, %subject, id, outcome, seconds, "ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use serde_json::json;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_operation_leaves_a_record_at_its_start_and_at_every_end() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).json().finish();
        let _here = tracing::subscriber::set_default(subscriber);
        let done = async { Ok(7) };
        audited("import", "rbd/a", json!({"path": "a.img"}), done, |n| ("done", json!({"n": n})))
            .await
            .unwrap();
        let other = async { Err::<(), _>(Error::new(ErrorKind::Mismatch, "other bytes")) };
        audited("import", "rbd/b", json!({}), other, |()| unreachable!()).await.unwrap_err();
        let mut never =
            Box::pin(audited("import", "rbd/c", json!({}), std::future::pending(), |()| unreachable!()));
        assert!(futures::poll!(never.as_mut()).is_pending());
        drop(never);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 6);
        let ids: Vec<&str> = lines.iter().map(|line| line["fields"]["id"].as_str().unwrap()).collect();
        assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[0].len() == 32, "{ids:?}");
        for line in &lines {
            assert_eq!(
                (&line["target"], &line["fields"]["operation"]),
                (&json!(AUDIT_TARGET), &json!("import"))
            );
        }
        let outcomes: Vec<_> = lines.iter().filter_map(|line| line["fields"]["outcome"].as_str()).collect();
        assert_eq!(outcomes, ["done", "mismatch", "abandoned"]);
        assert!(text.contains("a.img") && text.contains("other bytes"));
    }
}
