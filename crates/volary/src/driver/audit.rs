//! The audit trail: one event when an operation that matters begins, one when it ends, also when it is abandoned.
//!
//! Events have the target `volary::audit`; a subscriber sends them where they are to be kept.

use crate::{ErrorKind, Result};
use serde_json::Value;
use std::fmt::Display;
use std::time::Instant;

/// The target of the audit events.
pub const AUDIT_TARGET: &str = "volary::audit";

/// An operation under audit; dropped without [`finish`](Audit::finish), its outcome is `abandoned`.
pub(crate) struct Audit {
    operation: &'static str,
    subject: String,
    started: Instant,
    finished: bool,
}

impl Audit {
    /// Records that `operation` on `subject` (a spec, escaped) begins, with what it was asked to do.
    pub(crate) fn begin(operation: &'static str, subject: impl Display, details: &Value) -> Audit {
        let subject = subject.to_string();
        tracing::info!(target: AUDIT_TARGET, operation, %subject, %details, "begins");
        Audit { operation, subject, started: Instant::now(), finished: false }
    }

    /// Records how it ended: `outcome` is the caller's word for success, or the error's kind.
    pub(crate) fn finish<T>(mut self, result: &Result<T>, outcome: impl FnOnce(&T) -> (String, Value)) {
        self.finished = true;
        let seconds = self.started.elapsed().as_secs_f64();
        let (operation, subject) = (self.operation, &self.subject);
        match result {
            Ok(value) => {
                let (outcome, details) = outcome(value);
                tracing::info!(target: AUDIT_TARGET, operation, %subject, outcome, seconds, %details, "ends");
            }
            Err(error) if error.kind() == ErrorKind::Internal => {
                let (outcome, error) = (error.kind().as_str(), error.report());
                tracing::error!(target: AUDIT_TARGET, operation, %subject, outcome, seconds, error, "ends");
            }
            Err(error) => {
                let (outcome, error) = (error.kind().as_str(), error.report());
                tracing::warn!(target: AUDIT_TARGET, operation, %subject, outcome, seconds, error, "ends");
            }
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if !self.finished {
            let (operation, subject) = (self.operation, &self.subject);
            let seconds = self.started.elapsed().as_secs_f64();
            tracing::warn!(target: AUDIT_TARGET, operation, %subject, outcome = "abandoned", seconds, "ends");
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

    #[test]
    fn an_operation_leaves_a_record_at_its_start_and_at_every_end() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).json().finish();
        tracing::subscriber::with_default(subscriber, || {
            Audit::begin("import", "rbd/a", &json!({"path": "a.img"}))
                .finish(&Ok(7), |n| ("done".into(), json!({"n": n})));
            Audit::begin("import", "rbd/b", &json!({}))
                .finish(&Err::<(), _>(Error::new(ErrorKind::Mismatch, "other bytes")), |()| unreachable!());
            drop(Audit::begin("import", "rbd/c", &json!({})));
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(
            lines.iter().all(|line| line.contains(AUDIT_TARGET) && line.contains("\"operation\":\"import\""))
        );
        assert!(lines[0].contains("a.img") && lines[1].contains("\"outcome\":\"done\""));
        assert!(lines[3].contains("\"outcome\":\"mismatch\"") && lines[3].contains("other bytes"));
        assert!(lines[5].contains("\"outcome\":\"abandoned\""));
    }
}
