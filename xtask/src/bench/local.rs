//! `cargo xtask bench local`: importing beside `qemu-img convert -O raw` and `sync`, on the same disk.

use super::Options;
use super::measure::{Case, Limits, Report, Run, timed};
use crate::images::{self, convert};
use crate::test::PROGRAMS;
use crate::tools::{self, Outcome, need, output, program};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Measures every format, then the memory of 10 GiB and 1 TiB.
pub(super) fn run(options: &Options) -> Outcome {
    need(PROGRAMS)?;
    need(&[("time", "time")])?;
    let binary = &tools::release_binary()?;
    let scratch = tempfile::Builder::new().prefix("volary-bench-").tempdir_in("/var/tmp")?;
    let place = scratch.path();
    let raw = place.join("image.raw");
    images::ext4(&raw, place, options.gib << 10, options.data_mib)?;

    let qemu_version = output(program("qemu-img").arg("--version"))?;
    let mut report = Report::new(&format!(
        "A file system of {} GiB holding {} MiB; {} pairs a format, alternating; the source is in the page cache for both,\n\
         the target is synced by both ({}). Volary also digests the file (SHA-256, qcow2 only) and the content, and\n\
         records; verified, it also reads everything back and compares.",
        options.gib,
        options.data_mib,
        options.runs,
        qemu_version.lines().next().unwrap_or_default(),
    ))?;
    for (name, format, form, compress) in [
        ("raw sparse", "raw", "", false),
        ("qcow2 plain", "qcow2", "", false),
        ("qcow2 zlib", "qcow2", "", true),
        ("qcow2 zstd", "qcow2", "compression_type=zstd", true),
    ] {
        let source = &if format == "raw" { raw.clone() } else { place.join("image.qcow2") };
        if format != "raw" {
            convert(&raw, source, format, form, compress)?;
        }
        let case = Case {
            name: format!("import {name}"),
            data: options.data(),
            beside: "qemu-img, sync",
            limits: Limits::wall(1.1),
            ours: Box::new(move || import(binary, format, source, place, &["--no-verify"])),
            verified: Some(Box::new(move || import(binary, format, source, place, &[]))),
            peer: Box::new(move || qemu(format, source, place)),
        };
        report.measure(&case, options)?;
    }
    if options.only.is_none() {
        let sizes = [("10 GiB", 10_u64 << 30), ("1 TiB", 1 << 40)];
        report.memory(&raw, place, sizes, &["import"], |_, source| {
            import(binary, "qcow2", source, place, &[])
        })?;
    }
    report.finish("local", "Importing into the local engine", options)?;
    Ok(scratch.close()?)
}

/// Imports into the store that is there already, as it is in use; the volume is taken away again, unmeasured.
fn import(binary: &Path, format: &str, source: &Path, place: &Path, flags: &[&str]) -> Outcome<Run> {
    let volary = || {
        let mut command = Command::new(binary);
        command.arg("--store").arg(format!("local:{}", place.join("store").display()));
        command.args(["--no-progress", "-q"]);
        command
    };
    output(volary().arg("ls"))?;
    let run = timed(volary().args(["import", "-f", format]).args(flags).arg(source).arg("bench"), place)?;
    output(volary().args(["rm", "bench"]))?;
    Ok(run)
}

fn qemu(format: &str, source: &Path, place: &Path) -> Outcome<Run> {
    let target = place.join("target.raw");
    let mut command = program("sh");
    let script = "qemu-img convert -f \"$1\" -O raw \"$2\" \"$3\" && sync \"$3\"";
    command.args(["-c", script, "sh", format]).arg(source).arg(&target);
    let run = timed(&command, place)?;
    fs::remove_file(target)?;
    Ok(run)
}
