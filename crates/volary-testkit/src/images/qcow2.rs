//! A small qcow2 writer: every parameter settable, every structure where the caller can find and spoil it.

use std::collections::BTreeMap;

/// What one cluster of the disk is stored as.
#[derive(Clone, Debug)]
pub enum Cluster {
    /// Zeros without a place in the file, said by the zero flag (or all zero bits of the bitmap).
    Zero,
    /// Zeros with a place in the file kept for them.
    ZeroAllocated,
    /// Bytes as they are; exactly one cluster.
    Plain(Vec<u8>),
    /// Bytes to compress; exactly one cluster.
    Compressed(Vec<u8>),
    /// A stream as it is, whatever it decompresses to.
    Stream(Vec<u8>),
    /// With extended L2: the bitmaps of allocated and of zero subclusters, and the whole cluster's bytes.
    Sub(u32, u32, Vec<u8>),
}

/// An image to be written. Clusters not named are unallocated.
#[derive(Clone, Debug)]
pub struct Qcow2 {
    /// 2 or 3.
    pub version: u32,
    /// Log2 of the cluster size.
    pub cluster_bits: u32,
    /// Whether L2 entries have subcluster bitmaps.
    pub extended_l2: bool,
    /// Whether compressed clusters are zstd frames, not raw deflate.
    pub zstd: bool,
    /// Log2 of the bits of a refcount.
    pub refcount_order: u32,
    /// Virtual size in bytes.
    pub size: u64,
    /// The allocated clusters by index.
    pub clusters: BTreeMap<u64, Cluster>,
    /// Header extensions: type and data.
    pub extensions: Vec<(u32, Vec<u8>)>,
}

/// A written image and where its parts are.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file.
    pub bytes: Vec<u8>,
    /// Offset of the L1 table.
    pub l1: u64,
    /// Offset of the refcount table.
    pub refcount_table: u64,
    /// Offset of each L2 table, by L1 index.
    pub l2: BTreeMap<u64, u64>,
    /// Host offset of each stored cluster, by index.
    pub hosts: BTreeMap<u64, u64>,
    cluster_bits: u32,
    entry_bytes: u64,
}

impl Built {
    /// Overwrites 4 bytes, big endian.
    pub fn put32(&mut self, at: u64, value: u32) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// Overwrites 8 bytes, big endian.
    pub fn put64(&mut self, at: u64, value: u64) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    /// Overwrites bytes; the file grows when they reach beyond its end.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        let at = at as usize;
        if self.bytes.len() < at + bytes.len() {
            self.bytes.resize(at + bytes.len(), 0);
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Where the L2 entry of a cluster of an existing table is.
    #[must_use]
    pub fn l2_entry(&self, cluster: u64) -> u64 {
        let per_table = (1 << self.cluster_bits) / self.entry_bytes;
        self.l2[&(cluster / per_table)] + cluster % per_table * self.entry_bytes
    }

    /// Reads 8 bytes, big endian.
    #[must_use]
    pub fn get64(&self, at: u64) -> u64 {
        self.bytes[at as usize..].first_chunk().map_or(0, |b| u64::from_be_bytes(*b))
    }
}

impl Qcow2 {
    /// A version 3 image with clusters of 4 KiB, deflate and 16-bit refcounts, all unallocated.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            version: 3,
            cluster_bits: 12,
            extended_l2: false,
            zstd: false,
            refcount_order: 4,
            size,
            clusters: BTreeMap::new(),
            extensions: Vec::new(),
        }
    }

    /// The same image with one cluster stored.
    #[must_use]
    pub fn with(mut self, index: u64, cluster: Cluster) -> Self {
        self.clusters.insert(index, cluster);
        self
    }

    /// The cluster size.
    #[must_use]
    pub fn cluster_size(&self) -> usize {
        1 << self.cluster_bits
    }

    /// The disk the image stands for, of exactly `size` bytes.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        let cluster = self.cluster_size();
        let mut raw = vec![0; (self.size as usize).next_multiple_of(cluster)];
        for (&index, stored) in &self.clusters {
            let place = &mut raw[index as usize * cluster..][..cluster];
            match stored {
                Cluster::Zero | Cluster::ZeroAllocated | Cluster::Stream(_) => {}
                Cluster::Plain(bytes) | Cluster::Compressed(bytes) => place.copy_from_slice(bytes),
                Cluster::Sub(allocated, _, bytes) => {
                    let sub = cluster / 32;
                    for bit in (0..32).filter(|bit| allocated >> bit & 1 == 1) {
                        place[bit * sub..][..sub].copy_from_slice(&bytes[bit * sub..][..sub]);
                    }
                }
            }
        }
        raw.truncate(self.size as usize);
        raw
    }

    /// One cluster as a stream of the image's compression type.
    #[must_use]
    pub fn compress(&self, bytes: &[u8]) -> Vec<u8> {
        if self.zstd { zstd::bulk::compress(bytes, 3).expect("compresses") } else { deflate(bytes, 12) }
    }

    /// Writes the image: header, L1, L2 tables, plain clusters, compressed ones, refcounts.
    #[must_use]
    pub fn build(&self) -> Built {
        let cluster = self.cluster_size() as u64;
        let entry_bytes = if self.extended_l2 { 16 } else { 8 };
        let per_table = cluster / entry_bytes;
        let l1_size = self.size.div_ceil(cluster * per_table);
        let mut out = Built {
            bytes: self.header(l1_size),
            l1: cluster,
            refcount_table: 0,
            l2: BTreeMap::new(),
            hosts: BTreeMap::new(),
            cluster_bits: self.cluster_bits,
            entry_bytes,
        };
        out.bytes.resize((cluster + (l1_size * 8).next_multiple_of(cluster)) as usize, 0);
        for index in self.clusters.keys().map(|index| index / per_table) {
            if !out.l2.contains_key(&index) {
                let at = out.grow(cluster);
                out.l2.insert(index, at);
                out.put64(cluster + index * 8, at | COPIED);
            }
        }
        let mut streams = Vec::new();
        for (&index, stored) in &self.clusters {
            let all = u64::from(u32::MAX);
            let (bytes, flag, bitmap) = match stored {
                Cluster::Zero => {
                    let entry = out.l2_entry(index);
                    out.put64(entry, u64::from(!self.extended_l2));
                    if self.extended_l2 {
                        out.put64(entry + 8, all << 32);
                    }
                    continue;
                }
                Cluster::Compressed(bytes) => {
                    streams.push((index, self.compress(bytes)));
                    continue;
                }
                Cluster::Stream(bytes) => {
                    streams.push((index, bytes.clone()));
                    continue;
                }
                Cluster::ZeroAllocated => {
                    (&vec![0xee; cluster as usize], u64::from(!self.extended_l2), all << 32)
                }
                Cluster::Plain(bytes) => (bytes, 0, all),
                Cluster::Sub(allocated, zero, bytes) => {
                    (bytes, 0, u64::from(*allocated) | u64::from(*zero) << 32)
                }
            };
            let at = out.grow(cluster);
            out.hosts.insert(index, at);
            let entry = out.l2_entry(index);
            out.put(at, bytes).put64(entry, at | COPIED | flag);
            if self.extended_l2 {
                out.put64(entry + 8, bitmap);
            }
        }
        let packed = self.place_streams(&mut out, streams);
        self.refcounts(&mut out, &packed);
        out
    }

    /// Packs streams one after another, as QEMU does; returns how many touch each host cluster. Small refcounts cannot count sharing.
    fn place_streams(&self, out: &mut Built, streams: Vec<(u64, Vec<u8>)>) -> BTreeMap<u64, u64> {
        let cluster = self.cluster_size() as u64;
        let mut touched = BTreeMap::new();
        let mut at = out.bytes.len() as u64;
        for (index, stream) in streams {
            if self.refcount_order < 3 {
                at = at.next_multiple_of(cluster);
            }
            let sectors = (at + stream.len() as u64 - 1) / 512 - at / 512;
            let entry = out.l2_entry(index);
            out.put64(entry, 1 << 62 | sectors << (62 - (self.cluster_bits - 8)) | at);
            out.hosts.insert(index, at);
            out.put(at, &stream);
            let end = at + stream.len() as u64;
            for host in at / cluster..=(end - 1) / cluster {
                *touched.entry(host).or_insert(0) += 1;
            }
            at = end;
        }
        let end = out.bytes.len().next_multiple_of(cluster as usize);
        out.bytes.resize(end, 0);
        touched
    }

    fn refcounts(&self, out: &mut Built, shared: &BTreeMap<u64, u64>) {
        let cluster = self.cluster_size() as u64;
        let bits = 1_u64 << self.refcount_order;
        let per_block = cluster * 8 / bits;
        let used = out.bytes.len() as u64 / cluster;
        let (mut blocks, mut table) = (1, 1);
        while blocks * per_block < used + blocks + table || table * cluster < blocks * 8 {
            blocks = (used + blocks + table).div_ceil(per_block);
            table = (blocks * 8).div_ceil(cluster);
        }
        let first = out.grow(blocks * cluster);
        out.refcount_table = out.grow(table * cluster);
        let at = out.refcount_table;
        out.put64(48, at).put32(56, table as u32);
        for block in 0..blocks {
            out.put64(at + block * 8, first + block * cluster);
        }
        for host in 0..used + blocks + table {
            let count = shared.get(&host).copied().unwrap_or(1);
            if bits < 8 {
                let bit = host * bits;
                out.bytes[(first + bit / 8) as usize] |= (count << (bit % 8)) as u8;
            } else {
                let bytes = count.to_be_bytes();
                out.put(first + host * bits / 8, &bytes[(8 - bits / 8) as usize..]);
            }
        }
    }

    fn header(&self, l1_size: u64) -> Vec<u8> {
        let mut h = Vec::new();
        h.extend(b"QFI\xfb");
        h.extend(self.version.to_be_bytes());
        h.extend([0; 12]);
        h.extend(self.cluster_bits.to_be_bytes());
        h.extend(self.size.to_be_bytes());
        h.extend([0; 4]);
        h.extend((l1_size as u32).to_be_bytes());
        h.extend((1_u64 << self.cluster_bits).to_be_bytes());
        h.resize(72, 0);
        if self.version >= 3 {
            let features = u64::from(self.zstd) << 3 | u64::from(self.extended_l2) << 4;
            h.extend(features.to_be_bytes());
            h.extend([0; 16]);
            h.extend(self.refcount_order.to_be_bytes());
            h.extend(112_u32.to_be_bytes());
            h.extend([u8::from(self.zstd), 0, 0, 0, 0, 0, 0, 0]);
        }
        for (kind, data) in &self.extensions {
            h.extend(kind.to_be_bytes());
            h.extend((data.len() as u32).to_be_bytes());
            h.extend(data);
            h.resize(h.len().next_multiple_of(8), 0);
        }
        h
    }
}

impl Built {
    fn grow(&mut self, bytes: u64) -> u64 {
        let at = self.bytes.len().next_multiple_of(1 << self.cluster_bits);
        self.bytes.resize(at + bytes as usize, 0);
        at as u64
    }
}

const COPIED: u64 = 1 << 63;

/// A raw deflate stream with a window of 2 to the power of `window_bits`.
#[must_use]
pub fn deflate(bytes: &[u8], window_bits: u8) -> Vec<u8> {
    let mut state =
        flate2::Compress::new_with_window_bits(flate2::Compression::default(), false, window_bits);
    let mut out = Vec::with_capacity(bytes.len() + 4096);
    state.compress_vec(bytes, &mut out, flate2::FlushCompress::Finish).expect("compresses");
    out
}
