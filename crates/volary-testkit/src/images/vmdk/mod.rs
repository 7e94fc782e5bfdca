//! A small VMDK writer: every parameter settable, every structure where the caller can find and spoil it.

mod hostile;
mod hostile_descriptor;
mod hostile_overlaps;
mod samples;

pub use hostile::hostile;
pub use samples::{rounded, valid};

use std::collections::BTreeMap;

/// What one grain of the disk is stored as.
#[derive(Clone, Debug)]
pub(super) enum Grain {
    /// Zeros, by the entry 1.
    Zero,
    /// Bytes of a grain, packed when the image is a stream. The last of a disk may be shorter.
    Data(Vec<u8>),
    /// A stream as it is, whatever it decompresses to.
    Stream(Vec<u8>),
}

/// An image to be written. Grains not named are unallocated.
#[derive(Clone, Debug)]
pub(super) struct Vmdk {
    pub(super) version: u32,
    /// Sectors of the disk.
    pub(super) capacity: u64,
    /// Sectors of a grain.
    pub(super) grain: u64,
    /// Whether grains are compressed, each behind its marker.
    pub(super) stream: bool,
    /// Whether directory and tables come behind the grains, found by a footer.
    pub(super) footer: bool,
    /// Whether there is a redundant directory.
    pub(super) redundant: bool,
    /// Whether the entry 1 means zeros.
    pub(super) zeroed: bool,
    /// Whether tables without a grain are written too, as QEMU does.
    pub(super) all_tables: bool,
    /// Sectors kept for the descriptor.
    pub(super) descriptor_sectors: u64,
    pub(super) descriptor: String,
    pub(super) grains: BTreeMap<u64, Grain>,
}

/// A written image and where its parts are, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    pub(super) directory: u64,
    pub(super) copy: Option<u64>,
    /// The footer's header.
    pub(super) footer: Option<u64>,
    /// Each table by its index, and its redundant one.
    pub(super) tables: BTreeMap<u64, u64>,
    pub(super) copies: BTreeMap<u64, u64>,
    /// Each stored grain by its index.
    pub(super) hosts: BTreeMap<u64, u64>,
}

pub(super) const SECTOR: u64 = 512;

impl Vmdk {
    /// As QEMU makes them: version 1, grains of 64 KiB, a redundant directory.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            version: 1,
            capacity,
            grain: 128,
            stream: false,
            footer: false,
            redundant: true,
            zeroed: false,
            all_tables: false,
            descriptor_sectors: 20,
            descriptor: descriptor("monolithicSparse", capacity, "RW"),
            grains: BTreeMap::new(),
        }
    }

    /// As VMware exports them: version 3, compressed, the directory at the end.
    pub(super) fn stream(capacity: u64) -> Self {
        Self {
            version: 3,
            stream: true,
            footer: true,
            redundant: false,
            descriptor: descriptor("streamOptimized", capacity, "RDONLY"),
            ..Self::new(capacity)
        }
    }

    pub(super) fn with(mut self, index: u64, grain: Grain) -> Self {
        self.grains.insert(index, grain);
        self
    }

    pub(super) fn grain_bytes(&self) -> usize {
        (self.grain * SECTOR) as usize
    }

    /// The disk the image stands for.
    pub(super) fn raw(&self) -> Vec<u8> {
        let mut raw = vec![0; (self.capacity * SECTOR) as usize];
        for (&index, grain) in &self.grains {
            if let Grain::Data(bytes) = grain {
                let place = &mut raw[index as usize * self.grain_bytes()..];
                let len = bytes.len().min(place.len());
                place[..len].copy_from_slice(&bytes[..len]);
            }
        }
        raw
    }

    /// Writes the image: header, descriptor, tables and grains, or grains and tables, in whole sectors.
    pub(super) fn build(&self) -> Built {
        let mut out = Built {
            bytes: vec![0; ((1 + self.descriptor_sectors) * SECTOR) as usize],
            directory: 0,
            copy: None,
            footer: None,
            tables: BTreeMap::new(),
            copies: BTreeMap::new(),
            hosts: BTreeMap::new(),
        };
        out.put(SECTOR, self.descriptor.as_bytes());
        if !self.footer {
            self.tables(&mut out);
        }
        out.grow(0, self.grain * SECTOR);
        let overhead = out.bytes.len() as u64 / SECTOR;
        for (&index, grain) in &self.grains {
            if let Some((bytes, aligned)) = self.stored(index, grain) {
                let at = out.grow(bytes.len() as u64, if aligned { self.grain * SECTOR } else { SECTOR });
                out.put(at, &bytes).hosts.insert(index, at);
            }
        }
        out.grow(0, SECTOR);
        if self.footer {
            self.tables(&mut out);
        }
        for (&index, grain) in &self.grains {
            let entry = match grain {
                Grain::Zero => 1,
                _ => (out.hosts[&index] / SECTOR) as u32,
            };
            out.set_entry(index, entry);
        }
        let mut header = self.header(&out, overhead);
        if self.footer {
            out.marker(1, 3);
            let at = out.grow(SECTOR, SECTOR);
            out.put(at, &header).footer = Some(at);
            out.grow(SECTOR, SECTOR);
            header[56..64].fill(0xff);
        }
        out.put(0, &header);
        out
    }

    /// A grain's bytes in the file, and whether they are aligned to grains.
    fn stored(&self, index: u64, grain: &Grain) -> Option<(Vec<u8>, bool)> {
        let packed = match grain {
            Grain::Zero => return None,
            Grain::Data(bytes) if !self.stream => return Some((bytes.clone(), true)),
            Grain::Data(bytes) => zlib(bytes),
            Grain::Stream(packed) => packed.clone(),
        };
        let mut marked = (index * self.grain).to_le_bytes().to_vec();
        marked.extend((packed.len() as u32).to_le_bytes());
        marked.extend(packed);
        Some((marked, false))
    }

    /// Directories and tables, whose entries come later; in a stream each behind a marker.
    fn tables(&self, out: &mut Built) {
        let count = self.capacity.div_ceil(self.grain * 512);
        let directory = (count * 4).next_multiple_of(SECTOR);
        let used: Vec<u64> = (0..count)
            .filter(|table| self.all_tables || self.grains.keys().any(|grain| grain / 512 == *table))
            .collect();
        let write = |out: &mut Built| {
            let at = if self.footer { 0 } else { out.grow(directory, SECTOR) };
            let tables: BTreeMap<u64, u64> = used
                .iter()
                .map(|&index| {
                    if self.footer {
                        out.marker(4, 1);
                    }
                    (index, out.grow(2048, SECTOR))
                })
                .collect();
            let at = if self.footer {
                out.marker(directory / SECTOR, 2);
                out.grow(directory, SECTOR)
            } else {
                at
            };
            for (index, table) in &tables {
                out.put32(at + index * 4, (table / SECTOR) as u32);
            }
            (at, tables)
        };
        if self.redundant {
            let (at, tables) = write(out);
            (out.copy, out.copies) = (Some(at), tables);
        }
        (out.directory, out.tables) = write(out);
    }

    fn header(&self, out: &Built, overhead: u64) -> Vec<u8> {
        let flags = 1
            | u32::from(self.redundant) << 1
            | u32::from(self.zeroed) << 2
            | if self.stream { 3 << 16 } else { 0 };
        let mut h = b"KDMV".to_vec();
        h.extend(self.version.to_le_bytes());
        h.extend(flags.to_le_bytes());
        for field in [self.capacity, self.grain, 1, self.descriptor_sectors] {
            h.extend(field.to_le_bytes());
        }
        h.extend(512_u32.to_le_bytes());
        for field in [out.copy.unwrap_or(0) / SECTOR, out.directory / SECTOR, overhead] {
            h.extend(field.to_le_bytes());
        }
        h.extend(b"\0\n \r\n");
        h.extend([u8::from(self.stream), 0]);
        h.resize(SECTOR as usize, 0);
        h
    }
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

    /// Overwrites 4 bytes, little endian.
    pub(super) fn put32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Overwrites bytes of the header, and of the footer that must agree with it.
    pub(super) fn field(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        if let Some(footer) = self.footer {
            self.put(footer + at, bytes);
        }
        self.put(at, bytes)
    }

    /// Overwrites what names a directory, where it is looked for.
    pub(super) fn place(&mut self, at: u64, sector: u64) -> &mut Self {
        self.put(self.footer.unwrap_or(0) + at, &sector.to_le_bytes())
    }

    /// Overwrites a grain's entry, in both tables.
    pub(super) fn set_entry(&mut self, grain: u64, entry: u32) -> &mut Self {
        for tables in [self.tables.clone(), self.copies.clone()] {
            if let Some(table) = tables.get(&(grain / 512)) {
                self.put32(table + grain % 512 * 4, entry);
            }
        }
        self
    }

    fn grow(&mut self, bytes: u64, aligned: u64) -> u64 {
        let at = self.bytes.len().next_multiple_of(aligned as usize);
        self.bytes.resize(at + bytes as usize, 0);
        at as u64
    }

    fn marker(&mut self, sectors: u64, kind: u32) {
        let at = self.grow(SECTOR, SECTOR);
        self.put(at, &sectors.to_le_bytes()).put32(at + 12, kind);
    }
}

/// A zlib stream, as in a compressed grain.
pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut state = flate2::Compress::new(flate2::Compression::default(), true);
    let mut out = Vec::with_capacity(bytes.len() + 4096);
    state.compress_vec(bytes, &mut out, flate2::FlushCompress::Finish).expect("compresses");
    out
}

/// A descriptor as QEMU writes it.
pub(super) fn descriptor(kind: &str, capacity: u64, access: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=5a3c0f12\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n\
         # Extent description\n{access} {capacity} SPARSE \"disk.vmdk\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"20\"\n\
         ddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n"
    )
}
