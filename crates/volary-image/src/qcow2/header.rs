//! The header: every field checked before it is used (`docs/interop/qcow2`, section "Header").

use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

/// How compressed clusters are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Zlib,
    Zstd,
}

/// What reading needs of the header, all of it checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    /// Virtual size, rounded up to whole sectors.
    pub(super) size: u64,
    pub(super) l1_offset: u64,
    /// Entries in the file.
    pub(super) l1_size: u64,
    /// Entries the size needs; the others are ignored.
    pub(super) l1_used: u64,
    pub(super) refcount_offset: u64,
    pub(super) refcount_bytes: u64,
    pub(super) snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) compression: Compression,
    pub(super) extended_l2: bool,
    /// Where the header extensions start.
    pub(super) length: u64,
}

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const RAW_EXTERNAL: u64 = 1 << 1;
/// QEMU's own bounds on tables.
const MAX_L1_BYTES: u64 = 32 << 20;
const MAX_REFCOUNT_BYTES: u64 = 8 << 20;
const MAX_SNAPSHOTS: u32 = 65_536;
/// Header and compression type with its padding.
const LONGEST: usize = 112;

struct Fields([u8; LONGEST]);

impl Fields {
    fn u32(&self, at: usize) -> u32 {
        let b = &self.0;
        u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) << 32 | u64::from(self.u32(at + 4))
    }
}

impl Header {
    pub(super) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    pub(super) fn entry_bytes(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Entries of one L2 table.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster_size() / self.entry_bytes()
    }

    pub(super) fn parse(
        source: &dyn ReadAt,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let file = source.len();
        let mut fields = Fields([0; LONGEST]);
        read_meta(source, &mut fields.0[..72], 0, "qcow2.header")?;
        let version = fields.u32(4);
        require(matches!(version, 2 | 3), Reason::UnknownFeature, "qcow2.version", || {
            format!("version {version}; 2 and 3 are known")
        })?;
        report.pass("qcow2.version", version);

        // In version 2 the header ends here; whatever follows is not a feature field.
        let mut length = 72;
        if version == 3 {
            read_meta(source, &mut fields.0[72..104], 72, "qcow2.header")?;
            length = u64::from(fields.u32(100));
            require(
                length >= 104 && length.is_multiple_of(8),
                Reason::Malformed,
                "qcow2.header_length",
                || format!("{length} is not a multiple of 8 from 104 on"),
            )?;
            if length > 104 {
                read_meta(source, &mut fields.0[104..], 104, "qcow2.header")?;
            }
        }
        let (incompatible, autoclear) = (fields.u64(72), fields.u64(88));
        Self::check_features(incompatible, autoclear)?;
        report.pass("qcow2.features", format_args!("incompatible {incompatible:#x}"));
        if incompatible & DIRTY != 0 {
            report.note(
                "qcow2.dirty",
                "the image was not closed by its last writer: what was written last may be missing",
            );
        }

        let backing = fields.u64(8);
        require(backing == 0, Reason::BackingFile, "qcow2.backing_file", || {
            "the image names a backing file".to_owned()
        })?;
        report.pass("qcow2.backing_file", "none");
        let crypt = fields.u32(32);
        require(crypt == 0, Reason::Encrypted, "qcow2.encryption", || format!("encryption method {crypt}"))?;
        report.pass("qcow2.encryption", "none");

        let extended_l2 = incompatible & EXTENDED_L2 != 0;
        let cluster_bits = fields.u32(20);
        let least = if extended_l2 { 14 } else { 9 };
        require((least..=21).contains(&cluster_bits), Reason::Malformed, "qcow2.cluster_bits", || {
            format!("{cluster_bits} is not in {least}..=21")
        })?;
        let cluster = 1_u64 << cluster_bits;
        report.pass("qcow2.cluster_bits", cluster_bits);
        let most = if cluster < 4096 {
            limits.max_small_cluster_file_bytes.min(limits.max_container_bytes)
        } else {
            limits.max_container_bytes
        };
        require(file <= most, Reason::Limit, "qcow2.file_bytes", || {
            format!("a file of {file} bytes, at most {most} are accepted with clusters of {cluster}")
        })?;
        require(file >= cluster, Reason::Truncated, "qcow2.header", || "no whole header cluster".to_owned())?;
        require(length <= cluster, Reason::Malformed, "qcow2.header_length", || {
            format!("{length} is longer than a cluster")
        })?;

        let (claimed, most) = (fields.u64(24), limits.max_virtual_bytes);
        require(claimed > 0, Reason::Malformed, "qcow2.size", || "the size is 0".to_owned())?;
        let size = claimed.checked_next_multiple_of(512).filter(|&size| size <= most).ok_or_else(|| {
            let detail = format!("{claimed} bytes, at most {most} are accepted");
            refused(Reason::Limit, "qcow2.size", detail)
        })?;
        report.virtual_size = Some(size);
        report.pass("qcow2.size", size);

        let compression =
            Self::check_compression(incompatible, if length > 104 { fields.0[104] } else { 0 })?;
        report.pass("qcow2.compression_type", format_args!("{compression:?}").to_string().to_lowercase());
        let order = if version == 3 { fields.u32(96) } else { 4 };
        require(order <= 6, Reason::Malformed, "qcow2.refcount_order", || format!("{order} is above 6"))?;
        report.pass("qcow2.refcount_order", order);

        let mut header = Self {
            version,
            cluster_bits,
            size,
            l1_offset: fields.u64(40),
            l1_size: u64::from(fields.u32(36)),
            l1_used: 0,
            refcount_offset: fields.u64(48),
            refcount_bytes: u64::from(fields.u32(56)) << cluster_bits,
            snapshots: fields.u32(60),
            snapshots_offset: fields.u64(64),
            compression,
            extended_l2,
            length,
        };
        header.l1_used = size.div_ceil(cluster * header.l2_entries());
        header.check_tables(file)?;
        report.pass("qcow2.l1_table", format_args!("{} entries, {} used", header.l1_size, header.l1_used));
        if header.snapshots > 0 {
            let detail = format!("{} internal snapshots, whose data is not imported", header.snapshots);
            report.note("qcow2.snapshots", detail);
        }
        Ok(header)
    }

    fn check_features(incompatible: u64, autoclear: u64) -> Result<(), ImageError> {
        require(incompatible & DATA_FILE == 0, Reason::DataFile, "qcow2.data_file", || {
            "the image keeps its data in another file".to_owned()
        })?;
        require(autoclear & RAW_EXTERNAL == 0, Reason::DataFile, "qcow2.data_file", || {
            "the image claims a raw external data file".to_owned()
        })?;
        require(incompatible & CORRUPT == 0, Reason::UnknownFeature, "qcow2.features", || {
            "the image is marked corrupt".to_owned()
        })?;
        let unknown = incompatible & !(DIRTY | COMPRESSION_TYPE | EXTENDED_L2);
        require(unknown == 0, Reason::UnknownFeature, "qcow2.features", || {
            format!("unknown incompatible features {unknown:#x}")
        })
    }

    fn check_compression(incompatible: u64, kind: u8) -> Result<Compression, ImageError> {
        const CHECK: &str = "qcow2.compression_type";
        require((incompatible & COMPRESSION_TYPE != 0) == (kind != 0), Reason::Malformed, CHECK, || {
            format!("type {kind} and its feature bit disagree")
        })?;
        match kind {
            0 => Ok(Compression::Zlib),
            1 => Ok(Compression::Zstd),
            _ => Err(refused(Reason::UnknownFeature, CHECK, format!("type {kind} is unknown"))),
        }
    }

    fn check_tables(&self, file: u64) -> Result<(), ImageError> {
        let l1_bytes = self.l1_size * 8;
        require(l1_bytes <= MAX_L1_BYTES, Reason::Limit, "qcow2.l1_table", || {
            format!("{l1_bytes} bytes, at most {MAX_L1_BYTES}")
        })?;
        require(self.l1_size >= self.l1_used, Reason::Malformed, "qcow2.l1_table", || {
            format!("{} entries, the size needs {}", self.l1_size, self.l1_used)
        })?;
        self.check_table(self.l1_offset, l1_bytes, file, "qcow2.l1_table")?;
        require(self.refcount_bytes <= MAX_REFCOUNT_BYTES, Reason::Limit, "qcow2.refcount_table", || {
            format!("{} bytes, at most {MAX_REFCOUNT_BYTES}", self.refcount_bytes)
        })?;
        require(self.refcount_bytes > 0, Reason::Malformed, "qcow2.refcount_table", || {
            "it is empty".to_owned()
        })?;
        self.check_table(self.refcount_offset, self.refcount_bytes, file, "qcow2.refcount_table")?;
        if self.snapshots > 0 {
            require(self.snapshots <= MAX_SNAPSHOTS, Reason::Limit, "qcow2.snapshots", || {
                format!("{} snapshots, at most {MAX_SNAPSHOTS}", self.snapshots)
            })?;
            // An entry has at least its 40 fixed bytes.
            self.check_table(self.snapshots_offset, u64::from(self.snapshots) * 40, file, "qcow2.snapshots")?;
        }
        Ok(())
    }

    fn check_table(&self, at: u64, bytes: u64, file: u64, check: &'static str) -> Result<(), ImageError> {
        let placed = at.is_multiple_of(self.cluster_size()) && at >= self.cluster_size();
        require(placed, Reason::Malformed, check, || {
            format!("its offset {at:#x} is misaligned or in the header")
        })?;
        require(at.checked_add(bytes).is_some_and(|end| end <= file), Reason::Truncated, check, || {
            format!("{bytes} bytes at {at:#x} leave the file")
        })
    }
}
