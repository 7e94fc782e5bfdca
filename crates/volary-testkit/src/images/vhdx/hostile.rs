//! One case for every rule of the VHDX reader: the smallest file that breaks it.

use super::build::{
    BAT, BAT_ID, DISK_ID, Guid, HEADERS, ITEMS, LOG, LOGICAL_ID, METADATA, METADATA_ID, MIB, PARENT_ID,
    REGION_TABLES, SIZE_ID,
};
use super::{Block, Built, HostileCase, Item, Vhdx, pattern};

const FAR: u64 = 1 << 40;
/// The highest offset that is whole MiB.
const HIGHEST: u64 = !(MIB - 1);
const UNKNOWN: Guid = *b"\x1b[2J\nnobody\0\xff\xfe\xfd\xfc";
/// The fields of the two entries of the region tables.
const BAT_ENTRY: u64 = 16;
const METADATA_ENTRY: u64 = 48;
/// The fields of an entry of the metadata table: parameters, size, disk id, logical and physical sector size.
const ITEM: [u64; 5] = [METADATA + 32, METADATA + 64, METADATA + 96, METADATA + 128, METADATA + 160];

struct Table {
    cases: Vec<HostileCase>,
    /// How much of each file is kept: what must be refused by then needs no more.
    keep: u64,
}

impl Table {
    fn image(&mut self, name: &str, reason: &'static str, image: &Vhdx) {
        self.spoil_of(name, reason, image, |_| ());
    }

    fn spoil_of(&mut self, name: &str, reason: &'static str, image: &Vhdx, spoil: impl FnOnce(&mut Built)) {
        let mut built = image.build();
        spoil(&mut built);
        built.bytes.truncate(self.keep as usize);
        built.bytes.shrink_to_fit();
        self.cases.push(HostileCase::new(format!("vhdx, {name}"), reason, built.bytes));
    }

    /// The base image with one thing spoiled.
    fn spoil(&mut self, name: &str, reason: &'static str, spoil: impl FnOnce(&mut Built)) {
        self.spoil_of(name, reason, &base(), spoil);
    }

    /// The base image with each of some values in one place.
    fn each<V: Copy + std::fmt::Debug>(
        &mut self,
        name: &str,
        reason: &'static str,
        values: &[V],
        put: impl Fn(&mut Built, V),
    ) {
        for &value in values {
            self.spoil(&format!("{name} {value:x?}"), reason, |built| put(built, value));
        }
    }

    fn declared(&mut self, name: &str, format: &'static str, reason: &'static str, bytes: Vec<u8>) {
        self.cases.push(HostileCase { declared: Some(format), ..HostileCase::new(name, reason, bytes) });
    }
}

/// A disk of 64 KiB, all zeros: nothing is in the file behind the block allocation table.
fn base() -> Vhdx {
    Vhdx::new(64 << 10)
}

/// The same with data: its one block is cut where the disk ends.
fn full() -> Vhdx {
    base().with(0, Block::Data(pattern(1, 64 << 10)))
}

/// Two blocks of data; the second is cut where the disk ends.
fn two() -> Vhdx {
    let block = |seed, len| Block::Data(pattern(seed, len));
    Vhdx::new(MIB + 512).with(0, block(1, 1 << 20)).with(1, block(2, 512))
}

/// Every hostile VHDX file, each with the reason it must be refused with.
#[must_use]
pub fn hostile() -> Vec<HostileCase> {
    let mut t = Table { cases: Vec::new(), keep: REGION_TABLES[0] };
    headers(&mut t);
    log(&mut t);
    t.keep = LOG + MIB;
    region_tables(&mut t);
    t.keep = u64::MAX;
    outside(&mut t);
    regions(&mut t);
    metadata_table(&mut t);
    items(&mut t);
    parents(&mut t);
    block_table(&mut t);
    overlaps(&mut t);
    truncated(&mut t);
    formats(&mut t);
    t.cases
}

fn headers(t: &mut Table) {
    t.spoil("both headers of wrong checksums", "malformed", |b| {
        _ = b.put(HEADERS[0] + 20, &[0]).put(HEADERS[1] + 4095, &[1])
    });
    t.spoil("both headers without signature", "malformed", |b| _ = b.header(0, b"tail"));
    t.spoil("headers all zero", "malformed", |b| _ = HEADERS.map(|at| b.put(at, &[0; 4096]).bytes.len()));
    t.spoil_of("headers of one number that differ", "malformed", &Vhdx { sequence: [5, 5], ..base() }, |b| {
        _ = b.put(HEADERS[1] + 4000, &[1]).seal()
    });
    let version = |b: &mut Built, v: u16| _ = b.header(66, &v.to_le_bytes());
    t.each("version", "unknown_feature", &[0, 2, u16::MAX], version);
    t.spoil("version of the current header alone", "unknown_feature", |b| {
        _ = b.put(HEADERS[1] + 66, &[2]).seal()
    });
    let first = Vhdx { sequence: [u64::MAX, 0], ..base() };
    t.spoil_of("version of the first header, the current", "unknown_feature", &first, |b| {
        _ = b.put(HEADERS[0] + 66, &[2]).seal()
    });
}

fn log(t: &mut Table) {
    t.each("log to replay, GUID byte", "unknown_feature", &[48, 63], |b, at| _ = b.header(at, &[1]));
    t.spoil("log to replay, by the current header alone", "unknown_feature", |b| {
        _ = b.put(HEADERS[1] + 50, &[1]).seal()
    });
    t.spoil("log to replay, by the only valid header", "unknown_feature", |b| {
        _ = b.put(HEADERS[0] + 50, &[1]).seal().put(HEADERS[1] + 20, &[0])
    });
    t.each("log version", "unknown_feature", &[1, u16::MAX], |b, v| _ = b.header(64, &v.to_le_bytes()));
    let offset = |b: &mut Built, at: u64| _ = b.header(72, &at.to_le_bytes());
    t.each("log misplaced at", "malformed", &[0, 1, MIB - 1, MIB + 512, u64::MAX - 1, u64::MAX], offset);
    let bytes = |b: &mut Built, bytes: u32| _ = b.header(68, &bytes.to_le_bytes());
    t.each("log of bytes", "malformed", &[0, 1, (1 << 20) - 1, u32::MAX - 1, u32::MAX], bytes);
}

fn outside(t: &mut Table) {
    let log = |b: &mut Built, at: u64| _ = b.header(72, &at.to_le_bytes());
    t.each("log outside at", "truncated", &[4 * MIB, FAR, HIGHEST], log);
    let bytes = |b: &mut Built, bytes: u32| _ = b.header(68, &bytes.to_le_bytes());
    t.each("log leaving the file, bytes", "truncated", &[4 << 20, 0xfff0_0000], bytes);
    t.spoil("unknown region outside", "truncated", |b| _ = b.add_region(UNKNOWN, FAR, MIB, 0));
}

fn region_tables(t: &mut Table) {
    t.spoil("both region tables of wrong checksums", "malformed", |b| {
        _ = REGION_TABLES.map(|at| b.put(at + 65535, &[1]).bytes.len())
    });
    for (name, table) in [("first", 0), ("second", 1)] {
        t.spoil(&format!("{name} region table of a wrong checksum"), "malformed", |b| {
            _ = b.put(REGION_TABLES[table] + 65535, &[1])
        });
        t.spoil(&format!("{name} region table without signature"), "malformed", |b| {
            _ = b.put(REGION_TABLES[table], b"regj").seal()
        });
        t.spoil(&format!("{name} region table another"), "malformed", |b| {
            _ = b.put64(REGION_TABLES[table] + BAT_ENTRY + 16, 5 * MIB).seal()
        });
    }
    let entries = |b: &mut Built, n: u32| _ = b.regions(8, &n.to_le_bytes());
    t.each("region entries", "malformed", &[0, 2048, u32::MAX], entries);
    let flags = |b: &mut Built, flags: u32| _ = b.regions(BAT_ENTRY + 28, &flags.to_le_bytes());
    t.each("block allocation table of flags", "malformed", &[2, u32::MAX], flags);
}

fn regions(t: &mut Table) {
    for (name, entry, own) in
        [("block allocation table", BAT_ENTRY, BAT), ("metadata", METADATA_ENTRY, METADATA)]
    {
        let offset = |b: &mut Built, at: u64| _ = b.regions(entry + 16, &at.to_le_bytes());
        let wrong = [0, own + 512, u64::MAX];
        t.each(&format!("{name} misplaced at"), "malformed", &wrong, offset);
        t.each(&format!("{name} outside at"), "truncated", &[4 * MIB, HIGHEST], offset);
        let bytes = |b: &mut Built, bytes: u32| _ = b.regions(entry + 24, &bytes.to_le_bytes());
        t.each(&format!("{name} of bytes"), "malformed", &[0, (1 << 20) + 1, u32::MAX], bytes);
        t.each(&format!("{name} leaving the file, bytes"), "truncated", &[0xfff0_0000], bytes);
        t.each(&format!("{name} named otherwise"), "unknown_feature", &[UNKNOWN], |b, id| {
            _ = b.regions(entry, &id)
        });
    }
    t.spoil("block allocation table twice", "malformed", |b| _ = b.add_region(BAT_ID, 4 * MIB, MIB, 1));
    t.spoil("metadata twice", "malformed", |b| _ = b.add_region(METADATA_ID, 4 * MIB, MIB, 1));
    t.spoil("unknown region twice", "malformed", |b| {
        _ = b.put(6 * MIB, &[0]).add_region(UNKNOWN, 4 * MIB, MIB, 0).add_region(UNKNOWN, 5 * MIB, MIB, 0)
    });
    t.spoil("unknown required region", "unknown_feature", |b| _ = b.add_region(UNKNOWN, 5 * MIB, MIB, 1));
    t.spoil("unknown region of unknown flags", "malformed", |b| _ = b.add_region(UNKNOWN, 5 * MIB, MIB, 2));
    let entries = |b: &mut Built, n: u32| _ = b.regions(8, &n.to_le_bytes());
    t.each("region entries", "malformed", &[1, 2047], entries);
    t.spoil("unknown region in the headers", "malformed", |b| _ = b.add_region(UNKNOWN, 0, MIB, 0));
}

fn metadata_table(t: &mut Table) {
    t.spoil("metadata table without signature", "malformed", |b| _ = b.put(METADATA + 7, b"b"));
    let entries = |b: &mut Built, n: u16| _ = b.put(METADATA + 10, &n.to_le_bytes());
    t.each("metadata entries", "malformed", &[0, 4, 7, 2048, u16::MAX], entries);
    for (item, name) in ITEM.into_iter().zip(["parameters", "size", "disk id", "sector", "physical sector"]) {
        t.spoil(&format!("{name} missing"), "malformed", |b| _ = b.put(item, &UNKNOWN).put32(item + 24, 0));
        t.spoil(&format!("{name} as a user's"), "malformed", |b| _ = b.put32(item + 24, 5));
        t.spoil(&format!("{name} shorter"), "malformed", |b| b.bytes[item as usize + 20] -= 1);
    }
    t.spoil("size longer", "malformed", |b| b.bytes[ITEM[1] as usize + 20] += 1);
    t.spoil("size named otherwise", "unknown_feature", |b| _ = b.put(ITEM[1], &UNKNOWN));
    let added = |id, bytes: usize, flags| Vhdx { items: vec![Item(id, vec![1; bytes], flags)], ..base() };
    t.image("size twice", "malformed", &added(SIZE_ID, 8, 6));
    t.image("disk id twice, then a user's", "malformed", &added(DISK_ID, 16, 1));
    let twice = Vhdx { items: vec![Item(UNKNOWN, vec![], 0), Item(UNKNOWN, vec![1], 2)], ..base() };
    t.image("unknown item twice", "malformed", &twice);
    for (name, flags) in [("system", 4), ("virtual disk", 6), ("user", 5)] {
        t.image(&format!("unknown required {name} item"), "unknown_feature", &added(UNKNOWN, 4, flags));
    }
    for flags in [8, 1 << 31] {
        t.image(&format!("unknown item flags {flags:#x}"), "malformed", &added(UNKNOWN, 4, flags));
    }
    t.image("item longer than 1 MiB", "malformed", &added(UNKNOWN, (1 << 20) + 1, 0));
    let users =
        |n: u16| (0..n).map(|n| Item([n.to_le_bytes(); 8].concat().try_into().unwrap_or(UNKNOWN), vec![], 1));
    t.image("1,025 user items", "limit", &Vhdx { items: users(1025).collect(), ..base() });
    let many = Vhdx { items: users(1024).chain([Item(UNKNOWN, vec![], 4)]).collect(), ..base() };
    t.image("unknown required item behind 1,024", "unknown_feature", &many);
    t.spoil("empty item somewhere", "malformed", |b| _ = b.put32(ITEM[2] + 20, 0));

    let offset = |b: &mut Built, at: u32| _ = b.put32(ITEM[1] + 16, at);
    t.each("size misplaced at", "malformed", &[0, 1, 65535], offset);
    t.each("size outside at", "truncated", &[(1 << 20) - 7, u32::MAX - 7, u32::MAX], offset);
    t.each("size on another item at", "overlap", &[65543, 65545], offset);
    let over = added(UNKNOWN, 100, 0);
    t.spoil_of("unknown item on others", "overlap", &over, |b| _ = b.put32(METADATA + 192 + 16, 65500 + 40));
}

fn items(t: &mut Table) {
    let (parameters, size, logical, physical) = (ITEMS, ITEMS + 8, ITEMS + 32, ITEMS + 36);
    let blocks = [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 29, 1 << 31, u32::MAX];
    t.each("block size", "malformed", &blocks, |b, v| _ = b.put32(parameters, v));
    t.each("flags", "unknown_feature", &[4, !2], |b, v| _ = b.put32(parameters + 4, v));
    let sizes = [0, 1, 65537, (64 << 40) + 1, u64::MAX];
    t.each("disk size", "malformed", &sizes, |b, v| _ = b.put64(size, v));
    let sizes = [(64 << 40) + 512, !511];
    t.each("disk size", "limit", &sizes, |b, v| _ = b.put64(size, v));
    let sectors = [0, 513, 1024, 8192, u32::MAX];
    t.each("sector size", "malformed", &sectors, |b, v| _ = b.put32(logical, v));
    t.each("physical sector size", "malformed", &sectors[..2], |b, v| _ = b.put32(physical, v));
    t.image("disk size not whole sectors of 4,096", "malformed", &Vhdx { sector: 4096, ..Vhdx::new(4608) });
}

fn parents(t: &mut Table) {
    let parent = |flags, item_flags| {
        let locator =
            b"\xb7\xef\x4a\xb0\x9e\xd1\x81\x4a\xb7\x89\x25\xb8\xe9\x44\x59\x13..\\secret.vhdx".to_vec();
        Vhdx { flags, items: vec![Item(PARENT_ID, locator, item_flags)], ..base() }
    };
    t.image("parent, by flag and locator", "backing_file", &parent(2, 4));
    t.image("parent, by flag alone", "backing_file", &Vhdx { flags: 2, ..base() });
    t.image("parent, by flag of a fixed image", "backing_file", &Vhdx { flags: 3, ..base() });
    t.image("parent, by flag among unknown ones", "backing_file", &Vhdx { flags: u32::MAX, ..base() });
    t.image("parent, by locator alone", "backing_file", &parent(0, 4));
    t.image("parent, by a locator that is not required", "backing_file", &parent(0, 0));
    t.image("parent, by a user's locator", "backing_file", &parent(0, 1));
    let empty = Vhdx { items: vec![Item(PARENT_ID, vec![], 4)], ..base() };
    t.image("parent, by an empty locator", "backing_file", &empty);
}

fn block_table(t: &mut Table) {
    // The most blocks that 131,072 entries map, 31 of them for sector bitmaps, and one sector more.
    t.image("table too small by an entry", "malformed", &Vhdx::new(131_041 * MIB + 512));
    t.image("table too small for 64 TiB", "malformed", &Vhdx { block_bits: 28, ..Vhdx::new(64 << 40) });
    let entry = |b: &mut Built, entry: u64| _ = b.put_entry(0, entry);
    let states = [4, 5, 7, 4 << 20 | 5, 4 << 20 | 7];
    t.each("entry of state", "malformed", &states, entry);
    let reserved = [8, 1 << 19, 3 << 20 | 6 | 8, 2 | 1 << 10];
    t.each("entry of reserved bits", "malformed", &reserved, entry);
    t.each("block outside", "truncated", &[4 << 20 | 6, 1 << 63 | 6, HIGHEST | 6], entry);

    // Blocks of 256 MiB have a sector bitmap after every 16.
    let chunks = Vhdx { block_bits: 28, ..Vhdx::new((17 << 28) + 512) };
    t.spoil_of("reserved state behind a sector bitmap", "malformed", &chunks, |b| _ = b.put_entry(17, 4));
    t.spoil_of("block outside, behind a sector bitmap", "truncated", &chunks, |b| {
        _ = b.put_entry(17, 4 << 20 | 6)
    });
}

fn overlaps(t: &mut Table) {
    let log = |b: &mut Built, at: u64| _ = b.header(72, &at.to_le_bytes());
    t.each("log on a region at", "overlap", &[METADATA, BAT], log);
    t.spoil("log over a region", "overlap", |b| _ = b.header(68, &(2_u32 << 20).to_le_bytes()));
    t.spoil_of("log on a block", "overlap", &full(), |b| {
        _ = b.put(5 * MIB - 1, &[0]).header(72, &(4 * MIB).to_le_bytes())
    });
    let bat = |b: &mut Built, at: u64| _ = b.regions(BAT_ENTRY + 16, &at.to_le_bytes());
    t.each("block allocation table on another part at", "overlap", &[LOG, METADATA], bat);
    let metadata = |b: &mut Built, at: u64| _ = b.regions(METADATA_ENTRY + 16, &at.to_le_bytes());
    t.each("metadata on another part at", "overlap", &[LOG, BAT], metadata);
    let unknown = |b: &mut Built, at: u64| _ = b.put(5 * MIB - 1, &[0]).add_region(UNKNOWN, at, MIB, 0);
    t.each("unknown region on another part at", "overlap", &[LOG, METADATA, BAT], unknown);
    t.spoil_of("unknown region on a block", "overlap", &full(), |b| unknown(b, 4 * MIB));
    let entry = |b: &mut Built, host: u64| _ = b.put_entry(0, host | 6);
    t.each("block on another part at", "overlap", &[0, LOG, METADATA, BAT], entry);
    t.spoil_of("one block twice", "overlap", &two(), |b| _ = b.put_entry(1, b.hosts[&0] | 6));
    let wide = |size| Vhdx { block_bits: 21, ..Vhdx::new(size) };
    let cut = wide((2 << 20) + 512).with(1, Block::Data(pattern(1, 512)));
    t.spoil_of("block into another", "overlap", &cut, |b| _ = b.put(5 * MIB, &[1]).put_entry(0, 3 << 20 | 6));
    t.spoil_of("block into the one before", "overlap", &cut, |b| {
        _ = b.put(6 * MIB, &[1]).put_entry(0, 4 << 20 | 6).put_entry(1, 5 << 20 | 6)
    });
    let tail = wide(512).with(0, Block::Data(pattern(1, 512)));
    t.spoil_of("region in what a block has beyond the disk", "overlap", &tail, |b| {
        _ = b.put(6 * MIB - 1, &[0]).add_region(UNKNOWN, 5 * MIB, MIB, 0)
    });
}

fn truncated(t: &mut Table) {
    let mut cuts = vec![8, 65536, 4 * MIB - 1, 4 * MIB, 4 * MIB + 65535];
    cuts.extend(HEADERS.map(|at| at + 4095).into_iter().chain(REGION_TABLES.map(|at| at + 65535)));
    cuts.extend([MIB, LOG + 4096, METADATA + 100, ITEMS + 10, BAT + 8]);
    for cut in cuts {
        t.spoil_of(&format!("cut at {cut}"), "truncated", &full(), |b| b.bytes.truncate(cut as usize));
    }
    t.spoil_of("cut in the last block", "truncated", &two(), |b| b.bytes.truncate(5 << 20 | 511));
}

fn formats(t: &mut Table) {
    let mut sector = [0; 66];
    (sector[4], sector[12]) = (0x83, 1);
    sector[64..].copy_from_slice(&[0x55, 0xaa]);
    let end = base().build().bytes.len() as u64;
    for (name, at, magic) in [
        ("mbr", 446, &sector[..]),
        ("gpt", 512, b"EFI PART"),
        ("iso", 32769, b"CD001"),
        ("tar", 257, b"ustar"),
        ("vhd footer", end - 512, b"conectix"),
        ("dmg trailer", end - 512, b"koly"),
        ("vmdk footer", end - 1024, b"KDMV"),
        ("zip", end, b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ] {
        t.spoil(&format!("and {name}"), "polyglot", |b| _ = b.put(at, magic));
    }
    for format in ["raw", "vhd", "qcow2"] {
        t.declared(&format!("vhdx declared {format}"), format, "format_mismatch", base().build().bytes);
    }
    t.declared("cut inside the magic of vhdx", "vhdx", "format_mismatch", b"vhdxfil".to_vec());
    // The item ids must be what is looked at, not their order.
    t.spoil("sector size in the place of the size", "malformed", |b| {
        _ = b.put(ITEM[1], &LOGICAL_ID).put(ITEM[3], &SIZE_ID)
    });
}
