//! Log lines as text: when, how grave, of which operation, what was done, how it ended, and how long it took.
//!
//! `2026-11-30T19:56:34.466422Z INFO import rbd/web [b78b7321]: create rbd/web-1, 64 MiB: done, 1.4 ms`. What the audit trail keeps of an
//! operation in full is left out; `--log-format json` has every field.

use std::fmt::{self, Debug, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;
use volary::AUDIT_TARGET;

/// How many digits of an operation's id tell it from others in a log.
const ID_DIGITS: usize = 8;

/// Writes an event as one line.
pub(crate) struct Line {
    /// Whether the error that an operation ends with is printed after it as text: the line of the end then does not say it too.
    pub(crate) error_follows: bool,
}

/// Writes the fields of a span: their values alone, of an id its first digits in brackets.
pub(crate) struct Values;

impl<'writer> FormatFields<'writer> for Values {
    fn format_fields<R: RecordFields>(&self, out: Writer<'writer>, fields: R) -> fmt::Result {
        let mut values = SpanValues { out, result: Ok(()) };
        fields.record(&mut values);
        values.result
    }
}

struct SpanValues<'writer> {
    out: Writer<'writer>,
    result: fmt::Result,
}

impl Visit for SpanValues<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let written = match field.name() {
            "id" => write!(self.out, " [{}]", value.get(..ID_DIGITS).unwrap_or(value)),
            _ => write!(self.out, " {value}"),
        };
        self.result = self.result.and(written);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The fields of an event that lines have a place for, and the others.
#[derive(Default)]
struct Told {
    message: String,
    /// What the line is about in place of the message: the C function, of a call of a library, or what a call of the store does.
    subject: Option<String>,
    on: String,
    outcome: Option<String>,
    /// What a call that succeeded answered, which says more than that it is done.
    result: Option<String>,
    error: Option<String>,
    bytes: Option<u64>,
    seconds: Option<f64>,
    others: String,
}

impl Visit for Told {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match field.name() {
            "seconds" => self.seconds = Some(value),
            name => match name.strip_suffix("_seconds") {
                Some(name) => {
                    let _ = write!(self.others, ", {} {}", name.replace('_', " "), took(value));
                }
                None => self.record_debug(field, &value),
            },
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "bytes" => self.bytes = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "function" | "doing" => self.subject = Some(value.to_owned()),
            "on" => value.clone_into(&mut self.on),
            "outcome" => self.outcome = Some(value.to_owned()),
            "result" => self.result = Some(value.to_owned()),
            "error" | "why" => self.error = Some(value.to_owned()),
            name => {
                let _ = write!(self.others, ", {} {value}", name.replace('_', " "));
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut out)?;
        write!(out, " {}", event.metadata().level())?;
        let mut end = "";
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            // The first field of this span names the operation.
            if span.name() != "operation" {
                write!(out, " {}", span.name())?;
            }
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(out, "{fields}")?;
            }
            end = ":";
        }
        let mut told = Told::default();
        event.record(&mut told);
        if event.metadata().target() == AUDIT_TARGET {
            told.others.clear();
            told.error = told.error.filter(|_| !self.error_follows);
        }
        write!(out, "{end} {}", told.subject.unwrap_or_else(|| told.message.replace('_', " ")))?;
        if !told.on.is_empty() {
            write!(out, " {}", told.on)?;
        }
        let size = told.bytes.map(volary::show_size);
        let took = told.seconds.map(took);
        let mut before = ": ";
        for part in [size, told.result.or(told.outcome), told.error, took].into_iter().flatten() {
            write!(out, "{before}{part}")?;
            before = ", ";
        }
        writeln!(out, "{}", told.others)
    }
}

/// How long something took, in the unit that fits.
fn took(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} µs", seconds * 1e6),
        ..1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines without their times, of what `log` logs.
    fn lines(error_follows: bool, log: impl FnOnce()) -> Vec<String> {
        let written = Log::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let layer = layer.event_format(Line { error_follows }).fmt_fields(Values);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn a_line_says_of_which_operation_what_was_done_and_how_it_ended() {
        let (operation, id) = ("import", "b78b7321b5a6de4cc10aff1dbec5b58f");
        let told = lines(false, || {
            tracing::info_span!("operation", operation, on = %"rbd/web", id).in_scope(|| {
                let doing = "publish as";
                tracing::info!(on = "rbd/web, id:1", doing, outcome = "done", seconds = 0.0014, "trash_restore");
                tracing::debug!(on = "rbd/web", outcome = "done", result = "not found", seconds = 0.002, "find");
                tracing::info!(bytes = 3_145_728_u64, seconds = 2.04, "copy");
                tracing::warn!(target: AUDIT_TARGET, operation, id, outcome = "blocked", error = "held", "ends");
            });
            tracing::info!(function = "rbd_open", on = "pool rbd", answer = -2, "{}", "returned");
            tracing::debug!(tries = 2, next_in_seconds = 0.25, why = %"a watcher", "to be tried again");
        });
        assert_eq!(
            told,
            [
                "INFO import rbd/web [b78b7321]: publish as rbd/web, id:1: done, 1.4 ms",
                "DEBUG import rbd/web [b78b7321]: find rbd/web: not found, 2.0 ms",
                "INFO import rbd/web [b78b7321]: copy: 3 MiB, 2.0 s",
                "WARN import rbd/web [b78b7321]: ends: blocked, held",
                "INFO rbd_open pool rbd, answer -2",
                "DEBUG to be tried again: a watcher, tries 2, next in 250.0 ms",
            ]
        );
    }

    #[test]
    fn an_error_that_follows_is_not_said_by_the_line_of_the_end() {
        let told = lines(true, || {
            tracing::warn!(target: AUDIT_TARGET, outcome = "blocked", error = "held", seconds = 4.2, "ends");
            tracing::warn!(error = "held", "the trash note stays behind");
        });
        assert_eq!(told, ["WARN ends: blocked, 4.2 s", "WARN the trash note stays behind: held"]);
    }
}
