//! Compression around whole files: by each tool's library, and files made to hurt who takes it off.
#![allow(clippy::unwrap_used)]

use std::io::Write;

/// A file in each compression that is accepted, with its name.
pub fn all(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![("gzip", gzip(bytes)), ("xz", xz(bytes, 1 << 20)), ("zstd", zstd(bytes)), ("bzip2", bzip2(bytes))]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With a checksum, as the tool makes them.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With a dictionary of so many bytes.
fn xz(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    let mut options = LzmaOptions::new_preset(0).unwrap();
    options.dict_size(dictionary);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Small files with more than a GiB in them, out of all proportion.
pub fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    // A zstd frame of blocks of 128 KiB that repeat a byte, without a checksum or a size.
    let blocks = block(128 << 10, false).repeat((1 << 30) / (128 << 10));
    let zstd = [&b"\x28\xb5\x2f\xfd\x00\x58"[..], &blocks, &block(1, true)].concat();
    vec![("zstd", zstd), ("bzip2", bzip2(&vec![0; 45_000_000]).repeat(30))]
}

/// A block of a zstd frame: so many zeros.
fn block(len: u32, last: bool) -> Vec<u8> {
    let header = ((len << 3) | (1 << 1) | u32::from(last)).to_le_bytes();
    [&header[..3], &[0]].concat()
}

/// Files that ask for a decoder of more than 128 MiB.
pub fn greedy() -> Vec<(&'static str, Vec<u8>)> {
    // A window of 256 MiB: 2 to the power of 10 + 18.
    let zstd = [&b"\x28\xb5\x2f\xfd\x00"[..], &[18 << 3], &block(1000, true)].concat();
    vec![("xz", claim_dictionary(xz(&[7; 1000], 1 << 20))), ("zstd", zstd)]
}

/// The same xz file, its block header claiming a dictionary of 256 MiB: nothing of that size need be made to say so.
fn claim_dictionary(mut file: Vec<u8>) -> Vec<u8> {
    // Stream header of 12 bytes; then the block header's size, its flags, and the filter LZMA2 with one byte of properties.
    assert_eq!(file[12..16], [2, 0, 0x21, 1]);
    // Bits 0 to 5 of it, d: (2 | d & 1) << (d / 2 + 11).
    file[16] = 34;
    let crc = crc32(&file[12..20]);
    file[20..24].copy_from_slice(&crc.to_le_bytes());
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    }) ^ !0
}
