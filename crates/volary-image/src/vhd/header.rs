//! The header of a dynamic disk (section "Dynamic Disk Header Format").

use super::footer::{Footer, NONE};
use super::{MAX_BYTES, SECTOR, checksum_holds, u32_at, u64_at};
use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;
use std::ops::Range;

const HEADER: &str = "vhd.header";
const TABLE: &str = "vhd.table";
const BYTES: u64 = 1024;
/// The parent's identifier, its name and its locators; its time stamp refers to nothing.
const PARENT: [Range<usize>; 2] = [40..56, 64..768];

/// What reading a dynamic disk needs, all of it checked.
pub(super) struct Dynamic {
    pub(super) size: u64,
    /// The bytes of a block, without its bitmap.
    pub(super) block: u64,
    pub(super) table: u64,
    /// Entries in the file; the size may need fewer.
    pub(super) entries: u64,
    header: u64,
}

impl Dynamic {
    pub(super) fn read(
        footer: &Footer,
        size: u64,
        source: &dyn ReadAt,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let header = footer.next();
        require(header.is_multiple_of(SECTOR), Reason::Malformed, HEADER, || {
            format!("its offset {header:#x} is not on a sector")
        })?;
        let mut bytes = [0; BYTES as usize];
        read_meta(source, &mut bytes, header, HEADER)?;
        require(bytes.starts_with(b"cxsparse"), Reason::Malformed, HEADER, || {
            format!("there is none at {header:#x}")
        })?;
        require(checksum_holds(&bytes, 36), Reason::Malformed, "vhd.header_checksum", || {
            format!("{:#x} is not the header's", u32_at(&bytes, 36))
        })?;
        report.pass("vhd.header_checksum", "holds");
        let (version, next) = (u32_at(&bytes, 24), u64_at(&bytes, 8));
        require(version == 0x1_0000, Reason::UnknownFeature, "vhd.header_version", || {
            format!("version {version:#x}; 0x10000 is known")
        })?;
        require(NONE.contains(&next), Reason::UnknownFeature, "vhd.header_next", || {
            format!("another structure at {next:#x}")
        })?;
        let orphan = PARENT.iter().all(|part| bytes[part.clone()].iter().all(|&byte| byte == 0));
        require(orphan, Reason::BackingFile, "vhd.backing_file", || {
            "a dynamic disk that names a parent".to_owned()
        })?;
        report.pass("vhd.backing_file", "none");

        let block = u64::from(u32_at(&bytes, 32));
        let known = block.is_power_of_two() && (512 << 10..=2 << 20).contains(&block);
        require(known, Reason::Malformed, "vhd.block_size", || {
            format!("{block} is not a power of two from 512 KiB to 2 MiB")
        })?;
        report.pass("vhd.block_size", block);
        let (table, entries) = (u64_at(&bytes, 16), u64::from(u32_at(&bytes, 28)));
        let disk = Self { size, block, table, entries, header };
        disk.check_table(source.len())?;
        report.pass(TABLE, format_args!("{entries} entries at {table:#x}"));
        Ok(disk)
    }

    fn check_table(&self, file: u64) -> Result<(), ImageError> {
        let Self { size, block, table, entries, .. } = *self;
        require(table.is_multiple_of(SECTOR), Reason::Malformed, TABLE, || {
            format!("its offset {table:#x} is not on a sector")
        })?;
        require(entries >= size.div_ceil(block), Reason::Malformed, TABLE, || {
            format!("{entries} entries of {block} bytes are too few for {size}")
        })?;
        require(entries <= MAX_BYTES / block, Reason::Limit, TABLE, || {
            format!("{entries} entries of {block} bytes reach beyond {MAX_BYTES}")
        })?;
        let inside = table.checked_add(entries * 4).is_some_and(|end| end <= file);
        require(inside, Reason::Truncated, TABLE, || {
            format!("{entries} entries at {table:#x} leave the file")
        })?;
        let parts = self.parts(file);
        for (index, (part, what)) in parts.iter().enumerate() {
            for (other, against) in parts.iter().skip(index + 1) {
                require(!overlap(part, other), Reason::Overlap, "vhd.layout", || {
                    format!("the {what} at {:#x} overlaps the {against}", part.start)
                })?;
            }
        }
        Ok(())
    }

    /// Where the structures are; all of them lie inside the file.
    fn parts(&self, file: u64) -> [(Range<u64>, &'static str); 4] {
        [
            (0..SECTOR, "footer's copy"),
            (self.header..self.header + BYTES, "header"),
            (self.table..self.table + self.entries * 4, "table"),
            (file - SECTOR..file, "footer"),
        ]
    }

    /// The structure a range of the file overlaps.
    pub(super) fn overlapped(&self, range: &Range<u64>, file: u64) -> Option<&'static str> {
        self.parts(file).into_iter().find(|(part, _)| overlap(part, range)).map(|(_, what)| what)
    }

    /// The blocks a range of the disk touches.
    pub(super) fn touched(&self, window: &Range<u64>) -> Range<u64> {
        window.start / self.block..window.end.div_ceil(self.block)
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
