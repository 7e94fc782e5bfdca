//! What QEMU writes as VMDK is read alike here, with every option it has; what keeps its data elsewhere is refused. Needs `qemu-img`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use volary_image::{FileSource, Format, Image, ImageError, Limits, Reason};
use volary_testkit::images::{noise, pattern};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn open(path: &Path) -> Result<Image, ImageError> {
    Image::open(Arc::new(FileSource::open(path).unwrap()), Some(Format::Vmdk), &Limits::default())
}

/// Reads all of an image in one go, and again by its extents.
fn contents(path: &Path) -> Vec<u8> {
    let image = open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut whole = vec![0xaa; usize::try_from(image.size_bytes()).unwrap()];
    image.read_exact_at(0, &mut whole).unwrap();
    let mut data = 0;
    for extent in image.extents(0, image.size_bytes()).unwrap() {
        let start = usize::try_from(extent.offset).unwrap();
        let mut bytes = vec![0xbb; usize::try_from(extent.len).unwrap()];
        image.read_exact_at(extent.offset, &mut bytes).unwrap();
        assert!(bytes == whole[start..start + bytes.len()], "{extent:?} differs");
        assert!(extent.data || bytes.iter().all(|&byte| byte == 0), "{extent:?} is not zero");
        data += if extent.data { extent.len } else { 0 };
    }
    assert_eq!(data, image.data_bytes());
    whole
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compares what is read here with what QEMU makes of the same file.
    fn compare(&self, image: &Path, what: &str) -> Vec<u8> {
        let raw = self.at("out.raw");
        let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "vmdk", "-O", "raw", from, to]);
        let bytes = contents(image);
        assert!(bytes == fs::read(&raw).unwrap(), "{what} differs");
        bytes
    }

    fn convert(&self, disk: &[u8], options: &str) -> Vec<u8> {
        let (raw, image) = (self.at("in.raw"), self.at("disk.vmdk"));
        fs::write(&raw, disk).unwrap();
        let (from, to) = (raw.to_str().unwrap(), image.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "-o", options, from, to]);
        self.compare(&image, options)
    }
}

const SUBFORMATS: [&str; 2] = ["monolithicSparse", "streamOptimized"];
/// Every option of `qemu-img create -f vmdk -o help` that a disk in one file can have, with each of its values.
const OPTIONS: [&str; 13] = [
    "adapter_type=ide",
    "adapter_type=lsilogic",
    "adapter_type=buslogic",
    "adapter_type=legacyESX",
    "compat6=on",
    "compat6=off",
    "hwversion=3",
    "hwversion=21",
    "toolsversion=0",
    "toolsversion=2147483647",
    "zeroed_grain=on",
    "zeroed_grain=off",
    "adapter_type=lsilogic,hwversion=11,toolsversion=9",
];

/// Data that compresses and data that does not, zeros written and never written.
fn disk(len: usize) -> Vec<u8> {
    let mut raw = vec![0; len];
    let mut put = |at: usize, bytes: Vec<u8>| {
        if at + bytes.len() <= len {
            raw[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    };
    put(0, pattern(1, 700));
    put(65_536, noise(2, 300_000));
    put((3 << 20) + 1234, vec![1]);
    put(5 << 20, pattern(3, 65_536));
    put(len - len.min(511), noise(4, len.min(511)));
    raw
}

#[test]
fn every_option_of_qemu_in_one_file_reads_back() {
    let place = Place::new();
    let raw = disk((6 << 20) + 5 * 512);
    for subformat in SUBFORMATS {
        for option in OPTIONS {
            let options = format!("subformat={subformat},{option}");
            assert!(place.convert(&raw, &options) == raw, "{options}");
            let image = place.at("new.vmdk");
            run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", &options, image.to_str().unwrap(), "5M"]);
            assert!(place.compare(&image, &options) == vec![0; 5 << 20], "{options}");
        }
    }
}

#[test]
fn every_size_empty_full_and_sparse_reads_back() {
    let place = Place::new();
    for subformat in SUBFORMATS {
        let options = format!("subformat={subformat}");
        for size in [512, 1024, 4096, 65_024, 65_536, 66_048, 1 << 20, (1 << 20) + 512, 33 << 20] {
            assert!(place.convert(&disk(size), &options) == disk(size), "{options} {size}");
            assert!(place.convert(&vec![0; size], &options) == vec![0; size], "{options} {size}, empty");
        }
        for size in [1, 511, 513, 65_535, 65_537, 1_000_001] {
            // QEMU's disks are whole sectors.
            let mut want = disk(size);
            want.resize(size.next_multiple_of(512), 0);
            assert!(place.convert(&disk(size), &options) == want, "{options} {size}");
        }
        for full in [noise(1, 3 << 20), pattern(2, 3 << 20)] {
            assert!(place.convert(&full, &options) == full, "{options}, full");
        }
    }
}

#[test]
fn a_large_sparse_disk_costs_little() {
    let place = Place::new();
    for subformat in SUBFORMATS {
        let image = place.at("large.vmdk");
        let options = format!("subformat={subformat}");
        run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", &options, image.to_str().unwrap(), "2T"]);
        let opened = open(&image).unwrap();
        assert_eq!((opened.size_bytes(), opened.data_bytes()), (2 << 40, 0));
        assert_eq!(opened.extents((2 << 40) - (1 << 30), 1 << 30).unwrap().len(), 1);
    }
}

#[test]
fn zero_grains_that_qemu_writes_are_no_data() {
    let place = Place::new();
    let image = place.at("zeroed.vmdk");
    let path = image.to_str().unwrap();
    run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", "zeroed_grain=on", path, "4M"]);
    let io =
        ["-f", "vmdk", "-c", "write -P 7 0 1M", "-c", "write -z 256k 512k", "-c", "write -z 2M 1M", path];
    run("qemu-io", &io);
    let bytes = place.compare(&image, "zero grains");
    assert!(bytes[..256 << 10] == [7; 256 << 10] && bytes[2 << 20..].iter().all(|&byte| byte == 0));
    assert_eq!(open(&image).unwrap().data_bytes(), 512 << 10);
}

#[test]
fn what_keeps_its_data_elsewhere_or_has_a_parent_is_refused() {
    let place = Place::new();
    let reason = |name: &str| open(&place.at(name)).unwrap_err().refusal().map(|refusal| refusal.reason);
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let (name, options) = (format!("{subformat}.vmdk"), format!("subformat={subformat}"));
        let image = place.at(&name);
        run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", &options, image.to_str().unwrap(), "5M"]);
        assert_eq!(reason(&name), Some(Reason::DataFile), "{subformat}");
    }
    assert_eq!(reason("twoGbMaxExtentSparse-s001.vmdk"), Some(Reason::DataFile), "an extent alone");

    let (base, image) = (place.at("base.vmdk"), place.at("child.vmdk"));
    let (base, path) = (base.to_str().unwrap(), image.to_str().unwrap());
    run("qemu-img", &["create", "-q", "-f", "vmdk", base, "5M"]);
    run("qemu-img", &["create", "-q", "-f", "vmdk", "-b", base, "-F", "vmdk", path]);
    assert_eq!(reason("child.vmdk"), Some(Reason::BackingFile));
}
