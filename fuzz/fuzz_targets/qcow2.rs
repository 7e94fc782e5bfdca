//! The qcow2 reader on any bytes: what it accepts has gapless extents, zeros where it says so, and reads alike in any window.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use volary_image::{Format, Image, Limits};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().with_max_virtual_bytes(1 << 40);
    let Ok(image) = Image::open(Arc::new(data.to_vec()), Some(Format::Qcow2), &limits) else { return };
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
        // Only a compressed stream may still be refused.
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
