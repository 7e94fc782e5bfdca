//! What is particular to VDI: map entries of zero bits are blocks, also in holes; maps of many pieces; text from strangers.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, Instant};
use volary_image::{Extent, FileSource, Format, Image, Limits, ReadAt, Reason, Verdict, inspect};
use volary_testkit::images::noise;
use volary_testkit::images::vdi::{Block, Vdi};

const MIB: u64 = 1 << 20;

fn refusal(path: &std::path::Path) -> Option<(Reason, &'static str)> {
    let opened =
        Image::open(Arc::new(FileSource::open(path).unwrap()), Some(Format::Vdi), &Limits::default());
    opened.err().and_then(|error| error.refusal().map(|refusal| (refusal.reason, refusal.check)))
}

#[test]
fn s06_a_map_in_a_hole_is_refused_at_its_second_entry() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    // A disk of 8 TiB in a sparse file of as many blocks: every entry of the map, 32 MiB in a hole, is block 0.
    let blocks = 8_u32 << 20;
    let mut built = Vdi::new(MIB).build();
    built.put64(368, u64::from(blocks) * MIB).put32(384, blocks).put32(388, blocks);
    built.put32(344, 1 << 30);
    fs::write(&path, &built.bytes[..512]).unwrap();
    let length = (1 << 30) + u64::from(blocks) * MIB;
    File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
    let since = Instant::now();
    assert_eq!(refusal(&path), Some((Reason::Overlap, "vdi.block_map")));
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[test]
fn a_zero_entry_in_a_hole_is_the_first_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    let bytes = noise(1, 1 << 20);
    let mut built = Vdi { align: 1 << 20, ..Vdi::new(MIB).with(0, Block::Data(bytes.clone())) }.build();
    let file = File::create(&path).unwrap();
    file.set_len(built.bytes.len() as u64).unwrap();
    // Only the header and the block are written; the map of one zero entry stays a hole.
    use std::os::unix::fs::FileExt;
    file.write_all_at(&built.bytes[..512], 0).unwrap();
    file.write_all_at(&built.bytes[built.data..], built.data as u64).unwrap();
    let image =
        Image::open(Arc::new(FileSource::open(&path).unwrap()), Some(Format::Vdi), &Limits::default())
            .unwrap();
    let mut read = vec![0; 1 << 20];
    image.read_exact_at(0, &mut read).unwrap();
    assert!(read == bytes);
    // The same file with two such entries.
    built.put64(368, 2 * MIB).put32(384, 2);
    file.write_all_at(&built.bytes[..512], 0).unwrap();
    assert_eq!(refusal(&path), Some((Reason::Overlap, "vdi.block_map")));
}

#[test]
fn maps_of_several_pieces_are_walked_whole() {
    // 40 GiB: 40,960 entries, of which 16,384 are in memory at once.
    let mut image = Vdi::new((40 << 30) - 512);
    let stored = [0_usize, 16_383, 16_384, 32_768, 40_959];
    for (seed, &index) in stored.iter().enumerate() {
        image = image.with(index, Block::Data(noise(seed as u64, 1 << 20)));
    }
    image.in_order = false;
    let opened = Image::open(Arc::new(image.build().bytes), None, &Limits::default()).unwrap();
    assert_eq!((opened.size_bytes(), opened.data_bytes()), ((40 << 30) - 512, 5 * MIB - 512));
    for (seed, &index) in stored.iter().enumerate() {
        let start = index as u64 * MIB;
        let len = MIB.min(opened.size_bytes() - start);
        let mut bytes = vec![0; len as usize];
        opened.read_exact_at(start, &mut bytes).unwrap();
        assert!(bytes[..] == noise(seed as u64, 1 << 20)[..len as usize], "{index}");
    }
    let found = opened.extents(16_382 * MIB, 4 * MIB).unwrap();
    let extent = |offset, len, data| Extent { offset: offset * MIB, len: len * MIB, data };
    assert_eq!(found, [extent(16_382, 1, false), extent(16_383, 2, true), extent(16_385, 1, false)]);
}

#[test]
fn limits_hold() {
    let bytes = Vdi::new(2 * MIB).with(0, Block::Data(noise(1, 1 << 20))).build().bytes;
    let check = |limits: &Limits| {
        Image::open(Arc::new(bytes.clone()), None, limits)
            .map_err(|error| error.refusal().map(|refusal| (refusal.reason, refusal.check)))
            .map(|image| image.size_bytes())
    };
    assert_eq!(check(&Limits::default().with_max_virtual_bytes(2 * MIB)), Ok(2 * MIB));
    let small = Limits::default().with_max_virtual_bytes(2 * MIB - 1);
    assert_eq!(check(&small), Err(Some((Reason::Limit, "vdi.size"))));
    let mut container = Limits::default();
    container.max_container_bytes = bytes.len() as u64;
    assert_eq!(check(&container), Ok(2 * MIB));
    container.max_container_bytes -= 1;
    assert_eq!(check(&container), Err(Some((Reason::Limit, "vdi.file_bytes"))));
}

#[test]
fn header_text_is_told_without_its_control_characters() {
    let text = b"\x1b]0;owned\x07\nsecond\xff".to_vec();
    let image = Vdi { text: text.clone(), description: text, ..Vdi::new(MIB) };
    let source: Arc<dyn ReadAt> = Arc::new(image.build().bytes);
    let seen = inspect(&source, None, &Limits::default()).unwrap();
    assert!(seen.safe);
    for check in &seen.checks {
        assert!(!check.detail.contains(|c: char| c.is_control()), "{check:?}");
    }
    let note = seen.checks.iter().find(|check| check.name == "vdi.description").unwrap();
    assert_eq!((note.verdict, note.detail.contains("owned")), (Verdict::Note, true));
}

/// A source whose bytes change once it was validated.
struct Changing {
    before: Vec<u8>,
    after: Vec<u8>,
    changed: std::sync::atomic::AtomicBool,
}

impl ReadAt for Changing {
    fn len(&self) -> u64 {
        self.before.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let changed = self.changed.load(std::sync::atomic::Ordering::Relaxed);
        (if changed { &self.after } else { &self.before }).read_exact_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> std::io::Result<Option<std::ops::Range<u64>>> {
        self.before.next_data(offset)
    }
}

#[test]
fn s06_an_entry_that_changed_after_validation_is_checked_again() {
    let before = Vdi::new(2 * MIB).with(0, Block::Data(noise(1, 1 << 20))).build();
    let after = before.clone().entry(1, 1).bytes.clone();
    let source = Arc::new(Changing { before: before.bytes, after, changed: false.into() });
    let image = Image::open(source.clone(), None, &Limits::default()).unwrap();
    source.changed.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut bytes = vec![0; 2 << 20];
    for error in [image.read_exact_at(0, &mut bytes).unwrap_err(), image.extents(0, 2 * MIB).unwrap_err()] {
        assert_eq!(error.refusal().map(|r| r.reason), Some(Reason::Malformed));
    }
}
