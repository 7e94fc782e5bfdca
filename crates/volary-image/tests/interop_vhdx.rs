//! VHDX images that QEMU writes are read as QEMU reads them, and what only the generator can write is read as it should be. Needs
//! `qemu-img`.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use volary_image::{FileSource, Format, Image, ImageError, Limits, ReadAt, Reason, Verdict, inspect};
use volary_testkit::images::vhdx::{Block, Vhdx, crc32c};
use volary_testkit::images::{noise, pattern};

const MIB: usize = 1 << 20;

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn open(path: &Path) -> Image {
    let source = Arc::new(FileSource::open(path).unwrap());
    Image::open(source, Some(Format::Vhdx), &Limits::default()).unwrap()
}

/// Everything in one go, which extents and odd reads agree with.
fn contents(path: &Path) -> Vec<u8> {
    let image = open(path);
    let size = image.size_bytes();
    let mut whole = vec![0xaa; usize::try_from(size).unwrap()];
    image.read_exact_at(0, &mut whole).unwrap();
    let (mut at, mut data) = (0, 0);
    while at < size {
        let window = (3 << 20 | 0x3210).min(size - at);
        for extent in image.extents(at, window).unwrap() {
            assert_eq!(extent.offset, at, "a gap");
            let mut bytes = vec![0xbb; usize::try_from(extent.len).unwrap()];
            image.read_exact_at(at, &mut bytes).unwrap();
            assert!(bytes == whole[at as usize..][..bytes.len()], "{extent:?} differs");
            assert!(extent.data || bytes.iter().all(|&b| b == 0), "{extent:?} is not zero");
            at += extent.len;
            data += if extent.data { extent.len } else { 0 };
        }
    }
    assert_eq!(data, image.data_bytes());
    whole
}

/// Data with holes between, inside blocks of any size; whole sectors unless `len` is not.
fn sparse(len: usize) -> Vec<u8> {
    let mut raw = vec![0; len];
    let mut put = |at: usize, bytes: Vec<u8>| {
        let end = len.min(at + bytes.len());
        if at < end {
            raw[at..end].copy_from_slice(&bytes[..end - at]);
        }
    };
    put(0, pattern(1, 700_000));
    put(2 * MIB + 1234, vec![1]);
    put(5 * MIB - 100, noise(3, 4096));
    put(8 * MIB + 4096, pattern(4, MIB));
    raw
}

#[test]
fn every_option_of_qemu_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (source, image, out) = (path("raw"), path("vhdx"), path("out"));
    let [source_name, image_name, out_name] = [&source, &image, &out].map(|path| path.to_str().unwrap());
    let sizes = (0..9).map(|bits| format!("block_size={}M", 1 << bits));
    let logs = ["log_size=1M", "log_size=2M", "log_size=7M,block_size=2M"].map(str::to_owned);
    let layouts: Vec<String> = sizes.chain(logs).chain(["block_size=0".to_owned()]).collect();
    let small = 512 * 3;
    for subformat in ["subformat=dynamic", "subformat=fixed"] {
        for zero in ["on", "off"] {
            for (which, layout) in layouts.iter().enumerate() {
                let options = format!("{subformat},block_state_zero={zero},{layout}");
                // Every layout with the sparse disk, and in turn with another.
                let others = [
                    vec![0; 3 * MIB],
                    pattern(5, 4 * MIB),
                    noise(6, small),
                    sparse(2 * MIB + 512),
                    sparse(1_000_001),
                ];
                for raw in [sparse(10 * MIB + 512 * 5), others[which % others.len()].clone()] {
                    fs::write(&source, &raw).unwrap();
                    qemu_img(&[
                        "convert",
                        "-f",
                        "raw",
                        "-O",
                        "vhdx",
                        "-o",
                        &options,
                        source_name,
                        image_name,
                    ]);
                    qemu_img(&["convert", "-f", "vhdx", "-O", "raw", image_name, out_name]);
                    let ours = contents(&image);
                    assert!(
                        ours == fs::read(&out).unwrap(),
                        "{options}, {} bytes: QEMU's differs",
                        raw.len()
                    );
                    // QEMU takes whole sectors of a source only; the rest of its last one it leaves out or fills with zeros.
                    let common = raw.len().min(ours.len());
                    assert!(common + 512 > raw.len().max(ours.len()));
                    assert!(ours[..common] == raw[..common], "{options}, {} bytes: differs", raw.len());
                }
            }
        }
    }
}

#[test]
fn what_qemu_creates_is_zeros_of_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("vhdx");
    for options in ["subformat=dynamic", "subformat=fixed", "subformat=dynamic,block_state_zero=off"] {
        for (size, want) in [("1", 512), ("512", 512), ("1048577", MIB + 512), ("5M", 5 * MIB)] {
            qemu_img(&["create", "-q", "-f", "vhdx", "-o", options, target.to_str().unwrap(), size]);
            assert!(contents(&target) == vec![0; want], "{options}, {size}");
        }
    }
    // The largest disk of the format, and the most blocks.
    qemu_img(&["create", "-q", "-f", "vhdx", "-o", "block_size=1M", target.to_str().unwrap(), "64T"]);
    let image = open(&target);
    assert_eq!((image.size_bytes(), image.data_bytes()), (64 << 40, 0));
    assert_eq!(image.extents((64 << 40) - 5000, 5000).unwrap().len(), 1);
}

#[test]
fn blocks_behind_sector_bitmaps_are_where_qemu_puts_them() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("raw"), dir.path().join("vhdx"));
    let (first, second) = (pattern(1, 9000), noise(2, 5000));
    // Chunks are 4 GiB with sectors of 512 bytes; the data is around the end of the first.
    let places = [(4_u64 << 30) - 4000, (4 << 30) + (3 << 20)];
    let file = File::create(&source).unwrap();
    file.set_len((4 << 30) + (9 << 20)).unwrap();
    file.write_all_at(&first, places[0]).unwrap();
    file.write_all_at(&second, places[1]).unwrap();
    for block in ["1M", "256M"] {
        let options = format!("block_size={block},block_state_zero=off");
        let (from, to) = (source.to_str().unwrap(), target.to_str().unwrap());
        qemu_img(&["convert", "-f", "raw", "-O", "vhdx", "-o", &options, from, to]);
        qemu_img(&["compare", "-f", "raw", "-F", "vhdx", from, to]);
        let image = open(&target);
        for (want, at) in [&first, &second].into_iter().zip(places) {
            let mut bytes = vec![0xaa; want.len() + 2000];
            image.read_exact_at(at - 1000, &mut bytes).unwrap();
            let (before, rest) = bytes.split_at(1000);
            assert!(rest.starts_with(want), "{block}, {at:#x}");
            assert!(before.iter().chain(&rest[want.len()..]).all(|&b| b == 0), "{block}, {at:#x}");
        }
        let runs = image.extents(0, image.size_bytes()).unwrap();
        let data: u64 = runs.iter().filter(|run| run.data).map(|run| run.len).sum();
        assert_eq!(data, image.data_bytes(), "{block}");
    }
}

#[test]
fn sectors_of_4096_bytes_read_alike() {
    // QEMU refuses such a disk, so that this is held against the specification alone.
    let (size, bits) = ((17 << 32) + 8192, 28);
    let image = Vhdx { sector: 4096, physical: 4096, block_bits: bits, ..Vhdx::new(size) };
    let last = size >> bits;
    // 128 blocks to a chunk here: two sector bitmaps come before the last block.
    let built = image.with(last, Block::Data(pattern(3, 8192))).build();
    let image = Image::open(Arc::new(built.bytes), None, &Limits::default()).unwrap();
    let mut bytes = vec![0xaa; 8192 + 100];
    image.read_exact_at(size - 8192 - 100, &mut bytes).unwrap();
    assert!(bytes[..100] == [0; 100] && bytes[100..] == pattern(3, 8192));
    assert_eq!((image.size_bytes(), image.data_bytes()), (size, 8192));
}

#[test]
fn stray_entries_of_sector_bitmaps_mean_nothing_without_a_parent() {
    // Blocks of 256 MiB have one after every 16; older QEMU leaves anything there.
    let built =
        Vhdx { block_bits: 28, ..Vhdx::new((16 << 28) + 512) }.with(16, Block::Data(vec![7; 512])).build();
    for stray in [6_u64, 4 << 20 | 6, 7, 8, u64::MAX] {
        let mut bytes = built.bytes.clone();
        // The table is at 3 MiB.
        bytes[3 * MIB + 16 * 8..][..8].copy_from_slice(&stray.to_le_bytes());
        let image = Image::open(Arc::new(bytes), None, &Limits::default()).unwrap();
        let mut last = vec![0; 512];
        image.read_exact_at(16 << 28, &mut last).unwrap();
        assert!(last == [7; 512] && image.data_bytes() == 512, "{stray:#x}");
    }
}

#[test]
fn the_table_may_be_full_to_its_last_entry() {
    let built = Vhdx::new(131_041 << 20).build();
    assert!(Image::open(Arc::new(built.bytes), None, &Limits::default()).is_ok());
}

#[test]
fn one_valid_header_is_enough_and_the_higher_number_counts() {
    let built = Vhdx::new(1 << 16).with(0, Block::Data(pattern(1, 1 << 16))).build().bytes;
    let headers = [64 << 10, 128 << 10];
    for broken in headers {
        let mut bytes = built.clone();
        bytes[broken + 100] ^= 1;
        let source: Arc<dyn ReadAt> = Arc::new(bytes);
        let seen = inspect(&source, None, &Limits::default()).unwrap();
        let note = seen.checks.iter().find(|check| check.name == "vhdx.headers").unwrap();
        assert!(seen.safe && note.verdict == Verdict::Note, "{seen:?}");
        assert_eq!(seen.virtual_size_bytes, Some(1 << 16));
    }
    // A log to replay that only the older header names is history.
    let mut bytes = built.clone();
    bytes[headers[0] + 50] = 1;
    bytes[headers[0] + 4..][..4].fill(0);
    let crc = crc32c(&bytes[headers[0]..][..4096]);
    bytes[headers[0] + 4..][..4].copy_from_slice(&crc.to_le_bytes());
    assert!(Image::open(Arc::new(bytes), None, &Limits::default()).is_ok());
}

/// A file that somebody changes while it is read.
struct Changing(Mutex<Vec<u8>>);

impl ReadAt for Changing {
    fn len(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.lock().unwrap().read_exact_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.0.lock().unwrap().next_data(offset)
    }
}

#[test]
fn s06_an_entry_changed_after_validation_is_refused_when_used() {
    let built = Vhdx::new(1 << 16).with(0, Block::Data(pattern(1, 1 << 16))).build().bytes;
    let entry = 3 * MIB;
    let source = Arc::new(Changing(Mutex::new(built)));
    let image = Image::open(Arc::<Changing>::clone(&source), None, &Limits::default()).unwrap();
    let changes = [
        (u64::MAX, Reason::Malformed),
        (!0xf_ffff | 6, Reason::Truncated),
        (4 << 20 | 7, Reason::Malformed),
        (5 << 20 | 6, Reason::Truncated),
    ];
    for (value, reason) in changes {
        source.0.lock().unwrap()[entry..entry + 8].copy_from_slice(&value.to_le_bytes());
        let refusals = [
            image.read_exact_at(100, &mut [0; 100]).unwrap_err(),
            image.extents(0, 1 << 16).map(|_| ()).unwrap_err(),
        ];
        for error in refusals {
            let ImageError::Refused(refusal) = error else { panic!("{error}") };
            assert_eq!((refusal.reason, refusal.check), (reason, "vhdx.bat"));
        }
    }
}

#[test]
fn limits_hold() {
    let built = || Arc::new(Vhdx::new(1 << 16).with(0, Block::Data(vec![1; 1 << 16])).build().bytes);
    let (mut container, mut tables) = (Limits::default(), Limits::default());
    container.max_container_bytes = 4 << 20;
    tables.max_metadata_bytes = 100 << 10;
    let disk = Limits::default().with_max_virtual_bytes((1 << 16) - 1);
    for (limits, check) in [(container, "vhdx.file_bytes"), (tables, "image.budget"), (disk, "vhdx.size")] {
        let error = Image::open(built(), None, &limits).unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.reason, refusal.check), (Reason::Limit, check));
    }
    assert!(Image::open(built(), None, &Limits::default().with_max_virtual_bytes(1 << 16)).is_ok());
}
