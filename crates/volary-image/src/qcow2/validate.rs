//! The validating pass: the whole active mapping, before anything is read or created.
//!
//! Each table and plain cluster may be referenced once, noted in a bitmap that is sized by the file, so time and memory follow the
//! file's length whatever the header claims. What is only there for others to read claims its clusters too: refcount blocks, the table
//! of snapshots and their L1 tables. Data that lies on one of them would change with it. Compressed streams may share sectors (valid
//! images do); their lengths are summed instead.

use super::header::Header;
use super::mapping::{Cluster, Mapping};
use super::{refcounts, snapshots};
use crate::claimed::Claimed;
use crate::inspect::Report;
use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;

const CHECK: &str = "qcow2.mapping";

/// Walks everything the disk's size reaches; returns the bytes mapped to data.
pub(super) fn validate(
    header: &Header,
    source: &dyn ReadAt,
    limits: &Limits,
    report: &mut Report,
) -> Result<u64, ImageError> {
    let (mapping, cluster, file) = (Mapping { header, source }, header.cluster_size(), source.len());
    let mut claimed = Claimed::new(file, header.cluster_bits, CHECK);
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
    refcounts::claim(header, source, &mut claimed)?;
    snapshots::claim(header, source, &mut claimed)?;
    report.pass("qcow2.refcount_blocks", "aligned, inside the file, each once, on nothing else");
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
