//! Every option `qemu-img create` has for qcow2 and raw, on disks of every awkward size and content: read as `qemu-img convert` reads it,
//! or refused for what it needs. Needs `qemu-img` and `qemu-io`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use volary_image::{FileSource, Format, Image, ImageError, Limits};
use volary_testkit::images::{noise, pattern};

fn tool(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("QEMU's tools are installed");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
}

fn open(path: &Path, format: Format) -> Result<Image, ImageError> {
    Image::open(Arc::new(FileSource::open(path)?), Some(format), &Limits::default())
}

/// The whole disk, read in one go and by its runs.
fn contents(path: &Path, format: Format) -> Vec<u8> {
    let image = open(path, format).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut whole = vec![0xaa; usize::try_from(image.size_bytes()).unwrap()];
    image.read_exact_at(0, &mut whole).unwrap();
    let (mut next, mut data) = (0, 0);
    for extent in image.extents(0, image.size_bytes()).unwrap() {
        assert_eq!(extent.offset, next, "a gap");
        next += extent.len;
        let mut part = vec![0xbb; usize::try_from(extent.len).unwrap()];
        image.read_exact_at(extent.offset, &mut part).unwrap();
        let there = &whole[usize::try_from(extent.offset).unwrap()..][..part.len()];
        assert!(part == there && (extent.data || part.iter().all(|&byte| byte == 0)), "{extent:?}");
        data += if extent.data { extent.len } else { 0 };
    }
    // To some file systems what was allocated and never written is data once it has been read.
    assert!(
        next == image.size_bytes() && (data == image.data_bytes() || format == Format::Raw),
        "{data} of {next}"
    );
    whole
}

/// What QEMU makes of an image.
fn converted(path: &Path, format: Format) -> Vec<u8> {
    let raw = path.with_extension("converted");
    tool("qemu-img", &["convert", "-f", format.as_str(), "-O", "raw", text(path), text(&raw)]);
    fs::read(raw).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Nothing; a last byte alone; everything; runs and gaps of no round size, up to the last byte.
fn disks(size: usize) -> [(&'static str, Vec<u8>); 4] {
    let mut last = vec![0; size];
    last[size - 1] = 0x5a;
    let mut sparse = last.clone();
    for (seed, start) in (0..size).step_by(200_003).enumerate() {
        let end = size.min(start + 30_011);
        sparse[start..end].copy_from_slice(&pattern(seed as u64, end - start));
    }
    [("empty", vec![0; size]), ("last", last), ("full", noise(7, size)), ("sparse", sparse)]
}

/// A byte, sectors and one off each, a cluster and one off, and a disk of several L2 tables of the smallest clusters.
const SIZES: [usize; 8] = [1, 511, 513, 4096, 65_535, 65_537, (1 << 20) - 512, (2 << 20) + 3 * 512 + 1];

#[test]
fn every_preallocation_of_plain_and_extended_tables_reads_back_at_every_size() {
    let dir = tempfile::tempdir().unwrap();
    let (source, image) = (dir.path().join("raw"), dir.path().join("qcow2"));
    for size in SIZES {
        for (content, disk) in disks(size) {
            fs::write(&source, &disk).unwrap();
            for preallocation in ["off", "metadata", "falloc", "full"] {
                for tables in
                    ["cluster_size=512", "cluster_size=16k,extended_l2=on", "cluster_size=2M,extended_l2=on"]
                {
                    let options = format!("{tables},preallocation={preallocation}");
                    tool(
                        "qemu-img",
                        &["convert", "-f", "raw", "-O", "qcow2", "-o", &options, text(&source), text(&image)],
                    );
                    let read = contents(&image, Format::Qcow2);
                    assert!(read[..size] == disk, "{options}, {size} bytes, {content}");
                    assert!(
                        read == converted(&image, Format::Qcow2),
                        "{options}, {size} bytes, {content}: QEMU's differs"
                    );
                }
            }
        }
    }
}

#[test]
fn every_other_option_of_qcow2_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, image) = (dir.path().join("raw"), dir.path().join("qcow2"));
    let bits = [1, 2, 4, 8, 16, 32, 64].map(|bits| format!("refcount_bits={bits}"));
    let others = [
        "compat=v2",
        "compat=0.10",
        "compat=v3",
        "lazy_refcounts=on",
        "nocow=on",
        "compression_type=zlib",
        "compression_type=zstd",
    ];
    let table = || bits.iter().map(String::as_str).chain(others);
    for (content, disk) in disks((1 << 20) + 777) {
        fs::write(&source, &disk).unwrap();
        for options in table() {
            for how in [&["-S", "0"][..], &["-c"]] {
                let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", options];
                arguments.extend(how);
                arguments.extend([text(&source), text(&image)]);
                tool("qemu-img", &arguments);
                let read = contents(&image, Format::Qcow2);
                assert!(read[..disk.len()] == disk, "{options} {how:?}, {content}");
                assert!(
                    read == converted(&image, Format::Qcow2),
                    "{options} {how:?}, {content}: QEMU's differs"
                );
            }
        }
    }
    for options in table().chain(["preallocation=metadata", "preallocation=falloc", "preallocation=full"]) {
        tool("qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, text(&image), "300001"]);
        assert!(contents(&image, Format::Qcow2) == converted(&image, Format::Qcow2), "{options}, created");
    }
}

#[test]
fn subclusters_qemu_writes_zeroes_and_discards_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("qcow2");
    // With clusters of 64 KiB a subcluster has 2 KiB: each request covers some wholly, some in part.
    let requests = [
        "write -P 0x11 0 1k",
        "write -P 0x22 7k 9k",
        "write -z 8k 3k",
        "write -P 0x33 62k 4k",
        "write -P 0x44 128k 64k",
        "discard 130k 20k",
        "write -z -u 160k 32k",
        "write -c -P 0x55 192k 64k",
        "write -P 0x66 200k 512",
        "write -c -P 0x77 256k 64k",
        "write -z 256k 64k",
        "write -P 0x88 1021k 3k",
    ];
    for preallocation in ["off", "metadata", "falloc"] {
        let options = format!("extended_l2=on,preallocation={preallocation}");
        tool("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &options, text(&image), "1M"]);
        // QEMU writes compressed clusters only where nothing is allocated.
        for request in requests.iter().filter(|request| preallocation == "off" || !request.contains("-c")) {
            tool("qemu-io", &["-f", "qcow2", "-d", "unmap", "-c", request, text(&image)]);
            assert!(
                contents(&image, Format::Qcow2) == converted(&image, Format::Qcow2),
                "{options}, up to {request}"
            );
        }
    }
}

#[test]
fn every_way_to_make_a_raw_file_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, image) = (dir.path().join("source"), dir.path().join("raw"));
    for size in SIZES {
        for (content, disk) in disks(size) {
            fs::write(&source, &disk).unwrap();
            for options in ["preallocation=off", "preallocation=falloc", "preallocation=full"] {
                tool(
                    "qemu-img",
                    &["convert", "-f", "raw", "-O", "raw", "-o", options, text(&source), text(&image)],
                );
                let read = contents(&image, Format::Raw);
                // QEMU makes whole sectors.
                assert!(
                    read[..size] == disk && read[size..].iter().all(|&byte| byte == 0),
                    "{options}, {size}, {content}"
                );
            }
        }
    }
}

#[test]
fn s06_what_qemu_makes_with_another_file_or_a_key_is_refused_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (base, image) = (dir.path().join("base"), dir.path().join("qcow2"));
    let data = dir.path().join("data");
    tool("qemu-img", &["create", "-q", "-f", "raw", text(&base), "1M"]);
    let data_file = format!("data_file={}", text(&data));
    let raw_data_file = format!("{data_file},data_file_raw=on");
    let secret = "secret,id=s,data=abc";
    let table: [(&str, &[&str]); 5] = [
        ("backing_file", &["-b", text(&base), "-F", "raw"]),
        ("data_file", &["-o", &data_file]),
        ("data_file", &["-o", &raw_data_file]),
        (
            "encrypted",
            &["--object", secret, "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"],
        ),
        ("encrypted", &["--object", secret, "-o", "encrypt.format=aes,encrypt.key-secret=s"]),
    ];
    for (reason, options) in table {
        let mut arguments = vec!["create", "-q", "-f", "qcow2"];
        arguments.extend(options);
        arguments.extend([text(&image), "1M"]);
        tool("qemu-img", &arguments);
        let error = open(&image, Format::Qcow2).unwrap_err();
        assert_eq!(
            error.refusal().map(|refusal| refusal.reason.as_str()),
            Some(reason),
            "{options:?}: {error}"
        );
    }
}
