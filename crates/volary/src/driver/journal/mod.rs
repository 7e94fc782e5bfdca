//! The journal: records in the store that say what an operation has begun, so that nothing it leaves is forgotten.
//!
//! A record is written before the first side effect, changed before each step, and removed after the last, always by
//! compare-and-swap: who finds it changed by somebody else has lost it, and stops. What a dead owner left, any host
//! takes over and settles.

mod intent;
mod owner;
mod pending;
mod reap;
mod record;
mod settle;

pub use pending::PendingListing;
pub use reap::{ReapOptions, ReapOutcome, ReapReport, Reaper};

pub(crate) use intent::{Intent, is_uncertain};
pub(crate) use record::{INTENT_PREFIX, Work};

use crate::{Error, ErrorKind, Result};

/// 128 random bits.
pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, "asking for random bits").because(error))?;
    Ok(hex::encode(bytes))
}
