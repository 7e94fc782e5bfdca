//! What a file is, by every magic at once.
//!
//! All formats are looked for over the head and the tail; nothing stops at the first match, so a file that is two things is seen as
//! two things. The magics are those of each format's own specification (qcow2: `docs/interop/qcow2`, QED: `docs/interop/qed_spec`,
//! Parallels: `docs/interop/parallels` in QEMU's tree; ISO 9660: ECMA-119; GPT: UEFI chapter 5).

use crate::format::Format;
use crate::image::Image;
use crate::inspect::Report;
use crate::refusal::{ImageError, Reason, refused};
use crate::source::ReadAt;
use crate::{raw, text};

/// What detection saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// Every format that matched; empty when nothing did.
    pub matches: Vec<Format>,
    /// Whether nothing but its footer makes it a VHD: the rest is then a whole disk.
    fixed_vhd: bool,
}

impl Detection {
    /// The one format, or `None` when several exclude each other. Nothing recognised is raw; partition tables inside an ISO belong to it,
    /// and raw content before the footer of a fixed VHD to that.
    #[must_use]
    pub fn single(&self) -> Option<Format> {
        match self.matches.as_slice() {
            [] => Some(Format::Raw),
            [one] => Some(*one),
            several if several.iter().all(|f| f.is_raw_content()) => {
                [Format::Iso, Format::Gpt].into_iter().find(|f| several.contains(f))
            }
            several if self.fixed_vhd => {
                let disk = several.iter().filter(|&&f| f != Format::Vhd).all(|f| f.is_raw_content());
                disk.then_some(Format::Vhd)
            }
            _ => None,
        }
    }
}

/// Enough for the volume descriptor of ISO 9660 and the 4 KiB-sector GPT header.
const HEAD: u64 = 32768 + 2048;
/// A VMDK footer with its two markers; VHD and DMG trailers are smaller.
const TAIL: u64 = 1536;

/// Magics at fixed offsets from the start.
const HEADS: &[(Format, usize, &[u8])] = &[
    (Format::Iso, 32769, b"CD001"),
    (Format::Gpt, 512, b"EFI PART"),
    (Format::Gpt, 4096, b"EFI PART"),
    (Format::Qed, 0, b"QED\0"),
    (Format::Vmdk, 0, b"KDMV"),
    (Format::Cowd, 0, b"COWD"),
    (Format::SeSparse, 0, b"\xbe\xba\xfe\xca\0\0\0\0"),
    (Format::Vhd, 0, b"conectix"),
    (Format::Vhdx, 0, b"vhdxfile"),
    (Format::Vdi, 0x40, b"\x7f\x10\xda\xbe"),
    (Format::Vdi, 0, b"<<< Oracle VM VirtualBox Disk Image >>>"),
    (Format::Vdi, 0, b"<<< Sun VirtualBox Disk Image >>>"),
    (Format::Parallels, 0, b"WithoutFreeSpace"),
    (Format::Parallels, 0, b"WithouFreSpacExt"),
    (Format::Bochs, 0, b"Bochs Virtual HD Image"),
    (Format::Cloop, 0, b"#!/bin/sh\n#V2.0 Format"),
    (Format::Asif, 0, b"shdw"),
    (Format::AppleSparse, 0, b"sprs"),
    (Format::AndroidSparse, 0, b"\x3a\xff\x26\xed"),
    (Format::UmlCow, 0, b"OOOM"),
    (Format::UmlCow, 0, b"MOOO"),
    (Format::Partclone, 0, b"partclone-image"),
    (Format::Wim, 0, b"MSWIM\0\0\0"),
    (Format::Squashfs, 0, b"hsqs"),
    (Format::Squashfs, 0, b"sqsh"),
    (Format::Vma, 0, b"VMA\0"),
    (Format::Luks, 0, b"LUKS\xba\xbe"),
    (Format::Luks, 0, b"SKUL\xba\xbe"),
    (Format::E01, 0, b"EVF\x09\x0d\x0a\xff\0"),
    (Format::E01, 0, b"EVF2\x0d\x0a\x81\0"),
    (Format::E01, 0, b"LVF\x09\x0d\x0a\xff\0"),
    (Format::Aff, 0, b"AFF10\x0d\x0a\0"),
    (Format::RbdImage, 0, b"rbd image v"),
    (Format::RbdDiff, 0, b"rbd diff v"),
    (Format::Zip, 0, b"PK\x03\x04"),
    (Format::Zip, 0, b"PK\x05\x06"),
    (Format::SevenZip, 0, b"7z\xbc\xaf\x27\x1c"),
    (Format::Rar, 0, b"Rar!\x1a\x07"),
    (Format::Ar, 0, b"!<arch>\n"),
    (Format::Cpio, 0, b"070701"),
    (Format::Cpio, 0, b"070702"),
    (Format::Cpio, 0, b"070707"),
    (Format::Gzip, 0, b"\x1f\x8b\x08"),
    (Format::Xz, 0, b"\xfd7zXZ\0"),
    (Format::Zstd, 0, b"\x28\xb5\x2f\xfd"),
    (Format::Lz4, 0, b"\x04\x22\x4d\x18"),
    (Format::Lz4, 0, b"\x02\x21\x4c\x18"),
    (Format::Lzip, 0, b"LZIP"),
    (Format::Lzo, 0, b"\x89LZO\0\x0d\x0a\x1a\x0a"),
    (Format::Zchunk, 0, b"\0ZCK1"),
    (Format::Zchunk, 0, b"\0ZHR1"),
    (Format::Pdf, 0, b"%PDF-"),
    (Format::Elf, 0, b"\x7fELF"),
];

/// Magics at fixed distances from the end.
const TAILS: &[(Format, usize, &[u8])] = &[
    (Format::Vhd, 512, b"conectix"),
    (Format::Vhd, 511, b"conectix"),
    (Format::Dmg, 512, b"koly"),
    (Format::Nrg, 12, b"NER5"),
    (Format::Nrg, 8, b"NERO"),
    (Format::Vmdk, 1024, b"KDMV"),
];

/// Looks at the head and the last 1,536 bytes for all formats at once.
///
/// # Errors
/// `Io` when the source cannot be read.
pub fn detect(source: &dyn ReadAt) -> Result<Detection, ImageError> {
    let len = source.len();
    let head = read(source, 0, len.min(HEAD))?;
    let tail = read(source, len.saturating_sub(TAIL), len.min(TAIL))?;
    let mut matches = of_head(&head);
    let headed_vhd = matches.contains(&Format::Vhd);
    for (format, distance, magic) in TAILS {
        let start = tail.len().checked_sub(*distance);
        if start.and_then(|start| tail.get(start..)).is_some_and(|rest| rest.starts_with(magic)) {
            matches.push(*format);
        }
    }
    if is_skippable(&head) {
        matches.push(behind_skippable(source)?);
    }
    if ends_as_zip(&tail) {
        matches.push(Format::Zip);
    }
    // Each once, in the order they were found.
    let mut seen: Vec<Format> = Vec::new();
    matches.retain(|format| {
        !seen.contains(format) && {
            seen.push(*format);
            true
        }
    });
    let fixed_vhd = matches.contains(&Format::Vhd) && !headed_vhd;
    Ok(Detection { matches, fixed_vhd })
}

/// Every format that something which begins with `head` may be.
fn of_head(head: &[u8]) -> Vec<Format> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let mut matches: Vec<Format> =
        HEADS.iter().filter(|(_, offset, magic)| at(*offset, magic)).map(|(format, ..)| *format).collect();
    if at(0, b"QFI\xfb") {
        matches.push(if at(4, &[0, 0, 0, 1]) { Format::Qcow1 } else { Format::Qcow2 });
    }
    if at(0, b"BZh") && head.get(3).is_some_and(u8::is_ascii_digit) {
        matches.push(Format::Bzip2);
    }
    if at(257, b"ustar") {
        matches.push(if begins_with_a_description(head) { Format::Ova } else { Format::Tar });
    }
    if is_compress(head) {
        matches.push(Format::Compress);
    }
    if is_old_cpio(head) {
        matches.push(Format::Cpio);
    }
    if is_mp4(head) {
        matches.push(Format::Mp4);
    }
    if is_vmdk_text(head) {
        matches.push(Format::Vmdk);
    }
    matches.extend(text::of(head));
    if has_partition_table(head) {
        matches.push(Format::Mbr);
    }
    matches
}

/// What the disk's own first bytes are, when they are not raw content: whoever probes the volume, as a careless hypervisor does,
/// would take it for that (CVE-2016-2140, CVE-2015-1851).
pub(crate) fn nested(image: &Image) -> Result<Option<Format>, ImageError> {
    let mut head = vec![0; usize::try_from(image.size_bytes().min(HEAD)).unwrap_or(0)];
    image.read_exact_at(0, &mut head)?;
    // A file system is what a disk may hold.
    let harmless = |format: Format| format.is_raw_content() || format == Format::Squashfs;
    Ok(of_head(&head).into_iter().find(|format| !harmless(*format)))
}

/// Whether a frame follows that decoders of zstd and LZ4 pass over (RFC 8878, 3.1.2): `pzstd` begins a file by one.
fn is_skippable(bytes: &[u8]) -> bool {
    matches!(*bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, _, _, _, _, ..])
}

/// Which stream the first other frame is of, behind all that are passed over: LZ4's, or else zstd's, whose
/// decoder then says what is wrong with it.
fn behind_skippable(source: &dyn ReadAt) -> Result<Format, ImageError> {
    /// Files have one, or one for each of some dozen streams; whoever writes more of them in a row means something else.
    const MOST: usize = 64;
    let mut at = 0_u64;
    for _ in 0..MOST {
        let mut frame = [0; 8];
        if at == source.len() {
            return Ok(Format::Zstd);
        }
        let there = usize::try_from(source.len().saturating_sub(at)).map_or(8, |there| there.min(8));
        let doing = "reading the source's head and tail";
        source.read_exact_at(&mut frame[..there], at).map_err(|source| ImageError::Io { doing, source })?;
        if !is_skippable(&frame[..there]) {
            let lz4 = of_head(&frame[..there]).contains(&Format::Lz4);
            return Ok(if lz4 { Format::Lz4 } else { Format::Zstd });
        }
        let [.., a, b, c, d] = frame;
        let next = at + 8 + u64::from(u32::from_le_bytes([a, b, c, d]));
        // A frame that the file does not hold whole is that of a file cut short.
        if next > source.len() {
            return Ok(Format::Zstd);
        }
        at = next;
    }
    Ok(Format::Zstd)
}

fn read(source: &dyn ReadAt, offset: u64, len: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let doing = "reading the source's head and tail";
    source.read_exact_at(&mut bytes, offset).map_err(|source| ImageError::Io { doing, source })?;
    Ok(bytes)
}

/// A VMDK descriptor as QEMU would take it: its title, or comments and blank lines, then a version line.
fn is_vmdk_text(head: &[u8]) -> bool {
    let title = b"# disk descriptorfile";
    if head.get(..title.len()).is_some_and(|start| start.eq_ignore_ascii_case(title)) {
        return true;
    }
    head.split(|&b| b == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && line.first() != Some(&b'#'))
        .is_some_and(|line| {
            line.len() == 9 && line.starts_with(b"version=") && matches!(line[8], b'1'..=b'3')
        })
}

/// Whether a tar archive's first member is the description that an OVA begins with (DMTF DSP0243, 5.3).
fn begins_with_a_description(head: &[u8]) -> bool {
    let name = head.get(..100).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
    name.len() > 4 && name[name.len() - 4..].eq_ignore_ascii_case(b".ovf")
}

/// The magic has two bytes only; the third is a width of 9 to 16 bits and the mark of block mode (`compress.h` of ncompress).
fn is_compress(head: &[u8]) -> bool {
    let [0x1f, 0x9d, flags, ..] = *head else { return false };
    (9..=16).contains(&(flags & 0x1f)) && flags & 0x60 == 0
}

/// The header of an old binary archive in either byte order: 26 bytes, of which two are the length of the name that follows them, with its
/// NUL.
fn is_old_cpio(head: &[u8]) -> bool {
    let word = |at: usize, swapped: bool| {
        let [a, b] = *head.get(at..).and_then(<[u8]>::first_chunk)?;
        Some(if swapped { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) })
    };
    [false, true].into_iter().any(|swapped| {
        let named = word(20, swapped).map(usize::from).filter(|len| (2..=1024).contains(len));
        let name = named.and_then(|len| head.get(26..26 + len)).and_then(<[u8]>::split_last);
        let text = name.is_some_and(|(end, name)| *end == 0 && !name.contains(&0));
        word(0, swapped) == Some(0o070_707) && text
    })
}

/// A box of the file's type, which is of some dozen bytes (ISO/IEC 14496-12, 4.3).
fn is_mp4(head: &[u8]) -> bool {
    let len = head.first_chunk().map_or(0, |len| u32::from_be_bytes(*len));
    (16..1024).contains(&len) && head.get(4..8) == Some(b"ftyp")
}

/// The boot signature alone is also on every FAT and NTFS volume; one used entry and valid flags make a table.
fn has_partition_table(head: &[u8]) -> bool {
    if head.get(510..512) != Some(&[0x55, 0xaa]) {
        return false;
    }
    let entries = || head[446..510].chunks_exact(16);
    entries().all(|entry| entry[0] & 0x7f == 0) && entries().any(|e| e[4] != 0 && e[12..16] != [0; 4])
}

/// An end-of-central-directory record whose comment reaches exactly to the end of the file.
fn ends_as_zip(tail: &[u8]) -> bool {
    tail.windows(22).enumerate().any(|(start, record)| {
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        record.starts_with(b"PK\x05\x06") && start + 22 + comment == tail.len()
    })
}

/// Steps 1 to 3 of the verdict: exactly one format, a readable one, equal to the declared one.
pub(crate) fn decide(
    source: &dyn ReadAt,
    declared: Option<Format>,
    report: &mut Report,
) -> Result<Format, ImageError> {
    let seen = detect(source)?;
    report.format = seen.matches.first().copied().unwrap_or(Format::Raw);
    let Some(format) = seen.single() else {
        let names: Vec<_> = seen.matches.iter().map(|f| f.as_str()).collect();
        let detail = format!("the file is {} at once", names.join(" and "));
        return Err(refused(Reason::Polyglot, "format.single", detail));
    };
    report.format = format;
    // Everything is raw that is nothing else: also a text, half a header, or the page of a server. A disk has whole sectors, or something
    // on it.
    let unlike_a_disk = seen.matches.is_empty() && !source.len().is_multiple_of(raw::SECTOR);
    if declared.is_none() && unlike_a_disk && !raw::is_formatted(source)? {
        let len = source.len();
        let detail = format!("nothing is recognised in it, and its {len} bytes are no whole sectors of 512");
        return Err(refused(Reason::Unrecognised, "format.recognised", detail));
    }
    report.pass(
        "format.single",
        match format {
            Format::Raw => "raw: nothing recognised".to_owned(),
            _ => format.to_string(),
        },
    );
    if let Some(declared) = declared {
        if declared != format && !(declared == Format::Raw && format.is_raw_content()) {
            let detail = format!("declared {declared}, but the content is {format}");
            return Err(refused(Reason::FormatMismatch, "format.declared", detail));
        }
        report.pass("format.declared", declared);
    }
    if !format.is_readable() {
        let what = format.unread().map_or_else(|| format.to_string(), |unread| unread.what.to_owned());
        return Err(refused(Reason::BannedFormat, "format.readable", format!("{what} is not read")));
    }
    report.pass("format.readable", format);
    Ok(format)
}
