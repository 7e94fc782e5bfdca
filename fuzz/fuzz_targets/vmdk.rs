//! The VMDK reader on any bytes: what it accepts has gapless extents, zeros where it says so, and reads alike in any window.
//!
//! The first byte says how the rest is dressed: a sparse header and a descriptor that pass are put in front, so that a mutator reaches
//! directories, tables, markers and streams; or the file is taken as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use volary_image::{Format, Image, Limits};

/// Sectors of the disk, and the sector where the free bytes begin.
const CAPACITY: u64 = 8 * 600;
const FREE: u64 = 3;

/// A header, a descriptor of two sectors, and the bytes; in a stream with a footer, also that.
fn dress(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let (stream, footer, redundant) = (kind & 1 != 0, kind & 3 == 3, kind & 4 != 0);
    let name = if stream { "streamOptimized" } else { "monolithicSparse" };
    let text = format!(
        "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{name}\"\nRW {CAPACITY} SPARSE \"a.vmdk\"\n"
    );
    let flags = 1 | u32::from(redundant) << 1 | 4 | if stream { 3 << 16 } else { 0 };
    let header = |directory: u64| {
        let mut h = b"KDMV".to_vec();
        h.extend(3_u32.to_le_bytes());
        h.extend(flags.to_le_bytes());
        for field in [CAPACITY, 8, 1, FREE - 1] {
            h.extend(field.to_le_bytes());
        }
        h.extend(512_u32.to_le_bytes());
        for field in [FREE + 1, directory, 0] {
            h.extend(field.to_le_bytes());
        }
        h.extend(b"\0\n \r\n");
        h.extend([u8::from(stream), 0]);
        h.resize(512, 0);
        h
    };
    let mut file = header(if footer { u64::MAX } else { FREE });
    file.extend(text.as_bytes());
    file.resize(512 * FREE as usize, 0);
    file.extend(bytes);
    if footer {
        file.resize(file.len().next_multiple_of(512), 0);
        let mut marker = vec![0; 512];
        (marker[0], marker[12]) = (1, 3);
        file.extend(marker);
        file.extend(header(FREE));
        file.extend([0; 512]);
    }
    file
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let file = if kind & 8 != 0 { dress(kind, bytes) } else { bytes.to_vec() };
    let limits = Limits::default().with_max_virtual_bytes(1 << 40);
    let Ok(image) = Image::open(Arc::new(file), Some(Format::Vmdk), &limits) else { return };
    let size = image.size_bytes();
    let mut buffer = vec![0xaa; 1 << 20];
    for start in [0, size / 2, size.saturating_sub(1 << 20)] {
        let len = (size - start).min(1 << 20);
        let extents = image.extents(start, len).expect("validated");
        let mut at = start;
        for extent in &extents {
            assert!(extent.offset == at && extent.len > 0);
            at += extent.len;
        }
        assert_eq!(at, start + len);
        let whole = &mut buffer[..len as usize];
        // Only a compressed grain may still be refused.
        if image.read_exact_at(start, whole).is_err() {
            continue;
        }
        for extent in extents {
            let from = (extent.offset - start) as usize;
            let part = &whole[from..from + extent.len as usize];
            assert!(extent.data || part.iter().all(|&byte| byte == 0));
            let mut again = vec![0x55; part.len()];
            image.read_exact_at(extent.offset, &mut again).expect("read before");
            assert!(again == part);
        }
    }
});
