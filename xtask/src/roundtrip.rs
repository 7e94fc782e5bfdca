//! A real file system in every form qemu-img writes: imported, exported, and compared byte by byte.

use crate::images::{self, convert};
use crate::test::PROGRAMS;
use crate::tools::{self, Outcome, need, output, program};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Sizes that are no multiple of a sector, a page, a cluster or a block.
const ODD_SIZES: &[u64] = &[1, 511, 513, 4095, 65537, (4 << 20) - 1, (4 << 20) + 1, (9 << 20) + 513];

struct Round {
    binary: PathBuf,
    directory: PathBuf,
}

/// Makes the file system and takes every form of it through a store.
pub(crate) fn run(gib: u64) -> Outcome {
    need(PROGRAMS)?;
    let binary = tools::release_binary()?;
    let scratch = tempfile::Builder::new().prefix("volary-roundtrip-").tempdir_in("/var/tmp")?;
    let original = scratch.path().join("original.raw");
    images::ext4(&original, scratch.path(), gib << 10, 350)?;
    let round = Round { binary, directory: scratch.path().to_owned() };

    round.trip("raw sparse", "raw", &original, &original)?;
    let source = scratch.path().join("source");
    let mut full = program("qemu-img");
    full.args(["convert", "-S", "0", "-f", "raw", "-O", "raw"]).arg(&original).arg(&source);
    output(&mut full)?;
    round.trip("raw full", "raw", &source, &original)?;
    for bits in 9..=21 {
        let cluster = 1_u64 << bits;
        let size = format!("cluster_size={cluster}");
        let mut forms = vec![
            ("plain", size.clone(), false),
            ("zlib", size.clone(), true),
            ("zstd", format!("{size},compression_type=zstd"), true),
        ];
        if cluster >= 16384 {
            forms.push(("extended L2", format!("{size},extended_l2=on"), false));
            forms.push(("extended L2, zlib", format!("{size},extended_l2=on"), true));
        }
        for (form, options, compress) in forms {
            fs::remove_file(&source)?;
            convert(&original, &source, "qcow2", &options, compress)?;
            round.trip(&format!("qcow2 {form} {cluster}"), "qcow2", &source, &original)?;
        }
    }
    for &size in ODD_SIZES {
        let odd = scratch.path().join("odd.raw");
        odd_file(&odd, size)?;
        // Volumes have whole sectors, and so have the disks of qemu-img.
        let (sectors, whole) = (scratch.path().join("whole.raw"), size.next_multiple_of(512));
        fs::copy(&odd, &sectors)?;
        File::options().write(true).open(&sectors)?.set_len(whole)?;
        round.trip(&format!("raw of {size} bytes"), "raw", &odd, &sectors)?;
        fs::remove_file(&source)?;
        convert(&sectors, &source, "qcow2", "", true)?;
        round.trip(&format!("qcow2 of {whole} bytes"), "qcow2", &source, &sectors)?;
    }
    println!("every form came back as it was");
    Ok(scratch.close()?)
}

fn odd_file(path: &Path, size: u64) -> Outcome {
    let mut file = File::create(path)?;
    file.set_len(size)?;
    file.write_all(b"a"[..size.min(1) as usize].as_ref())?;
    file.seek(SeekFrom::Start(size - 1))?;
    Ok(file.write_all(b"z")?)
}

impl Round {
    /// Imports one source into a fresh store, exports it raw, and compares with what it was made from.
    fn trip(&self, label: &str, format: &str, source: &Path, original: &Path) -> Outcome {
        let begun = Instant::now();
        let store = self.directory.join("store");
        let back = self.directory.join("back.raw");
        output(self.volary(&store).args(["import", "-f", format]).arg(source).arg("disk"))
            .map_err(|error| format!("{label}: {error}"))?;
        let imported = begun.elapsed();
        output(self.volary(&store).args(["export", "disk"]).arg(&back))
            .map_err(|error| format!("{label}: {error}"))?;
        output(program("cmp").arg(original).arg(&back)).map_err(|error| format!("{label}: {error}"))?;
        fs::remove_file(back)?;
        fs::remove_dir_all(store)?;
        println!(
            "{label:32} same  import {:5.1} s  all {:5.1} s",
            imported.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn volary(&self, store: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--store").arg(format!("local:{}", store.display())).arg("--no-progress");
        command
    }
}
