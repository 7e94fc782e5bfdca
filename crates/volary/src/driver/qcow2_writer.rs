//! Writing qcow2, version 3: 64 KiB clusters, nothing compressed, no snapshots.
//!
//! Clusters are handed out in rising order and never given back, so every cluster of the file is used exactly once and
//! the reference counts need not be kept: they are all one, and written at the end. Layout: header, L1 table, then data
//! and L2 tables as they come, then the reference counts.

use super::block::{Block, GRANULE_BYTES};
use super::output_file::write_behind;
use super::transfer::{BlockSink, on_thread};
use crate::direct::DirectFile;
use crate::{Ctl, Error, ErrorKind, Result};
use async_trait::async_trait;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

const CLUSTER: u64 = GRANULE_BYTES as u64;
/// What one L2 table maps: a cluster of 8-byte entries.
const L2_SPAN: u64 = CLUSTER / 8 * CLUSTER;
/// How many clusters one block of 2-byte reference counts counts.
const COUNTS_PER_BLOCK: u64 = CLUSTER / 2;
/// The bit of an entry whose cluster is referred to once.
const COPIED: u64 = 1 << 63;
/// QEMU opens no larger L1 table.
const MAX_L1_BYTES: u64 = 32 << 20;

/// A qcow2 file on its way.
#[derive(Clone)]
pub(crate) struct Qcow2Writer(Arc<Inner>);

struct Inner {
    file: Arc<File>,
    clusters: DirectFile,
    size_bytes: u64,
    allocated: Mutex<Allocated>,
}

struct Allocated {
    next: u64,
    l1: Vec<u64>,
}

impl Qcow2Writer {
    /// Begins an image of so many bytes, rounded up to a sector.
    pub(crate) fn new(file: Arc<File>, size_bytes: u64) -> Result<Self> {
        let entries = size_bytes.div_ceil(L2_SPAN).max(1);
        if entries * 8 > MAX_L1_BYTES {
            return Err(Error::new(ErrorKind::Unsupported, "the volume is too large for a qcow2 file"));
        }
        let next = 1 + (entries * 8).div_ceil(CLUSTER);
        let allocated = Mutex::new(Allocated { next, l1: vec![0; entries as usize] });
        let size_bytes = size_bytes.next_multiple_of(512);
        let clusters = DirectFile::new(file.clone());
        Ok(Qcow2Writer(Arc::new(Inner { file, clusters, size_bytes, allocated })))
    }

    /// Writes tables and header, and returns the file's length. Nothing may be written after.
    pub(crate) async fn finish(&self) -> Result<u64> {
        let inner = self.0.clone();
        on_thread("finishing the qcow2 file", move || {
            inner.finish().map_err(|error| Error::io("finishing the qcow2 file", error))
        })
        .await
    }
}

#[async_trait]
impl BlockSink for Qcow2Writer {
    async fn write(&self, start: u64, block: Block, _ctl: &Ctl) -> Result<()> {
        let inner = self.0.clone();
        on_thread("writing the file", move || {
            inner.write(start, &block).map_err(|error| Error::io("writing the file", error))
        })
        .await
    }

    async fn flush(&self, _ctl: &Ctl) -> Result<()> {
        Ok(())
    }
}

impl Inner {
    /// A block is a part of one L2 table, and its runs begin at clusters.
    fn write(&self, start: u64, block: &Block) -> std::io::Result<()> {
        let clusters = block.runs.iter().map(|run| run.len().div_ceil(GRANULE_BYTES) as u64).sum::<u64>();
        let (l2, mut cluster) = {
            let mut allocated = self.allocated.lock().unwrap_or_else(PoisonError::into_inner);
            let allocated = &mut *allocated;
            let l2 = &mut allocated.l1[(start / L2_SPAN) as usize];
            if *l2 == 0 {
                *l2 = allocated.next * CLUSTER;
                allocated.next += 1;
            }
            let first = allocated.next;
            allocated.next += clusters;
            (*l2, first)
        };
        let first = cluster;
        let mut entries = vec![0; block.bytes.len().div_ceil(GRANULE_BYTES) * 8];
        for run in &block.runs {
            self.clusters.write_all_at(&block.bytes[run.clone()], cluster * CLUSTER)?;
            for index in run.clone().step_by(GRANULE_BYTES).map(|offset| offset / GRANULE_BYTES) {
                let entry = (cluster * CLUSTER) | COPIED;
                entries[index * 8..index * 8 + 8].copy_from_slice(&entry.to_be_bytes());
                cluster += 1;
            }
        }
        write_behind(&self.file, first * CLUSTER, clusters * CLUSTER);
        self.file.write_all_at(&entries, l2 + start % L2_SPAN / CLUSTER * 8)
    }

    fn finish(&self) -> std::io::Result<u64> {
        let allocated = self.allocated.lock().unwrap_or_else(PoisonError::into_inner);
        let used = allocated.next;
        // The counts count themselves: enlarge until they cover what they need.
        let (mut blocks, mut table) = (0, 0);
        let total = loop {
            let total = used + blocks + table;
            let (needed, needed_table) = (total.div_ceil(COUNTS_PER_BLOCK), (blocks * 8).div_ceil(CLUSTER));
            if needed == blocks && needed_table == table {
                break total;
            }
            (blocks, table) = (needed.max(blocks), needed_table.max(table));
        };
        for block in 0..blocks {
            let counted = (total - block * COUNTS_PER_BLOCK).min(COUNTS_PER_BLOCK) as usize;
            self.file.write_all_at(&[0, 1].repeat(counted), (used + block) * CLUSTER)?;
        }
        let table_offset = (used + blocks) * CLUSTER;
        let offsets = (0..blocks).flat_map(|block| ((used + block) * CLUSTER).to_be_bytes());
        self.file.write_all_at(&offsets.collect::<Vec<_>>(), table_offset)?;
        let l1 = allocated.l1.iter().map(|l2| if *l2 == 0 { 0 } else { l2 | COPIED });
        self.file.write_all_at(&l1.flat_map(u64::to_be_bytes).collect::<Vec<_>>(), CLUSTER)?;
        self.file.set_len(total * CLUSTER)?;

        let mut header = Vec::with_capacity(112);
        header.extend(b"QFI\xfb");
        header.extend(3_u32.to_be_bytes());
        header.extend([0; 12]); // no backing file: offset and length
        header.extend(CLUSTER.trailing_zeros().to_be_bytes());
        header.extend(self.size_bytes.to_be_bytes());
        header.extend([0; 4]); // not encrypted
        header.extend((allocated.l1.len() as u32).to_be_bytes());
        header.extend(CLUSTER.to_be_bytes()); // where the L1 table is
        header.extend(table_offset.to_be_bytes());
        header.extend((table as u32).to_be_bytes());
        header.extend([0; 12]); // no snapshots: count and offset
        header.extend([0; 24]); // no feature bits
        header.extend(4_u32.to_be_bytes()); // reference counts of 2^4 bits
        header.extend(104_u32.to_be_bytes()); // the header's length
        header.extend([0; 8]); // the end of the extensions
        // Last, so that what is cut short is no image.
        self.file.write_all_at(&header, 0)?;
        Ok(total * CLUSTER)
    }
}
