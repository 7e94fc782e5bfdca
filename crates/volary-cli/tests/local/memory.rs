//! Imports take a fixed amount of memory, however large the disk is and however much it holds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// What the command may allocate, touched or not: twice what it needs on two cores, and less than the data.
const LIMIT_KIB: u64 = 352 << 10;

/// **S12 Bounded memory.** Peak memory does not grow with the size of a volume, a source or a pool, beyond
/// one bit per cluster of a source file (images with clusters under 4 KiB: at most 64 GiB of file).
#[test]
fn s12_a_terabyte_with_more_data_than_memory_is_imported() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("large.raw");
    let file = File::create(&source).unwrap();
    file.set_len(1 << 40).unwrap();
    // Blocks of 1 MiB over the whole length, together more than may be allocated.
    for i in 0..400_u64 {
        let block = (i + 1).to_le_bytes().repeat(1 << 17);
        file.write_all_at(&block, i * (2 << 30) + (i << 12)).unwrap();
    }
    // Stacks of threads and what allocators keep count too.
    let script = format!("ulimit -d {LIMIT_KIB} && exec \"$0\" \"$@\"");
    let store = format!("local:{}", directory.path().join("store").display());
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_volary"), "--store", &store])
        .args(["--no-progress", "import", "-f", "raw"])
        .arg(&source)
        .arg("large")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
