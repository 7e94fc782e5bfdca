//! Spoiled valid images are refused or read, never a panic, and never an allocation beyond what the file justifies.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::sync::Arc;
use volary_image::{Image, Limits};
use volary_testkit::images::{Cluster, Qcow2, pattern, sample};

fn seeds() -> Vec<Vec<u8>> {
    let cluster = 1 << 14;
    let extended = Qcow2 { cluster_bits: 14, extended_l2: true, zstd: true, ..Qcow2::new(1 << 20) }
        .with(0, Cluster::Sub(0xff, 0xff00, pattern(1, cluster)))
        .with(2, Cluster::Compressed(pattern(2, cluster)))
        .with(3, Cluster::Compressed(pattern(3, cluster)));
    let small = Qcow2 { cluster_bits: 9, version: 2, ..Qcow2::new(100 << 10) }
        .with(7, Cluster::Plain(pattern(1, 512)));
    [sample(), extended, small].into_iter().map(|image| image.build().bytes).collect()
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
        let extents = image.extents(at, len).unwrap();
        assert_eq!(extents.iter().map(|e| e.len).sum::<u64>(), len);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s06_spoiled_headers_never_panic(seed in 0..3_usize, edits in prop::collection::vec((0..136_usize, any::<u8>()), 1..6)) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, value) in edits {
            bytes[at] = value;
        }
        exercise(bytes);
    }

    #[test]
    fn s06_spoiled_tables_and_streams_never_panic(
        seed in 0..3_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, value) in edits {
            // The header stays as it is, so that what lies behind it is reached.
            let at = 512 + at.index(bytes.len() - 512);
            bytes[at] = value;
        }
        exercise(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        exercise(bytes);
    }

    #[test]
    fn s06_any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), magic in any::<bool>()) {
        if magic && bytes.len() > 8 {
            bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        }
        exercise(bytes);
    }
}
