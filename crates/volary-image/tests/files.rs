//! What the file source opens, what it refuses, and how raw content reads through holes.
#![allow(clippy::unwrap_used)]

use rustix::fs::{CWD, FileType, Mode};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use volary_image::{Extent, FileSource, Format, Image, ImageError, Limits, ReadAt, Reason};

fn refused(path: &Path) -> bool {
    let error = FileSource::open(path).unwrap_err();
    error.refusal().is_some_and(|r| r.reason == Reason::NotAFile)
}

#[test]
fn s06_only_regular_files_and_block_devices_are_opened_and_nothing_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), b"x").unwrap();
    assert_eq!(FileSource::open(&at("file")).unwrap().len(), 1);

    symlink(at("file"), at("link")).unwrap();
    // No writer ever opens it: a blocking open would hang here.
    rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listening = UnixListener::bind(at("socket")).unwrap();
    for name in ["link", "fifo", "socket", "."] {
        assert!(refused(&at(name)), "{name}");
    }
    for path in [
        "/dev/zero",
        "/dev/null",
        "/dev/tty",
        "/proc/self/maps",
        "/proc/version",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        if Path::new(path).exists() {
            assert!(refused(Path::new(path)), "{path}");
        }
    }
}

#[test]
fn a_missing_file_and_a_protocol_name_are_just_paths() {
    for path in ["/nonexistent/x", "nbd:localhost:10809", "json:{\"file\":{}}", "fat:/tmp"] {
        let error = FileSource::open(Path::new(path)).unwrap_err();
        let ImageError::Io { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    }
}

#[test]
fn a_fingerprint_changes_with_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"one").unwrap();
    let source = FileSource::open(file.path()).unwrap();
    assert_eq!(source.path(), file.path());
    let before = source.fingerprint().unwrap();
    assert_eq!(before, source.fingerprint().unwrap());
    file.write_all(b"two").unwrap();
    assert_ne!(before, source.fingerprint().unwrap());
}

#[test]
fn raw_holes_are_zero_extents_and_every_byte_reads() {
    let mut file = tempfile::tempfile().unwrap();
    let block = vec![7_u8; 64 << 10];
    for at in [1 << 20, 5 << 20] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&block).unwrap();
    }
    // The last sector is not whole: it is filled up.
    file.set_len((8 << 20) + 100).unwrap();
    let size = (8 << 20) + 512;
    let source = Arc::new(FileSource::from_file(file).unwrap());
    let image = Image::open(source, Some(Format::Raw), &Limits::default()).unwrap();
    assert_eq!(image.size_bytes(), size);
    let extents = image.extents(0, size).unwrap();
    let data: Vec<Extent> = extents.iter().copied().filter(|e| e.data).collect();
    let want = |offset| Extent { offset, len: 64 << 10, data: true };
    assert_eq!(data, [want(1 << 20), want(5 << 20)]);
    assert_eq!(extents.iter().map(|e| e.len).sum::<u64>(), size);
    assert_eq!(image.data_bytes(), 128 << 10);
    assert_eq!(
        image.extents((1 << 20) + 1, 10).unwrap(),
        [Extent { offset: (1 << 20) + 1, len: 10, data: true }]
    );
    let mut byte = [9];
    image.read_exact_at(size - 1, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    assert!(image.read_exact_at(size, &mut byte).is_err());
    assert!(image.extents(u64::MAX, 2).is_err());
}

#[test]
fn s06_a_huge_sparse_file_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // 1 TiB of hole behind a header whose L1 table names a thousand L2 tables inside the hole.
    let mut image =
        volary_testkit::images::Qcow2 { cluster_bits: 16, ..volary_testkit::images::Qcow2::new(1 << 39) }
            .build();
    for index in 0..1024_u64 {
        image.put64(image.l1 + index * 8, (1 + index) << 30);
    }
    let path = dir.path().join("sparse");
    fs::write(&path, &image.bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 41).unwrap();
    let image = Image::open(Arc::new(FileSource::open(&path).unwrap()), None, &Limits::default()).unwrap();
    assert_eq!((image.size_bytes(), image.data_bytes()), (1 << 39, 0));
}

#[test]
fn s12_the_bitmap_is_bounded_for_small_clusters_and_huge_files() {
    use volary_testkit::images::Qcow2;
    let dir = tempfile::tempdir().unwrap();
    for (cluster_bits, most) in [(9, 64_u64 << 30), (11, 64 << 30), (16, 4 << 40)] {
        let path = dir.path().join("sparse");
        fs::write(&path, Qcow2 { cluster_bits, ..Qcow2::new(1 << 20) }.build().bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let mut limits = Limits::default();
        limits.max_container_bytes = 4 << 40;
        for (len, fits) in [(most, true), (most + 1, false)] {
            file.set_len(len).unwrap();
            let opened = Image::open(Arc::new(FileSource::open(&path).unwrap()), None, &limits);
            let reason = opened.err().and_then(|e| e.refusal().map(|r| r.reason));
            assert_eq!(reason, (!fits).then_some(Reason::Limit), "{cluster_bits} {len}");
        }
    }
}
