//! Writes the fuzz targets' seeds: `corpus DIR` makes `DIR/detect` and `DIR/qcow2`.

use std::{env, fs, io, path::Path};
use volary_testkit::images::{hostile, valid};

/// Larger seeds slow the fuzzer more than they teach it.
const LARGEST: usize = 256 << 10;

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: corpus DIR"))?;
    let good = valid().into_iter().map(|(name, image)| (name, image.build().bytes));
    let bad = hostile().into_iter().map(|case| (format!("{}-{}", case.reason, case.name), case.bytes));
    for (name, bytes) in good.chain(bad).filter(|(_, bytes)| bytes.len() <= LARGEST) {
        let kind = if bytes.starts_with(b"QFI\xfb") { "qcow2" } else { "detect" };
        let folder = Path::new(&directory).join(kind);
        fs::create_dir_all(&folder)?;
        let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        fs::write(folder.join(file), bytes)?;
    }
    Ok(())
}
