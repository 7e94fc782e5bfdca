//! Log lines: to standard error, scrubbed, without colour, as text or JSON. Audit records: counted, and kept where asked.

use crate::audit_log::AuditLog;
use crate::cli::{Cli, LogFormat};
use crate::commands::Command;
use crate::log_text::{Line, Values};
use crate::output::Format;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use volary::{AUDIT_TARGET, Result, ScrubbingWriter};
use volary_agent::Metrics;

/// Starts logging for the life of the process; gives what counts the audit records.
///
/// # Errors
/// When the audit log cannot be opened.
pub(crate) fn start(cli: &Cli) -> Result<Metrics> {
    let global = &cli.global;
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // What libraries below say of themselves helps nobody here.
    let mut filter = Targets::new().with_default(level.min(LevelFilter::WARN));
    for ours in ["volary", "rbd"] {
        filter = filter.with_target(ours, level);
    }
    if level < LevelFilter::INFO {
        // An operation that fails says so by its error line; the trail of it is asked for with -v.
        filter = filter.with_target(AUDIT_TARGET, LevelFilter::OFF);
    }
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(|| ScrubbingWriter::new(std::io::stderr()));
    // A command's error is its last line, where it is text; the agent goes on after one.
    let error_follows = global.output == Format::Table && !matches!(cli.command, Command::Agent(_));
    let layer = match global.log_format {
        LogFormat::Text => {
            layer.event_format(Line { error_follows }).fmt_fields(Values).with_filter(filter).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let metrics = Metrics::new()?;
    // Each for itself: what is logged does not decide what is kept.
    let audited = || Targets::new().with_target(AUDIT_TARGET, LevelFilter::TRACE);
    let kept = global.audit_log.as_deref().map(|path| AuditLog::open(path, metrics.clone())).transpose()?;
    tracing_subscriber::registry()
        .with(layer)
        .with(metrics.audit_layer().with_filter(audited()))
        .with(kept.map(|kept| kept.with_filter(audited())))
        .init();
    Ok(metrics)
}
