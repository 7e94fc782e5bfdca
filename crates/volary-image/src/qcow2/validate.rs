//! The validating pass: the whole active mapping, before anything is read or created.
//!
//! Each table and plain cluster may be referenced once, noted in a bitmap that is sized by the file, so time and memory follow the
//! file's length whatever the header claims. Compressed streams may share sectors (valid images do); their lengths are summed instead.

use super::header::Header;
use super::mapping::{Cluster, Mapping};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;

const CHECK: &str = "qcow2.mapping";

struct Claimed {
    bits: Vec<u64>,
    cluster_bits: u32,
}

impl Claimed {
    fn new(file: u64, cluster_bits: u32) -> Self {
        let clusters = file.div_ceil(1 << cluster_bits);
        // Zeroed memory is the kernel's until touched. The file's length was limited with the header.
        Self { bits: vec![0; usize::try_from(clusters.div_ceil(64)).unwrap_or(0)], cluster_bits }
    }

    /// The clusters of a byte range, as word and bit.
    fn places(&self, at: u64, bytes: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (first, last) = (at >> self.cluster_bits, (at + bytes.max(1) - 1) >> self.cluster_bits);
        (first..=last).map(|n| (usize::try_from(n / 64).unwrap_or(usize::MAX), 1 << (n % 64)))
    }

    fn is_claimed(&self, at: u64, bytes: u64) -> bool {
        self.places(at, bytes).any(|(word, bit)| self.bits.get(word).is_none_or(|w| w & bit != 0))
    }

    fn claim(&mut self, at: u64, bytes: u64, what: &str) -> Result<(), ImageError> {
        for (word, bit) in self.places(at, bytes) {
            let free = self.bits.get_mut(word).filter(|w| **w & bit == 0);
            let taken = free.map(|w| *w |= bit).is_some();
            require(taken, Reason::Overlap, CHECK, || {
                format!("the {what} at {at:#x} overlaps another part")
            })?;
        }
        Ok(())
    }
}

/// Walks everything the disk's size reaches; returns the bytes mapped to data.
pub(super) fn validate(
    header: &Header,
    source: &dyn ReadAt,
    limits: &Limits,
    report: &mut Report,
) -> Result<u64, ImageError> {
    let (mapping, cluster, file) = (Mapping { header, source }, header.cluster_size(), source.len());
    let mut claimed = Claimed::new(file, header.cluster_bits);
    claimed.claim(0, cluster, "header")?;
    claimed.claim(header.l1_offset, header.l1_size * 8, "L1 table")?;
    claimed.claim(header.refcount_offset, header.refcount_bytes, "refcount table")?;
    mapping.tables(0..header.l1_used, &mut |_, table| claimed.claim(table, cluster, "L2 table"))?;
    report.pass("qcow2.l1_entries", "aligned, inside the file, each table once");

    let (disk, mut data, mut streams, most) =
        (0..header.size, 0_u64, 0_u64, file.saturating_mul(limits.max_compressed_share));
    mapping.clusters(disk.clone(), &mut |guest, found| match found {
        Cluster::Plain { host, .. } => {
            claimed.claim(host, 1, "cluster")?;
            found.plain_runs(guest, cluster, &disk, &mut |run, _| {
                data += run.end - run.start;
                Ok(())
            })
        }
        Cluster::Compressed { len, .. } => {
            data += cluster.min(header.size - guest);
            streams += len;
            require(streams <= most, Reason::Bomb, "qcow2.compressed", || {
                format!("the compressed streams add up to more than {most} bytes in a file of {file}")
            })
        }
    })?;
    if streams > 0 {
        // A second walk, since a stream may come before the plain cluster it would overlap.
        mapping.clusters(disk, &mut |_, found| match found {
            Cluster::Compressed { host, len } => {
                require(!claimed.is_claimed(host, len), Reason::Overlap, CHECK, || {
                    format!("the compressed stream at {host:#x} overlaps another part")
                })
            }
            Cluster::Plain { .. } => Ok(()),
        })?;
    }
    report.pass("qcow2.l2_entries", "aligned and inside the file");
    report.pass("qcow2.compressed", format_args!("{streams} bytes of streams"));
    report.pass(CHECK, format_args!("{data} bytes of data, nothing overlaps"));
    Ok(data)
}
