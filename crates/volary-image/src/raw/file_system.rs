//! Whether a disk begins as a file system, or as what else fills a whole disk: swap, a volume manager, a RAID member.
//!
//! Nothing is read by this. It only tells a disk without a partition table from what is no disk at all. The magics are those that
//! `blkid` knows the same by, with more of the field around those that a text may have by chance.

use crate::metadata::read_failed;
use crate::refusal::ImageError;
use crate::source::ReadAt;

const MAGICS: [(usize, &[u8]); 28] = [
    // ext2, ext3, ext4.
    (1024 + 56, b"\x53\xef"),
    // XFS, btrfs, bcachefs and bcache.
    (0, b"XFSB"),
    (64 * 1024 + 64, b"_BHRfS_M"),
    (4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"),
    // Boot sectors: FAT, NTFS, exFAT, and whatever else boots.
    (510, b"\x55\xaa"),
    (54, b"FAT1"),
    (82, b"FAT32"),
    (3, b"NTFS    "),
    (3, b"EXFAT   "),
    // F2FS, EROFS, NILFS of its only revision.
    (1024, b"\x10\x20\xf5\xf2"),
    (1024, b"\xe2\xe1\xf5\xe0"),
    (1024, b"\x02\0\0\0\0\0\x34\x34"),
    // HFS+ and HFSX with their versions, APFS.
    (1024, b"H+\0\x04"),
    (1024, b"HX\0\x05"),
    (32, b"NXSB"),
    // ReiserFS, JFS, UDF.
    (64 * 1024 + 52, b"ReIsErFs"),
    (64 * 1024 + 52, b"ReIsEr2Fs"),
    (64 * 1024 + 52, b"ReIsEr3Fs"),
    (32 * 1024, b"JFS1"),
    (32 * 1024 + 1, b"BEA01"),
    // UFS 1 and 2, in both byte orders.
    (8192 + 1372, b"\x54\x19\x01\x00"),
    (8192 + 1372, b"\x00\x01\x19\x54"),
    (64 * 1024 + 1372, b"\x19\x01\x54\x19"),
    (64 * 1024 + 1372, b"\x19\x54\x01\x19"),
    // Swap, LVM, MD.
    (4096 - 10, b"SWAPSPACE2"),
    (512, b"LABELONE"),
    (4096, b"\xfc\x4e\x2b\xa9"),
    (0, b"\xfc\x4e\x2b\xa9"),
];
/// The last magic and its length.
const HEAD: usize = 64 * 1024 + 1372 + 4;

/// Whether anything that fills a whole disk is recognised.
pub(crate) fn is_formatted(source: &dyn ReadAt) -> Result<bool, ImageError> {
    let mut head = vec![0; usize::try_from(source.len()).map_or(HEAD, |len| len.min(HEAD))];
    source.read_exact_at(&mut head, 0).map_err(read_failed)?;
    Ok(MAGICS.iter().any(|(at, magic)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic))))
}
