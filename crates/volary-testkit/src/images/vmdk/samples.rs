//! Valid images of every kind the writer knows.

use super::super::{Sample, noise, pattern};
use super::{Grain, Vmdk};

/// Both types of one file: versions, grain sizes, odd sizes, footers, redundant directories, zero grains, and the descriptors of
/// QEMU, VMware and VirtualBox.
#[must_use]
pub fn valid() -> Vec<Sample> {
    let mut all = Vec::new();
    let mut add = |name: &str, image: Vmdk| {
        all.push(Sample { name: name.to_owned(), file: image.build().bytes, disk: image.raw() });
    };
    add("empty", Vmdk { all_tables: true, ..Vmdk::new(2048) });
    add("empty, without a table", Vmdk::new(4096));
    add("empty stream", Vmdk::stream(2048));
    add("one sector", filled(Vmdk::new(1), &[0]));
    add("one sector, stream", filled(Vmdk::stream(1), &[0]));
    add("one grain and a sector", filled(Vmdk::new(129), &[0, 1]));
    for grain in [8, 16, 32, 64, 128, 256] {
        let capacity = grain * 9 + 5;
        let some = [0, 1, 4, 5, 8, 9];
        let with = |image: Vmdk| filled(Vmdk { grain, ..image }, &some);
        add(&format!("grains of {grain}"), with(Vmdk::new(capacity)));
        add(&format!("grains of {grain}, stream"), with(Vmdk::stream(capacity)));
        add(
            &format!("grains of {grain}, stream without a footer"),
            with(Vmdk { footer: false, redundant: true, ..Vmdk::stream(capacity) }),
        );
    }
    // More than one table: 512 grains of 4 KiB are 2 MiB.
    let many = |image: Vmdk| filled(Vmdk { grain: 8, ..image }, &[0, 511, 512, 513, 600]);
    let unused = filled(Vmdk { grain: 8, ..Vmdk::new(8 * 1540) }, &[3, 1539]);
    add("four tables, two unused", Vmdk { all_tables: true, ..unused.clone() });
    add("two tables of four", unused);
    add("two tables", many(Vmdk::new(8 * 601)));
    add("two tables, stream", many(Vmdk::stream(8 * 601)));
    add("two tables, stream, redundant", many(Vmdk { redundant: true, ..Vmdk::stream(8 * 601) }));
    add("no redundant directory", many(Vmdk { redundant: false, ..Vmdk::new(8 * 601) }));
    let every: Vec<u64> = (0..64).collect();
    add("full", filled(Vmdk { grain: 8, ..Vmdk::new(512) }, &every));
    add("full stream", filled(Vmdk { grain: 8, ..Vmdk::stream(512) }, &every));
    for version in [1, 2, 3] {
        add(&format!("version {version}"), filled(Vmdk { version, ..Vmdk::new(1000) }, &[1, 2]));
        add(&format!("version {version}, stream"), filled(Vmdk { version, ..Vmdk::stream(1000) }, &[1, 2]));
    }
    let zeroed = |image: Vmdk| filled(Vmdk { zeroed: true, ..image }, &[1, 4]).with(2, Grain::Zero);
    add("zero grains", zeroed(Vmdk { version: 2, ..Vmdk::new(1000) }).with(7, Grain::Zero));
    add("zero grains, version 3", zeroed(Vmdk { version: 3, ..Vmdk::new(1000) }));
    add("zero grains, stream", zeroed(Vmdk::stream(1000)));
    add(
        "the last grain whole",
        Vmdk::new(200).with(0, Grain::Data(noise(1, 65536))).with(1, Grain::Data(pattern(2, 65536))),
    );
    add("the last grain whole, stream", Vmdk::stream(200).with(1, Grain::Data(pattern(2, 65536))));
    // The CID lost leading zeros, the text its last bytes' place.
    for (digits, left) in [(7, 0), (6, 1), (1, 6)] {
        let mut image = filled(Vmdk::new(1000), &[1]);
        image.descriptor = image.descriptor.replace("5a3c0f12", &"5a3c0f12"[..digits]);
        let tail = image.descriptor[image.descriptor.len() - left..].to_owned();
        image.descriptor = format!("{}\0{tail}", image.descriptor);
        add(&format!("a descriptor that QEMU shortened to {digits} digits"), image);
    }
    for (name, access, kind, text) in descriptors() {
        let capacity = 1000;
        let base = if kind == "streamOptimized" { Vmdk::stream(capacity) } else { Vmdk::new(capacity) };
        let descriptor = text.replace("EXTENT", &format!("{access} {capacity} SPARSE"));
        add(name, filled(Vmdk { descriptor, ..base }, &[0, 3]));
    }
    all
}

/// As VirtualBox makes them where the disk does not end at a whole grain: the header's size is rounded up to one, the descriptor's is the
/// disk's.
#[must_use]
pub fn rounded() -> Vec<Sample> {
    let mut all = Vec::new();
    for capacity in [1, 127, 129, 1000, 1025] {
        for (kind, image) in [("sparse", Vmdk::new(capacity)), ("stream", Vmdk::stream(capacity))] {
            let last = (capacity - 1) / 128;
            let mut image = filled(image, &[0, last]);
            let disk = image.raw();
            image.capacity = capacity.next_multiple_of(128);
            all.push(Sample { name: format!("{kind}, {capacity} sectors"), file: image.build().bytes, disk });
        }
    }
    all
}

/// The grains named, every other one hard to compress, the last cut where the disk ends.
fn filled(mut image: Vmdk, grains: &[u64]) -> Vmdk {
    for &index in grains {
        let rest = (image.capacity - index * image.grain) * 512;
        let len = image.grain_bytes().min(rest as usize);
        let bytes = if index % 2 == 0 { noise(index + 1, len) } else { pattern(index + 1, len) };
        image.grains.insert(index, Grain::Data(bytes));
    }
    image
}

type Described = (&'static str, &'static str, &'static str, &'static str);

fn descriptors() -> [Described; 5] {
    [
        (
            "a descriptor of ESX",
            "RDONLY",
            "streamOptimized",
            "# Disk DescriptorFile\nversion=3\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=FFFFFFFF\n\
             isNativeSnapshot=\"no\"\ncreateType=\"streamOptimized\"\n\n# Extent description\n\
             EXTENT \"call-me-stream.vmdk\"\n\n# Change Tracking File\nchangeTrackPath=\"a-ctk.vmdk\"\n\n\
             # The Disk Data Base \n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.deletable = \"true\"\n\
             ddb.geometry.cylinders = \"1\"\nddb.longContentID = \"8f15b3d0009d9a3f456ff7b28d324d2a\"\n\
             ddb.thinProvisioned = \"1\"\nddb.toolsInstallType = \"4\"\nddb.toolsVersion = \"10304\"\n\
             ddb.uuid = \"60 00 C2 99 9a f1 b9 ac-7c d0 d8 7b 97 aa 4c ab\"\nddb.virtualHWVersion = \"9\"\n",
        ),
        (
            "a descriptor of Workstation with other line ends",
            "RW",
            "monolithicSparse",
            "# Disk DescriptorFile\r\nversion=1\r\nencoding=\"windows-1252\"\r\nCID=123a\r\nparentCID=ffffffff\r\n\
             isNativeSnapshot=\"no\"\r\ncreateType=\"monolithicSparse\"\r\n\r\n# Extent description\r\n\
             EXTENT \"Other Linux.vmdk\"\r\n\r\n#DDB\r\nddb.adapterType = \"lsilogic\"\r\n\
             ddb.iofilters = \"spm\"\r\n",
        ),
        (
            "a descriptor of VirtualBox",
            "RW",
            "monolithicSparse",
            "# Disk DescriptorFile\nversion=1\nCID=e2b8a58a\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\
             \n# Extent description\nEXTENT \"a.vmdk\"\n\n# The disk Data Base \n#DDB\n\n\
             ddb.virtualHWVersion = \"4\"\nddb.adapterType=\"ide\"\nddb.geometry.cylinders=\"20\"\n\
             ddb.uuid.image=\"871a6044-c8ca-48ed-b7aa-e6fc49da3db4\"\n\
             ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n\
             ddb.uuid.modification=\"3661715c-3906-4e4a-ab65-486d140e03b8\"\n\
             ddb.uuid.parentmodification=\"00000000-0000-0000-0000-000000000000\"\n\
             ddb.geometry.biosCylinders=\"761\"\nddb.comment=\"\"\n",
        ),
        (
            "a descriptor with names outside of ASCII",
            "RW",
            "monolithicSparse",
            "# Disk DescriptorFile\n# Größe: 1000\nversion=1\nencoding=\"UTF-8\"\nCID=e2b8a58a\nparentCID=ffffffff\n\
             createType=\"monolithicSparse\"\nEXTENT \"Büro-Rechner 電腦.vmdk\"\nddb.comment=\"für später\"\n",
        ),
        (
            "a descriptor of VirtualBox, stream",
            "RDONLY",
            "streamOptimized",
            "# Disk DescriptorFile\nversion=1\nCID=7e5b80a7\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
             # Extent description\nEXTENT \"box-disk001.vmdk\"\n\n#DDB\n\n\
             ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n",
        ),
    ]
}
