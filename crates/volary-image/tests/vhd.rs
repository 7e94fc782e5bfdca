//! What a VHD is told by, and which of its two sizes counts.
#![allow(clippy::unwrap_used)]

use volary_image::{Format, detect};

/// A disk with magics at places, and VHD's magic where a footer begins.
fn seen(magics: &[(usize, &[u8])]) -> Option<Format> {
    let mut file = vec![0; 64 << 10];
    let end = file.len() - 512;
    for (at, magic) in magics.iter().chain([&(end, &b"conectix"[..])]) {
        file[*at..at + magic.len()].copy_from_slice(magic);
    }
    detect(&file).unwrap().single()
}

#[test]
fn s06_raw_content_before_a_footer_is_a_vhd_and_anything_else_is_not() {
    const MBR: [(usize, &[u8]); 3] = [(450, b"\x83"), (458, b"\x01"), (510, b"\x55\xaa")];
    const GPT: (usize, &[u8]) = (512, b"EFI PART");
    const ISO: (usize, &[u8]) = (32_769, b"CD001");
    let [a, b, c] = MBR;
    for content in [&[][..], &MBR, &[GPT], &[a, b, c, GPT], &[ISO], &[a, b, c, GPT, ISO]] {
        assert_eq!(seen(content), Some(Format::Vhd), "{content:?}");
        // A dynamic disk's start is its footer's copy, no disk.
        let dynamic = [&[(0, &b"conectix"[..])], content].concat();
        assert_eq!(seen(&dynamic), if content.is_empty() { Some(Format::Vhd) } else { None }, "{dynamic:?}");
    }
    for magic in [&b"QFI\xfb\0\0\0\x03"[..], b"KDMV", b"vhdxfile", b"LUKS\xba\xbe", b"\x1f\x8b\x08"] {
        assert_eq!(seen(&[(0, magic)]), None);
        assert_eq!(seen(&[(0, magic), a, b, c]), None);
    }
}
