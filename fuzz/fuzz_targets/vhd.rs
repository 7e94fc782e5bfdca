//! The VHD reader on any bytes whose checksums hold: what it accepts has gapless extents, zeros where it says so, and reads alike in
//! any window.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ops::Range;
use std::sync::Arc;
use volary_image::{Format, Image, Limits};

/// Makes the checksum at `at` of a structure hold.
fn seal(bytes: &mut [u8], structure: Range<usize>, at: usize) {
    let Some(bytes) = bytes.get_mut(structure) else { return };
    bytes[at..at + 4].fill(0);
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// Lets a mutation reach what lies behind checksums and the comparison of the two footers: a file that begins as a dynamic disk
/// becomes one, its footer the copy of its start; any other becomes a fixed one.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut file = data.to_vec();
    let Some(end) = file.len().checked_sub(512) else { return file };
    if !file.starts_with(b"conectix") {
        file[end..end + 8].copy_from_slice(b"conectix");
        file[end + 12..end + 16].copy_from_slice(&[0, 1, 0, 0]);
        file[end + 60..end + 64].copy_from_slice(&[0, 0, 0, 2]);
        seal(&mut file, end..end + 512, 64);
        return file;
    }
    if end < 512 {
        return file;
    }
    file[12..16].copy_from_slice(&[0, 1, 0, 0]);
    file[60..64].copy_from_slice(&[0, 0, 0, 3]);
    seal(&mut file, 0..512, 64);
    file.copy_within(..512, end);
    let header: [u8; 8] = file[16..24].try_into().expect("8 bytes");
    if let Ok(at) = usize::try_from(u64::from_be_bytes(header))
        && let Some(stop) = at.checked_add(1024)
    {
        seal(&mut file, at..stop, 36);
    }
    file
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().with_max_virtual_bytes(1 << 40);
    let Ok(image) = Image::open(Arc::new(repaired(data)), Some(Format::Vhd), &limits) else { return };
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
        // Only a block whose bitmap denies its data may still be refused.
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
