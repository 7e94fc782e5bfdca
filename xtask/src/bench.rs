//! `cargo xtask bench local`: importing beside `qemu-img convert -O raw` and `sync`, on the same disk.

use crate::images::{self, convert};
use crate::test::PROGRAMS;
use crate::tools::{self, Outcome, need, output, program};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The most memory an import may take.
const MEMORY_LIMIT_KIB: u64 = 192 << 10;

#[derive(Clone, Copy)]
struct Run {
    wall: f64,
    cpu: f64,
    peak_kib: u64,
}

/// Measures every format in `runs` pairs, then the memory of 10 GiB and 1 TiB; prints and, if asked, records.
pub(crate) fn local(runs: usize, gib: u64, data_mib: u64, record: bool) -> Outcome {
    need(PROGRAMS)?;
    need(&[("time", "time")])?;
    let binary = tools::release_binary()?;
    let scratch = tempfile::Builder::new().prefix("volary-bench-").tempdir_in("/var/tmp")?;
    let place = scratch.path();
    let raw = place.join("image.raw");
    images::ext4(&raw, place, gib << 10, data_mib)?;

    let mut report = format!(
        "{}\nA file system of {gib} GiB holding {data_mib} MiB; {runs} pairs a format, alternating; the source is in the\n\
         page cache for both, the target is synced by both. Volary also digests the file (SHA-256, qcow2 only) and the\n\
         content, reads everything back and compares, and records; with --no-verify it does not read back.\n\n\
         | format | volary s | --no-verify s | qemu-img s | ratio of pairs | --no-verify | volary CPU s | qemu-img CPU s | peak MiB |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        machine()?
    );
    for (name, format, options, compress) in [
        ("raw sparse", "raw", "", false),
        ("qcow2 plain", "qcow2", "", false),
        ("qcow2 zlib", "qcow2", "", true),
        ("qcow2 zstd", "qcow2", "compression_type=zstd", true),
    ] {
        let source = if format == "raw" { raw.clone() } else { place.join("image.qcow2") };
        if format != "raw" {
            convert(&raw, &source, format, options, compress)?;
        }
        let mut runs_of = Vec::new();
        for _ in 0..runs.max(1) {
            let whole = import(&binary, format, &source, place, &[])?;
            let unread = import(&binary, format, &source, place, &["--no-verify"])?;
            runs_of.push((whole, unread, qemu(format, &source, place)?));
        }
        let row = format!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {} |",
            median(runs_of.iter().map(|(v, _, _)| v.wall)),
            median(runs_of.iter().map(|(_, u, _)| u.wall)),
            median(runs_of.iter().map(|(_, _, q)| q.wall)),
            median(runs_of.iter().map(|(v, _, q)| v.wall / q.wall)),
            median(runs_of.iter().map(|(_, u, q)| u.wall / q.wall)),
            median(runs_of.iter().map(|(v, _, _)| v.cpu)),
            median(runs_of.iter().map(|(_, _, q)| q.cpu)),
            runs_of.iter().map(|(v, _, _)| v.peak_kib).max().unwrap_or(0) >> 10,
        );
        eprintln!("{row}");
        writeln!(report, "{row}")?;
    }
    eprintln!("{report}");
    report += &memory(&binary, &raw, place)?;
    println!("{report}");
    if record {
        let path = tools::root().join(format!("docs/benchmarks/{}-local.md", today()?));
        fs::create_dir_all(path.parent().ok_or("no parent")?)?;
        fs::write(&path, format!("# Importing into the local engine\n\n{report}"))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(scratch.close()?)
}

/// Peak memory must not grow with the virtual size.
fn memory(binary: &Path, raw: &Path, place: &Path) -> Outcome<String> {
    let mut report = String::from("\n| virtual size | peak MiB |\n|---|---|\n");
    let mut peaks = Vec::new();
    for (name, bytes) in [("10 GiB", 10_u64 << 30), ("1 TiB", 1 << 40)] {
        let grown = File::options().write(true).open(raw)?;
        grown.set_len(bytes)?;
        let source = place.join("large.qcow2");
        convert(raw, &source, "qcow2", "", false)?;
        // The highest of three: one run may never have all its buffers full at once.
        let mut peak = 0;
        for _ in 0..3 {
            peak = peak.max(import(binary, "qcow2", &source, place, &[])?.peak_kib);
        }
        fs::remove_file(source)?;
        writeln!(report, "| {name} | {} |", peak >> 10)?;
        peaks.push(peak);
    }
    let (small, large) = (peaks[0].min(peaks[1]), peaks[0].max(peaks[1]));
    if large > MEMORY_LIMIT_KIB || (large - small) * 10 > large {
        eprintln!("{report}");
        return Err("memory: over 192 MiB, or the two differ by more than a tenth".into());
    }
    Ok(report)
}

/// Imports into the store that is there already, as it is in use; the volume is taken away again, unmeasured.
fn import(binary: &Path, format: &str, source: &Path, place: &Path, flags: &[&str]) -> Outcome<Run> {
    let volary = |mut command: Command| {
        command.arg("--store").arg(format!("local:{}", place.join("store").display()));
        command.args(["--no-progress", "-q"]);
        command
    };
    output(volary(Command::new(binary)).arg("ls"))?;
    let mut command = timed(place);
    command.arg(binary);
    let mut command = volary(command);
    let run = measure(command.args(["import", "-f", format]).args(flags).arg(source).arg("bench"), place)?;
    output(volary(Command::new(binary)).args(["rm", "bench"]))?;
    Ok(run)
}

fn qemu(format: &str, source: &Path, place: &Path) -> Outcome<Run> {
    let target = place.join("target.raw");
    let mut command = timed(place);
    let script = "qemu-img convert -f \"$1\" -O raw \"$2\" \"$3\" && sync \"$3\"";
    command.args(["sh", "-c", script, "sh", format]).arg(source).arg(&target);
    let run = measure(&mut command, place)?;
    fs::remove_file(target)?;
    Ok(run)
}

fn figures(place: &Path) -> PathBuf {
    place.join("figures")
}

/// GNU time, which reports a command's processor time and peak memory to a file.
fn timed(place: &Path) -> Command {
    let mut command = program("time");
    command.args(["-f", "%U %S %M", "-o"]).arg(figures(place));
    command
}

fn measure(command: &mut Command, place: &Path) -> Outcome<Run> {
    // What earlier runs left to be written is not this run's to pay.
    output(&mut program("sync"))?;
    let begun = Instant::now();
    output(command)?;
    let wall = begun.elapsed().as_secs_f64();
    let text = fs::read_to_string(figures(place))?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [user, system, peak] = numbers[..] else { return Err(format!("GNU time said: {text}").into()) };
    Ok(Run { wall, cpu: user + system, peak_kib: peak as u64 })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The machine: processor, cores, memory, kernel, and what is compared.
fn machine() -> Outcome<String> {
    let field = |file: &str, key: &str| -> Outcome<String> {
        let text = fs::read_to_string(file)?;
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or("unknown:unknown");
        Ok(line.split_once(':').map_or("", |(_, value)| value).trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let kib: u64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let qemu = output(program("qemu-img").arg("--version"))?;
    Ok(format!(
        "{}, {cores} cores, {} GiB of memory, Linux {}; {}.\n",
        field("/proc/cpuinfo", "model name")?,
        kib >> 20,
        kernel.trim(),
        qemu.lines().next().unwrap_or_default(),
    ))
}

fn today() -> Outcome<String> {
    Ok(output(program("date").args(["-u", "+%F"]))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(super::median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(super::median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
