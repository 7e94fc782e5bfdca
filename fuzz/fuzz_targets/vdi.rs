//! The VDI reader on any bytes: what it accepts has gapless extents, zeros where it says so, and reads alike in any window. The input
//! is a header with its map, to which the file's blocks are added: an input that carried them would be megabytes a mutator wastes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use volary_image::{Format, Image, Limits};

/// As many blocks as the header counts, at most three, from where it puts them, if that is near.
fn with_blocks(data: &[u8]) -> Vec<u8> {
    let field = |at: usize| data.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut bytes = data.to_vec();
    if data.len() >= 512 {
        let (start, blocks) = (field(344).min(1 << 20), field(388).min(3));
        let end = (start + (blocks << 20)) as usize;
        let from = bytes.len();
        bytes.resize(end.max(from), 0);
        // Not zeros, so that a read of the wrong place is seen.
        for (at, byte) in bytes[from..].iter_mut().enumerate() {
            *byte = (at >> 9) as u8 | 1;
        }
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().with_max_virtual_bytes(1 << 40);
    let source = Arc::new(with_blocks(data));
    let Ok(image) = Image::open(source, Some(Format::Vdi), &limits) else { return };
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
        image.read_exact_at(start, whole).expect("validated");
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
