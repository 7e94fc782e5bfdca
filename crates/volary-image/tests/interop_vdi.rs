//! VDI images QEMU writes are read alike here, and what the generator writes QEMU finds consistent. Needs `qemu-img`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use volary_image::{FileSource, Format, Image, Limits};
use volary_testkit::images::{Cluster, Qcow2, noise, pattern, vdi};

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn open(path: &Path) -> Image {
    let source = Arc::new(FileSource::open(path).unwrap());
    Image::open(source, Some(Format::Vdi), &Limits::default()).unwrap()
}

/// Everything, by windows of extents and odd reads, as well as in one go.
fn contents(path: &Path) -> Vec<u8> {
    let image = open(path);
    let size = image.size_bytes();
    let mut whole = vec![0xaa; usize::try_from(size).unwrap()];
    image.read_exact_at(0, &mut whole).unwrap();
    let (mut at, mut data) = (0, 0);
    while at < size {
        let window = (1 << 20 | 0x3210).min(size - at);
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

/// What QEMU itself makes of an image.
fn converted(image: &Path) -> Vec<u8> {
    let raw = image.with_extension("converted");
    qemu_img(&["convert", "-f", "vdi", "-O", "raw", image.to_str().unwrap(), raw.to_str().unwrap()]);
    fs::read(raw).unwrap()
}

/// Nothing, everything, and data between gaps, of a size.
fn disks(size: usize) -> [(&'static str, Vec<u8>); 3] {
    let mut sparse = vec![0; size];
    for (seed, start) in (0..size).step_by((5 << 20) / 2).enumerate() {
        let end = size.min(start + 70_000);
        sparse[start..end].copy_from_slice(&pattern(seed as u64, end - start));
    }
    [("empty", vec![0; size]), ("full", noise(7, size)), ("sparse", sparse)]
}

const MIB: usize = 1 << 20;

#[test]
fn every_option_size_and_content_qemu_converts_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("raw"), dir.path().join("vdi"));
    // Sectors, blocks, one off each, and what is neither; 9 MiB and a byte has blocks of every kind.
    for size in [1, 511, 512, 513, MIB - 1, MIB, MIB + 1, MIB + 512, 3 * MIB + 12_345, 9 * MIB + 1] {
        for (name, disk) in disks(size) {
            fs::write(&source, &disk).unwrap();
            for options in
                ["static=off", "static=on", "preallocation=off", "preallocation=falloc", "preallocation=full"]
            {
                let (from, to) = (source.to_str().unwrap(), target.to_str().unwrap());
                qemu_img(&["convert", "-f", "raw", "-O", "vdi", "-o", options, from, to]);
                let read = contents(&target);
                assert!(read[..size] == disk, "{options}, {size} bytes, {name}");
                assert!(read == converted(&target), "{options}, {size} bytes, {name}: QEMU's raw differs");
            }
        }
    }
}

#[test]
fn every_option_qemu_creates_with_reads_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("vdi");
    for options in ["static=off", "static=on", "static=on,preallocation=falloc", "preallocation=full"] {
        for size in [512, 1000, MIB, 5 * MIB + 512, 130 * MIB] {
            let _ = fs::remove_file(&target);
            qemu_img(&[
                "create",
                "-q",
                "-f",
                "vdi",
                "-o",
                options,
                target.to_str().unwrap(),
                &size.to_string(),
            ]);
            let image = open(&target);
            let sectors = size.next_multiple_of(512) as u64;
            assert_eq!(image.size_bytes(), sectors, "{options}");
            let stored = if options.contains("static=on") { sectors } else { 0 };
            assert_eq!(image.data_bytes(), stored, "{options}, {size} bytes");
            assert!(contents(&target) == vec![0; sectors as usize], "{options}, {size} bytes");
        }
    }
}

#[test]
fn blocks_qemu_wrote_out_of_order_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (target, overlay) = (dir.path().join("vdi"), dir.path().join("overlay"));
    let (image, over) = (target.to_str().unwrap(), overlay.to_str().unwrap());
    qemu_img(&["create", "-q", "-f", "vdi", image, "8M"]);
    let mut disk = vec![0; 8 * MIB];
    // Each commit of an overlay allocates the file's next block, wherever on the disk it is.
    for (seed, cluster) in [(1, 1536), (2, 300), (3, 767), (4, 0), (5, 2047)] {
        let bytes = noise(seed, 4096);
        disk[cluster * 4096..][..4096].copy_from_slice(&bytes);
        let built = Qcow2::new(8 << 20).with(cluster as u64, Cluster::Plain(bytes)).build();
        fs::write(&overlay, built.bytes).unwrap();
        qemu_img(&["rebase", "-u", "-f", "qcow2", "-b", image, "-F", "vdi", over]);
        qemu_img(&["commit", "-q", "-f", "qcow2", over]);
    }
    assert_eq!(open(&target).data_bytes(), 5 << 20);
    assert!(contents(&target) == disk);
    assert!(converted(&target) == disk);
}

#[test]
fn what_the_generator_makes_qemu_finds_consistent() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("vdi");
    for sample in vdi::valid() {
        fs::write(&target, &sample.file).unwrap();
        qemu_img(&["check", "-q", "-f", "vdi", target.to_str().unwrap()]);
        assert!(contents(&target) == sample.disk, "{}", sample.name);
    }
}
