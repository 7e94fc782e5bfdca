//! VHDX images: a writer, valid ones, and hostile ones.

mod build;
mod hostile;

use super::{HostileCase, Sample, noise, pattern};
pub use build::{Block, Built, Item, Vhdx, crc32c};
pub use hostile::hostile;

/// Valid images of every kind the writer knows: block sizes, fixed and dynamic, states, odd sizes, chunks.
#[must_use]
pub fn valid() -> Vec<Sample> {
    let mib = 1 << 20;
    let data = |seed, len| Block::Data(pattern(seed, len));
    let empty = Vhdx { required: 0, sequence: [9, 3], ..Vhdx::new(512) };
    let full = Vhdx { flags: 1, physical: 4096, ..Vhdx::new(2 * mib as u64) }
        .with(1, data(1, mib))
        .with(0, Block::Data(noise(2, mib)));
    // Every state without data, some with the offset of a block they once had; the last block ends with the disk.
    let sparse = Vhdx { sequence: [5, 5], ..Vhdx::new(6 * mib as u64 + 512 * 3) }
        .with(0, Block::Entry(4 << 20))
        .with(1, Block::Entry(1 | 1 << 50))
        .with(2, Block::Entry(2))
        .with(3, Block::Entry(3 | 4 << 20))
        .with(6, data(3, 512 * 3));
    let items = vec![
        Item([7; 16], b"\x1b[31muser\n".to_vec(), 1),
        Item([7; 16], vec![8; 9], 0),
        Item([9; 16], vec![], 3),
    ];
    let mut all = vec![
        ("empty", empty),
        ("fixed-full", full),
        ("sparse", sparse),
        ("unknown-items", Vhdx { items, ..Vhdx::new(mib as u64) }.with(0, data(4, 1000))),
    ];
    for (name, bits) in [("2M", 21), ("8M", 23), ("256M", 28)] {
        let size = if bits == 21 { (2 << 21) + 512 } else { 512 * 999 };
        let block = size.min(1 << 21);
        let mut image = Vhdx { block_bits: bits, ..Vhdx::new(size as u64) };
        if bits == 21 {
            image = image.with(1, data(5, block)).with(2, data(6, 512));
        } else {
            image = image.with(0, data(7, block));
        }
        all.push((name, image));
    }
    all.into_iter()
        .map(|(name, image)| Sample { name: name.to_owned(), file: image.build().bytes, disk: image.raw() })
        .collect()
}
