//! A small VHDX writer: every parameter settable, every structure where the caller can find and spoil it.

use std::collections::BTreeMap;

pub(super) const MIB: u64 = 1 << 20;
pub(super) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
pub(super) const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];
/// Where the log, the metadata, and the block allocation table are.
pub(super) const LOG: u64 = MIB;
pub(super) const METADATA: u64 = 2 * MIB;
pub(super) const BAT: u64 = 3 * MIB;
/// Where the metadata items start.
pub(super) const ITEMS: u64 = METADATA + (64 << 10);

pub(super) type Guid = [u8; 16];
pub(super) const BAT_ID: Guid = *b"\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08";
pub(super) const METADATA_ID: Guid = *b"\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e";
pub(super) const PARAMETERS_ID: Guid = *b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b";
pub(super) const SIZE_ID: Guid = *b"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8";
pub(super) const DISK_ID: Guid = *b"\xab\x12\xca\xbe\xe6\xb2\x23\x45\x93\xef\xc3\x09\xe0\x00\xc7\x46";
pub(super) const LOGICAL_ID: Guid = *b"\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f";
pub(super) const PHYSICAL_ID: Guid = *b"\xc7\x48\xa3\xcd\x5d\x44\x71\x44\x9c\xc9\xe9\x88\x52\x51\xc5\x56";
pub(super) const PARENT_ID: Guid = *b"\x2d\x5f\xd3\xa8\x0b\xb3\x4d\x45\xab\xf7\xd3\xd8\x48\x34\xab\x0c";

/// What one block of the disk is stored as.
#[derive(Clone, Debug)]
pub enum Block {
    /// No data: the whole table entry, state and all.
    Entry(u64),
    /// Bytes as they are, and zeros up to the end of the block, or of the disk where that comes first.
    Data(Vec<u8>),
}

/// An item of the metadata table: id, content, flags (1 user, 2 virtual disk, 4 required).
#[derive(Clone, Debug)]
pub struct Item(pub Guid, pub Vec<u8>, pub u32);

/// An image to be written. Blocks not named are not present.
#[derive(Clone, Debug)]
pub struct Vhdx {
    /// Log2 of the block size.
    pub block_bits: u32,
    /// Bytes of a logical sector.
    pub sector: u32,
    /// Bytes of a physical sector.
    pub physical: u32,
    /// Virtual size in bytes.
    pub size: u64,
    /// File parameter flags: 1 fixed, 2 has a parent.
    pub flags: u32,
    /// The sequence numbers of the two headers.
    pub sequence: [u64; 2],
    /// The stored blocks by index, in the order they have in the file.
    pub blocks: Vec<(u64, Block)>,
    /// Metadata items beside the five of every image.
    pub items: Vec<Item>,
    /// Whether known regions are marked as required, which QEMU does not do.
    pub required: u32,
}

/// A written image and where its blocks are.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file.
    pub bytes: Vec<u8>,
    /// The offset of each stored block, by index.
    pub hosts: BTreeMap<u64, u64>,
    pub(super) chunk: u64,
}

impl Built {
    /// Overwrites bytes; the file grows when they reach beyond its end.
    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = at as usize;
        if self.bytes.len() < at + bytes.len() {
            self.bytes.resize(at + bytes.len(), 0);
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn put32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Overwrites bytes of both headers, whose checksums follow.
    pub(super) fn header(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        for header in HEADERS {
            self.put(header + at, bytes);
        }
        self.seal()
    }

    /// Overwrites bytes of both region tables, whose checksums follow.
    pub(super) fn regions(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        for table in REGION_TABLES {
            self.put(table + at, bytes);
        }
        self.seal()
    }

    /// Adds a region to both tables, whose checksums follow.
    pub(super) fn add_region(&mut self, id: Guid, at: u64, bytes: u64, flags: u32) -> &mut Self {
        self.push_region(id, at, bytes as u32, flags);
        self.seal()
    }

    /// Where the table entry of a payload block is.
    pub(super) fn entry(&self, block: u64) -> u64 {
        BAT + (block + block / self.chunk) * 8
    }

    /// Overwrites the table entry of a payload block.
    pub(super) fn put_entry(&mut self, block: u64, entry: u64) -> &mut Self {
        self.put64(self.entry(block), entry)
    }

    /// Makes the checksums of headers and region tables right.
    pub(super) fn seal(&mut self) -> &mut Self {
        for (at, bytes) in HEADERS.map(|at| (at, 4096)).into_iter().chain(REGION_TABLES.map(|at| (at, 65536)))
        {
            self.put32(at + 4, 0);
            let crc = crc32c(&self.bytes[at as usize..][..bytes]);
            self.put32(at + 4, crc);
        }
        self
    }

    /// Adds a region to both tables; the checksums are left as they are.
    fn push_region(&mut self, id: Guid, at: u64, bytes: u32, flags: u32) {
        let counted = REGION_TABLES[0] as usize + 8;
        let count = self.bytes[counted..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        for table in REGION_TABLES {
            let entry = table + 16 + 32 * u64::from(count);
            self.put(entry, &id).put64(entry + 16, at).put32(entry + 24, bytes).put32(entry + 28, flags);
            self.put32(table + 8, count + 1);
        }
    }
}

impl Vhdx {
    /// A dynamic image with blocks of 1 MiB and sectors of 512 bytes, nothing present.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            block_bits: 20,
            sector: 512,
            physical: 512,
            size,
            flags: 0,
            sequence: [7, 8],
            blocks: Vec::new(),
            items: Vec::new(),
            required: 1,
        }
    }

    /// The same image with one block stored behind those it has.
    #[must_use]
    pub fn with(mut self, index: u64, block: Block) -> Self {
        self.blocks.push((index, block));
        self
    }

    /// The disk the image stands for, of exactly `size` bytes.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        let mut raw = vec![0; self.size as usize];
        for (index, block) in &self.blocks {
            if let Block::Data(bytes) = block {
                raw[(index << self.block_bits) as usize..][..bytes.len()].copy_from_slice(bytes);
            }
        }
        raw
    }

    /// The items every image has.
    fn known_items(&self) -> Vec<Item> {
        let parameters = [1_u32 << self.block_bits, self.flags].map(u32::to_le_bytes).concat();
        vec![
            Item(PARAMETERS_ID, parameters, 4),
            Item(SIZE_ID, self.size.to_le_bytes().to_vec(), 6),
            Item(DISK_ID, (1..17).collect(), 6),
            Item(LOGICAL_ID, self.sector.to_le_bytes().to_vec(), 6),
            Item(PHYSICAL_ID, self.physical.to_le_bytes().to_vec(), 6),
        ]
    }

    /// Writes the image: headers, log, metadata, block allocation table, blocks.
    #[must_use]
    pub fn build(&self) -> Built {
        let chunk = (u64::from(self.sector) << 23) >> self.block_bits;
        let mut out = Built { bytes: vec![0; 4 * MIB as usize], hosts: BTreeMap::new(), chunk };
        let creator: Vec<u8> = "Volary\u{1b}[2J\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        out.put(0, b"vhdxfile").put(8, &creator);
        for (at, sequence) in HEADERS.into_iter().zip(self.sequence) {
            // No log GUID; log version 0, version 1, length and offset of the log.
            out.put(at, b"head").put64(at + 8, sequence).put(at + 16, &[0x11; 32]);
            out.put32(at + 64, 1 << 16).put32(at + 68, MIB as u32).put64(at + 72, LOG);
        }
        for at in REGION_TABLES {
            out.put(at, b"regi");
        }
        out.push_region(BAT_ID, BAT, MIB as u32, self.required);
        out.push_region(METADATA_ID, METADATA, MIB as u32, self.required);

        let items: Vec<Item> = self.known_items().into_iter().chain(self.items.clone()).collect();
        out.put(METADATA, b"metadata").put(METADATA + 10, &(items.len() as u16).to_le_bytes());
        let mut free = ITEMS;
        for (Item(id, content, flags), entry) in items.iter().zip((METADATA + 32..).step_by(32)) {
            let at = if content.is_empty() { 0 } else { (free - METADATA) as u32 };
            out.put(entry, id).put32(entry + 16, at).put32(entry + 20, content.len() as u32);
            out.put32(entry + 24, *flags).put(free, content);
            free += content.len() as u64;
        }
        for (index, block) in &self.blocks {
            let entry = match block {
                Block::Entry(entry) => *entry,
                Block::Data(bytes) => {
                    let host = (out.bytes.len() as u64).next_multiple_of(MIB);
                    out.hosts.insert(*index, host);
                    // Where the disk ends the file may, too.
                    let (block, start) = (1 << self.block_bits, index << self.block_bits);
                    let there = block.min(self.size.saturating_sub(start)) as usize;
                    out.bytes.resize(host as usize + there.max(bytes.len()), 0);
                    out.put(host, bytes);
                    host | 6
                }
            };
            out.put_entry(*index, entry);
        }
        out.seal();
        out
    }
}

/// CRC-32C of the bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let table: [u32; 256] = std::array::from_fn(|byte| (0..8).fold(byte as u32, |crc, _| shift(crc)));
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ table[(crc as u8 ^ byte) as usize])
}
