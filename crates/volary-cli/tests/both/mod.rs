//! The same on every store: the binary that includes these says where the tests' stores are.

pub(crate) mod agent;
mod audit_log;
pub(crate) mod check;
mod cleanup;
mod encrypted;
mod findings;
mod frozen;
mod interrupts;
mod kills;
mod log;
mod objects;
mod race;
mod reading;
mod states;
mod trail;
