//! Configurable bounds on what is accepted.

use std::time::Duration;

/// Bounds on what is accepted, whatever a header claims.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest virtual size. 64 TiB: the largest disk any common hypervisor attaches.
    pub max_virtual_bytes: u64,
    /// Largest container file. 16 TiB: keeps the validation bitmap (one bit a cluster) small; raw is not bound by it.
    pub max_container_bytes: u64,
    /// Largest container file with clusters under 4 KiB. 64 GiB: a bitmap of 16 MiB at 512-byte clusters.
    pub max_small_cluster_file_bytes: u64,
    /// How many times the file's length its compressed streams may add up to. 16: valid images share sectors and stay under 2.
    pub max_compressed_share: u64,
    /// How many times the file's length its mapped data may be, beyond the first GiB. 32,768: the best packed disks stay under 20,000.
    pub max_expansion: u64,
    /// Most bytes of headers and tables read to validate an image. 8 GiB: twice the tables of the largest container.
    pub max_metadata_bytes: u64,
    /// Longest time validating may take. One minute: the largest container's tables from a slow disk.
    pub max_validation: Duration,
    /// Whether the disk itself may begin as an image format. Not: who probes such a volume reads files the image names.
    pub allow_nested: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_virtual_bytes: 64 << 40,
            max_container_bytes: 16 << 40,
            max_small_cluster_file_bytes: 64 << 30,
            max_compressed_share: 16,
            max_expansion: 32 << 10,
            max_metadata_bytes: 8 << 30,
            max_validation: Duration::from_secs(60),
            allow_nested: false,
        }
    }
}

impl Limits {
    /// The same limits with another cap on the virtual size.
    #[must_use]
    pub fn with_max_virtual_bytes(mut self, bytes: u64) -> Self {
        self.max_virtual_bytes = bytes;
        self
    }

    /// The same limits, with a disk that begins as an image format itself accepted or not.
    #[must_use]
    pub fn with_nested(mut self, allow: bool) -> Self {
        self.allow_nested = allow;
        self
    }
}
