//! The agent: settles what dead and failed operations left in a store, removes Volary's own trash when it is due, and
//! tells how that goes: round after round, with metrics and health on a page of its own.
//!
//! [`Agent`] works on a [`volary::Store`]; [`serve`] shows its [`Metrics`] and [`Health`]. A process of another kind may
//! use [`Metrics::audit_layer`] alone, to count its own operations by outcome.
#![forbid(unsafe_code)]

mod agent;
mod audit;
mod calls;
mod clock;
pub mod definitions;
mod desk;
mod health;
mod http;
mod metrics;
mod round;

pub use agent::{Agent, AgentOptions, connect};
pub use audit::AuditCounter;
pub use health::Health;
pub use http::serve;
pub use metrics::Metrics;
pub use round::{FailedNamespace, RoundOutcome, RoundReport};
