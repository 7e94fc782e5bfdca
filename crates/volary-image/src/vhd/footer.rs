//! The footer and its copy (sections "Hard Disk Footer Format" and "Overview").

use super::{SECTOR, checksum_holds, u32_at, u64_at};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const FOOTER: &str = "vhd.footer";
const COOKIE: &[u8] = b"conectix";
/// "No next structure"; the specification's text has the shorter one, every writer the longer.
pub(super) const NONE: [u64; 2] = [u64::MAX, u32::MAX as u64];

/// How the disk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed,
    Dynamic,
}

/// The footer at the file's end, with its checksum, version, features and kind checked.
pub(super) struct Footer {
    pub(super) kind: Kind,
    pub(super) bytes: [u8; SECTOR as usize],
}

impl Footer {
    pub(super) fn read(
        source: &dyn ReadAt,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let (file, most) = (source.len(), limits.max_container_bytes);
        require(file <= most, Reason::Limit, "vhd.file_bytes", || {
            format!("a file of {file} bytes, at most {most} are accepted")
        })?;
        let at = file.checked_sub(SECTOR).ok_or_else(|| {
            refused(Reason::Truncated, FOOTER, format!("a file of {file} bytes holds no footer"))
        })?;
        let mut bytes = [0; SECTOR as usize];
        read_meta(source, &mut bytes, at, FOOTER)?;
        if !bytes.starts_with(COOKIE) {
            // Virtual PC before 2004 wrote a byte less. Nobody else reads that, so it is not guessed where such a disk ends.
            return Err(if bytes[1..].starts_with(COOKIE) {
                refused(Reason::Malformed, FOOTER, "the footer has 511 bytes, not 512")
            } else {
                refused(Reason::Truncated, FOOTER, "the file does not end in a footer")
            });
        }
        require(checksum_holds(&bytes, 64), Reason::Malformed, "vhd.footer_checksum", || {
            format!("{:#x} is not the footer's", u32_at(&bytes, 64))
        })?;
        report.pass("vhd.footer_checksum", "holds");

        let (version, features) = (u32_at(&bytes, 12), u32_at(&bytes, 8));
        require(version == 0x1_0000, Reason::UnknownFeature, "vhd.version", || {
            format!("version {version:#x}; 0x10000 is known")
        })?;
        report.pass("vhd.version", "1.0");
        // Bit 0: temporary. Bit 1 is always set by the specification, and not by every writer.
        require(features & !3 == 0, Reason::UnknownFeature, "vhd.features", || {
            format!("features {features:#x}; bits 0 and 1 are known")
        })?;
        report.pass("vhd.features", format_args!("{features:#x}"));
        let kind = match u32_at(&bytes, 60) {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => {
                let detail = "a differencing disk, which needs its parent";
                return Err(refused(Reason::BackingFile, "vhd.backing_file", detail));
            }
            other => {
                let detail = format!("type {other}; 2 (fixed) and 3 (dynamic) are known");
                return Err(refused(Reason::UnknownFeature, "vhd.type", detail));
            }
        };
        report.pass("vhd.type", format_args!("{kind:?}").to_string().to_lowercase());
        if bytes[84] != 0 {
            report.note("vhd.saved_state", "the disk belongs to a machine in saved state");
        }
        Ok(Self { kind, bytes })
    }

    /// A fixed disk: nothing follows the footer's size but the footer, and nothing begins the file but the disk.
    pub(super) fn check_fixed(&self, source: &dyn ReadAt, report: &mut Report) -> Result<(), ImageError> {
        let (next, current) = (self.next(), self.current_size());
        require(NONE.contains(&next), Reason::Malformed, "vhd.data_offset", || {
            format!("a fixed disk names a structure at {next:#x}")
        })?;
        let (file, want) = (source.len(), current.saturating_add(SECTOR));
        let reason = if file < want { Reason::Truncated } else { Reason::Malformed };
        require(file == want, reason, "vhd.length", || {
            format!("a fixed disk of {current} bytes makes a file of {want}, not of {file}")
        })?;
        report.pass("vhd.length", file);
        let mut head = [0; COOKIE.len()];
        read_meta(source, &mut head, 0, FOOTER)?;
        // Readers that look at the start first would take it for a dynamic disk.
        require(head != COOKIE, Reason::Polyglot, "vhd.footer_copy", || {
            "the file ends as a fixed disk and begins as a dynamic one".to_owned()
        })?;
        report.pass("vhd.footer_copy", "none, as it should be");
        Ok(())
    }

    /// A dynamic disk: the file begins with the same footer.
    pub(super) fn check_copy(&self, source: &dyn ReadAt, report: &mut Report) -> Result<(), ImageError> {
        let mut copy = [0; SECTOR as usize];
        read_meta(source, &mut copy, 0, FOOTER)?;
        require(copy == self.bytes, Reason::Malformed, "vhd.footer_copy", || {
            "the copy at the file's start is not the footer at its end".to_owned()
        })?;
        report.pass("vhd.footer_copy", "equal");
        Ok(())
    }

    /// Where the next structure is.
    pub(super) fn next(&self) -> u64 {
        u64_at(&self.bytes, 16)
    }

    pub(super) fn current_size(&self) -> u64 {
        u64_at(&self.bytes, 48)
    }
}
