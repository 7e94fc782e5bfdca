//! An import takes a fixed amount of memory, however large the disk is, on Ceph too.

use crate::harness::Bench;
use std::os::unix::fs::FileExt;

/// What the command may need at its peak.
const LIMIT_KIB: u64 = 192 << 10;

/// Blocks of 1 MiB with data, over the whole length; together more than may be needed.
const BLOCKS: u64 = 256;

#[test]
fn s12_an_import_of_a_terabyte_needs_what_one_of_two_gigabytes_does() {
    let bench = Bench::ceph();
    let peaks = [2_u64 << 30, 1 << 40].map(|size| {
        let source = bench.path("large.raw");
        let file = std::fs::File::create(&source).unwrap();
        file.set_len(size).unwrap();
        for i in 0..BLOCKS {
            let block = (i + 1).to_le_bytes().repeat(1 << 17);
            file.write_all_at(&block, i * (size / BLOCKS)).unwrap();
        }
        let volume = bench.at("large");
        let mut child = bench.start(&["import", "-f", "raw", source.to_str().unwrap(), &volume]);
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak_kib(child.id()).unwrap_or(peak);
            std::thread::yield_now();
        }
        let ended = crate::harness::ended(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        bench.ok(&["rm", &volume]);
        assert!(peak > 0 && peak <= LIMIT_KIB, "{size} bytes took {peak} KiB");
        peak
    });
    assert!(peaks[1] < peaks[0] + peaks[0] / 4, "{peaks:?} KiB");
}

/// The peak of what a process has had in memory so far.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
