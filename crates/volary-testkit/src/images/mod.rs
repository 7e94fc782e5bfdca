//! Disk images made byte by byte: valid ones, and every hostile one the readers must refuse.

mod hostile;
mod qcow2;
mod samples;

pub use hostile::{HostileCase, hostile};
pub use qcow2::{Built, Cluster, Qcow2, deflate};
pub use samples::{iso, magics, noise, pattern, sample, valid};
