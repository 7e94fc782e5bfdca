//! VHDX images: a writer, valid ones, and hostile ones.

mod build;
mod hostile;

use super::{HostileCase, Sample, noise, pattern};
pub use build::{Block, Built, Item, Vhdx, crc32c};
pub use hostile::hostile;

/// Small valid images: fixed and dynamic, every state without data, some block sizes, odd sizes, items that are not known.
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
    let all = [
        ("empty", empty),
        ("fixed-full", full),
        ("sparse", sparse),
        ("2M", Vhdx { block_bits: 21, ..Vhdx::new(2 * mib as u64 + 512) }.with(1, data(4, 512))),
        ("8M-unknown-items", Vhdx { block_bits: 23, items, ..Vhdx::new(512 * 999) }.with(0, data(5, 9999))),
        ("256M", Vhdx { block_bits: 28, ..Vhdx::new(512 * 3) }.with(0, data(6, 512 * 3))),
    ];
    all.into_iter()
        .map(|(name, image)| Sample { name: name.to_owned(), file: image.build().bytes, disk: image.raw() })
        .collect()
}
