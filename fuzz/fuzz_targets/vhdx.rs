//! The VHDX reader on spoiled structures: what it accepts has gapless extents, zeros where it says so, and reads alike in any window.
//!
//! The input is not a file, of which nearly all would be padding: it is a list of edits (offset, length, bytes) of a small valid image,
//! each in one of the places that are read. Checksums are made right before the image is opened, so that a mutator reaches what is
//! behind them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use volary_image::{Format, Image, Limits, ReadAt};

const MIB: usize = 1 << 20;
/// How much is read at a time.
const WINDOW: u64 = 128 << 10;
const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
const REGION_TABLES: [usize; 2] = [192 << 10, 256 << 10];
const METADATA: usize = 2 * MIB;
const BAT: usize = 3 * MIB;

fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let table: [u32; 256] = std::array::from_fn(|byte| (0..8).fold(byte as u32, |crc, _| shift(crc)));
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ table[(crc as u8 ^ byte) as usize])
}

/// A disk of 2 MiB in blocks of 1 MiB, the first of them data.
fn image() -> Vec<u8> {
    let mut file = vec![0; 5 * MIB];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"vhdxfile");
    for (at, sequence) in HEADERS.into_iter().zip(1..) {
        put(at, b"head");
        put(at + 8, &[sequence]);
        put(at + 66, &[1, 0, 0, 0, 0x10, 0, 0, 0, 0x10]);
    }
    for at in REGION_TABLES {
        put(at, b"regi\0\0\0\0\x02");
        put(at + 16, b"\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08\0\0\x30\0\0\0\0\0\0\0\x10\0\x01");
        put(at + 48, b"\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e\0\0\x20\0\0\0\0\0\0\0\x10\0\x01");
    }
    put(METADATA, b"metadata\0\0\x05");
    let items: [(&[u8; 16], &[u8]); 5] = [
        (b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b", &[0, 0, 0x10, 0, 0, 0, 0, 0]),
        (b"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8", &[0, 0, 0x20, 0, 0, 0, 0, 0]),
        (b"\xab\x12\xca\xbe\xe6\xb2\x23\x45\x93\xef\xc3\x09\xe0\x00\xc7\x46", &[1; 16]),
        (b"\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f", &[0, 2, 0, 0]),
        (b"\xc7\x48\xa3\xcd\x5d\x44\x71\x44\x9c\xc9\xe9\x88\x52\x51\xc5\x56", &[0, 2, 0, 0]),
    ];
    let (mut entry, mut free) = (METADATA + 32, 64 << 10);
    for (id, content) in items {
        put(entry, id);
        put(entry + 16, &(free as u32).to_le_bytes());
        put(entry + 20, &[content.len() as u8, 0, 0, 0, 4]);
        put(METADATA + free, content);
        (entry, free) = (entry + 32, free + content.len());
    }
    put(BAT, &[6, 0, 0x40]);
    put(4 * MIB, &[0xa5; 4096]);
    file
}

/// Places that are read, and how many bytes of each an edit may reach.
const PLACES: [(&[usize], usize); 5] =
    [(&HEADERS, 80), (&REGION_TABLES, 256), (&[METADATA], 320), (&[METADATA + (64 << 10)], 64), (&[BAT], 64)];

/// What an input changes of the image; the rest of it is everyone's, so that an input need not write 5 MiB first.
const STARTS: [Range<usize>; 3] = [0..320 << 10, METADATA..METADATA + (65 << 10), BAT..BAT + 64];

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(image);

struct Spoiled {
    parts: [Vec<u8>; 3],
    len: usize,
}

impl Spoiled {
    fn new() -> Self {
        Spoiled { parts: STARTS.map(|range| IMAGE[range].to_vec()), len: IMAGE.len() }
    }

    /// The bytes from `at` on, which is in one of the parts.
    fn at(&mut self, at: usize) -> &mut [u8] {
        let part = STARTS.iter().position(|range| range.contains(&at)).expect("a place that is changed");
        &mut self.parts[part][at - STARTS[part].start..]
    }
}

impl ReadAt for Spoiled {
    fn len(&self) -> u64 {
        self.len as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(buffer.len()));
        let Some(end) = end.filter(|end| *end <= self.len) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let start = offset as usize;
        buffer.copy_from_slice(&IMAGE[start..end]);
        for (range, part) in STARTS.iter().zip(&self.parts) {
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                buffer[from - start..to - start].copy_from_slice(&part[from - range.start..to - range.start]);
            }
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.len()).then(|| offset..self.len()))
    }
}

fuzz_target!(|data: &[u8]| {
    let mut file = Spoiled::new();
    let Some((&flags, mut edits)) = data.split_first() else { return };
    while let [place, at, len, rest @ ..] = edits {
        let (places, reach) = PLACES[usize::from(*place) % PLACES.len()];
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        let at = usize::from(*at) % reach;
        // Both copies alike, unless the high bit asks for the last alone.
        for start in &places[if place & 0x80 != 0 { places.len() - 1 } else { 0 }..] {
            let place = &mut file.at(*start)[at..];
            let len = bytes.len().min(place.len());
            place[..len].copy_from_slice(&bytes[..len]);
        }
        edits = rest;
    }
    for (at, bytes) in HEADERS.map(|at| (at, 4096)).into_iter().chain(REGION_TABLES.map(|at| (at, 65536))) {
        let place = &mut file.at(at)[..bytes];
        place[4..8].fill(0);
        let crc = crc32c(place);
        place[4..8].copy_from_slice(&crc.to_le_bytes());
    }
    if flags & 1 != 0 {
        file.len -= usize::from(flags) * 16_000;
    }

    let limits = Limits::default().with_max_virtual_bytes(1 << 40);
    let Ok(image) = Image::open(Arc::new(file), Some(Format::Vhdx), &limits) else { return };
    let size = image.size_bytes();
    // Across the middle goes a border of two blocks.
    let mut buffer = vec![0xaa; WINDOW as usize];
    for start in [0, (size / 2).saturating_sub(WINDOW / 2), size.saturating_sub(WINDOW)] {
        let len = (size - start).min(WINDOW);
        let extents = image.extents(start, len).expect("validated");
        let whole = &mut buffer[..len as usize];
        image.read_exact_at(start, whole).expect("validated");
        let mut at = start;
        for extent in extents {
            assert!(extent.offset == at && extent.len > 0);
            let part = &whole[(at - start) as usize..][..extent.len as usize];
            assert!(extent.data || part.iter().all(|&byte| byte == 0));
            let mut again = vec![0x55; part.len()];
            image.read_exact_at(extent.offset, &mut again).expect("read before");
            assert!(again == part);
            at += extent.len;
        }
        assert_eq!(at, start + len);
    }
});
