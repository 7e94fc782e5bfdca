//! A small writer of Virtual PC disks: every field settable, every structure where the caller can find and spoil it.

mod hostile;
mod samples;

pub use hostile::hostile;
pub use samples::valid;

use std::collections::BTreeMap;

/// Every structure lies on whole sectors.
const SECTOR: u64 = 512;
/// The geometry that says nothing: the current size counts.
pub const SATURATED: (u16, u8, u8) = (65_535, 16, 255);

/// A block of a dynamic disk.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its bytes, as many as a block has.
    pub data: Vec<u8>,
    /// The bitmap of its sectors.
    pub bitmap: Vec<u8>,
    /// The bytes of the file left unused before it.
    pub gap: u64,
}

/// A disk to be written. Blocks not named are unallocated.
#[derive(Clone, Debug)]
pub struct Vhd {
    /// The current size.
    pub size: u64,
    /// Who made it.
    pub creator: [u8; 4],
    /// Cylinders, heads and sectors of a track.
    pub geometry: (u16, u8, u8),
    /// The bytes of a fixed disk; `None` for a dynamic one.
    pub fixed: Option<Vec<u8>>,
    /// The bytes of a block.
    pub block: u32,
    /// The entries of the table; `None` for as many as the size needs.
    pub entries: Option<u32>,
    /// Where the header is.
    pub header: u64,
    /// Where the table is.
    pub table: u64,
    /// The allocated blocks, in the order they have in the file.
    pub blocks: Vec<(u64, Block)>,
}

/// A written disk and where its parts are.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file.
    pub bytes: Vec<u8>,
    /// Offset of the header.
    pub header: u64,
    /// Offset of the table.
    pub table: u64,
    /// Offset of each allocated block's bitmap.
    pub hosts: BTreeMap<u64, u64>,
}

impl Vhd {
    /// An empty dynamic disk of `size` bytes in blocks of 512 KiB, as QEMU makes it when forced to keep the size.
    #[must_use]
    pub fn dynamic(size: u64) -> Self {
        Self {
            size,
            creator: *b"qem2",
            geometry: SATURATED,
            fixed: None,
            block: 512 << 10,
            entries: None,
            header: 512,
            table: 1536,
            blocks: Vec::new(),
        }
    }

    /// A fixed disk of these bytes.
    #[must_use]
    pub fn fixed(disk: Vec<u8>) -> Self {
        Self { fixed: Some(disk.clone()), ..Self::dynamic(disk.len() as u64) }
    }

    /// With another creator and geometry.
    #[must_use]
    pub fn by(mut self, creator: &[u8; 4], geometry: (u16, u8, u8)) -> Self {
        (self.creator, self.geometry) = (*creator, geometry);
        self
    }

    /// With a block of these bytes, all its sectors written.
    #[must_use]
    pub fn with(self, index: u64, data: Vec<u8>) -> Self {
        self.with_block(index, Block { data, bitmap: vec![0xff; 512], gap: 0 })
    }

    /// With a block as it is given.
    #[must_use]
    pub fn with_block(mut self, index: u64, block: Block) -> Self {
        self.blocks.push((index, block));
        self
    }

    /// The file.
    #[must_use]
    pub fn build(&self) -> Built {
        let mut built =
            Built { bytes: Vec::new(), header: self.header, table: self.table, hosts: BTreeMap::new() };
        if let Some(disk) = &self.fixed {
            built.bytes.clone_from(disk);
            built.bytes.extend(self.footer(2, u64::MAX));
            return built;
        }
        let needed = u32::try_from(self.size.div_ceil(u64::from(self.block))).expect("a small disk");
        let entries = self.entries.unwrap_or(needed);
        built.put(self.table, &vec![0xff; (entries as usize * 4).next_multiple_of(512)]);
        built.put(self.header, &self.header(entries));
        built.put(0, &self.footer(3, self.header));
        for (index, block) in &self.blocks {
            let host = built.bytes.len() as u64 + block.gap;
            built.put(host, &block.bitmap).put(host + SECTOR, &block.data);
            built.entry(*index, u32::try_from(host / SECTOR).expect("a small file"));
            built.hosts.insert(*index, host);
        }
        let end = built.bytes.len() as u64;
        built.put(end, &self.footer(3, self.header));
        built
    }

    fn footer(&self, kind: u32, next: u64) -> Vec<u8> {
        let mut f = vec![0; 512];
        let (cylinders, heads, sectors) = self.geometry;
        put(&mut f, 0, b"conectix");
        put(&mut f, 8, &2_u32.to_be_bytes());
        put(&mut f, 12, &0x1_0000_u32.to_be_bytes());
        put(&mut f, 16, &next.to_be_bytes());
        put(&mut f, 24, &1_u32.to_be_bytes());
        put(&mut f, 28, &self.creator);
        put(&mut f, 36, b"Wi2k");
        put(&mut f, 40, &self.size.to_be_bytes());
        put(&mut f, 48, &self.size.to_be_bytes());
        put(&mut f, 56, &cylinders.to_be_bytes());
        put(&mut f, 58, &[heads, sectors]);
        put(&mut f, 60, &kind.to_be_bytes());
        put(&mut f, 68, &[0x5a; 16]);
        seal(&mut f, 64);
        f
    }

    fn header(&self, entries: u32) -> Vec<u8> {
        let mut h = vec![0; 1024];
        put(&mut h, 0, b"cxsparse");
        put(&mut h, 8, &u64::MAX.to_be_bytes());
        put(&mut h, 16, &self.table.to_be_bytes());
        put(&mut h, 24, &0x1_0000_u32.to_be_bytes());
        put(&mut h, 28, &entries.to_be_bytes());
        put(&mut h, 32, &self.block.to_be_bytes());
        seal(&mut h, 36);
        h
    }
}

impl Built {
    /// Writes bytes, making the file longer where it must be.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = usize::try_from(at).expect("a small file");
        if self.bytes.len() < at + bytes.len() {
            self.bytes.resize(at + bytes.len(), 0);
        }
        put(&mut self.bytes, at, bytes);
        self
    }

    /// Changes the footer and, of a dynamic disk, its copy, and makes their checksums hold.
    pub fn footer(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        let end = self.bytes.len() - 512;
        let copy = self.bytes.starts_with(b"conectix");
        for start in copy.then_some(0).into_iter().chain([end]) {
            let footer = &mut self.bytes[start..start + 512];
            put(footer, at, bytes);
            seal(footer, 64);
        }
        self
    }

    /// Changes the header and makes its checksum hold.
    pub fn header(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        let start = usize::try_from(self.header).expect("a small file");
        let header = &mut self.bytes[start..start + 1024];
        put(header, at, bytes);
        seal(header, 36);
        self
    }

    /// Sets an entry of the table.
    pub fn entry(&mut self, index: u64, sector: u32) -> &mut Self {
        self.put(self.table + index * 4, &sector.to_be_bytes())
    }
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Makes a structure's checksum, which stands at `at`, hold.
pub fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    put(bytes, at, &(!sum).to_be_bytes());
}
