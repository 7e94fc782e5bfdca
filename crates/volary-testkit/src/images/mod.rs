//! Disk images made byte by byte: valid ones, and every hostile one the readers must refuse.

mod hostile;
mod partitions;
mod qcow2;
mod samples;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;
pub mod wrap;

pub use hostile::{HostileCase, hostile};
pub use partitions::{gpt, mbr, seal_gpt};
pub use qcow2::{Built, Cluster, Qcow2, deflate};
pub use samples::{iso, magics, noise, pattern, sample, valid};

/// A valid image and the disk it holds.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What is particular about it.
    pub name: String,
    /// The file.
    pub file: Vec<u8>,
    /// The disk's bytes.
    pub disk: Vec<u8>,
}
