//! The journal: records in the store that say what an operation has begun, so that nothing it leaves is forgotten.
//!
//! A record is written before the first side effect, changed before each step, and removed after the last, always by
//! compare-and-swap: who finds it changed by somebody else has lost it, and stops. What a dead owner left, any host
//! takes over and settles.
//!
//! A record is about a volume of the namespace it lies in. Whoever may write there may forge one, so what is read is checked
//! in one place (`record/stored.rs`), and settling it changes nothing outside that namespace.

mod agents;
mod intent;
mod owner;
mod pages;
mod pending;
mod reap;
mod record;
mod settle;

pub use agents::Presence;
pub use pending::{PendingListing, PendingPage, PendingRecord};
pub use reap::{ReapOptions, ReapOutcome, ReapReport, Reaper};

pub(crate) use intent::{Intent, is_uncertain};
pub(crate) use record::{AsGiven, IntentRecord, Work};

use crate::{Error, ErrorKind, Result};

/// 128 random bits.
pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, "asking for random bits").because(error))?;
    Ok(hex::encode(bytes))
}
