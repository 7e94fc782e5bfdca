//! What QEMU writes is read alike here, and what the generator writes QEMU accepts. Needs `qemu-img`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use volary_image::{FileSource, Format, Image, Limits};
use volary_testkit::images::{noise, pattern, sample, valid};

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything, by windows of extents and odd reads, as well as in one go.
fn contents(path: &Path) -> Vec<u8> {
    let image =
        Image::open(Arc::new(FileSource::open(path).unwrap()), Some(Format::Qcow2), &Limits::default())
            .unwrap();
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

/// Data that compresses and data that does not, zeros written and never written, an odd size.
fn disk() -> Vec<u8> {
    let mut raw = vec![0; (9 << 20) + 512 * 5];
    let mut put = |at: usize, bytes: Vec<u8>| raw[at..at + bytes.len()].copy_from_slice(&bytes);
    put(0, pattern(1, 700_000));
    put(1 << 20, noise(2, 300_000));
    put((3 << 20) + 1234, vec![1]);
    put(5 << 20, pattern(3, 4096));
    put((8 << 20) + 4096, pattern(4, (1 << 20) - 2000));
    raw
}

#[test]
fn every_cluster_size_and_layout_qemu_writes_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("raw"), dir.path().join("qcow2"));
    let raw = disk();
    fs::write(&source, &raw).unwrap();
    let (source, image) = (source.to_str().unwrap(), target.to_str().unwrap());
    for bits in 9..=21 {
        for kind in
            ["compat=0.10", "compat=1.1", "compression_type=zstd", "extended_l2=on,compression_type=zstd"]
        {
            if kind.starts_with("extended") && bits < 14 {
                continue;
            }
            for compressed in [false, true] {
                let options = format!("{kind},cluster_size={}", 1 << bits);
                let mut arguments =
                    vec!["convert", "-f", "raw", "-O", "qcow2", "-o", &options, source, image];
                if compressed {
                    arguments.insert(1, "-c");
                }
                qemu_img(&arguments);
                assert!(contents(&target) == raw, "{options}, compressed: {compressed}");
            }
        }
    }
}

#[test]
fn preallocated_dirty_and_snapshotted_images_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("qcow2");
    let image = target.to_str().unwrap();
    for options in ["preallocation=metadata", "preallocation=falloc", "lazy_refcounts=on", "refcount_bits=1"]
    {
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, image, "5M"]);
        assert!(contents(&target) == vec![0; 5 << 20], "{options}");
    }
    qemu_img(&["create", "-q", "-f", "qcow2", image, "5M"]);
    qemu_img(&["snapshot", "-c", "one", image]);
    qemu_img(&["bitmap", "--add", image, "b"]);
    assert!(contents(&target) == vec![0; 5 << 20]);
}

#[test]
fn the_generator_makes_what_qemu_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let (target, out) = (dir.path().join("qcow2"), dir.path().join("raw"));
    let (image, raw) = (target.to_str().unwrap(), out.to_str().unwrap());
    for (name, spec) in valid().into_iter().chain([("sample".to_owned(), sample())]) {
        let built = spec.build();
        fs::write(&target, &built.bytes).unwrap();
        let want = spec.raw();
        assert!(contents(&target) == want, "{name}: read differs");
        qemu_img(&["check", "-q", "-f", "qcow2", image]);
        qemu_img(&["convert", "-f", "qcow2", "-O", "raw", image, raw]);
        assert!(fs::read(&out).unwrap() == want, "{name}: QEMU's raw differs");
    }
}

#[test]
fn many_threads_read_one_image() {
    let spec = sample();
    let image = Image::open(Arc::new(spec.build().bytes), None, &Limits::default()).unwrap();
    let want = spec.raw();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (image, want) = (&image, &want);
            scope.spawn(move || {
                for round in 0..200 {
                    let at = (thread * 7919 + round * 104_729) % (want.len() as u64 - 9000);
                    let mut bytes = vec![0xcc; 9000];
                    image.read_exact_at(at, &mut bytes).unwrap();
                    assert!(bytes == want[at as usize..at as usize + 9000]);
                }
            });
        }
    });
}
