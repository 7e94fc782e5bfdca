//! What QEMU writes as `vpc` is read alike here, and where QEMU reads otherwise is pinned down. Needs `qemu-img`.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use volary_image::{FileSource, Format, Image, Limits, Reason};
use volary_testkit::images::vhd::Vhd;
use volary_testkit::images::{noise, pattern};

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn open(path: &Path) -> Image {
    let source = Arc::new(FileSource::open(path).unwrap());
    Image::open(source, Some(Format::Vhd), &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Everything, by windows of extents, as well as in one go.
fn contents(path: &Path) -> Vec<u8> {
    let image = open(path);
    let size = image.size_bytes();
    let mut whole = vec![0xaa; usize::try_from(size).unwrap()];
    image.read_exact_at(0, &mut whole).unwrap();
    let (mut at, mut data) = (0, 0);
    let step = 3 << 20 | 0x3210;
    while at < size {
        let window = step.min(size - at);
        let mut next = at;
        for extent in image.extents(at, window).unwrap() {
            assert_eq!(extent.offset, next, "a gap");
            next += extent.len;
            let mut bytes = vec![0xbb; usize::try_from(extent.len).unwrap()];
            image.read_exact_at(extent.offset, &mut bytes).unwrap();
            let start = usize::try_from(extent.offset).unwrap();
            assert!(bytes == whole[start..start + bytes.len()], "{extent:?} differs");
            assert!(extent.data || bytes.iter().all(|&b| b == 0), "{extent:?} is not zero");
            data += if extent.data { extent.len } else { 0 };
        }
        assert_eq!(next, at + window);
        at += window;
    }
    assert_eq!(data, image.data_bytes());
    whole
}

struct Files {
    _dir: tempfile::TempDir,
    source: PathBuf,
    image: PathBuf,
    raw: PathBuf,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        Self { source: at("source"), image: at("image"), raw: at("raw"), _dir: dir }
    }

    /// What QEMU reads of the image.
    fn qemu(&self) -> Vec<u8> {
        let (image, raw) = (self.image.to_str().unwrap(), self.raw.to_str().unwrap());
        qemu_img(&["convert", "-f", "vpc", "-O", "raw", image, raw]);
        fs::read(&self.raw).unwrap()
    }
}

const OPTIONS: [&str; 4] = [
    "subformat=fixed,force_size=on",
    "subformat=fixed,force_size=off",
    "subformat=dynamic,force_size=on",
    "subformat=dynamic,force_size=off",
];
const SIZES: [usize; 12] = [
    1,
    512,
    513,
    65_536,
    (1 << 20) - 1,
    1 << 20,
    (2 << 20) - 512,
    2 << 20,
    (2 << 20) + 512,
    3_000_000,
    (4 << 20) + 1,
    (9 << 20) + 512 * 5,
];

/// Data and zeros, first and last sector included.
fn sparse(size: usize) -> Vec<u8> {
    let mut raw = vec![0; size];
    let mut put = |at: usize, bytes: &[u8]| {
        let end = size.min(at + bytes.len());
        if at < end {
            raw[at..end].copy_from_slice(&bytes[..end - at]);
        }
    };
    put(0, &pattern(1, 70_000));
    put((4 << 20) + 1234, &[1]);
    put((8 << 20) + 4096, &noise(2, 300_000));
    put(size.saturating_sub(3), &[1, 2, 3]);
    raw
}

#[test]
fn every_subformat_and_size_qemu_creates_reads_back_empty() {
    let files = Files::new();
    let image = files.image.to_str().unwrap();
    for options in OPTIONS {
        for size in SIZES {
            qemu_img(&["create", "-q", "-f", "vpc", "-o", options, image, &size.to_string()]);
            let ours = contents(&files.image);
            assert!(ours.len() >= size, "{options}, {size}");
            assert!(ours == files.qemu(), "{options}, {size}");
            assert!(ours.iter().all(|&byte| byte == 0));
        }
    }
}

#[test]
fn every_subformat_and_size_qemu_converts_reads_back() {
    let files = Files::new();
    let (source, image) = (files.source.to_str().unwrap(), files.image.to_str().unwrap());
    for options in OPTIONS {
        for size in SIZES {
            for raw in [sparse(size), noise(3, size)] {
                fs::write(&files.source, &raw).unwrap();
                qemu_img(&["convert", "-f", "raw", "-O", "vpc", "-o", options, source, image]);
                let ours = contents(&files.image);
                assert!(ours[..size] == raw, "{options}, {size}");
                assert!(ours == files.qemu(), "{options}, {size}: QEMU's disk differs");
            }
        }
    }
}

#[test]
fn large_disks_have_the_size_qemu_gives_them() {
    let files = Files::new();
    let image = files.image.to_str().unwrap();
    // Around the geometry's limit of 127 GiB, and to the end of the format.
    for gib in [8, 31, 126, 127, 128, 500, 2039, 2040] {
        for options in OPTIONS {
            qemu_img(&["create", "-q", "-f", "vpc", "-o", options, image, &format!("{gib}G")]);
            let output =
                Command::new("qemu-img").args(["info", "--output=json", "-f", "vpc", image]).output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            let opened = open(&files.image);
            let size = opened.size_bytes();
            assert!(text.contains(&format!("\"virtual-size\": {size},")), "{options}, {gib}: {size}, {text}");
            assert!(size >= gib << 30);
            let mut end = vec![0xaa; 4096];
            opened.read_exact_at(size - 4096, &mut end).unwrap();
            assert!(end == [0; 4096]);
            assert_eq!(opened.extents(size - (1 << 30), 1 << 30).unwrap().len(), 1);
        }
    }
}

#[test]
fn partitioned_disks_qemu_makes_fixed_are_not_polyglots() {
    let files = Files::new();
    let (source, image) = (files.source.to_str().unwrap(), files.image.to_str().unwrap());
    let mut raw = sparse(2 << 20);
    raw[446..510].fill(0);
    raw[450] = 0xee;
    raw[458] = 1;
    raw[510..520].copy_from_slice(b"\x55\xaaEFI PART");
    fs::write(&files.source, &raw).unwrap();
    for options in OPTIONS {
        qemu_img(&["convert", "-f", "raw", "-O", "vpc", "-o", options, source, image]);
        assert!(contents(&files.image)[..raw.len()] == raw, "{options}");
        assert!(contents(&files.image) == files.qemu(), "{options}");
    }
}

#[test]
fn where_qemu_ignores_the_bitmap_no_byte_is_given_out() {
    let files = Files::new();
    let (source, image) = (files.source.to_str().unwrap(), files.image.to_str().unwrap());
    let raw = noise(4, 2 << 20);
    fs::write(&files.source, &raw).unwrap();
    qemu_img(&["convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", source, image]);
    let before = files.qemu();
    // The first block of a table of one sector; its bitmap is one sector.
    let file = File::options().read(true).write(true).open(&files.image).unwrap();
    let mut entry = [0; 4];
    file.read_exact_at(&mut entry, 1536).unwrap();
    let bitmap = u64::from(u32::from_be_bytes(entry)) * 512;
    let mut bits = [0; 512];
    file.read_exact_at(&mut bits, bitmap).unwrap();
    assert!(bits == [0xff; 512], "QEMU sets every bit");
    // The bit of sector 100, behind what is looked at when opening; VirtualBox would then read it as zeros.
    file.write_all_at(&[0xf7], bitmap + 12).unwrap();
    assert!(files.qemu() == before, "QEMU does not look at the bitmap");
    let opened = open(&files.image);
    let refused = |at: u64, len: usize| {
        let error = opened.read_exact_at(at, &mut vec![0; len]).unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.reason, refusal.check), (Reason::Malformed, "vhd.bitmap"), "{at}, {len}");
    };
    refused(0, 2 << 20);
    refused(100 * 512, 1);
    refused(101 * 512 - 1, 1);
    refused(100 * 512 - 100, 101);
    for (at, len) in [(0, 100 * 512), (101 * 512, (2 << 20) - 101 * 512), (100 * 512, 0)] {
        let mut bytes = vec![0xaa; len];
        opened.read_exact_at(at, &mut bytes).unwrap();
        assert!(bytes == raw[usize::try_from(at).unwrap()..][..len]);
    }
}

#[test]
fn the_sizes_of_every_creator_are_those_of_qemu() {
    let files = Files::new();
    let content = noise(5, 1 << 20);
    for creator in
        [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0", b"vbox", b"vpc ", b"qemu", b"vs  ", b"what"]
    {
        for geometry in [(30, 4, 17), (65_535, 16, 255)] {
            fs::write(&files.image, Vhd::fixed(content.clone()).by(creator, geometry).build().bytes).unwrap();
            assert!(contents(&files.image) == files.qemu(), "{}, {geometry:?}", creator.escape_ascii());
        }
    }
}

#[test]
fn a_table_in_a_hole_of_the_file_is_refused() {
    let files = Files::new();
    let built = Vhd { entries: Some(500_000), table: 1 << 20, ..Vhd::dynamic(1 << 20) }.build();
    let file = File::create(&files.image).unwrap();
    file.set_len(built.bytes.len() as u64).unwrap();
    file.write_all_at(&built.bytes[..1536], 0).unwrap();
    file.write_all_at(&built.bytes[built.bytes.len() - 512..], built.bytes.len() as u64 - 512).unwrap();
    let source = Arc::new(FileSource::open(&files.image).unwrap());
    let error = Image::open(source, None, &Limits::default()).unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!((refusal.reason, refusal.check), (Reason::Overlap, "vhd.entries"));
}

#[test]
fn many_threads_read_one_disk() {
    let (size, block) = (3_usize << 19, 512 << 10);
    let disk = noise(6, size);
    let vhd = Vhd::dynamic(size as u64)
        .with(2, disk[2 * block..].to_vec())
        .with(0, disk[..block].to_vec())
        .with(1, disk[block..2 * block].to_vec());
    let image = Image::open(Arc::new(vhd.build().bytes), None, &Limits::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (image, disk) = (&image, &disk);
            scope.spawn(move || {
                for round in 0..200 {
                    let at = (thread * 7919 + round * 104_729) % (size - 9000);
                    let mut bytes = vec![0xcc; 9000];
                    image.read_exact_at(at as u64, &mut bytes).unwrap();
                    assert!(bytes == disk[at..at + 9000]);
                }
            });
        }
    });
}
