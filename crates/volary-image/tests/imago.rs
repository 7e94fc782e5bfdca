//! Random valid qcow2 images, read by a second reader that shares no code with this one and none with QEMU: the crate `imago`. It knows
//! neither zstd nor extended L2, so the images have neither.
#![allow(clippy::unwrap_used)]

use imago::file::File;
use imago::qcow2::Qcow2 as Other;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder};
use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;
use volary_image::{Image, Limits};
use volary_testkit::images::{Cluster, Qcow2, noise, pattern};

/// The most clusters of a disk: enough for two L2 tables of the smallest ones.
const CLUSTERS: u64 = 80;

/// A cluster as a qcow2 image of this version can store it; `fill` draws its bytes.
fn cluster(version: u32, bits: u32, kind: u8, fill: u64) -> Cluster {
    let bytes = 1 << bits;
    match kind {
        0 => Cluster::Plain(noise(fill, bytes)),
        1 => Cluster::Plain(vec![0; bytes]),
        2 => Cluster::Compressed(pattern(fill, bytes)),
        3 => Cluster::Compressed(vec![fill as u8; bytes]),
        4 if version == 3 => Cluster::Zero,
        5 if version == 3 => Cluster::ZeroAllocated,
        _ => Cluster::Plain(pattern(fill, bytes)),
    }
}

/// Any image: version, cluster size, width of refcounts, size in sectors, and what is stored where.
fn image() -> impl Strategy<Value = Qcow2> {
    let shape = (2..=3_u32, 9..=16_u32, 0..=6_u32, 1..=CLUSTERS, any::<u64>());
    let stored = prop::collection::btree_map(0..CLUSTERS, (0..6_u8, any::<u64>()), 0..40);
    (shape, stored).prop_map(|((version, cluster_bits, order, clusters, sector), stored)| {
        let bytes = clusters << cluster_bits;
        // The last cluster is whole or cut at any sector.
        let size = bytes - sector % (1 << (cluster_bits - 9)) * 512;
        let refcount_order = if version == 2 { 4 } else { order };
        let mut image = Qcow2 { version, cluster_bits, refcount_order, ..Qcow2::new(size) };
        for (index, (kind, fill)) in stored.into_iter().filter(|(index, _)| *index < clusters) {
            image.clusters.insert(index, cluster(version, cluster_bits, kind, fill));
        }
        image
    })
}

/// What the other reader makes of a file, which has no name.
fn read_by_imago(bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let storage = File::try_from(file).unwrap();
    let image = Other::<File>::builder(storage).open(DenyImplicitOpenGate::default()).unwrap();
    let image = FormatAccess::new(image);
    let mut disk = vec![0xaa; usize::try_from(image.size()).unwrap()];
    image.read(&mut disk, 0).unwrap();
    disk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_image_is_read_alike(spec in image(), parts in prop::collection::vec(any::<(prop::sample::Index, u16)>(), 4)) {
        let file = spec.build().bytes;
        let want = read_by_imago(&file);
        prop_assert!(want == spec.raw(), "imago and the generator differ");
        let image = Image::open(Arc::new(file), None, &Limits::default()).unwrap();
        prop_assert_eq!(image.size_bytes(), want.len() as u64);
        let mut disk = vec![0xbb; want.len()];
        image.read_exact_at(0, &mut disk).unwrap();
        prop_assert!(disk == want, "read differs from imago");
        for (start, len) in parts {
            let start = start.index(want.len());
            let end = want.len().min(start + usize::from(len));
            let mut part = vec![0xcc; end - start];
            image.read_exact_at(start as u64, &mut part).unwrap();
            prop_assert!(part == want[start..end], "{}..{} differs", start, end);
        }
        let zeros = image.extents(0, image.size_bytes()).unwrap().into_iter().filter(|extent| !extent.data);
        for extent in zeros {
            let part = &want[extent.offset as usize..][..extent.len as usize];
            prop_assert!(part.iter().all(|&byte| byte == 0), "{:?} is data to imago", extent);
        }
    }
}
