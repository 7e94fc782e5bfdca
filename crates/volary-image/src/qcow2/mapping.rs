//! From the disk's offsets to the file's: the one reader of L1 and L2 tables (`docs/interop/qcow2`, section "Cluster mapping").
//!
//! Validation, extents and reading all walk through here, so a table entry is never used unchecked, even when the file changes after
//! it was validated. Tables are read in bounded pieces; what is not allocated is not visited, and a table in a hole is not read, so
//! the work follows the bytes the file really has.

use super::header::Header;
use crate::metadata::Table;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::ops::Range;

/// Where an allocated cluster's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cluster {
    /// As they are, in a host cluster; of its 32 subclusters those with a set bit, all without extended L2. None set: it reads as zeros.
    Plain { host: u64, subclusters: u32 },
    /// In a compressed stream.
    Compressed { host: u64, len: u64 },
}

/// A header and the file it was read from.
#[derive(Clone, Copy)]
pub(super) struct Mapping<'a> {
    pub(super) header: &'a Header,
    pub(super) source: &'a dyn ReadAt,
}

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
const L1: &str = "qcow2.l1_entries";
const L2: &str = "qcow2.l2_entries";

fn malformed(check: &'static str, what: &str, entry: u64) -> ImageError {
    refused(Reason::Malformed, check, format!("{what} in entry {entry:#018x}"))
}

impl Mapping<'_> {
    /// Visits the index and offset of each L2 table of a range of L1 entries.
    pub(super) fn tables(
        &self,
        range: Range<u64>,
        visit: &mut dyn FnMut(u64, u64) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let table = Table { at: self.header.l1_offset, entry_bytes: 8, check: L1 };
        table.visit(self.source, range, &mut |index, raw| {
            let entry = u64_at(raw, 0);
            match self.table_offset(entry)? {
                0 => Ok(()),
                offset => visit(index, offset),
            }
        })
    }

    fn table_offset(&self, entry: u64) -> Result<u64, ImageError> {
        let (offset, cluster) = (entry & OFFSET, self.header.cluster_size());
        if entry & !(OFFSET | COPIED) != 0 {
            return Err(malformed(L1, "reserved bits", entry));
        }
        if !offset.is_multiple_of(cluster) {
            return Err(malformed(L1, "a misaligned offset", entry));
        }
        require(offset + cluster <= self.source.len(), Reason::Truncated, L1, || {
            format!("the L2 table at {offset:#x} leaves the file")
        })?;
        Ok(offset)
    }

    /// Visits the allocated clusters that a byte range of the disk touches, in rising order, with the offset each begins at.
    pub(super) fn clusters(
        &self,
        window: Range<u64>,
        visit: &mut dyn FnMut(u64, Cluster) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        if window.is_empty() {
            return Ok(());
        }
        let (bits, per_table) = (self.header.cluster_bits, self.header.l2_entries());
        let (first, last) = (window.start >> bits, (window.end - 1) >> bits);
        let bytes = self.header.entry_bytes();
        self.tables(first / per_table..last / per_table + 1, &mut |index, at| {
            let base = index * per_table;
            let range = first.max(base) - base..last.min(base + per_table - 1) - base + 1;
            let table = Table { at, entry_bytes: bytes, check: L2 };
            table.visit(self.source, range, &mut |slot, raw| {
                let bitmap = if bytes == 16 { u64_at(raw, 8) } else { 0 };
                match self.decode(u64_at(raw, 0), bitmap)? {
                    Some(cluster) => visit((base + slot) << bits, cluster),
                    None => Ok(()),
                }
            })
        })
    }

    /// Checks one L2 entry and its subcluster bitmap; `None` is a cluster without a place in the file.
    fn decode(&self, entry: u64, bitmap: u64) -> Result<Option<Cluster>, ImageError> {
        let (cluster, file) = (self.header.cluster_size(), self.source.len());
        if entry & COMPRESSED != 0 {
            if bitmap != 0 {
                return Err(malformed(L2, "a subcluster bitmap of a compressed cluster", bitmap));
            }
            return self.decode_compressed(entry).map(Some);
        }
        let (allocated, zeroed) = (bitmap & 0xffff_ffff, bitmap >> 32);
        if allocated & zeroed != 0 {
            return Err(malformed(L2, "a subcluster both allocated and zero", bitmap));
        }
        // The zero flag came with version 3 and gave way to the bitmap with extended L2.
        let flag = if self.header.version >= 3 && !self.header.extended_l2 { ZERO } else { 0 };
        if entry & !(OFFSET | COPIED | flag) != 0 {
            return Err(malformed(L2, "reserved bits", entry));
        }
        let host = entry & OFFSET;
        if !host.is_multiple_of(cluster) {
            return Err(malformed(L2, "a misaligned offset", entry));
        }
        if host == 0 {
            return if allocated == 0 {
                Ok(None)
            } else {
                Err(malformed(L2, "allocated subclusters without a cluster", bitmap))
            };
        }
        // Only the file's last cluster may be short, which is then at its end.
        require(host < file, Reason::Truncated, L2, || {
            format!("the cluster at {host:#x} is not in the file")
        })?;
        let subclusters = match (self.header.extended_l2, entry & flag) {
            (true, _) => u32::try_from(allocated).unwrap_or(u32::MAX),
            (false, 0) => u32::MAX,
            (false, _) => 0,
        };
        Ok(Some(Cluster::Plain { host, subclusters }))
    }

    fn decode_compressed(&self, entry: u64) -> Result<Cluster, ImageError> {
        let file = self.source.len();
        let offset_bits = 62 - (self.header.cluster_bits - 8);
        let host = entry & ((1 << offset_bits) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> offset_bits;
        let end = (host - host % 512) + (sectors + 1) * 512;
        // The count is in sectors: the file itself may end inside the last one.
        let there = host < file && end <= file.next_multiple_of(512);
        require(there, Reason::Truncated, L2, || {
            format!("the compressed stream at {host:#x} leaves the file")
        })?;
        Ok(Cluster::Compressed { host, len: end.min(file) - host })
    }
}

impl Cluster {
    /// Visits the disk range and host offset of each plain run inside `window`; a compressed cluster has none.
    pub(super) fn plain_runs(
        self,
        guest: u64,
        cluster: u64,
        window: &Range<u64>,
        visit: &mut dyn FnMut(Range<u64>, u64) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let Self::Plain { host, subclusters } = self else { return Ok(()) };
        let part = |bit: u32| cluster * u64::from(bit) / 32;
        let mut bit = 0;
        while bit < 32 {
            let run = (subclusters >> bit).trailing_ones();
            let start = window.start.max(guest + part(bit));
            let end = window.end.min(guest + part(bit + run));
            if start < end {
                visit(start..end, host + (start - guest))?;
            }
            bit += run.max(1);
        }
        Ok(())
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
