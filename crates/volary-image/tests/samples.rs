//! Every valid sample of the generators: read alike by every way there is, and alike by QEMU. Needs `qemu-img`.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::fs;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use volary_image::{Image, ImageError, Limits};
use volary_testkit::images::{Sample, vdi, vhd, vhdx, vmdk};

/// The name of the format, QEMU's name for it, and its samples: made once, since each case below asks for them.
static FAMILIES: LazyLock<[(&str, &str, Vec<Sample>); 4]> = LazyLock::new(|| {
    [
        ("vmdk", "vmdk", vmdk::valid()),
        ("vhd", "vpc", vhd::valid()),
        ("vhdx", "vhdx", vhdx::valid()),
        ("vdi", "vdi", vdi::valid()),
    ]
});

fn open(bytes: Vec<u8>) -> Result<Image, ImageError> {
    Image::open(Arc::new(bytes), None, &Limits::default())
}

/// Opens, and reads a little everywhere when that succeeds.
fn exercise(bytes: Vec<u8>) {
    let limits = Limits::default().with_max_virtual_bytes(1 << 40);
    let Ok(image) = Image::open(Arc::new(bytes), None, &limits) else { return };
    let mut buffer = vec![0; 70_000];
    for part in 0..16 {
        let at = image.size_bytes() / 16 * part;
        let len = (image.size_bytes() - at).min(buffer.len() as u64);
        let _ = image.read_exact_at(at, &mut buffer[..len as usize]);
        if let Ok(extents) = image.extents(at, len) {
            assert_eq!(extents.iter().map(|e| e.len).sum::<u64>(), len);
        }
    }
}

#[test]
fn a_virtualbox_disk_that_ends_within_a_grain_reads_as_its_descriptor_says() {
    let samples = vmdk::rounded();
    read_as_their_disks("vmdk", &samples);
    for Sample { name, file, .. } in samples {
        let image = open(file).unwrap();
        assert!(image.notes().iter().any(|note| note.name == "vmdk.size"), "{name}: {:?}", image.notes());
    }
}

#[test]
fn every_sample_reads_as_its_disk_whole_in_parts_and_by_extents() {
    for (format, _, samples) in &*FAMILIES {
        read_as_their_disks(format, samples);
    }
}

fn read_as_their_disks(format: &str, samples: &[Sample]) {
    assert!(!samples.is_empty(), "{format}");
    for Sample { name, file, disk } in samples {
        let image = open(file.clone()).unwrap_or_else(|error| panic!("{format}, {name}: {error}"));
        assert_eq!((image.format().as_str(), image.size_bytes()), (format, disk.len() as u64), "{name}");
        let mut whole = vec![0xaa; disk.len()];
        image.read_exact_at(0, &mut whole).unwrap();
        assert!(whole == *disk, "{format}, {name}: the whole differs");
        let mut data = 0;
        for start in (0..disk.len()).step_by(300_000) {
            let end = disk.len().min(start + 300_000);
            let mut part = vec![0xbb; end - start];
            image.read_exact_at(start as u64, &mut part).unwrap();
            assert!(part == disk[start..end], "{format}, {name}: {start}..{end} differs");
            let mut next = start as u64;
            for extent in image.extents(start as u64, (end - start) as u64).unwrap() {
                assert_eq!(extent.offset, next, "{format}, {name}: a gap");
                next += extent.len;
                let bytes = &disk[extent.offset as usize..next as usize];
                assert!(extent.data || bytes.iter().all(|&b| b == 0), "{format}, {name}: {extent:?}");
                data += if extent.data { extent.len } else { 0 };
            }
            assert_eq!(next, end as u64);
        }
        assert_eq!(data, image.data_bytes(), "{format}, {name}");
    }
}

#[test]
fn qemu_reads_every_sample_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("raw"));
    for (format, driver, samples) in &*FAMILIES {
        for Sample { name, file, disk } in samples {
            fs::write(&source, file).unwrap();
            let mut convert = Command::new("qemu-img");
            convert.args(["convert", "-f", driver, "-O", "raw"]).args([&source, &target]);
            let output = convert.output().expect("qemu-img is installed");
            assert!(output.status.success(), "{format}, {name}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(fs::read(&target).unwrap() == *disk, "{format}, {name}: QEMU's disk differs");
        }
    }
}

#[test]
fn s06_no_cut_of_a_sample_is_read_as_its_disk() {
    for (format, _, samples) in &*FAMILIES {
        let Some(sample) = samples.iter().min_by_key(|sample| sample.file.len()) else { continue };
        for cut in (0..sample.file.len()).step_by((sample.file.len() / 300).max(1)) {
            let Ok(image) = open(sample.file[..cut].to_vec()) else { continue };
            // What is cut off before the magic of its end is another format, which is told.
            assert!(image.format().is_raw_content(), "{format}, {}: accepted when cut at {cut}", sample.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s06_spoiled_samples_never_panic(
        family in 0..4_usize,
        which in any::<prop::sample::Index>(),
        low in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let samples = &FAMILIES[family].2;
        prop_assume!(!samples.is_empty());
        let mut bytes = samples[which.index(samples.len())].file.clone();
        for (at, value) in edits {
            // Half of the time only headers and tables are spoiled.
            let within = if low { bytes.len().min(8192) } else { bytes.len() };
            bytes[at.index(within)] = value;
        }
        exercise(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        exercise(bytes);
    }
}
