//! A small VDI writer: every field where the caller can find and spoil it.

mod hostile;
mod valid;

pub use hostile::hostile;
pub use valid::valid;

const BLOCK: usize = 1 << 20;
const SECTOR: usize = 512;

/// What one block of the disk is stored as.
#[derive(Clone, Debug)]
pub enum Block {
    /// Never written.
    Unallocated,
    /// Written once, zeros since.
    Discarded,
    /// Bytes; exactly one block.
    Data(Vec<u8>),
}

/// An image to be written.
#[derive(Clone, Debug)]
pub struct Vdi {
    /// The text in front; at most 64 bytes.
    pub text: Vec<u8>,
    /// The size of the header proper.
    pub header_size: u32,
    /// 1 dynamic, 2 fixed.
    pub kind: u32,
    /// The image's flags.
    pub flags: u32,
    /// The user's description; at most 256 bytes.
    pub description: Vec<u8>,
    /// Where the map and the data area begin: the next multiple of this.
    pub align: usize,
    /// Virtual size as the header says it; readers round it up to sectors.
    pub size: u64,
    /// Every block of the disk.
    pub blocks: Vec<Block>,
    /// Whether the file has the blocks in the disk's order, or from its end.
    pub in_order: bool,
    /// What follows the last block.
    pub trailing: Vec<u8>,
}

/// A written image and where its parts are.
#[derive(Clone, Debug)]
pub struct Built {
    /// The file.
    pub bytes: Vec<u8>,
    /// Offset of the block map.
    pub map: usize,
    /// Offset of the data area.
    pub data: usize,
}

impl Built {
    /// Overwrites bytes of the file.
    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Overwrites 4 bytes, little endian.
    pub fn put32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Overwrites 8 bytes, little endian.
    pub fn put64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    /// Overwrites one entry of the map.
    pub fn entry(&mut self, index: usize, value: u32) -> &mut Self {
        self.put32(self.map + index * 4, value)
    }
}

impl Vdi {
    /// A dynamic image as QEMU lays it out, all unallocated.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            text: b"<<< Oracle VM VirtualBox Disk Image >>>\n".to_vec(),
            header_size: 384,
            kind: 1,
            flags: 0,
            description: Vec::new(),
            align: SECTOR,
            size,
            blocks: vec![Block::Unallocated; (size as usize).div_ceil(BLOCK)],
            in_order: true,
            trailing: Vec::new(),
        }
    }

    /// The same image with one block stored.
    #[must_use]
    pub fn with(mut self, index: usize, block: Block) -> Self {
        self.blocks[index] = block;
        self
    }

    /// The disk the image stands for, in whole sectors.
    #[must_use]
    pub fn disk(&self) -> Vec<u8> {
        let mut disk = vec![0; self.blocks.len() * BLOCK];
        for (place, block) in disk.chunks_exact_mut(BLOCK).zip(&self.blocks) {
            if let Block::Data(bytes) = block {
                place.copy_from_slice(bytes);
            }
        }
        disk.truncate((self.size as usize).next_multiple_of(SECTOR));
        disk
    }

    /// Writes it.
    #[must_use]
    pub fn build(&self) -> Built {
        let map = (72 + self.header_size as usize).next_multiple_of(self.align);
        let data = (map + self.blocks.len() * 4).next_multiple_of(self.align);
        let mut built = Built { bytes: vec![0; data], map, data };
        let allocated = self.blocks.iter().filter(|block| matches!(block, Block::Data(_))).count();
        built.bytes.resize(data + allocated * BLOCK, 0);
        built.put(0, &self.text).put32(64, 0xbeda_107f).put32(68, 0x0001_0001);
        built.put32(72, self.header_size).put32(76, self.kind).put32(80, self.flags);
        built.put(84, &self.description).put32(340, map as u32).put32(344, data as u32);
        built.put32(360, SECTOR as u32).put64(368, self.size).put32(376, BLOCK as u32);
        built.put32(384, self.blocks.len() as u32).put32(388, allocated as u32);
        // The ids of the image and of its last snapshot: any.
        built.put(392, &[0x11; 16]).put(408, &[0x22; 16]);
        let mut seen = 0;
        for (index, block) in self.blocks.iter().enumerate() {
            let entry = match block {
                Block::Unallocated => u32::MAX,
                Block::Discarded => u32::MAX - 1,
                Block::Data(bytes) => {
                    let place = if self.in_order { seen } else { allocated - 1 - seen };
                    seen += 1;
                    built.put(data + place * BLOCK, bytes);
                    place as u32
                }
            };
            built.entry(index, entry);
        }
        built.bytes.extend_from_slice(&self.trailing);
        built
    }
}
