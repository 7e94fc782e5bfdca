//! Valid disks of every kind the writers known make.

use super::super::{Sample, iso, noise, pattern};
use super::{Block, SATURATED, Vhd};

const HALF: usize = 512 << 10;

/// Valid disks of every subformat, block size, creator, size and layout.
#[must_use]
pub fn valid() -> Vec<Sample> {
    let mut all = Vec::new();
    fixed(&mut all);
    creators(&mut all);
    dynamic(&mut all);
    layouts(&mut all);
    bitmaps(&mut all);
    all
}

fn add(all: &mut Vec<Sample>, name: impl Into<String>, file: Vec<u8>, disk: Vec<u8>) {
    all.push(Sample { name: name.into(), file, disk });
}

/// What a disk holds: its blocks, cut or padded to `size`.
fn disk(vhd: &Vhd, size: u64) -> Vec<u8> {
    let size = usize::try_from(size).expect("a small disk");
    let mut disk = vec![0; size];
    for (index, block) in &vhd.blocks {
        let start = usize::try_from(*index).expect("a small disk") * block.data.len();
        if start < size {
            let end = size.min(start + block.data.len());
            disk[start..end].copy_from_slice(&block.data[..end - start]);
        }
    }
    disk
}

fn add_dynamic(all: &mut Vec<Sample>, name: &str, vhd: &Vhd) {
    add(all, name, vhd.build().bytes, disk(vhd, vhd.size));
}

fn fixed(all: &mut Vec<Sample>) {
    for size in [512, 1024, 65_536, (256 << 10) + 512] {
        let disk = noise(1, size);
        add(all, format!("fixed, {size}"), Vhd::fixed(disk.clone()).build().bytes, disk);
    }
    // Partition tables and file systems of the disk inside are the disk's.
    let mut mbr = noise(2, 40 << 10);
    mbr[446..510].fill(0);
    mbr[446 + 4] = 0x83;
    mbr[446 + 12] = 1;
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut gpt = mbr.clone();
    gpt[512..520].copy_from_slice(b"EFI PART");
    let mut hybrid = iso(20);
    hybrid[..520].copy_from_slice(&gpt[..520]);
    for (name, disk) in [("mbr", mbr), ("gpt", gpt), ("iso", iso(20)), ("iso, gpt and mbr", hybrid)] {
        add(all, format!("fixed, {name}"), Vhd::fixed(disk.clone()).build().bytes, disk);
    }
    let disk = pattern(3, 2048);
    let mut spoil = |name: &str, at: usize, bytes: &[u8]| {
        let mut built = Vhd::fixed(disk.clone()).build();
        add(all, format!("fixed, {name}"), built.footer(at, bytes).bytes.clone(), disk.clone());
    };
    spoil("short mark of no header", 16, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    spoil("no feature bit", 8, &[0; 4]);
    spoil("temporary", 8, &[0, 0, 0, 3]);
    spoil("in saved state", 84, &[1]);
    spoil("hidden by Xen", 85, &[1]);
    spoil("grown since it was made", 40, &[0; 8]);
}

fn creators(all: &mut Vec<Sample>) {
    // Three cylinders of 4 heads and 17 sectors, and four sectors more.
    let (geometry, rounded, size) = ((3, 4, 17), 104_448, 106_496);
    let content = noise(4, size);
    let whole = || Vhd::fixed(content.clone());
    let small = || Vhd::fixed(content[..4096].to_vec());
    for creator in [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0", b"vbox", b"what", b"vs  "] {
        let file = whole().by(creator, geometry).build().bytes;
        add(all, format!("fixed by {}", creator.escape_ascii()), file, content.clone());
    }
    for creator in [b"win ", b"tap\0", b"vbox"] {
        let file = small().by(creator, (9, 9, 9)).build().bytes;
        add(
            all,
            format!("fixed by {}, any geometry", creator.escape_ascii()),
            file,
            content[..4096].to_vec(),
        );
    }
    for creator in [b"vpc ", b"qemu"] {
        let by = creator.escape_ascii();
        let file = whole().by(creator, geometry).build().bytes;
        add(all, format!("fixed by {by}"), file, content[..rounded].to_vec());
        let file = small().by(creator, SATURATED).build().bytes;
        add(all, format!("fixed by {by}, saturated"), file, content[..4096].to_vec());
        for size in [size, rounded - 512] {
            let vhd = Vhd::dynamic(size as u64).by(creator, geometry).with(0, noise(5, HALF));
            let file = vhd.build().bytes;
            add(all, format!("dynamic by {by}, {size}"), file, disk(&vhd, rounded as u64));
        }
    }
}

fn dynamic(all: &mut Vec<Sample>) {
    add_dynamic(all, "dynamic, one sector, empty", &Vhd::dynamic(512));
    add_dynamic(all, "dynamic, one sector, full", &Vhd::dynamic(512).with(0, noise(5, HALF)));
    for shift in 19..=21 {
        let block = 1_usize << shift;
        let base = |size: usize| Vhd { block: 1 << shift, ..Vhd::dynamic(size as u64) };
        add_dynamic(all, &format!("dynamic, {block}, empty"), &base(3 * block / 2));
        let sparse = base(2 * block + 512).with(1, noise(6, block)).with(2, vec![7; block]);
        add_dynamic(all, &format!("dynamic, {block}, sparse"), &sparse);
    }
    let full = Vhd::dynamic(2 * HALF as u64).with(0, noise(8, HALF)).with(1, noise(9, HALF));
    add_dynamic(all, "dynamic, full", &full);
    let mut built = full.build();
    add(all, "dynamic, in saved state", built.footer(84, &[1]).bytes.clone(), disk(&full, full.size));
    let mut built = full.build();
    built.header(8, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).header(56, &[1, 2, 3, 4]);
    add(all, "dynamic, short mark, parent's time", built.bytes, disk(&full, full.size));
}

fn layouts(all: &mut Vec<Sample>) {
    let base = || Vhd::dynamic(2 * HALF as u64 + 1024);
    let block = |seed: u64, gap: u64| Block { data: noise(seed, HALF), bitmap: vec![0xff; 512], gap };
    add_dynamic(all, "blocks in falling order", &base().with(2, noise(1, HALF)).with(0, noise(2, HALF)));
    add_dynamic(all, "blocks apart", &base().with_block(0, block(3, 512)).with_block(1, block(4, 3584)));
    add_dynamic(all, "table before the header", &Vhd { table: 512, header: 1024, ..base() });
    add_dynamic(
        all,
        "header and table far",
        &Vhd { header: 4096, table: 65_536, ..base() }.with(1, noise(5, HALF)),
    );
    // What is allocated behind the disk's end is checked, and not read.
    let more = Vhd { entries: Some(1000), ..base() }.with(1, noise(6, HALF)).with(999, noise(7, HALF));
    add_dynamic(all, "a table larger than the disk", &more);
}

fn bitmaps(all: &mut Vec<Sample>) {
    let base = || Vhd::dynamic(HALF as u64 + 512);
    // Xen and VirtualBox set the bits of what was written; the rest is zeros in the file too.
    let mut block = Block { data: vec![0; HALF], bitmap: vec![0; 512], gap: 0 };
    add_dynamic(all, "nothing written in an allocated block", &base().with_block(0, block.clone()));
    for sector in [0, 3, 8, 500, 1023] {
        block.data[sector * 512..][..512].copy_from_slice(&noise(sector as u64, 512));
        block.bitmap[sector / 8] |= 0x80 >> (sector % 8);
    }
    add_dynamic(all, "some sectors written", &base().with_block(0, block));
    let mut last = Block { data: noise(1, HALF), bitmap: vec![0; 512], gap: 0 };
    last.bitmap[0] = 0x80;
    add_dynamic(all, "no bits behind the disk's end", &base().with_block(1, last));
}
