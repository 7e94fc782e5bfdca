//! Contents and small valid images.

use super::{Cluster, Qcow2};

/// Bytes that do not compress, the same for the same seed.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that compress to about a quarter, never all zero, the same for the same seed.
#[must_use]
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let word = noise(seed, len / 8 + 8);
    (0..len).map(|i| word[i / 64 * 8 + i % 8].max(1)).collect()
}

/// Small image of 2 L2 tables: plain, zero and compressed clusters and the gaps between.
#[must_use]
pub fn sample() -> Qcow2 {
    let c = 4096;
    Qcow2::new(4 << 20)
        .with(0, Cluster::Plain(pattern(1, c)))
        .with(1, Cluster::Zero)
        .with(2, Cluster::Compressed(pattern(2, c)))
        .with(3, Cluster::Compressed(pattern(3, c)))
        .with(5, Cluster::ZeroAllocated)
        .with(600, Cluster::Plain(noise(4, c)))
        .with(601, Cluster::Plain(noise(5, c)))
        .with(700, Cluster::Compressed(pattern(6, c)))
}

/// Valid images of every kind the writer knows: versions, cluster sizes, compression types, extended L2, refcount widths, odd sizes.
#[must_use]
pub fn valid() -> Vec<(String, Qcow2)> {
    let mut all = Vec::new();
    for cluster_bits in 9..=21 {
        for (version, zstd, extended_l2) in
            [(2, false, false), (3, false, false), (3, true, false), (3, false, true), (3, true, true)]
        {
            if extended_l2 && cluster_bits < 14 {
                continue;
            }
            let refcount_order = if version == 2 { 4 } else { cluster_bits % 7 };
            let cluster = 1_usize << cluster_bits;
            // Whole sectors: QEMU rounds others up.
            let size = (5 * cluster) as u64 + 512 * (u64::from(cluster_bits) % 3);
            let mut image =
                Qcow2 { version, cluster_bits, extended_l2, zstd, refcount_order, ..Qcow2::new(size) }
                    .with(0, Cluster::Compressed(pattern(1, cluster)))
                    .with(1, Cluster::Plain(noise(2, cluster)))
                    .with(2, Cluster::Plain(pattern(3, cluster)))
                    .with(3, Cluster::Compressed(pattern(4, cluster)));
            if version == 3 {
                image = image.with(4, Cluster::Zero);
            }
            if extended_l2 {
                image = image.with(2, Cluster::Sub(0xf00f_0ff1, 0x0ff0_0000, noise(5, cluster)));
            }
            let name = format!(
                "v{version}-{cluster}{}{}",
                if zstd { "-zstd" } else { "" },
                if extended_l2 { "-el2" } else { "" }
            );
            all.push((name, image));
        }
    }
    all
}

/// A minimal ISO 9660 volume of `blocks` blocks of 2,048 bytes, at least 19.
#[must_use]
pub fn iso(blocks: u32) -> Vec<u8> {
    let mut bytes = vec![0; blocks as usize * 2048];
    for (sector, kind) in [(16, 1), (17, 255)] {
        let d = &mut bytes[sector * 2048..][..2048];
        d[..7].copy_from_slice(&[kind, b'C', b'D', b'0', b'0', b'1', 1]);
        if kind == 1 {
            d[80..84].copy_from_slice(&blocks.to_le_bytes());
            d[84..88].copy_from_slice(&blocks.to_be_bytes());
            d[128..132].copy_from_slice(&[0, 8, 8, 0]);
            // The root directory: one empty block behind the terminator.
            d[156..190].copy_from_slice(&[
                34, 0, 18, 0, 0, 0, 0, 0, 0, 18, 0, 8, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0,
                0, 1, 1, 0,
            ]);
        }
    }
    bytes
}

/// One file of every format that is not read: its name, and bytes that carry its magic.
#[must_use]
pub fn magics() -> Vec<(&'static str, Vec<u8>)> {
    let at = |offset: usize, magic: &[u8]| {
        let mut bytes = noise(9, 4096);
        bytes[..offset].fill(b'.');
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    };
    let mut all: Vec<(&'static str, Vec<u8>)> = [
        ("qcow1", 0, &b"QFI\xfb\0\0\0\x01"[..]),
        ("qed", 0, b"QED\0"),
        ("vmdk", 0, b"KDMV\x01\0\0\0"),
        ("vmdk", 0, b"# Disk DescriptorFile\nversion=1\n"),
        ("vmdk", 0, b"#\n\n # x\nversion=3\n"),
        ("vmdk", 4096 - 1024, b"KDMV"),
        ("cowd", 0, b"COWD"),
        ("sesparse", 0, b"\xbe\xba\xfe\xca\0\0\0\0"),
        ("vhd", 0, b"conectix"),
        ("vhd", 4096 - 512, b"conectix"),
        ("vhd", 4096 - 511, b"conectix"),
        ("vhdx", 0, b"vhdxfile"),
        ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
        ("parallels", 0, b"WithoutFreeSpace"),
        ("parallels", 0, b"WithouFreSpacExt"),
        ("bochs", 0, b"Bochs Virtual HD Image"),
        ("cloop", 0, b"#!/bin/sh\n#V2.0 Format\n"),
        ("dmg", 4096 - 512, b"koly"),
        ("asif", 0, b"shdw"),
        ("luks", 0, b"LUKS\xba\xbe\0\x01"),
        ("e01", 0, b"EVF\x09\x0d\x0a\xff\0"),
        ("aff", 0, b"AFF10\x0d\x0a\0"),
        ("rbd_image", 0, b"rbd image v2\n"),
        ("rbd_diff", 0, b"rbd diff v1\n"),
        ("zip", 0, b"PK\x03\x04"),
        ("zip", 4096 - 22, b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("tar", 257, b"ustar"),
        ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
        ("gzip", 0, b"\x1f\x8b\x08"),
        ("xz", 0, b"\xfd7zXZ\0"),
        ("zstd", 0, b"\x28\xb5\x2f\xfd"),
        ("bzip2", 0, b"BZh9"),
        ("apple_sparse", 0, b"sprs\0\0\0\x03"),
        ("android_sparse", 0, b"\x3a\xff\x26\xed\x01\0\0\0"),
        ("uml_cow", 0, b"OOOM\0\0\0\x02"),
        ("uml_cow", 0, b"MOOO\x01\0\0\0"),
        ("nrg", 4096 - 12, b"NER5"),
        ("nrg", 4096 - 8, b"NERO"),
        ("partclone", 0, b"partclone-image"),
        ("wim", 0, b"MSWIM\0\0\0"),
        ("squashfs", 0, b"hsqs"),
        ("squashfs", 0, b"sqsh"),
        ("vma", 0, b"VMA\0\0\0\0\x01"),
        ("ovf", 0, b"<?xml version=\"1.0\"?>\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\">"),
        ("ovf", 0, b"\xef\xbb\xbf<ovf:Envelope xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/2'>"),
        ("vmx", 0, b".encoding = \"UTF-8\"\r\nconfig.version = \"8\"\r\n"),
        ("vmx", 0, b"#!/usr/bin/vmware\nvirtualHW.version=\"19\"\n"),
        ("rar", 0, b"Rar!\x1a\x07\x01\0"),
        ("rar", 0, b"Rar!\x1a\x07\0"),
        ("ar", 0, b"!<arch>\n"),
        ("cpio", 0, b"070701"),
        ("cpio", 0, b"070702"),
        ("cpio", 0, b"070707"),
        ("cpio", 0, b"\xc7\x71\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0disk\0"),
        ("cpio", 0, b"\x71\xc7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0disk\0"),
        ("lz4", 0, b"\x04\x22\x4d\x18"),
        ("lz4", 0, b"\x02\x21\x4c\x18"),
        ("lzip", 0, b"LZIP\x01"),
        ("lzo", 0, b"\x89LZO\0\x0d\x0a\x1a\x0a"),
        ("compress", 0, b"\x1f\x9d\x90"),
        ("zchunk", 0, b"\0ZCK1"),
        ("zchunk", 0, b"\0ZHR1"),
        ("pdf", 0, b"%PDF-1.7"),
        ("elf", 0, b"\x7fELF\x02\x01"),
        ("mp4", 0, b"\0\0\0\x20ftypisom"),
    ]
    .into_iter()
    .map(|(name, offset, magic)| (name, at(offset, magic)))
    .collect();
    let mut ova = at(257, b"ustar");
    ova[..10].copy_from_slice(b"disk1.OVF\0");
    all.push(("ova", ova));
    // A file cut right behind its magic is still that format.
    all.push(("qed", b"QED\0".to_vec()));
    all.push(("vmdk", b"KDMV".to_vec()));
    all
}
