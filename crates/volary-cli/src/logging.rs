//! Log lines: to standard error, scrubbed, without colour, as text or JSON.

use crate::cli::{Global, LogFormat};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use volary::ScrubbingWriter;

/// Starts logging for the life of the process.
pub(crate) fn start(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let mut filter = Targets::new().with_default(level);
    if level < LevelFilter::INFO {
        // An operation that fails says so by its error line; the trail of it is asked for with -v.
        filter = filter.with_target(volary::AUDIT_TARGET, LevelFilter::OFF);
    }
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(|| ScrubbingWriter::new(std::io::stderr()));
    let registry = tracing_subscriber::registry().with(filter);
    match global.log_format {
        LogFormat::Text => registry.with(layer).init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
}
