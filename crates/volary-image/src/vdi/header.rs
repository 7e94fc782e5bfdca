//! The header: every field checked before it is used (`block/vdi.c`, `VdiHeader`; VirtualBox's `VDICore.h`, `VDIPREHEADER` and
//! `VDIHEADER1PLUS`).

use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

/// The bytes of a block.
pub(super) const BLOCK: u64 = 1 << 20;
const SECTOR: u64 = 512;
const VERSION: u32 = 0x0001_0001;
const DYNAMIC: u32 = 1;
const FIXED: u32 = 2;
const UNDO: u32 = 3;
const DIFFERENCING: u32 = 4;
/// VirtualBox's words for a fixed image and for zero blocks written as discarded, in the two places its versions put them.
const HARMLESS_FLAGS: u32 = 1 | 1 << 8 | 1 << 16;
/// And for a differencing image.
const DIFFERENCING_FLAGS: u32 = 1 << 1 | 1 << 17;
/// Where the header proper begins, behind its text, signature and version; its size counts from here.
const PREHEADER: u64 = 72;
/// The header proper up to the parent's id, its last field that matters.
const LEAST: u64 = 384;

/// What reading needs of the header, all of it checked.
pub(super) struct Header {
    /// Virtual size, rounded up to whole sectors.
    pub(super) size: u64,
    pub(super) map_offset: u64,
    data_offset: u64,
    /// Blocks in the data area; all are inside the file.
    pub(super) allocated: u64,
}

struct Fields([u8; SECTOR as usize]);

impl Fields {
    fn u32(&self, at: usize) -> u32 {
        let b = &self.0;
        u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    fn is_zero(&self, at: usize, len: usize) -> bool {
        self.0[at..at + len].iter().all(|&byte| byte == 0)
    }

    /// Text up to its NUL; whoever shows it makes it printable.
    fn text(&self, at: usize, len: usize) -> String {
        let text = self.0[at..at + len].split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).trim().to_owned()
    }
}

impl Header {
    /// Where a block of the data area is in the file.
    pub(super) fn host(&self, block: u64) -> u64 {
        self.data_offset + block * BLOCK
    }

    pub(super) fn parse(
        source: &dyn ReadAt,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let (file, most) = (source.len(), limits.max_container_bytes);
        require(file <= most, Reason::Limit, "vdi.file_bytes", || {
            format!("a file of {file} bytes, at most {most} are accepted")
        })?;
        // The map begins at a sector behind the header, so every image has this much.
        let mut fields = Fields([0; SECTOR as usize]);
        read_meta(source, &mut fields.0, 0, "vdi.header")?;
        fields.check_kind(report)?;
        fields.check_parent(report)?;
        fields.check_geometry(report)?;
        let size = fields.size(limits, report)?;
        fields.layout(size, file, report)
    }
}

impl Fields {
    fn check_kind(&self, report: &mut Report) -> Result<(), ImageError> {
        require(self.u32(64) == 0xbeda_107f, Reason::Malformed, "vdi.signature", || {
            format!("{:#010x} is not the signature", self.u32(64))
        })?;
        report.pass("vdi.signature", self.text(0, 64));
        let version = self.u32(68);
        require(version == VERSION, Reason::UnknownFeature, "vdi.version", || {
            format!("version {}.{}; 1.1 is known", version >> 16, version & 0xffff)
        })?;
        report.pass("vdi.version", "1.1");
        let (kind, flags) = (self.u32(76), self.u32(80));
        let differs = matches!(kind, UNDO | DIFFERENCING) || flags & DIFFERENCING_FLAGS != 0;
        require(!differs, Reason::BackingFile, "vdi.image_type", || {
            format!("type {kind}, flags {flags:#x}: the differences to another image")
        })?;
        require(matches!(kind, DYNAMIC | FIXED), Reason::UnknownFeature, "vdi.image_type", || {
            format!("type {kind}; dynamic (1) and fixed (2) are known")
        })?;
        report.pass("vdi.image_type", if kind == FIXED { "fixed" } else { "dynamic" });
        require(flags & !HARMLESS_FLAGS == 0, Reason::UnknownFeature, "vdi.flags", || {
            format!("unknown flags in {flags:#x}")
        })?;
        report.pass("vdi.flags", format_args!("{flags:#x}"));
        let description = self.text(84, 256);
        if !description.is_empty() {
            report.note("vdi.description", description);
        }
        Ok(())
    }

    fn check_parent(&self, report: &mut Report) -> Result<(), ImageError> {
        for (at, name) in [(424, "linked"), (440, "parent")] {
            require(self.is_zero(at, 16), Reason::BackingFile, "vdi.parent", || {
                format!("the image names a {name} image")
            })?;
        }
        report.pass("vdi.parent", "none");
        Ok(())
    }

    fn check_geometry(&self, report: &mut Report) -> Result<(), ImageError> {
        let (sector, block, extra) = (self.u32(360), self.u32(376), self.u32(380));
        require(u64::from(sector) == SECTOR, Reason::Malformed, "vdi.sector_size", || {
            format!("{sector} is not {SECTOR}")
        })?;
        report.pass("vdi.sector_size", sector);
        require(u64::from(block) == BLOCK && extra == 0, Reason::UnknownFeature, "vdi.block_size", || {
            format!("blocks of {block} bytes and {extra} extra; {BLOCK} and 0 are known")
        })?;
        report.pass("vdi.block_size", block);
        Ok(())
    }

    fn size(&self, limits: &Limits, report: &mut Report) -> Result<u64, ImageError> {
        let (claimed, most) = (self.u64(368), limits.max_virtual_bytes);
        require(claimed > 0, Reason::Malformed, "vdi.size", || "the size is 0".to_owned())?;
        let size =
            claimed.checked_next_multiple_of(SECTOR).filter(|&size| size <= most).ok_or_else(|| {
                refused(Reason::Limit, "vdi.size", format!("{claimed} bytes, at most {most} are accepted"))
            })?;
        report.virtual_size = Some(size);
        report.pass("vdi.size", size);
        Ok(size)
    }

    /// Header, map and data area: in this order, apart from each other and inside the file. Every product here is of 32-bit fields.
    fn layout(&self, size: u64, file: u64, report: &mut Report) -> Result<Header, ImageError> {
        let [length, map_offset, data_offset, blocks, allocated] =
            [72, 340, 344, 384, 388].map(|at| u64::from(self.u32(at)));
        require(length >= LEAST, Reason::Malformed, "vdi.header_size", || {
            format!("{length} bytes, at least {LEAST}")
        })?;
        report.pass("vdi.header_size", length);
        let needed = size.div_ceil(BLOCK);
        require(blocks == needed, Reason::Malformed, "vdi.blocks", || {
            format!("{blocks} blocks, the size needs {needed}")
        })?;
        require(allocated <= blocks, Reason::Malformed, "vdi.blocks_allocated", || {
            format!("{allocated} of {blocks} blocks")
        })?;
        report.pass("vdi.blocks", blocks);

        const LAYOUT: &str = "vdi.layout";
        for (name, at) in [("map", map_offset), ("data", data_offset)] {
            require(at > 0 && at.is_multiple_of(SECTOR), Reason::Malformed, LAYOUT, || {
                format!("the {name} offset {at:#x} is 0 or misaligned")
            })?;
        }
        let (header_end, map_end, data_end) =
            (PREHEADER + length, map_offset + blocks * 4, data_offset + allocated * BLOCK);
        require(header_end <= map_offset, Reason::Overlap, LAYOUT, || {
            format!("the header of {header_end} bytes overlaps the map at {map_offset:#x}")
        })?;
        require(map_end <= data_offset, Reason::Overlap, LAYOUT, || {
            format!("the map up to {map_end:#x} overlaps the data at {data_offset:#x}")
        })?;
        require(data_end <= file, Reason::Truncated, LAYOUT, || {
            format!("the data up to {data_end:#x} leaves the file of {file} bytes")
        })?;
        report.pass(LAYOUT, format_args!("map at {map_offset:#x}, data at {data_offset:#x}"));
        Ok(Header { size, map_offset, data_offset, allocated })
    }
}
