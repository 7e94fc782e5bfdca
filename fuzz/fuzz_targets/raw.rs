//! Raw content with tables on it: whatever a partition table says, the disk is accepted as it is. The checksum of a GPT header is
//! made to agree, so that a mutator reaches what is behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use volary_image::{Format, Image, Limits, ReadAt, detect, inspect};

/// CRC-32 as in zlib.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn seal(disk: &mut [u8], sector: usize) {
    let Some(header) = disk.get_mut(sector..2 * sector) else { return };
    let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
    if header.starts_with(b"EFI PART") && (20..=sector).contains(&length) {
        header[16..20].fill(0);
        let sum = crc(&header[..length]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
    }
}

fuzz_target!(|data: &[u8]| {
    let mut disk = data.to_vec();
    seal(&mut disk, 512);
    seal(&mut disk, 4096);
    let source: Arc<dyn ReadAt> = Arc::new(disk.clone());
    let report = inspect(&source, Some(Format::Raw), &Limits::default()).expect("memory reads do not fail");
    let seen = detect(&*source).expect("memory reads do not fail").single();
    if matches!(seen, Some(Format::Gpt | Format::Mbr | Format::Raw)) && !disk.is_empty() {
        assert!(report.safe, "{report:?}");
    }
    let Ok(image) = Image::open(source, Some(Format::Raw), &Limits::default()) else { return };
    let mut bytes = vec![0; disk.len()];
    image.read_exact_at(0, &mut bytes).expect("the file is the disk");
    assert!(bytes == disk);
});
