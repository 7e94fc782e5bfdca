//! TODO: one line.

use super::{HostileCase, Sample};

/// TODO
#[must_use]
pub fn hostile() -> Vec<HostileCase> {
    Vec::new()
}

/// TODO
#[must_use]
pub fn valid() -> Vec<Sample> {
    Vec::new()
}
