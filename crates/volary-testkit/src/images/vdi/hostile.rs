//! One case for every rule of the VDI reader. Most are of an image without a block, of 1 KiB.

use super::{BLOCK, Block, Built, Vdi};
use crate::images::{HostileCase, iso, noise};

#[derive(Default)]
struct Cases(Vec<HostileCase>);

/// Four blocks and a sector, none allocated: map at 512, data at 1,024, where the file ends.
fn empty() -> Vdi {
    Vdi::new(4 * BLOCK as u64 + 512)
}

/// Two blocks of which the file has one.
fn one() -> Vdi {
    Vdi::new(2 * BLOCK as u64).with(0, Block::Data(noise(1, BLOCK)))
}

impl Cases {
    fn add(&mut self, name: &str, reason: &'static str, bytes: Vec<u8>) {
        self.0.push(HostileCase::new(format!("vdi, {name}"), reason, bytes));
    }

    fn declared(&mut self, format: &'static str, reason: &'static str, bytes: Vec<u8>) {
        let name = format!("vdi declared {format}");
        self.0.push(HostileCase { name, declared: Some(format), bytes, reason });
    }

    fn spoil(&mut self, name: &str, reason: &'static str, image: &Vdi, spoil: impl FnOnce(&mut Built)) {
        let mut built = image.build();
        spoil(&mut built);
        self.add(name, reason, built.bytes);
    }

    /// A 4-byte field of the empty image.
    fn field(&mut self, name: &str, at: usize, values: &[u32], reason: &'static str) {
        for &value in values {
            self.spoil(&format!("{name} {value:#x}"), reason, &empty(), |b| _ = b.put32(at, value));
        }
    }

    /// Bytes of the empty image.
    fn put(&mut self, name: &str, reason: &'static str, at: usize, bytes: &[u8]) {
        self.spoil(name, reason, &empty(), |b| _ = b.put(at, bytes));
    }
}

/// Every hostile file, each with the reason it must be refused with.
#[must_use]
pub fn hostile() -> Vec<HostileCase> {
    let mut c = Cases::default();
    header(&mut c);
    sizes(&mut c);
    layout(&mut c);
    map(&mut c);
    truncated(&mut c);
    formats(&mut c);
    c.0
}

fn header(c: &mut Cases) {
    c.field("signature", 64, &[0, 0xbeda_107e, 0x7f10_dabe], "malformed");
    c.field("version", 68, &[0, 1, 0x1_0000, 0x1_0002, 0x2_0001, u32::MAX], "unknown_feature");
    c.field("differencing type", 76, &[3, 4], "backing_file");
    c.field("type", 76, &[0, 5, 0x0100_0000, u32::MAX], "unknown_feature");
    c.field("differencing flag", 80, &[2, 1 << 17, 3, u32::MAX], "backing_file");
    c.field("flags", 80, &[4, 1 << 9, 1 << 18, 1 << 31], "unknown_feature");
    for (name, at) in [("linked", 424), ("parent", 440)] {
        c.put(&format!("{name} image"), "backing_file", at, &[0x33; 16]);
        c.put(&format!("{name} image, first byte"), "backing_file", at, &[1]);
        c.put(&format!("{name} image, last byte"), "backing_file", at + 15, &[0x80]);
    }
    c.spoil("fixed with a parent", "backing_file", &Vdi { kind: 2, ..empty() }, |b| _ = b.put(440, &[1; 16]));
    c.field("sector size", 360, &[0, 1, 511, 513, 4096, u32::MAX], "malformed");
    let near = BLOCK as u32;
    c.field(
        "block size",
        376,
        &[0, 1, 512, near - 1, near + 1, 2 * near, 1 << 31, u32::MAX],
        "unknown_feature",
    );
    c.field("bytes extra a block", 380, &[1, 512, u32::MAX], "unknown_feature");
    c.spoil("text for a terminal", "unknown_feature", &empty(), |b| {
        _ = b.put(0, b"\x1b]0;owned\x07\r\n\x9b2J").put(84, b"\x1b[2J\n").put32(68, 9)
    });
}

fn sizes(c: &mut Cases) {
    let size = |c: &mut Cases, value: u64, reason| {
        c.put(&format!("size {value:#x}"), reason, 368, &value.to_le_bytes());
    };
    size(c, 0, "malformed");
    c.spoil("size 0 of no blocks", "malformed", &empty(), |b| _ = b.put64(368, 0).put32(384, 0));
    for value in [u64::MAX, u64::MAX - 1, u64::MAX - 511, 1 << 63, 1 << 52, (64 << 40) + 1] {
        size(c, value, "limit");
    }
    // The header has 5 blocks.
    let block = BLOCK as u64;
    for value in [1, 512, 4 * block, 5 * block + 1, 1 << 32, 1 << 40, 64 << 40] {
        size(c, value, "malformed");
    }
    c.field("blocks", 384, &[0, 1, 4, 6, 1 << 30, u32::MAX - 1, u32::MAX], "malformed");
    c.field("allocated more than there are", 388, &[6, u32::MAX - 1, u32::MAX], "malformed");
    c.field("allocated beyond the file", 388, &[1, 5], "truncated");
    c.spoil("64 TiB of blocks allocated", "overlap", &empty(), |b| {
        _ = b.put64(368, 64 << 40).put32(384, 1 << 26).put32(388, 1 << 26)
    });
    c.spoil("64 TiB of blocks allocated behind their map", "truncated", &empty(), |b| {
        _ = b.put64(368, 64 << 40).put32(384, 1 << 26).put32(388, 1 << 26).put32(344, (1 << 28) + 1024)
    });
    c.spoil("a map that would be of 256 MiB", "truncated", &empty(), |b| {
        _ = b.put64(368, 64 << 40).put32(384, 1 << 26).put32(344, (1 << 28) + 1024)
    });
}

fn layout(c: &mut Cases) {
    c.field("header size", 72, &[0, 1, 320, 383], "malformed");
    c.field("header on the map, size", 72, &[441, 512, u32::MAX - 72, u32::MAX - 1, u32::MAX], "overlap");
    c.field("map at", 340, &[0, 1, 72, 456, 511, 513, u32::MAX - 1, u32::MAX], "malformed");
    c.field("map on or behind the data, at", 340, &[1024, 1536, 0xffff_fe00], "overlap");
    c.field("data at", 344, &[0, 1, 511, 1023, 1025, u32::MAX - 1, u32::MAX], "malformed");
    c.field("data on the map, at", 344, &[512], "overlap");
    c.field("data beyond the file, at", 344, &[1536, 1 << 20, 0xffff_fe00], "truncated");
    c.spoil("data before the map", "overlap", &empty(), |b| _ = b.put32(340, 1024).put32(344, 512));
    // The header ends in its third sector.
    let long = Vdi { header_size: 1000, ..one() };
    c.spoil("block on the header", "overlap", &long, |b| _ = b.put32(344, 1024));
    c.spoil("block on the map", "overlap", &one(), |b| _ = b.put32(344, 512));
    c.spoil("map in a block", "overlap", &one(), |b| {
        _ = b.put(4096, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).put32(340, 4096)
    });
    // 129 entries do not end at the sector in which they begin.
    c.spoil("data on the map's last entry", "overlap", &Vdi::new(129 << 20), |b| _ = b.put32(344, 1024));
}

fn map(c: &mut Cases) {
    for value in [0, 1, u32::MAX - 3, u32::MAX - 2] {
        c.spoil(&format!("entry {value:#x}, none allocated"), "malformed", &empty(), |b| {
            _ = b.entry(4, value)
        });
    }
    for value in [1, 2, 1 << 31, u32::MAX - 2] {
        c.spoil(&format!("entry {value:#x}, one allocated"), "malformed", &one(), |b| _ = b.entry(1, value));
    }
    c.spoil("a block named twice", "overlap", &one(), |b| _ = b.entry(1, 0));
    c.spoil("a map of zeros", "overlap", &Vdi::new(8000 << 20).with(0, Block::Data(noise(1, BLOCK))), |b| {
        let (map, data) = (b.map, b.data);
        b.bytes[map..data].fill(0);
    });
    c.spoil("a block allocated, none named", "malformed", &one(), |b| _ = b.entry(0, u32::MAX));
    c.spoil("a block allocated, then discarded", "malformed", &one(), |b| _ = b.entry(0, u32::MAX - 1));
    c.spoil("one block less counted than named", "malformed", &one(), |b| _ = b.put32(388, 0));
    c.spoil(
        "one block more counted than named",
        "malformed",
        &Vdi { trailing: noise(2, BLOCK), ..one() },
        |b| _ = b.put32(388, 2),
    );
    c.spoil("fixed, one block not named", "malformed", &Vdi { kind: 2, ..one() }, |b| {
        _ = b.entry(0, u32::MAX)
    });
}

fn truncated(c: &mut Cases) {
    let whole = one().build().bytes;
    for cut in [68, 72, 83, 340, 392, 456, 511, 512, 513, 1023, 1024, 1025, whole.len() - 1] {
        c.add(&format!("cut at {cut}"), "truncated", whole[..cut].to_vec());
    }
    let named = empty().build().bytes;
    c.add("cut behind its text", "truncated", named[..40].to_vec());
    c.declared("vdi", "format_mismatch", named[..38].to_vec());
}

fn formats(c: &mut Cases) {
    let image = Vdi { trailing: vec![0; 40_000], ..empty() }.build();
    for format in ["raw", "qcow2", "vmdk", "vhd", "vhdx", "iso", "gpt"] {
        c.declared(format, "format_mismatch", image.bytes.clone());
    }
    let end = image.bytes.len();
    let mut partition = [0; 66];
    partition[4] = 0x83;
    partition[12] = 1;
    partition[64..].copy_from_slice(&[0x55, 0xaa]);
    let zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let others: &[(&str, usize, &[u8])] = &[
        ("qcow2", 0, b"QFI\xfb\0\0\0\x03"),
        ("qcow1", 0, b"QFI\xfb\0\0\0\x01"),
        ("vmdk", 0, b"KDMV\x01\0\0\0"),
        ("a vmdk descriptor", 0, b"# Disk DescriptorFile\nversion=1\n"),
        ("vhd", 0, b"conectix"),
        ("vhdx", 0, b"vhdxfile"),
        ("luks", 0, b"LUKS\xba\xbe\0\x01"),
        ("gzip", 0, b"\x1f\x8b\x08"),
        ("rbd image", 0, b"rbd image v2\n"),
        ("tar", 257, b"ustar"),
        ("mbr", 446, &partition),
        ("gpt", 512, b"EFI PART"),
        ("gpt of 4 KiB sectors", 4096, b"EFI PART"),
        ("iso", 32769, b"CD001"),
        ("vmdk footer", end - 1024, b"KDMV"),
        ("vhd footer", end - 512, b"conectix"),
        ("dmg trailer", end - 512, b"koly"),
        ("zip", end - 22, zip),
    ];
    for (name, at, magic) in others {
        let mut both = image.clone();
        c.add(&format!("and {name}"), "polyglot", both.put(*at, magic).bytes.clone());
    }
    let mut both = iso(20);
    both[..40].copy_from_slice(b"<<< Oracle VM VirtualBox Disk Image >>>\n");
    c.add("an iso with its text", "polyglot", both);
}
