//! File systems to import: made by mke2fs from files that are the same on every machine.

use crate::tools::{Outcome, output, program, run};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Fills a directory with about `mib` MiB in files of mixed kinds and sizes.
pub(crate) fn fill(directory: &Path, mib: u64) -> Outcome {
    let mut random = Random(0x766f_6c61_7279);
    let mut left = mib << 20;
    let mut number = 0;
    while left > 0 {
        let room = directory.join(format!("{:03}", number / 64));
        fs::create_dir_all(&room)?;
        let size = left.min(1 << (12 + random.next() % 12));
        let mut file = BufWriter::new(File::create(room.join(format!("{number:06}.bin")))?);
        match number % 3 {
            0 => noise(&mut file, size, &mut random)?,
            1 => text(&mut file, size, &mut random)?,
            _ => records(&mut file, size, &mut random)?,
        }
        file.flush()?;
        left -= size;
        number += 1;
    }
    Ok(())
}

/// What cannot be compressed.
fn noise(out: &mut impl Write, size: u64, random: &mut Random) -> Outcome {
    for _ in 0..size / 8 {
        out.write_all(&random.next().to_le_bytes())?;
    }
    Ok(out.write_all(&[1; 8][..(size % 8) as usize])?)
}

/// What compresses as prose does.
fn text(out: &mut impl Write, size: u64, random: &mut Random) -> Outcome {
    const WORDS: [&str; 8] = ["volume ", "snapshot ", "of ", "the ", "image\n", "holds ", "block ", "a "];
    let mut left = size;
    while left > 0 {
        let word = WORDS[(random.next() % 8) as usize].as_bytes();
        let part = word.len().min(left as usize);
        out.write_all(&word[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// A few numbers among zeros, as in tables of a database.
fn records(out: &mut impl Write, size: u64, random: &mut Random) -> Outcome {
    let mut left = size;
    while left > 0 {
        let mut page = [0; 512];
        page[..8].copy_from_slice(&random.next().to_le_bytes());
        page[64..72].copy_from_slice(&random.next().to_le_bytes());
        let part = left.min(512) as usize;
        out.write_all(&page[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// Makes a file of `mib` MiB that cannot be compressed.
pub(crate) fn incompressible(image: &Path, mib: u64) -> Outcome {
    let mut file = BufWriter::new(File::create(image)?);
    noise(&mut file, mib << 20, &mut Random(0x766f_6c61_7279))?;
    Ok(file.flush()?)
}

/// Makes an ext4 file system of `mib` MiB holding about `data_mib` MiB, as a sparse file.
pub(crate) fn ext4(image: &Path, scratch: &Path, mib: u64, data_mib: u64) -> Outcome {
    let tree = scratch.join("tree");
    fill(&tree, data_mib)?;
    run(program("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(&tree)
        .arg(image)
        .arg(format!("{mib}M")))?;
    Ok(fs::remove_dir_all(tree)?)
}

/// Converts with qemu-img: `options` are those of its `-o`.
pub(crate) fn convert(from: &Path, to: &Path, format: &str, options: &str, compress: bool) -> Outcome {
    let mut command = program("qemu-img");
    command.args(["convert", "-f", "raw", "-O", format]);
    if !options.is_empty() {
        command.args(["-o", options]);
    }
    if compress {
        command.arg("-c");
    }
    output(command.arg(from).arg(to)).map(drop)
}

/// A generator of numbers, the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
