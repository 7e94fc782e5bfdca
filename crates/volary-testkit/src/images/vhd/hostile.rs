//! One case for every rule of the reader: the smallest file that breaks it.

use super::super::{HostileCase, Qcow2, noise};
use super::{Block, Built, Vhd, seal};

#[derive(Default)]
struct Table(Vec<HostileCase>);

impl Table {
    fn add(&mut self, name: impl std::fmt::Display, reason: &'static str, bytes: Vec<u8>) {
        self.0.push(HostileCase::new(format!("vhd, {name}"), reason, bytes));
    }

    fn spoil(&mut self, name: &str, reason: &'static str, vhd: &Vhd, spoil: impl FnOnce(&mut Built)) {
        let mut built = vhd.build();
        spoil(&mut built);
        self.add(name, reason, built.bytes);
    }

    /// A field of the footer, of a fixed and of a dynamic disk.
    fn footer<const N: usize>(&mut self, name: &str, at: usize, values: &[[u8; N]], reason: &'static str) {
        for value in values {
            for (kind, vhd) in [("fixed", fixed()), ("dynamic", empty())] {
                let name = format!("{kind}, {name} {value:02x?}");
                self.spoil(&name, reason, &vhd, |b| _ = b.footer(at, value));
            }
        }
    }

    /// A field of the header.
    fn header<const N: usize>(&mut self, name: &str, at: usize, values: &[[u8; N]], reason: &'static str) {
        for value in values {
            self.spoil(&format!("{name} {value:02x?}"), reason, &empty(), |b| _ = b.header(at, value));
        }
    }

    /// An entry of the table of a disk of one stored block and another.
    fn entry(&mut self, name: &str, reason: &'static str, entry: impl FnOnce(&Built) -> u64) {
        self.spoil(name, reason, &sample(), |b| {
            let sector = u32::try_from(entry(b) / 512).expect("a small file");
            b.entry(1, sector);
        });
    }
}

const BLOCK: usize = 512 << 10;

fn fixed() -> Vhd {
    Vhd::fixed(noise(1, 2048))
}

fn empty() -> Vhd {
    Vhd::dynamic(1 << 20)
}

/// One block in 1 MiB, with 2 KiB of the file free behind it.
fn sample() -> Vhd {
    let data = [noise(2, BLOCK), vec![0; 2048]].concat();
    empty().with_block(0, Block { data, bitmap: vec![0xff; 512], gap: 0 })
}

fn be64(values: &[u64]) -> Vec<[u8; 8]> {
    values.iter().map(|value| value.to_be_bytes()).collect()
}

fn be32(values: &[u32]) -> Vec<[u8; 4]> {
    values.iter().map(|value| value.to_be_bytes()).collect()
}

/// Every hostile file, each with the reason it must be refused with.
#[must_use]
pub fn hostile() -> Vec<HostileCase> {
    let mut t = Table::default();
    footer(&mut t);
    sizes(&mut t);
    header(&mut t);
    overlaps(&mut t);
    entries(&mut t);
    bitmaps(&mut t);
    truncated(&mut t);
    formats(&mut t);
    t.0
}

fn footer(t: &mut Table) {
    t.footer("differencing", 60, &be32(&[4]), "backing_file");
    t.footer("type", 60, &be32(&[0, 1, 5, 6, u32::MAX]), "unknown_feature");
    t.footer("version", 12, &be32(&[0, 0xffff, 0x1_0001, 0x2_0000, u32::MAX]), "unknown_feature");
    t.footer("features", 8, &be32(&[4, 6, 1 << 31, u32::MAX]), "unknown_feature");
    for (name, vhd) in [("fixed", fixed()), ("dynamic", empty())] {
        for (at, what) in [(64, "high"), (67, "low")] {
            t.spoil(&format!("{name}, {what} byte of the checksum"), "malformed", &vhd, |b| {
                let end = b.bytes.len() - 512;
                b.bytes[end + at] ^= 1;
            });
        }
        t.spoil(&format!("{name}, a reserved byte outside the checksum"), "malformed", &vhd, |b| {
            *b.bytes.last_mut().expect("a footer") ^= 1;
        });
    }
    t.spoil("fixed, naming a header", "malformed", &fixed(), |b| _ = b.footer(16, &512_u64.to_be_bytes()));
    t.spoil("fixed, made dynamic", "malformed", &fixed(), |b| _ = b.footer(60, &[0, 0, 0, 3]));
    t.spoil("dynamic, made fixed", "malformed", &empty(), |b| _ = b.footer(60, &[0, 0, 0, 2]));
    t.spoil("copy without its checksum", "malformed", &empty(), |b| b.bytes[64] ^= 1);
    t.spoil("copy with another identifier", "malformed", &empty(), |b| {
        b.bytes[68] ^= 1;
        seal(&mut b.bytes[..512], 64);
    });
    t.spoil("copy of another size", "malformed", &empty(), |b| {
        b.bytes[54] ^= 0x10;
        seal(&mut b.bytes[..512], 64);
    });
    t.spoil("copy that is differencing", "malformed", &empty(), |b| {
        b.bytes[63] = 4;
        seal(&mut b.bytes[..512], 64);
    });
    t.spoil("no copy", "malformed", &empty(), |b| b.bytes[..512].fill(0));
}

fn sizes(t: &mut Table) {
    t.footer("size", 48, &be64(&[0, 1, 511, 513, u64::MAX]), "malformed");
    let beyond = (2040_u64 << 30) + 512;
    t.footer("size", 48, &be64(&[beyond, 1 << 42, 1 << 63, u64::MAX - 511]), "limit");
    t.spoil("fixed, longer than its size", "malformed", &fixed(), |b| {
        _ = b.footer(48, &1536_u64.to_be_bytes())
    });
    t.spoil("fixed, shorter than its size", "truncated", &fixed(), |b| {
        _ = b.footer(48, &2560_u64.to_be_bytes())
    });
    t.spoil("fixed, the largest size", "truncated", &fixed(), |b| {
        _ = b.footer(48, &(2040_u64 << 30).to_be_bytes())
    });
    let four = || Vhd::fixed(noise(1, 4 * 17 * 512));
    // A cylinder of 4 heads and 17 sectors.
    for creator in [b"vpc ", b"qemu", b"what"] {
        for geometry in [
            (0, 4, 17),
            (2, 4, 17),
            (9, 4, 17),
            (0, 0, 0),
            (1, 0, 17),
            (1, 4, 0),
            (65_535, 255, 255),
            (65_534, 16, 255),
        ] {
            let name = format!("fixed by {}, geometry {geometry:?}", creator.escape_ascii());
            t.add(name, "malformed", four().by(creator, geometry).build().bytes);
            let name = format!("dynamic by {}, geometry {geometry:?}", creator.escape_ascii());
            t.add(name, "malformed", Vhd::dynamic(4 * 17 * 512).by(creator, geometry).build().bytes);
        }
    }
    t.add(
        "geometry beyond a fixed disk",
        "malformed",
        Vhd::fixed(noise(1, 4 * 17 * 512 - 512)).by(b"qemu", (1, 4, 17)).build().bytes,
    );
    t.add("no cylinder but a size", "malformed", Vhd::dynamic(512).by(b"vpc ", (0, 4, 17)).build().bytes);
    t.add(
        "an unknown creator that speaks to a terminal",
        "malformed",
        four().by(b"\x1b[2J", (9, 4, 17)).build().bytes,
    );
    t.add("an unknown creator of two lines", "malformed", four().by(b"a\n\rb", (9, 4, 17)).build().bytes);
}

fn header(t: &mut Table) {
    let next = |t: &mut Table, reason, values: &[u64]| {
        for value in values {
            t.spoil(&format!("header at {value:#x}"), reason, &empty(), |b| {
                _ = b.footer(16, &value.to_be_bytes())
            });
        }
    };
    next(t, "malformed", &[0, 1, 511, 513, 1024, u64::MAX, u64::from(u32::MAX)]);
    next(t, "truncated", &[2048, 1 << 40, 1 << 63, u64::MAX - 511]);
    t.header("cookie", 0, &[*b"cxsparsf", *b"\0\0\0\0\0\0\0\0"], "malformed");
    t.spoil("header without its checksum", "malformed", &empty(), |b| _ = b.put(b.header + 36, &[0; 4]));
    t.spoil("header with a byte outside its checksum", "malformed", &empty(), |b| {
        _ = b.put(b.header + 1023, &[1])
    });
    t.header("header version", 24, &be32(&[0, 0x1_0001, 0x2_0000, u32::MAX]), "unknown_feature");
    t.header("another structure at", 8, &be64(&[0, 1024, u64::MAX - 1]), "unknown_feature");
    t.header("parent's identifier", 40, &[[1; 16]], "backing_file");
    t.header("parent's identifier, a bit", 55, &[[1]], "backing_file");
    t.header("parent's name", 64, &[*b"\0/\0e\0t\0c\0/\0s\0h\0a\0d\0o\0w"], "backing_file");
    t.header("parent's name, its last byte", 575, &[[1]], "backing_file");
    for (code, at) in [(b"W2ru", 576), (b"W2ku", 600), (b"MacX", 744), (b"\0\0\0\x01", 576)] {
        t.header("parent's locator", at, &[*code], "backing_file");
    }
    t.header("parent's locator, its offset alone", 760, &be64(&[1536]), "backing_file");
    let blocks =
        [0, 1, 511, 512, 256 << 10, (512 << 10) - 1, (512 << 10) + 1, 3 << 19, 4 << 20, 1 << 31, u32::MAX];
    // With entries enough for the smallest.
    for block in blocks {
        let vhd = Vhd { entries: Some(2048), ..empty() };
        t.spoil(&format!("block size {block}"), "malformed", &vhd, |b| {
            _ = b.header(32, &u32::to_be_bytes(block))
        });
    }
    t.header("table at", 16, &be64(&[1, 1537, u64::MAX, u64::MAX - 1]), "malformed");
    t.header("table at", 16, &be64(&[1 << 20, 1 << 63, u64::MAX - 511]), "truncated");
    t.header("entries", 28, &be32(&[0, 1]), "malformed");
    t.header("entries", 28, &be32(&[(2040 << 11) + 1, u32::MAX]), "limit");
    t.header("entries", 28, &be32(&[257, 2040 << 11]), "truncated");
    t.add(
        "table too small by a sector of the disk",
        "malformed",
        Vhd { entries: Some(2), ..Vhd::dynamic((1 << 20) + 512) }.build().bytes,
    );
}

fn overlaps(t: &mut Table) {
    t.header("table on the footer's copy", 16, &be64(&[0]), "overlap");
    t.header("table on the header", 16, &be64(&[512, 1024]), "overlap");
    t.header("table on the footer", 16, &be64(&[2048]), "overlap");
    t.header("table into the footer", 28, &be32(&[129, 256]), "overlap");
    t.spoil("header into the footer", "overlap", &Vhd { header: 2048, table: 512, ..empty() }, |b| {
        // The footer's first half is the header's last quarter, in which nothing is looked at; both checksums hold.
        b.bytes.truncate(2816);
        let footer = b.bytes[..512].to_vec();
        b.put(2816, &footer);
        seal(&mut b.bytes[2048..3072], 36);
    });
    t.spoil(
        "header into the footer, which there is a parent's name",
        "backing_file",
        &Vhd { header: 2048, ..empty() },
        |b| {
            // The footer is the header's second half; both checksums hold.
            b.bytes.truncate(2560);
            let footer = b.bytes[..512].to_vec();
            b.put(2560, &footer);
            seal(&mut b.bytes[2048..3072], 36);
        },
    );
}

fn entries(t: &mut Table) {
    let whole = 512 + BLOCK as u64;
    t.entry("block on the footer's copy", "overlap", |_| 0);
    t.entry("block on the header", "overlap", |b| b.header);
    t.entry("block on the header's second half", "overlap", |b| b.header + 512);
    t.entry("block on the table", "overlap", |b| b.table);
    t.spoil("block into the footer", "overlap", &empty().with(0, noise(2, BLOCK)), |b| {
        // Its last sector; there is no other block that it could lie on.
        let sector = u32::try_from(b.hosts[&0] / 512).expect("a small file");
        b.entry(0, sector + 1);
    });
    t.entry("one block twice", "overlap", |b| b.hosts[&0]);
    t.entry("block one sector into another", "overlap", |b| b.hosts[&0] + 512);
    t.entry("block four sectors into another", "overlap", |b| b.hosts[&0] + 2048);
    t.entry("block beyond the file by a sector", "truncated", move |b| b.bytes.len() as u64 - whole + 512);
    t.entry("block at the end of the file", "truncated", |b| b.bytes.len() as u64);
    t.entry("block far outside", "truncated", |_| 1 << 40);
    t.entry("block at the last sector", "truncated", |_| u64::from(u32::MAX - 1) * 512);
    t.entry("block at sector 2^31", "truncated", |_| 1 << 40);
    t.spoil("header in a block", "overlap", &Vhd { header: 64 << 10, table: 512, ..empty() }, |b| {
        b.put(600 << 10, &[0]).entry(0, 2);
        let footer = b.bytes[..512].to_vec();
        let end = (b.bytes.len() as u64).next_multiple_of(512);
        b.put(end, &footer);
    });
    t.spoil("table in a block", "overlap", &Vhd { table: 64 << 10, ..empty() }, |b| {
        b.put(600 << 10, &[0]).entry(0, 3);
        let footer = b.bytes[..512].to_vec();
        let end = (b.bytes.len() as u64).next_multiple_of(512);
        b.put(end, &footer);
    });
    // Room for two blocks, of which the second begins a sector before the first ends.
    let room = Block { data: noise(4, 2 * BLOCK + 1024), bitmap: vec![0xff; 512], gap: 0 };
    for (name, one, other) in [("last", 0, 1), ("first", 1, 0)] {
        t.spoil(
            &format!("block's {name} sector in another"),
            "overlap",
            &empty().with_block(0, room.clone()),
            |b| {
                let sector = u32::try_from(b.hosts[&0] / 512).expect("a small file");
                b.entry(one, sector).entry(other, sector + 1024);
            },
        );
    }
    t.spoil("first entry zero", "overlap", &empty(), |b| _ = b.entry(0, 0));
    t.spoil("all entries zero", "overlap", &empty(), |b| _ = b.entry(0, 0).entry(1, 0));
    let large = Vhd { entries: Some(40_000), ..empty() };
    t.spoil("a zero entry in the table's second piece", "overlap", &large, |b| _ = b.entry(39_999, 0));
    t.spoil("an entry behind the disk outside", "truncated", &large, |b| _ = b.entry(39_999, 99_999));
    let twice = Vhd { entries: Some(40_000), ..sample() };
    t.spoil("an entry behind the disk twice", "overlap", &twice, |b| {
        let sector = u32::try_from(b.hosts[&0] / 512).expect("a small file");
        b.entry(39_999, sector);
    });
    t.spoil("every entry the same block", "overlap", &twice, |b| {
        let sector = u32::try_from(b.hosts[&0] / 512).expect("a small file");
        for index in 0..40_000 {
            b.entry(index, sector);
        }
    });
}

fn bitmaps(t: &mut Table) {
    let bits = |name: &str, at: usize, bits: u8, t: &mut Table| {
        t.spoil(name, "malformed", &sample(), |b| _ = b.put(b.hosts[&0] + at as u64, &[bits]));
    };
    bits("first sector without its bit", 0, 0x7f, t);
    bits("a sector in the middle without its bit", 64, 0xef, t);
    bits("last sector without its bit", 127, 0xfe, t);
    t.spoil("data in a block without bits", "malformed", &sample(), |b| _ = b.put(b.hosts[&0], &[0; 128]));
    t.spoil("one byte in a sector without its bit", "malformed", &sample(), |b| {
        let host = b.hosts[&0];
        b.put(host, &[0; 128]).put(host + 512, &vec![0; BLOCK]).put(host + 511 + BLOCK as u64, &[1]);
    });
}

fn truncated(t: &mut Table) {
    let built = sample().build();
    let (host, end) = (built.hosts[&0], built.bytes.len() as u64);
    let cuts = [
        8,
        511,
        512,
        513,
        1024,
        built.table,
        built.table + 8,
        host,
        host + 512,
        host + 4096,
        end - 512,
        end - 2,
    ];
    for cut in cuts {
        t.add(format!("cut at {cut}"), "truncated", built.bytes[..cut as usize].to_vec());
    }
    t.spoil("one byte behind the footer", "truncated", &sample(), |b| b.bytes.push(0));
    t.spoil("a sector behind the footer", "truncated", &sample(), |b| b.bytes.extend([0; 512]));
    let old = |vhd: Vhd| {
        let mut bytes = vhd.build().bytes;
        bytes.pop();
        bytes
    };
    t.add("fixed, footer of 511 bytes", "malformed", old(fixed()));
    t.add("dynamic, footer of 511 bytes", "malformed", old(empty()));
    t.add("a footer alone", "truncated", fixed().build().bytes[2048..].to_vec());
}

fn formats(t: &mut Table) {
    let with = |disk: Vec<u8>| Vhd::fixed(disk).build().bytes;
    let start = |at: usize, magic: &[u8]| {
        let mut disk = noise(3, 40 << 10);
        disk[at..at + magic.len()].copy_from_slice(magic);
        disk
    };
    t.add("fixed, holding qcow2", "polyglot", with(Qcow2::new(1 << 20).build().bytes));
    let magics: [(&str, usize, &[u8]); 6] = [
        ("vmdk", 0, b"KDMV"),
        ("vhdx", 0, b"vhdxfile"),
        ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
        ("luks", 0, b"LUKS\xba\xbe"),
        ("tar", 257, b"ustar"),
        ("zip", 0, b"PK\x03\x04"),
    ];
    for (name, at, magic) in magics {
        t.add(format!("fixed, holding {name}"), "polyglot", with(start(at, magic)));
    }
    t.add("fixed, holding a dynamic disk", "polyglot", with(empty().build().bytes));
    t.add("fixed, holding the first bytes of a dynamic disk", "polyglot", with(start(0, b"conectix")));
    let mut zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02".to_vec();
    zip[20..22].copy_from_slice(&512_u16.to_le_bytes());
    t.add("fixed, the comment of a zip", "polyglot", with([noise(3, 1002), zip].concat()));
    t.spoil("dynamic, and a partition table", "polyglot", &empty(), |b| {
        b.footer(446, &[0; 64]).footer(450, &[0x83]).footer(458, &[1]).footer(510, &[0x55, 0xaa]);
    });
    t.spoil("dynamic, and an iso", "polyglot", &Vhd { table: 64 << 10, ..empty() }, |b| {
        _ = b.put(32_769, b"CD001")
    });
    for (kind, bytes) in [("fixed", fixed().build().bytes), ("dynamic", empty().build().bytes)] {
        for declared in ["raw", "qcow2", "vhdx", "mbr"] {
            let case = HostileCase::new(
                format!("vhd, {kind}, declared {declared}"),
                "format_mismatch",
                bytes.clone(),
            );
            t.0.push(HostileCase { declared: Some(declared), ..case });
        }
    }
}
