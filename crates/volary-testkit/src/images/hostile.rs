//! One case for every rule of the strict readers: the smallest file that breaks it.

use super::{Built, Cluster, Qcow2, deflate, iso, magics, noise, pattern, sample, vdi, vhd, vhdx, vmdk};

/// A file that must be refused, at the latest while it is read.
#[derive(Clone, Debug)]
pub struct HostileCase {
    /// What is wrong with it.
    pub name: String,
    /// The format to declare; `None` for auto.
    pub declared: Option<&'static str>,
    /// The file.
    pub bytes: Vec<u8>,
    /// The stable reason it must be refused with.
    pub reason: &'static str,
}

impl HostileCase {
    /// A file that is refused whatever format it is declared to be.
    #[must_use]
    pub fn new(name: impl Into<String>, reason: &'static str, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), declared: None, bytes, reason }
    }
}

#[derive(Default)]
struct Table(Vec<HostileCase>);

impl Table {
    fn add(&mut self, name: impl Into<String>, reason: &'static str, bytes: Vec<u8>) {
        self.0.push(HostileCase::new(name, reason, bytes));
    }

    fn declared(&mut self, name: &str, format: &'static str, reason: &'static str, bytes: Vec<u8>) {
        self.0.push(HostileCase { name: name.to_owned(), declared: Some(format), bytes, reason });
    }

    /// The sample image with one thing spoiled.
    fn spoil(&mut self, name: &str, reason: &'static str, spoil: impl FnOnce(&mut Built)) {
        let mut built = sample().build();
        spoil(&mut built);
        self.add(name, reason, built.bytes);
    }

    /// A 4-byte header field of the sample.
    fn field32(&mut self, name: &str, at: u64, values: &[u32], reason: &'static str) {
        for &value in values {
            self.spoil(&format!("{name} {value:#x}"), reason, |b| _ = b.put32(at, value));
        }
    }

    /// An 8-byte header field of the sample.
    fn field64(&mut self, name: &str, at: u64, values: &[u64], reason: &'static str) {
        for &value in values {
            self.spoil(&format!("{name} {value:#x}"), reason, |b| _ = b.put64(at, value));
        }
    }

    /// The L2 entry of one cluster of the sample.
    fn entry(
        &mut self,
        name: &str,
        reason: &'static str,
        cluster: u64,
        change: impl FnOnce(&Built, u64) -> u64,
    ) {
        self.spoil(name, reason, |b| {
            let at = b.l2_entry(cluster);
            let value = change(b, b.get64(at));
            b.put64(at, value);
        });
    }

    /// The first L1 entry of the sample.
    fn table(&mut self, name: &str, reason: &'static str, change: impl FnOnce(&Built, u64) -> u64) {
        self.spoil(name, reason, |b| {
            let value = change(b, b.get64(b.l1));
            b.put64(b.l1, value);
        });
    }

    fn extensions(&mut self, name: &str, reason: &'static str, extensions: Vec<(u32, Vec<u8>)>) {
        self.add(name, reason, Qcow2 { extensions, ..sample() }.build().bytes);
    }

    fn stream(&mut self, name: &str, zstd: bool, stream: Vec<u8>, reason: &'static str) {
        let image = Qcow2 { zstd, ..Qcow2::new(1 << 20) }.with(7, Cluster::Stream(stream));
        self.add(name, reason, image.build().bytes);
    }
}

const COPIED: u64 = 1 << 63;
const FAR: u64 = 1 << 40;

/// Every hostile file, each with the reason it must be refused with.
#[must_use]
pub fn hostile() -> Vec<HostileCase> {
    let mut t = Table::default();
    header(&mut t);
    tables(&mut t);
    mapping(&mut t);
    overlaps(&mut t);
    subclusters(&mut t);
    streams(&mut t);
    truncated(&mut t);
    formats(&mut t);
    nested(&mut t);
    raw(&mut t);
    t.0.into_iter()
        .chain(vmdk::hostile())
        .chain(vhd::hostile())
        .chain(vhdx::hostile())
        .chain(vdi::hostile())
        .collect()
}

fn header(t: &mut Table) {
    t.spoil("backing file", "backing_file", |b| {
        _ = b.put64(8, 0x400).put32(16, 11).put(0x400, b"/etc/shadow")
    });
    let mut old = Qcow2 { version: 2, ..sample() };
    old.clusters.retain(|_, c| !matches!(c, Cluster::Zero | Cluster::ZeroAllocated));
    t.add("backing file, version 2", "backing_file", old.build().put64(8, 80).put32(16, 1).bytes.clone());
    t.spoil("backing file that is a URL", "backing_file", |b| {
        _ = b.put64(8, 0x400).put32(16, 5).put(0x400, b"nbd:x")
    });
    t.field64("data file bit", 72, &[4, 4 | 1], "data_file");
    t.field64("raw external data, autoclear", 88, &[2, 3], "data_file");
    t.extensions(
        "data file named without its bit",
        "data_file",
        vec![(0x4441_5441, b"/etc/shadow".to_vec())],
    );
    t.extensions("LUKS header extension", "encrypted", vec![(0x0537_be77, vec![0; 16])]);
    t.field32("encryption method", 32, &[1, 2, 3, u32::MAX], "encrypted");
    t.field64("unknown incompatible bits", 72, &[1 << 5, 1 << 31, 1 << 63], "unknown_feature");
    t.field64("marked corrupt", 72, &[2, 3], "unknown_feature");
    t.field32("version", 4, &[0, 4, u32::MAX], "unknown_feature");
    t.field32("cluster bits", 20, &[0, 8, 22, 31, 32, 63, 64, u32::MAX], "malformed");
    t.field64("size", 24, &[0], "malformed");
    t.field64("size", 24, &[u64::MAX, u64::MAX - 511, 1 << 63, 1 << 50], "limit");
    t.field32("refcount order", 96, &[7, 64, u32::MAX], "malformed");
    t.field32("header length", 100, &[0, 72, 96, 103, 105, 4104, !7], "malformed");
    t.field64("compression bit without type", 72, &[8], "malformed");
    t.spoil("compression type without bit", "malformed", |b| _ = b.put(104, &[1]));
    t.spoil("compression type unknown", "unknown_feature", |b| _ = b.put64(72, 8).put(104, &[2]));
    t.spoil("compression bit, header ends before the type", "malformed", |b| {
        _ = b.put64(72, 8).put32(100, 104)
    });
    t.field64("extended L2 with clusters of 4 KiB", 72, &[16], "malformed");

    t.extensions("extension twice", "malformed", vec![(0x6803_f857, vec![]), (0x6803_f857, vec![])]);
    t.extensions("65 extensions", "limit", (1..=65).map(|kind| (kind, vec![])).collect());
    t.extensions("extension longer than the header cluster", "malformed", vec![(5, vec![0; 3980])]);
    t.spoil("extension of 4 GiB", "malformed", |b| _ = b.put32(112, 5).put32(116, u32::MAX));
}

fn tables(t: &mut Table) {
    t.field32("L1 too small", 36, &[0, 1], "malformed");
    t.field32("L1 too large", 36, &[(4 << 20) + 1, u32::MAX], "limit");
    t.field32("L1 leaves the file", 36, &[1 << 20], "truncated");
    t.field64("L1 misplaced", 40, &[0, 8, 4097, 4096 + 512, u64::MAX], "malformed");
    t.field64("L1 outside", 40, &[FAR, !4095], "truncated");
    t.field64("refcount table misplaced", 48, &[0, 512, 4095, u64::MAX], "malformed");
    t.field64("refcount table outside", 48, &[FAR, !4095], "truncated");
    t.field32("refcount table empty", 56, &[0], "malformed");
    t.field32("refcount table too large", 56, &[2049, u32::MAX], "limit");
    t.field32("refcount table leaves the file", 56, &[2000], "truncated");
    t.spoil("snapshots, too many", "limit", |b| _ = b.put32(60, 65_537).put64(64, 4096));
    t.spoil("snapshots, misaligned", "malformed", |b| _ = b.put32(60, 1).put64(64, 4100));
    t.spoil("snapshots, in the header", "malformed", |b| _ = b.put32(60, 1));
    t.spoil("snapshots, outside", "truncated", |b| _ = b.put32(60, 1).put64(64, FAR));
    t.spoil("snapshots, leaving the file", "truncated", |b| _ = b.put32(60, 60_000).put64(64, 4096));
}

fn mapping(t: &mut Table) {
    t.table("L1 reserved low bit", "malformed", |_, e| e | 1);
    t.table("L1 reserved bit 8", "malformed", |_, e| e | 1 << 8);
    t.table("L1 reserved bit 56", "malformed", |_, e| e | 1 << 56);
    t.table("L1 reserved bit 62", "malformed", |_, e| e | 1 << 62);
    t.table("L1 misaligned", "malformed", |_, e| e + 512);
    t.table("L1 entry outside", "truncated", |_, e| e | FAR);
    t.table("L1 entry at the end of the file", "truncated", |b, _| b.bytes.len() as u64);
    t.table("L1 entry at the highest offset", "truncated", |_, _| 0x00ff_ffff_ffff_f000);
    t.entry("L2 reserved bit 1", "malformed", 0, |_, e| e | 2);
    t.entry("L2 reserved bit 8", "malformed", 0, |_, e| e | 1 << 8);
    t.entry("L2 reserved bit 56", "malformed", 0, |_, e| e | 1 << 56);
    t.entry("L2 reserved bit 61", "malformed", 0, |_, e| e | 1 << 61);
    t.entry("L2 reserved bit without an offset", "malformed", 9, |_, _| 4);
    t.entry("L2 misaligned", "malformed", 0, |_, e| e + 512);
    t.entry("data outside", "truncated", 0, |_, e| e | FAR);
    t.entry("data at the end of the file", "truncated", 0, |b, _| b.bytes.len() as u64);
    t.entry("zero cluster kept outside", "truncated", 5, |_, e| e | FAR);
    let old = Qcow2 { version: 2, ..Qcow2::new(1 << 20) }.with(0, Cluster::Plain(pattern(1, 4096)));
    let mut built = old.build();
    let at = built.l2_entry(0);
    let entry = built.get64(at);
    t.add("zero flag in version 2", "malformed", built.put64(at, entry | 1).bytes.clone());
}

fn overlaps(t: &mut Table) {
    t.spoil("L1 on the refcount table", "overlap", |b| _ = b.put64(48, b.l1));
    t.spoil("refcount table on an L2 table", "overlap", |b| _ = b.put64(48, b.l2[&0]));
    t.spoil("refcount table on data", "overlap", |b| _ = b.put64(48, b.hosts[&600]));
    t.table("L2 table on L1", "overlap", |b, _| b.l1 | COPIED);
    t.table("L2 table on the refcount table", "overlap", |b, _| b.refcount_table | COPIED);
    t.table("one L2 table twice", "overlap", |b, _| b.l2[&1] | COPIED);
    t.entry("data on L1", "overlap", 0, |b, _| b.l1 | COPIED);
    t.entry("data on the refcount table", "overlap", 0, |b, _| b.refcount_table | COPIED);
    t.entry("data on its own L2 table", "overlap", 0, |b, _| b.l2[&0] | COPIED);
    t.entry("data on a later L2 table", "overlap", 0, |b, _| b.l2[&1] | COPIED);
    t.entry("one data cluster twice", "overlap", 601, |b, _| b.hosts[&600] | COPIED);
    t.entry("one data cluster in two tables", "overlap", 0, |b, _| b.hosts[&600] | COPIED);
    t.entry("data on a kept zero cluster", "overlap", 600, |b, _| b.hosts[&5] | COPIED);
    t.entry("stream in L1", "overlap", 2, |b, _| 1 << 62 | b.l1);
    t.entry("stream in an L2 table", "overlap", 2, |b, _| 1 << 62 | b.l2[&1]);
    t.entry("stream in the refcount table", "overlap", 2, |b, _| 1 << 62 | b.refcount_table);
    t.entry("stream in a later data cluster", "overlap", 2, |b, _| 1 << 62 | b.hosts[&600]);
    t.entry("stream running into an earlier data cluster", "overlap", 700, |b, _| {
        1 << 62 | 15 << 58 | (b.hosts[&600] + 512)
    });
    t.entry("stream in the header", "overlap", 2, |_, _| 1 << 62 | 512);
    t.entry("stream at the file's first byte", "overlap", 2, |_, _| 1 << 62);
    for (name, part) in [("refcount block", 0), ("table of snapshots", 1), ("L1 table of a snapshot", 2)] {
        t.spoil(&format!("data on a {name}"), "overlap", |b| {
            let place = match part {
                0 => b.get64(b.refcount_table),
                of_snapshot => snapshot(b) + (of_snapshot - 1) * 4096,
            };
            let at = b.l2_entry(0);
            b.put64(at, place | COPIED);
        });
        t.spoil(&format!("stream on a {name}"), "overlap", |b| {
            let place = match part {
                0 => b.get64(b.refcount_table),
                of_snapshot => snapshot(b) + (of_snapshot - 1) * 4096,
            };
            let at = b.l2_entry(2);
            b.put64(at, 1 << 62 | place);
        });
    }
    t.spoil("refcount block on data", "overlap", |b| _ = b.put64(b.refcount_table, b.hosts[&600]));
    t.spoil("refcount block on L1", "overlap", |b| _ = b.put64(b.refcount_table, b.l1));
    t.spoil("refcount block on its table", "overlap", |b| _ = b.put64(b.refcount_table, b.refcount_table));
    t.spoil("one refcount block twice", "overlap", |b| {
        let block = b.get64(b.refcount_table);
        b.put64(b.refcount_table + 8, block);
    });
    t.spoil("refcount block misaligned", "malformed", |b| _ = b.put64(b.refcount_table + 8, 4096 + 512));
    t.spoil("refcount block with reserved bits", "malformed", |b| _ = b.put64(b.refcount_table + 8, 4097));
    t.spoil("refcount block outside", "truncated", |b| _ = b.put64(b.refcount_table + 8, FAR));
    t.spoil("refcount block at the highest offset", "truncated", |b| {
        _ = b.put64(b.refcount_table + 8, !4095)
    });
    t.spoil("snapshots on data", "overlap", |b| {
        // An entry of zero bytes, where data is.
        let at = b.hosts[&600];
        b.put32(60, 1).put64(64, at).put(at, &[0; 4096]);
    });
    let mut snapshots = |name: &str, reason, change: &dyn Fn(&mut Built, u64)| {
        t.spoil(&format!("snapshots, {name}"), reason, |b| {
            let at = snapshot(b);
            change(b, at);
        });
    };
    snapshots("an L1 table on the header", "overlap", &|b, at| _ = b.put64(at, 0));
    snapshots("an L1 table on data", "overlap", &|b, at| _ = b.put64(at, b.hosts[&600]));
    snapshots("an L1 table on the disk's", "overlap", &|b, at| _ = b.put64(at, b.l1));
    snapshots("an L1 table misaligned", "malformed", &|b, at| _ = b.put64(at, 4097));
    snapshots("an L1 table outside", "truncated", &|b, at| _ = b.put64(at, FAR));
    snapshots("an L1 table at the highest offset", "truncated", &|b, at| _ = b.put64(at, !4095));
    snapshots("an L1 table too large", "limit", &|b, at| _ = b.put32(at + 8, u32::MAX));
    snapshots("extra data of 4 GiB", "limit", &|b, at| _ = b.put32(at + 36, u32::MAX));
    snapshots("names beyond the file", "truncated", &|b, at| _ = b.put32(at + 12, u32::MAX));
    snapshots("more of them than their table has", "overlap", &|b, _| _ = b.put32(60, 200));
    let wide = Qcow2 { cluster_bits: 9, ..Qcow2::new(1 << 20) }.with(0, Cluster::Plain(pattern(1, 512)));
    let mut built = wide.build();
    for slot in 0..32 {
        let table = built.l2[&0];
        built.put64(built.l1 + slot * 8, table | COPIED);
    }
    t.add("every L1 entry the same table", "overlap", built.bytes);
}

/// Gives an image a snapshot: a table of one, and behind it an L1 table, each in a cluster of its own at the end. Returns where the table
/// is.
fn snapshot(b: &mut Built) -> u64 {
    let at = b.bytes.len() as u64;
    b.put(at, &[0; 2 * 4096]).put32(60, 1).put64(64, at);
    b.put64(at, at + 4096).put32(at + 8, 2);
    at
}

fn subclusters(t: &mut Table) {
    let base = || Qcow2 { cluster_bits: 14, extended_l2: true, ..Qcow2::new(1 << 20) };
    let data = || pattern(1, 1 << 14);
    t.add(
        "subcluster allocated and zero",
        "malformed",
        base().with(3, Cluster::Sub(3, 2, data())).build().bytes,
    );
    let mut add = |name: &str, cluster: Cluster, spoil: &dyn Fn(&mut Built, u64)| {
        let mut built = base().with(3, cluster).build();
        let entry = built.l2_entry(3);
        spoil(&mut built, entry);
        t.add(name, "malformed", built.bytes);
    };
    add("subclusters without a cluster", Cluster::Sub(1, 0, data()), &|b, at| _ = b.put64(at, 0));
    add("subcluster bitmap of a stream", Cluster::Compressed(data()), &|b, at| _ = b.put64(at + 8, 1));
    add("zero flag with extended L2", Cluster::Plain(data()), &|b, at| _ = b.put64(at, b.get64(at) | 1));
    add("zero flag alone with extended L2", Cluster::Zero, &|b, at| _ = b.put64(at, 1));
    let mut built = base().build();
    t.add("extended L2 with clusters of 8 KiB", "malformed", built.put32(20, 13).bytes.clone());
}

fn streams(t: &mut Table) {
    let whole = pattern(7, 4096);
    let packed = deflate(&whole, 12);
    t.stream("deflate, too short a content", false, deflate(&whole[..4095], 12), "malformed");
    t.stream("deflate, too long a content", false, deflate(&pattern(7, 4097), 12), "malformed");
    t.stream("deflate, far too long", false, deflate(&vec![0; 4 << 20], 12), "malformed");
    t.stream("deflate, empty", false, deflate(&[], 12), "malformed");
    t.stream("deflate, cut", false, packed[..packed.len() / 2].to_vec(), "malformed");
    t.stream("deflate, garbage", false, vec![0xff; 100], "malformed");
    t.stream("deflate behind a zlib header", false, [&[0x78, 0x9c], &packed[..]].concat(), "malformed");
    t.stream("deflate, a distance before the start", false, vec![0x4b, 0x04, 0x92, 0x01, 0x00], "malformed");
    t.stream("deflate in a zstd image", true, packed, "malformed");
    let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).expect("compresses");
    let packed = frame(&whole);
    t.stream("zstd in a deflate image", false, packed.clone(), "malformed");
    t.stream("zstd, too short a content", true, frame(&whole[..4095]), "malformed");
    t.stream("zstd, too long a content", true, frame(&pattern(7, 4097)), "malformed");
    t.stream("zstd, far too long", true, frame(&vec![0; 4 << 20]), "limit");
    t.stream("zstd, empty", true, frame(&[]), "malformed");
    t.stream("zstd, cut", true, packed[..packed.len() / 2].to_vec(), "malformed");
    t.stream("zstd, a magic alone", true, packed[..4].to_vec(), "malformed");
    t.stream(
        "zstd, a skippable frame first",
        true,
        [b"\x50\x2a\x4d\x18\0\0\0\0", &packed[..]].concat(),
        "malformed",
    );
    // A frame header naming a window of 8 KiB, then of 2 GiB; one last block of zeros.
    for (name, window) in [("8 KiB", 3 << 3), ("2 GiB", 21 << 3)] {
        let stream = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x03, 0x80, 0, 0];
        t.stream(&format!("zstd, a window of {name}"), true, stream, "limit");
    }
    // One byte of it is left: the last of its first sector.
    t.entry("stream cut by its sector count", "malformed", 2, |_, e| e & !(15 << 58) | 511);
    t.entry("stream outside", "truncated", 2, |_, e| e | FAR);
    t.entry("stream leaving the file", "truncated", 700, |b, _| {
        1 << 62 | 15 << 58 | (b.bytes.len() as u64 - 512)
    });
    let last = Qcow2::new(1 << 20).with(0, Cluster::Compressed(noise(1, 4096)));
    let mut built = last.build();
    let (at, host) = (built.l2_entry(0), built.bytes.len() as u64);
    built.put(host, &deflate(&whole, 12)[..20]).put64(at, 1 << 62 | host);
    t.add("stream cut by the end of the file", "malformed", built.bytes);

    let mut bomb = Qcow2 { cluster_bits: 16, ..Qcow2::new(512 << 20) };
    bomb.clusters.insert(0, Cluster::Compressed(vec![0; 1 << 16]));
    let mut built = bomb.build();
    let entry = built.get64(built.l2_entry(0)) | 63 << 54;
    built.put(built.hosts[&0] + (64 << 10), &[0]);
    for cluster in 0..8192 {
        let at = built.l2_entry(cluster);
        built.put64(at, entry);
    }
    t.add("one stream 8,192 times", "bomb", built.bytes);
}

fn truncated(t: &mut Table) {
    let built = sample().build();
    let (l1, l2, data, stream) = (built.l1, built.l2[&1], built.hosts[&600], built.hosts[&700]);
    let cuts = [4, 5, 8, 71, 72, 103, 104, 111, 112, 2000, 4095, 4096, l1 + 8, l2 + 1, data + 1, stream + 1];
    for cut in cuts.into_iter().chain([built.refcount_table, built.refcount_table + 4095]) {
        t.add(format!("cut at {cut}"), "truncated", built.bytes[..cut as usize].to_vec());
    }
    let cut = built.bytes[..3].to_vec();
    t.declared("cut inside the magic", "qcow2", "format_mismatch", cut);
}

fn formats(t: &mut Table) {
    for (name, bytes) in magics() {
        t.declared(&format!("{name} declared raw"), "raw", "format_mismatch", bytes.clone());
        t.declared(&format!("{name} declared qcow2"), "qcow2", "format_mismatch", bytes.clone());
        // What comes after the magic decides for those that are read.
        if !matches!(name, "vmdk" | "vhd" | "vhdx" | "vdi") {
            t.add(name, "banned_format", bytes);
        }
    }
    let image = sample().build().bytes;
    t.declared("qcow2 declared raw", "raw", "format_mismatch", image.clone());
    t.declared("qcow2 declared vmdk", "vmdk", "format_mismatch", image.clone());
    t.declared("noise declared qcow2", "qcow2", "format_mismatch", noise(1, 4096));
    t.declared("noise declared iso", "iso", "format_mismatch", noise(1, 4096));
    t.declared("iso declared qcow2", "qcow2", "format_mismatch", iso(20));

    let table = {
        let mut sector = vec![0; 66];
        sector[4] = 0x83;
        sector[12] = 1;
        sector[64..].copy_from_slice(&[0x55, 0xaa]);
        sector
    };
    let with = |at: usize, magic: &[u8]| {
        let mut bytes = image.clone();
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    };
    let end = image.len();
    t.add("qcow2 and mbr", "polyglot", with(446, &table));
    t.add("qcow2 and gpt", "polyglot", with(512, b"EFI PART"));
    t.add("qcow2 and iso", "polyglot", with(32769, b"CD001"));
    t.add("qcow2 and vhd footer", "polyglot", with(end - 512, b"conectix"));
    t.add("qcow2 and dmg trailer", "polyglot", with(end - 512, b"koly"));
    t.add("qcow2 and vmdk footer", "polyglot", with(end - 1024, b"KDMV"));
    t.add("qcow2 and tar", "polyglot", with(257, b"ustar"));
    let zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    t.add("qcow2 and zip", "polyglot", [&image[..], zip].concat());
    t.declared("qcow2 and zip, declared", "qcow2", "polyglot", [&image[..], zip].concat());
    t.add("iso and zip", "polyglot", [&iso(20)[..], zip].concat());
    let mut vdi = iso(20);
    vdi[0x40..0x44].copy_from_slice(b"\x7f\x10\xda\xbe");
    t.add("iso and vdi", "polyglot", vdi);
}

fn nested(t: &mut Table) {
    for (name, magic) in magics() {
        // What stands at the end of a disk says nothing of how it begins, and a disk is not read to its end for this.
        let within = |at: usize, what: &[u8]| magic.get(at..).is_some_and(|rest| rest.starts_with(what));
        // A file system is what a disk may hold.
        let file_system = name == "squashfs";
        if file_system || within(0, b"....") && !within(257, b"ustar") && !within(0x40, b"\x7f\x10\xda\xbe") {
            continue;
        }
        let mut disk = magic;
        disk.resize(4096, 0);
        for (how, cluster) in [("plain", Cluster::Plain(disk.clone())), ("packed", Cluster::Compressed(disk))]
        {
            let image = Qcow2 { cluster_bits: 12, ..Qcow2::new(1 << 20) }.with(0, cluster);
            t.add(format!("{name} inside, {how}"), "nested_header", image.build().bytes);
        }
    }
}

fn raw(t: &mut Table) {
    t.add("empty file", "truncated", Vec::new());
    t.add("a page", "unrecognised", b"<!doctype html>\n<title>Log in</title>\n".to_vec());
    t.add("three bytes of a header", "unrecognised", b"QFI".to_vec());
    t.add("no whole sectors", "unrecognised", noise(1, 70_001));
    t.declared("empty file declared raw", "raw", "truncated", Vec::new());
    let descriptor = 16 * 2048;
    let mut spoil = |name: &str, reason, at: usize, bytes: &[u8]| {
        let mut image = iso(20);
        image[descriptor + at..][..bytes.len()].copy_from_slice(bytes);
        t.add(name, reason, image.clone());
        t.declared(&format!("{name}, declared raw"), "raw", reason, image);
    };
    spoil("iso, sizes disagree", "malformed", 84, &[0, 0, 0, 19]);
    spoil("iso, block sizes disagree", "malformed", 131, &[1]);
    spoil("iso, blocks of 512", "malformed", 128, &[0, 2, 2, 0]);
    spoil("iso, no primary descriptor", "malformed", 0, &[255]);
    spoil("iso, larger than the file", "truncated", 80, &[21, 0, 0, 0, 0, 0, 0, 21]);
    spoil("iso, second primary descriptor with other sizes", "malformed", 2048, &second_primary());
    spoil("iso, no terminator", "malformed", 2048, &[2]);
    spoil("iso, descriptors that do not end", "malformed", 2048, &[0; 6]);
    let root = 156;
    spoil("iso, root record too short", "malformed", root, &[33]);
    spoil("iso, root record empty", "malformed", root, &[0; 34]);
    spoil("iso, root no directory", "malformed", root + 25, &[0]);
    spoil("iso, root starts disagree", "malformed", root + 6, &[0, 0, 0, 19]);
    spoil("iso, root sizes disagree", "malformed", root + 14, &[0, 0, 9, 0]);
    for start in [0_u32, 15, 20, 1 << 31, u32::MAX] {
        let both = [start.to_le_bytes(), start.to_be_bytes()].concat();
        spoil(&format!("iso, root at block {start}"), "malformed", root + 2, &both);
    }
    for bytes in [0_u32, 2 * 2048 + 1, u32::MAX] {
        let both = [bytes.to_le_bytes(), bytes.to_be_bytes()].concat();
        spoil(&format!("iso, root of {bytes} bytes"), "malformed", root + 10, &both);
    }
    spoil("iso, root pushed out by its attributes", "malformed", root + 1, &[2]);
    let mut endless = iso(40);
    for sector in 17..40 {
        endless[sector * 2048..][..7].copy_from_slice(b"\x02CD001\x01");
    }
    t.add("iso, descriptors to its end", "malformed", endless);
    t.add("iso, cut before its terminator", "truncated", iso(20)[..17 * 2048].to_vec());
    t.add("iso, cut in its descriptors", "truncated", iso(20)[..descriptor + 100].to_vec());
}

/// A primary descriptor whose sizes disagree; it takes the terminator's place.
fn second_primary() -> Vec<u8> {
    let mut descriptor = iso(20)[16 * 2048..17 * 2048].to_vec();
    descriptor[84] = 1;
    descriptor
}
