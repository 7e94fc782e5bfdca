//! Valid images of every kind: types, layouts, orders of blocks, texts, sizes off every boundary.

use super::{BLOCK, Block, Vdi};
use crate::images::{Sample, noise, pattern};

fn data(seed: u64) -> Block {
    Block::Data(noise(seed, BLOCK))
}

/// Valid images and the disks they hold.
#[must_use]
pub fn valid() -> Vec<Sample> {
    let mib = BLOCK as u64;
    let full = |size: u64| {
        let image = Vdi::new(size);
        (0..image.blocks.len()).fold(image, |image, index| image.with(index, data(index as u64 + 1)))
    };
    let gaps = || {
        Vdi::new(6 * mib - 512)
            .with(0, data(1))
            .with(1, Block::Discarded)
            .with(3, Block::Data(pattern(2, BLOCK)))
            .with(5, data(3))
    };
    let fixed = |image: Vdi| Vdi { kind: 2, ..image };
    // As VirtualBox lays it out: its longer header, map and data each at a multiple of 1 MiB.
    let virtual_box = |image: Vdi| Vdi { header_size: 400, align: BLOCK, ..image };
    let with_text = |text: &[u8], image: Vdi| Vdi { text: text.to_vec(), ..image };
    let all = [
        ("empty", Vdi::new(3 * mib + 512)),
        ("empty fixed", fixed(Vdi::new(mib))),
        ("one sector", full(512)),
        ("one sector, not allocated", Vdi::new(512)),
        ("one block", full(mib)),
        ("one block less a sector", full(mib - 512)),
        ("one block and a sector", full(mib + 512)),
        ("zeros written", Vdi::new(mib).with(0, Block::Data(vec![0; BLOCK]))),
        ("discarded only", Vdi::new(2 * mib).with(0, Block::Discarded).with(1, Block::Discarded)),
        ("gaps", gaps()),
        ("gaps, blocks from the end", Vdi { in_order: false, ..gaps() }),
        ("fixed", fixed(full(2 * mib + 1024))),
        ("fixed, gaps", fixed(gaps())),
        ("VirtualBox's layout", virtual_box(full(mib + 4096))),
        ("VirtualBox's layout, fixed", virtual_box(fixed(full(mib)))),
        ("a longer header", Vdi { header_size: 1000, align: 4096, ..full(mib) }),
        ("a size of no whole sector", full(1_000_001)),
        ("a size of one byte", full(1)),
        ("a size one byte above a block", Vdi::new(mib + 1).with(1, data(1))),
        ("a leftover behind the last block", Vdi { trailing: noise(7, 70_000), ..full(mib) }),
        ("QEMU's text", with_text(b"<<< QEMU VM Virtual Disk Image >>>\n", full(mib))),
        ("Sun's text", with_text(b"<<< Sun VirtualBox Disk Image >>>\n", Vdi::new(mib))),
        ("innotek's text", with_text(b"<<< innotek VirtualBox Disk Image >>>\n", Vdi::new(mib))),
        ("no text", with_text(&[], Vdi::new(mib))),
        ("a text of all 64 bytes", with_text(&[b'\n'; 64], Vdi::new(mib))),
        ("zero blocks written as discarded", Vdi { flags: 1 << 8, ..Vdi::new(mib) }),
        ("marked fixed twice", Vdi { flags: 1 << 16 | 1, ..fixed(Vdi::new(mib)) }),
        ("a description to the last byte", Vdi { description: noise(9, 256), ..Vdi::new(mib) }),
    ];
    all.into_iter()
        .map(|(name, image)| Sample { name: name.to_owned(), file: image.build().bytes, disk: image.disk() })
        .collect()
}
