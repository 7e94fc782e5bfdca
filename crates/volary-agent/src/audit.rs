//! Counts audited operations by what they came to.

use crate::metrics::Counter;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// A layer that counts the ends of audited operations: `volary_operations_total`.
#[derive(Debug)]
pub struct AuditCounter(Counter);

impl AuditCounter {
    pub(crate) fn new(operations: Counter) -> AuditCounter {
        AuditCounter(operations)
    }
}

/// The two fields that are words of the library's own.
#[derive(Default)]
struct Ended {
    operation: String,
    outcome: String,
}

impl Visit for Ended {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "operation" => value.clone_into(&mut self.operation),
            "outcome" => value.clone_into(&mut self.outcome),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: Subscriber> Layer<S> for AuditCounter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != volary::AUDIT_TARGET {
            return;
        }
        let mut ended = Ended::default();
        event.record(&mut ended);
        if !ended.outcome.is_empty() {
            self.0.add(&[&ended.operation, &ended.outcome], 1);
        }
    }
}
