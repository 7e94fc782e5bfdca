//! The sparse header: every field checked before it is used (section "Hosted Sparse Extents").

use super::{SECTOR, footer};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

/// What reading needs of header and footer, all of it checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Virtual size in bytes.
    pub(super) size: u64,
    /// Bytes of one grain.
    pub(super) grain: u64,
    /// Whether grains are streams behind a marker.
    pub(super) compressed: bool,
    /// Whether a table entry of 1 is a grain of zeros.
    pub(super) zeroed: bool,
    /// Bytes of the descriptor, which starts at the second sector.
    pub(super) descriptor_bytes: u64,
    /// Where the grain directory is.
    pub(super) directory: u64,
    /// Where its copy is.
    pub(super) redundant: Option<u64>,
    /// Where grains may begin: what comes before is kept for header, descriptor and tables, also where it is free.
    pub(super) overhead: u64,
    /// Where the footer begins, with its marker; it ends the file.
    pub(super) footer: Option<u64>,
}

pub(super) const MAGIC: &[u8] = b"KDMV";
/// Entries of a grain table, the only number there is.
pub(super) const PER_TABLE: u64 = 512;
/// Table entries count sectors in 32 bits. At one bit a sector the bitmap is 512 MiB then.
const MAX_FILE: u64 = 1 << 41;
const MAX_DESCRIPTOR: u64 = 1 << 20;
const NEWLINES: u32 = 1;
const REDUNDANT: u32 = 1 << 1;
const ZEROED: u32 = 1 << 2;
const COMPRESSED: u32 = 1 << 16;
const MARKERS: u32 = 1 << 17;
/// A directory that is found by the footer.
const AT_END: u64 = u64::MAX;

/// One sector with little-endian fields.
pub(super) struct Sector(pub(super) [u8; SECTOR as usize]);

impl Sector {
    pub(super) fn read(source: &dyn ReadAt, at: u64, check: &'static str) -> Result<Self, ImageError> {
        let mut sector = Self([0; SECTOR as usize]);
        read_meta(source, &mut sector.0, at, check)?;
        Ok(sector)
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        let b = &self.0;
        u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }
}

impl Header {
    /// Entries of the grain directory.
    pub(super) fn tables(&self) -> u64 {
        self.size.div_ceil(self.grain * PER_TABLE)
    }

    /// Bytes the disk has of the grain at an offset of it: the last may be cut.
    pub(super) fn grain_bytes(&self, guest: u64) -> u64 {
        self.grain.min(self.size.saturating_sub(guest))
    }

    pub(super) fn parse(
        source: &dyn ReadAt,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let (file, head) = (source.len(), Sector::read(source, 0, "vmdk.header")?);
        let most = limits.max_container_bytes.min(MAX_FILE);
        require(file <= most, Reason::Limit, "vmdk.file_bytes", || {
            format!("a file of {file} bytes, at most {most} are accepted")
        })?;
        // Everything is whole sectors, and every writer fills the last.
        require(file.is_multiple_of(SECTOR), Reason::Truncated, "vmdk.file_bytes", || {
            format!("a file of {file} bytes ends inside a sector")
        })?;
        let version = head.u32(4);
        require((1..=3).contains(&version), Reason::UnknownFeature, "vmdk.version", || {
            format!("version {version}; 1 to 3 are known")
        })?;
        report.pass("vmdk.version", version);
        let flags = check_features(&head, version)?;
        report.pass("vmdk.features", format_args!("flags {flags:#x}"));

        let (sectors, most) = (head.u64(12), limits.max_virtual_bytes);
        require(sectors > 0, Reason::Malformed, "vmdk.size", || "the size is 0".to_owned())?;
        let size = sectors.checked_mul(SECTOR).filter(|&size| size <= most).ok_or_else(|| {
            let detail = format!("{sectors} sectors, at most {most} bytes are accepted");
            refused(Reason::Limit, "vmdk.size", detail)
        })?;
        report.virtual_size = Some(size);
        report.pass("vmdk.size", size);
        let grain = head.u64(20);
        let known = grain.is_power_of_two() && (8..=256).contains(&grain);
        require(known, Reason::Malformed, "vmdk.grain_size", || {
            format!("{grain} sectors are not a power of two in 8..=256")
        })?;
        report.pass("vmdk.grain_size", grain * SECTOR);
        let entries = head.u32(44);
        require(u64::from(entries) == PER_TABLE, Reason::Malformed, "vmdk.table_size", || {
            format!("tables of {entries} entries, not {PER_TABLE}")
        })?;
        let descriptor_bytes = check_descriptor_place(&head)?;

        let compressed = flags & COMPRESSED != 0;
        let mut header = Self {
            size,
            grain: grain * SECTOR,
            compressed,
            zeroed: flags & ZEROED != 0,
            descriptor_bytes,
            directory: 0,
            redundant: None,
            overhead: 0,
            footer: None,
        };
        let mut last = head;
        if last.u64(56) == AT_END {
            require(compressed, Reason::Malformed, "vmdk.footer", || {
                "only a stream has its directory at the end".to_owned()
            })?;
            let (at, footer) = footer::read(source, &last)?;
            (header.footer, last) = (Some(at), footer);
            report.pass("vmdk.footer", "agrees with the header");
        }
        header.place_directories(&last, flags, file)?;
        report.pass("vmdk.directory", format_args!("{} entries", header.tables()));
        if last.0[72] != 0 {
            report.note("vmdk.unclean", "the image was not closed by its last writer");
        }
        Ok(header)
    }

    fn place_directories(&mut self, last: &Sector, flags: u32, file: u64) -> Result<(), ImageError> {
        // QEMU refuses this too: a file cut in the room kept for metadata.
        self.overhead = place(last.u64(64), 0, file, "vmdk.overhead")?;
        let bytes = self.tables() * 4;
        self.directory = place(last.u64(56), bytes, file, "vmdk.directory")?;
        if flags & REDUNDANT != 0 {
            self.redundant = Some(place(last.u64(48), bytes, file, "vmdk.redundant")?);
        }
        Ok(())
    }
}

/// The offset of a sector with so many bytes of the file behind it.
fn place(sector: u64, bytes: u64, file: u64, check: &'static str) -> Result<u64, ImageError> {
    let end = |at: u64| at.checked_add(bytes);
    sector.checked_mul(SECTOR).filter(|&at| end(at).is_some_and(|end| end <= file)).ok_or_else(|| {
        refused(Reason::Truncated, check, format!("{bytes} bytes at sector {sector} leave the file"))
    })
}

fn check_features(head: &Sector, version: u32) -> Result<u32, ImageError> {
    const CHECK: &str = "vmdk.features";
    let (flags, b) = (head.u32(8), &head.0);
    let unknown = flags & !(NEWLINES | REDUNDANT | ZEROED | COMPRESSED | MARKERS);
    require(unknown == 0, Reason::UnknownFeature, CHECK, || format!("unknown flags {unknown:#x}"))?;
    let method = u16::from_le_bytes([b[77], b[78]]);
    require(method <= 1, Reason::UnknownFeature, CHECK, || format!("compression method {method}"))?;
    // Readers go by one or the other, and must not see two different disks.
    let packed = method == 1;
    let agree = (flags & COMPRESSED != 0) == packed && (flags & MARKERS != 0) == packed;
    require(agree, Reason::Malformed, CHECK, || {
        format!("flags {flags:#x} and compression method {method} disagree")
    })?;
    require(flags & ZEROED == 0 || version > 1, Reason::Malformed, CHECK, || {
        "version 1 knows no grains of zeros".to_owned()
    })?;
    require(flags & NEWLINES == 0 || b[73..77] == *b"\n \r\n", Reason::Malformed, CHECK, || {
        "the line ends were changed, as a transfer of text does".to_owned()
    })?;
    Ok(flags)
}

/// The length of the embedded descriptor, in bytes.
fn check_descriptor_place(head: &Sector) -> Result<u64, ImageError> {
    const CHECK: &str = "vmdk.descriptor";
    let (at, sectors) = (head.u64(28), head.u64(36));
    require(at != 0, Reason::DataFile, CHECK, || {
        "no descriptor: one extent of a disk of several files".to_owned()
    })?;
    require(at == 1 && sectors > 0, Reason::Malformed, CHECK, || {
        format!("{sectors} sectors at sector {at}, not at the second")
    })?;
    sectors.checked_mul(SECTOR).filter(|&bytes| bytes <= MAX_DESCRIPTOR).ok_or_else(|| {
        refused(Reason::Limit, CHECK, format!("{sectors} sectors, at most {MAX_DESCRIPTOR} bytes"))
    })
}
