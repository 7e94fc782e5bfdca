//! The metrics as they are counted, registered from their definitions.

use crate::definitions::{self as define, Definition};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder, core::Collector,
};
use volary::{Error, ErrorKind, Result};

/// From a round on an idle store to one that waits for a sick cluster.
const BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Operations that a journal is known to name; a record can say anything, and a label must not.
const OPERATIONS: &[&str] = &[
    "clone",
    "copy",
    "create",
    "flatten",
    "import",
    "remove",
    "rollback",
    "snapshot_create",
    "snapshot_protect",
    "snapshot_remove",
    "trash_move",
    "trash_purge",
    "trash_remove",
    "trash_restore",
];

/// What the label of an operation says, of whatever a journal's record says.
pub(crate) fn operation_label(operation: &str) -> &'static str {
    OPERATIONS.iter().find(|known| **known == operation).copied().unwrap_or("other")
}

/// A counter with labels.
#[derive(Clone, Debug)]
pub(crate) struct Counter(IntCounterVec);

impl Counter {
    pub(crate) fn add(&self, labels: &[&str], count: usize) {
        if let Ok(counter) = self.0.get_metric_with_label_values(labels) {
            counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
}

/// A gauge with labels.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(GaugeVec);

impl Gauge {
    pub(crate) fn set(&self, labels: &[&str], value: f64) {
        if let Ok(gauge) = self.0.get_metric_with_label_values(labels) {
            gauge.set(value);
        }
    }

    pub(crate) fn add(&self, labels: &[&str], more: f64) {
        if let Ok(gauge) = self.0.get_metric_with_label_values(labels) {
            gauge.add(more);
        }
    }

    pub(crate) fn forget(&self, labels: &[&str]) {
        // One that was never set need not go.
        let _ = self.0.remove_label_values(labels);
    }
}

/// The metrics of one process. Cloning shares them.
///
/// ```
/// let metrics = volary_agent::Metrics::new()?;
/// assert!(metrics.render().contains("volary_build_info"));
/// # Ok::<(), volary::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) reachable: Gauge,
    pub(crate) namespace_reachable: Gauge,
    pub(crate) rounds: Counter,
    pub(crate) round_seconds: Histogram,
    pub(crate) last_round: Gauge,
    pub(crate) agents: Gauge,
    pub(crate) clock_jumps: Counter,
    pub(crate) clock_ahead: Gauge,
    pub(crate) namespaces: Gauge,
    pub(crate) namespace_failures: Counter,
    pub(crate) pending: Gauge,
    pub(crate) pending_oldest: Gauge,
    pub(crate) invalid: Gauge,
    pub(crate) settled: Counter,
    pub(crate) settle_failures: Counter,
    pub(crate) trash_purged: Counter,
    pub(crate) orphans: Gauge,
    pub(crate) check_findings: Gauge,
    pub(crate) check_pass: Gauge,
    pub(crate) checked_volumes: Counter,
    pub(crate) operations: Counter,
    pub(crate) stuck_calls: Gauge,
    audit_lines_lost: Counter,
}

fn internal(error: prometheus::Error) -> Error {
    Error::new(ErrorKind::Internal, "registering a metric").because(error)
}

/// Makes metrics of their definitions.
struct Maker(Registry);

impl Maker {
    fn registered<T: Collector + Clone + 'static>(&self, made: prometheus::Result<T>) -> Result<T> {
        let made = made.map_err(internal)?;
        self.0.register(Box::new(made.clone())).map_err(internal)?;
        Ok(made)
    }

    fn counter(&self, of: &Definition) -> Result<Counter> {
        self.registered(IntCounterVec::new(Opts::new(of.name, of.meaning), of.labels)).map(Counter)
    }

    fn gauge(&self, of: &Definition) -> Result<Gauge> {
        self.registered(GaugeVec::new(Opts::new(of.name, of.meaning), of.labels)).map(Gauge)
    }

    fn histogram(&self, of: &Definition) -> Result<Histogram> {
        let options = HistogramOpts::new(of.name, of.meaning).buckets(BUCKETS.to_vec());
        self.registered(Histogram::with_opts(options))
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    ///
    /// # Errors
    /// `Internal`, when a definition is not one.
    pub fn new() -> Result<Metrics> {
        let make = Maker(Registry::new());
        let build = make.gauge(&define::BUILD_INFO)?;
        build.set(&[env!("CARGO_PKG_VERSION")], 1.0);
        let metrics = Metrics {
            reachable: make.gauge(&define::STORE_REACHABLE)?,
            namespace_reachable: make.gauge(&define::NAMESPACE_REACHABLE)?,
            rounds: make.counter(&define::ROUNDS)?,
            round_seconds: make.histogram(&define::ROUND_SECONDS)?,
            last_round: make.gauge(&define::LAST_ROUND)?,
            agents: make.gauge(&define::AGENTS)?,
            clock_jumps: make.counter(&define::CLOCK_JUMPS)?,
            clock_ahead: make.gauge(&define::CLOCK_AHEAD)?,
            namespaces: make.gauge(&define::NAMESPACES)?,
            namespace_failures: make.counter(&define::NAMESPACE_FAILURES)?,
            pending: make.gauge(&define::PENDING)?,
            pending_oldest: make.gauge(&define::PENDING_OLDEST)?,
            invalid: make.gauge(&define::INVALID)?,
            settled: make.counter(&define::SETTLED)?,
            settle_failures: make.counter(&define::SETTLE_FAILURES)?,
            trash_purged: make.counter(&define::TRASH_PURGED)?,
            orphans: make.gauge(&define::ORPHANS)?,
            check_findings: make.gauge(&define::CHECK_FINDINGS)?,
            check_pass: make.gauge(&define::CHECK_PASS)?,
            checked_volumes: make.counter(&define::CHECKED_VOLUMES)?,
            operations: make.counter(&define::OPERATIONS)?,
            stuck_calls: make.gauge(&define::STUCK_CALLS)?,
            audit_lines_lost: make.counter(&define::AUDIT_LINES_LOST)?,
            registry: make.0,
        };
        // What alerts watch for an increase is there from the start.
        metrics.audit_lines_lost.add(&[], 0);
        for direction in ["forward", "backward"] {
            metrics.clock_jumps.add(&[direction], 0);
        }
        Ok(metrics)
    }

    /// Counts an audit record that could not be kept.
    pub fn audit_line_lost(&self) {
        self.audit_lines_lost.add(&[], 1);
    }

    /// A layer for a `tracing` subscriber that counts this process's audited operations by outcome.
    pub fn audit_layer(&self) -> crate::AuditCounter {
        crate::AuditCounter::new(self.operations.clone())
    }

    /// All of them in the text format of Prometheus.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
