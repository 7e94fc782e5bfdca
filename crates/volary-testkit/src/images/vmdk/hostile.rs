//! One case for every rule of the reader: the smallest file that breaks it.

use super::super::{HostileCase, noise, pattern};
use super::{Built, Grain, SECTOR, Vmdk, zlib};
use super::{hostile_descriptor, hostile_overlaps};

#[derive(Default)]
pub(super) struct Cases(Vec<HostileCase>);

impl Cases {
    pub(super) fn add(&mut self, name: impl std::fmt::Display, reason: &'static str, bytes: Vec<u8>) {
        self.0.push(HostileCase::new(format!("vmdk, {name}"), reason, bytes));
    }

    pub(super) fn declared(
        &mut self,
        name: &str,
        format: &'static str,
        reason: &'static str,
        bytes: Vec<u8>,
    ) {
        let name = format!("vmdk, {name}");
        self.0.push(HostileCase { name, declared: Some(format), bytes, reason });
    }

    /// The sparse sample with one thing spoiled.
    pub(super) fn sparse(&mut self, name: &str, reason: &'static str, spoil: impl FnOnce(&mut Built)) {
        let mut built = sparse().build();
        spoil(&mut built);
        self.add(name, reason, built.bytes);
    }

    /// The stream sample with one thing spoiled.
    pub(super) fn stream(&mut self, name: &str, reason: &'static str, spoil: impl FnOnce(&mut Built)) {
        let mut built = stream().build();
        spoil(&mut built);
        self.add(name, reason, built.bytes);
    }

    /// Both samples with a header field changed, in the footer too.
    pub(super) fn field(&mut self, name: &str, at: u64, width: usize, values: &[u64], reason: &'static str) {
        for &value in values {
            for (kind, image) in [("", sparse()), (", stream", stream())] {
                let mut built = image.build();
                built.field(at, &value.to_le_bytes()[..width]);
                self.add(format_args!("{name} {value:#x}{kind}"), reason, built.bytes);
            }
        }
    }

    /// The sparse sample, small, with another descriptor.
    pub(super) fn text(&mut self, name: &str, reason: &'static str, change: impl FnOnce(String) -> String) {
        let mut image = Vmdk { grain: 8, ..Vmdk::new(16) };
        image.descriptor = change(image.descriptor);
        self.add(format_args!("descriptor, {name}"), reason, image.build().bytes);
    }

    /// The sparse sample, small, with a line more.
    pub(super) fn line(&mut self, line: &str, reason: &'static str) {
        self.text(&format!("{line:?}"), reason, |text| format!("{text}{line}\n"));
    }

    /// The sparse sample, small, with another extent line.
    pub(super) fn extent(&mut self, line: &str, reason: &'static str) {
        self.text(&format!("{line:?}"), reason, |text| text.replace("RW 16 SPARSE \"disk.vmdk\"", line));
    }

    /// A stream image of one grain that is stored as it says.
    pub(super) fn packed(&mut self, name: &str, packed: Vec<u8>) {
        let image = Vmdk { grain: 8, ..Vmdk::stream(32) }.with(1, Grain::Stream(packed));
        self.add(format_args!("grain, {name}"), "malformed", image.build().bytes);
    }
}

/// Two tables of grains of 4 KiB, a redundant directory.
fn sparse() -> Vmdk {
    let data = |seed| Grain::Data(pattern(seed, 4096));
    Vmdk { grain: 8, ..Vmdk::new(8 * 600) }
        .with(0, data(1))
        .with(1, data(2))
        .with(5, data(3))
        .with(520, data(4))
}

/// The same, compressed, with a footer.
pub(super) fn stream() -> Vmdk {
    let grains = sparse().grains;
    Vmdk { grain: 8, grains, ..Vmdk::stream(8 * 600) }
}

pub(super) fn sector(at: u64) -> u32 {
    (at / SECTOR) as u32
}

/// Every hostile VMDK file, each with the reason it must be refused with.
#[must_use]
pub fn hostile() -> Vec<HostileCase> {
    let mut c = Cases::default();
    header(&mut c);
    places(&mut c);
    footer(&mut c);
    mapping(&mut c);
    hostile_overlaps::cases(&mut c);
    redundant(&mut c);
    streams(&mut c);
    hostile_descriptor::cases(&mut c);
    truncated(&mut c);
    formats(&mut c);
    c.0
}

const MAX: u64 = u64::MAX;

fn header(c: &mut Cases) {
    c.field("version", 4, 4, &[0, 4, 1 << 31, 0xffff_ffff], "unknown_feature");
    let (one, two) = (3, 0x30001);
    for flag in [3, 4, 8, 15, 18, 30, 31] {
        let reason = "unknown_feature";
        let bits = |base: u32| (base | 1 << flag).to_le_bytes();
        if flag != 4 {
            c.sparse(&format!("unknown flag {flag}"), reason, |b| _ = b.field(8, &bits(one)));
        }
        c.stream(&format!("unknown flag {flag}, stream"), reason, |b| _ = b.field(8, &bits(two)));
    }
    c.field("compression method", 77, 2, &[2, 256, 0xffff], "unknown_feature");
    c.sparse("compression method without its flag", "malformed", |b| _ = b.field(77, &[1]));
    c.stream("compression flag without its method", "malformed", |b| _ = b.field(77, &[0]));
    c.sparse("compression flag alone", "malformed", |b| _ = b.field(10, &[1]));
    c.sparse("marker flag alone", "malformed", |b| _ = b.field(10, &[2]));
    c.stream("compression without markers", "malformed", |b| _ = b.field(10, &[1]));
    c.stream("compression without its flag", "malformed", |b| _ = b.field(10, &[2]));
    c.sparse("zero grains in version 1", "malformed", |b| _ = b.field(8, &[7]));
    for at in 73..77 {
        c.sparse(&format!("line end byte {at}"), "malformed", |b| _ = b.field(at, b"x"));
    }
    c.field("size", 12, 8, &[0], "malformed");
    c.field("size", 12, 8, &[MAX, MAX - 1, MAX / 512, MAX / 512 + 1, 1 << 63, (64 << 31) + 1], "limit");
    c.field("grain size", 20, 8, &[0, 1, 4, 7, 9, 12, 257, 512, 1 << 32, 1 << 63, MAX], "malformed");
    c.field("entries of a table", 44, 4, &[0, 1, 511, 513, 1024, 0xffff_ffff], "malformed");
    c.field("descriptor's sector", 28, 8, &[2, 21, 1 << 40, MAX - 1, MAX], "malformed");
    c.field("no descriptor", 28, 8, &[0], "data_file");
    c.field("descriptor's length", 36, 8, &[0], "malformed");
    c.field("descriptor's length", 36, 8, &[2049, MAX / 512 + 1, MAX], "limit");
    c.field("descriptor leaving the file", 36, 8, &[2048], "truncated");
    c.sparse("an extent of several files", "data_file", |b| _ = b.field(28, &[0; 16]));
    c.sparse("descriptor longer than its text", "malformed", |b| _ = b.field(36, &[23]));
}

fn places(c: &mut Cases) {
    let far = [1 << 20, 1 << 32, 1 << 54, MAX / 512, MAX / 512 + 1, MAX - 1];
    for value in far {
        for (name, at) in [("overhead", 64), ("directory", 56), ("redundant directory", 48)] {
            c.sparse(&format!("{name} at {value:#x}"), "truncated", |b| _ = b.place(at, value));
        }
        c.stream(&format!("directory at {value:#x}, footer"), "truncated", |b| _ = b.place(56, value));
        c.stream(&format!("overhead at {value:#x}, footer"), "truncated", |b| _ = b.place(64, value));
    }
    c.sparse("overhead at the highest sector", "truncated", |b| _ = b.place(64, MAX));
    c.sparse("redundant directory at the end", "truncated", |b| _ = b.place(48, MAX));
    c.stream("directory at the end again", "truncated", |b| _ = b.place(56, MAX));
    c.sparse("directory at the end of a sparse image", "malformed", |b| _ = b.place(56, MAX));
    c.sparse("directory at the end of the file", "truncated", |b| {
        let end = b.bytes.len() as u64 / SECTOR;
        b.place(56, end);
    });
    for (name, at) in [("directory", 56), ("redundant directory", 48)] {
        c.sparse(&format!("{name} in the header"), "overlap", |b| _ = b.place(at, 0));
        c.sparse(&format!("{name} in the descriptor"), "overlap", |b| _ = b.place(at, 20));
    }
    // 64 TiB of grains of 4 KiB have a directory of 128 MiB.
    c.sparse("the largest directory", "truncated", |b| _ = b.field(12, &(64_u64 << 31).to_le_bytes()));
    c.stream("the largest directory, stream", "truncated", |b| {
        _ = b.field(12, &(64_u64 << 31).to_le_bytes())
    });
}

fn footer(c: &mut Cases) {
    let at = |b: &Built| b.footer.unwrap_or(0);
    for (name, field) in [("version", 4), ("flags", 8), ("size", 12), ("grain size", 20), ("descriptor", 36)]
    {
        c.stream(&format!("footer with another {name}"), "malformed", |b| {
            let place = at(b) + field;
            b.bytes[place as usize] ^= 2;
        });
    }
    c.stream("footer with another table size", "malformed", |b| _ = b.put32(at(b) + 44, 256));
    c.stream("footer with another compression", "malformed", |b| _ = b.put(at(b) + 77, &[0]));
    c.stream("footer without its magic", "malformed", |b| _ = b.put(at(b), b"VMDK"));
    c.stream("footer without its marker", "truncated", |b| _ = b.put32(at(b) - 500, 2));
    c.stream("footer's marker with a size", "truncated", |b| _ = b.put32(at(b) - 504, 1));
    c.stream("footer without an end", "truncated", |b| _ = b.put32(at(b) + 524, 1));
    c.stream("footer with an end that has a size", "truncated", |b| _ = b.put32(at(b) + 520, 1));
    c.stream("footer with an end that has a value", "truncated", |b| _ = b.put(at(b) + 519, &[1]));
    c.stream("a byte after the footer", "truncated", |b| b.bytes.push(0));
    c.sparse("a byte after the last sector", "truncated", |b| b.bytes.push(0));
    c.stream("a sector after the footer", "truncated", |b| b.bytes.extend([0; 512]));
    c.stream("no footer", "truncated", |b| b.bytes.truncate(at(b) as usize - 512));
    c.stream("only a header", "truncated", |b| b.bytes.truncate(512));
    c.stream("directory on the footer", "overlap", |b| _ = b.place(56, at(b) / SECTOR));
    c.stream("table on the footer", "overlap", |b| _ = b.put32(b.directory, sector(at(b)) - 2));
    c.stream("table on the directory, stream", "overlap", |b| _ = b.put32(b.directory, sector(b.directory)));
}

fn mapping(c: &mut Cases) {
    let end = |b: &Built| b.bytes.len() as u64;
    for (name, value) in [("far", 1 << 30), ("at the highest sector", u32::MAX), ("at half", 1 << 31)] {
        c.sparse(&format!("table {name}"), "truncated", |b| _ = b.put32(b.directory, value));
        c.stream(&format!("table {name}, stream"), "truncated", |b| _ = b.put32(b.directory, value));
        c.sparse(&format!("redundant table {name}"), "truncated", |b| {
            let copy = b.copy.unwrap_or(0);
            b.put32(copy, value);
        });
        c.sparse(&format!("grain {name}"), "truncated", |b| _ = b.set_entry(0, value));
        c.stream(&format!("grain {name}, stream"), "truncated", |b| _ = b.set_entry(0, value));
    }
    c.sparse("table at the end of the file", "truncated", |b| _ = b.put32(b.directory, sector(end(b))));
    c.sparse("table leaving the file", "truncated", |b| _ = b.put32(b.directory, sector(end(b)) - 3));
    c.sparse("grain at the end of the file", "truncated", |b| _ = b.set_entry(0, sector(end(b))));
    c.sparse("grain leaving the file", "truncated", |b| _ = b.set_entry(0, sector(end(b)) - 7));
    c.stream("grain at the end of the file, stream", "truncated", |b| _ = b.set_entry(0, sector(end(b))));
    c.sparse("zero grain without its flag", "overlap", |b| _ = b.set_entry(0, 1));
    c.stream("zero grain without its flag, stream", "overlap", |b| _ = b.set_entry(0, 1));
}

fn redundant(c: &mut Cases) {
    let copy = |b: &Built| b.copy.unwrap_or(0);
    c.sparse("redundant table missing", "malformed", |b| _ = b.put32(copy(b) + 4, 0));
    c.sparse("redundant tables missing", "malformed", |b| _ = b.put(copy(b), &[0; 8]));
    c.sparse("redundant table of its own", "malformed", |b| _ = b.put32(b.directory + 4, 0));
    c.sparse("redundant table with another grain", "malformed", |b| {
        let (table, other) = (b.copies[&0], sector(b.hosts[&520]));
        b.put32(table + 4 * 300, other);
    });
    c.sparse("redundant table without a grain", "malformed", |b| _ = b.put32(b.copies[&1] + 4 * 8, 0));
    c.sparse("redundant tables exchanged", "malformed", |b| {
        let (at, one, two) = (copy(b), sector(b.copies[&0]), sector(b.copies[&1]));
        b.put32(at, two).put32(at + 4, one);
    });
    c.sparse("redundant table is the table", "overlap", |b| _ = b.put32(copy(b), sector(b.tables[&0])));
    c.sparse("one redundant table twice", "overlap", |b| _ = b.put32(copy(b), sector(b.copies[&1])));
    c.stream("redundant flag without a directory", "overlap", |b| _ = b.field(8, &[3]));
}

fn streams(c: &mut Cases) {
    let whole = pattern(7, 4096);
    let good = zlib(&whole);
    c.packed("too short a content", zlib(&whole[..4095]));
    c.packed("too long a content", zlib(&pattern(7, 4097)));
    c.packed("far too long", zlib(&vec![0; 4 << 20]));
    c.packed("no content", zlib(&[]));
    c.packed("cut", good[..good.len() / 2].to_vec());
    c.packed("without its checksum", good[..good.len() - 4].to_vec());
    c.packed("garbage", vec![0xff; 100]);
    c.packed("one byte", vec![0x78]);
    c.packed("raw deflate", good[2..good.len() - 4].to_vec());
    c.packed("gzip", [b"\x1f\x8b\x08\0\0\0\0\0\0\xff", &good[2..]].concat());
    c.packed("a preset dictionary", [&[0x78, 0xbb, 0, 0, 0, 1][..], &good[2..]].concat());
    c.packed("a window of 64 KiB", [&[0x88, 0x1c][..], &good[2..]].concat());
    c.packed("a distance before the start", vec![0x78, 0x9c, 0x4b, 0x04, 0x92, 0x01, 0x00]);
    let mut sum = good.clone();
    if let Some(last) = sum.last_mut() {
        *last ^= 1;
    }
    c.packed("wrong checksum", sum);
    let mut head = good;
    head[1] ^= 1;
    c.packed("wrong header check", head);

    for (name, wrong) in [("0", 0), ("of its neighbour", 16), ("just after", 9), ("highest", MAX)] {
        c.stream(&format!("marker's sector, {name}"), "malformed", |b| {
            _ = b.put(b.hosts[&1], &wrong.to_le_bytes())
        });
    }
    for size in [0, 2 * 4096 - 11, 1 << 20, 1 << 31, u32::MAX] {
        c.stream(&format!("marker's size {size:#x}"), "malformed", |b| _ = b.put32(b.hosts[&1] + 8, size));
    }
    c.stream("grains exchanged", "malformed", |b| {
        let (one, two) = (sector(b.hosts[&0]), sector(b.hosts[&5]));
        b.set_entry(0, two).set_entry(5, one);
    });
    c.stream("one stream in two places", "overlap", |b| _ = b.set_entry(520, sector(b.hosts[&0])));
    c.stream("stream cut by its size", "malformed", |b| _ = b.put32(b.hosts[&1] + 8, 100));
    let short = Vmdk { grain: 8, footer: false, ..Vmdk::stream(32) }.with(1, Grain::Data(noise(1, 4096)));
    let mut built = short.build();
    let host = built.hosts[&1];
    built.bytes.truncate(host as usize + 2048);
    c.add("stream leaving the file", "truncated", built.bytes);
}

fn truncated(c: &mut Cases) {
    let built = sparse().build();
    let cuts = [
        4,
        5,
        12,
        511,
        512,
        513,
        5000,
        21 * SECTOR - 1,
        21 * SECTOR,
        built.directory + 1,
        built.directory + 2047,
        built.tables[&1],
        built.tables[&1] + 2047,
        built.hosts[&0],
        built.hosts[&0] + 1,
        built.hosts[&520],
        built.hosts[&520] + 4095,
    ];
    for cut in cuts {
        c.add(format_args!("cut at {cut}"), "truncated", built.bytes[..cut as usize].to_vec());
    }
    let built = stream().build();
    let footer = built.footer.unwrap_or(0);
    for cut in [512, 1536, 2048, footer - 512, footer - 1, footer, footer + 512, footer + 1023] {
        c.add(format_args!("stream cut at {cut}"), "truncated", built.bytes[..cut as usize].to_vec());
    }
}

fn formats(c: &mut Cases) {
    for (name, image) in [("sparse", sparse()), ("stream", stream())] {
        let bytes = image.build().bytes;
        for format in ["raw", "qcow2", "vhd", "vhdx", "vdi", "iso"] {
            c.declared(&format!("{name} declared {format}"), format, "format_mismatch", bytes.clone());
        }
        let end = bytes.len();
        for (other, at, magic) in [
            ("vhd", end - 512, &b"conectix"[..]),
            ("vhd of 511 bytes", end - 511, b"conectix"),
            ("dmg", end - 512, b"koly"),
            ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
            ("gpt", 512, b"EFI PART"),
            ("tar", 257, b"ustar"),
        ] {
            let mut both = bytes.clone();
            both[at..at + magic.len()].copy_from_slice(magic);
            c.add(format_args!("{name} and {other}"), "polyglot", both);
        }
        let mut mbr = bytes.clone();
        mbr[450] = 0x83;
        mbr[458] = 1;
        mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
        c.add(format_args!("{name} and mbr"), "polyglot", mbr);
        let mut iso = bytes.clone();
        iso.resize(iso.len().max(40_000), 0);
        iso[32769..32774].copy_from_slice(b"CD001");
        c.add(format_args!("{name} and iso"), "polyglot", iso);
        let zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        c.add(format_args!("{name} and zip"), "polyglot", [&bytes[..], zip].concat());
        let mut qcow = bytes;
        qcow[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        qcow.truncate(end - 1024);
        qcow.extend(b"KDMV");
        qcow.resize(end, 0);
        c.add(format_args!("{name} behind a qcow2 header"), "polyglot", qcow);
    }
}
