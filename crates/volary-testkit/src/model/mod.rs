//! A reference model of a store in plain memory, and random histories that engine and model must live alike.
//!
//! The model knows no layers, blocks or overlaps: every head and snapshot is simply its bytes. Whatever an engine
//! shares, copies late or drops must not show.
#![allow(clippy::unwrap_used)]

mod compare;
mod history;
mod op;
mod state;

pub use history::live;
pub use op::{Op, history};
