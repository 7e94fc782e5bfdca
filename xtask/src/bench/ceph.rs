//! `cargo xtask bench ceph`: importing and exporting beside `qemu-img` and `rbd`, on the same cluster.

use super::Options;
use super::listing;
use super::measure::{Case, Report, Run, timed};
use crate::cluster;
use crate::images::{self, convert};
use crate::qemu;
use crate::test::PROGRAMS;
use crate::tools::{self, Outcome, need, output, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const QEMU: &str = "qemu-img -W -m 16";

/// Everyone's way to the cluster.
pub(super) struct Contest<'a> {
    binary: PathBuf,
    qemu: PathBuf,
    conf: PathBuf,
    pub(super) place: &'a Path,
}

/// Measures imports and exports, then the memory of 10 GiB and 10 TiB.
pub(super) fn run(options: &Options, conf: Option<&Path>, latency: Option<&str>) -> Outcome {
    need(PROGRAMS)?;
    need(&[("time", "time"), ("rbd", "ceph-common")])?;
    let (binary, qemu) = (tools::release_binary()?, qemu::with_rbd()?);
    let scratch = tempfile::Builder::new().prefix("volary-bench-").tempdir_in("/var/tmp")?;
    let place = scratch.path();
    let started = match conf {
        Some(_) => None,
        None => Some(cluster::for_benchmarks(latency)?),
    };
    let conf =
        conf.map(Path::to_owned).or(started.as_ref().map(cluster::Running::conf)).ok_or("no cluster")?;
    let measured = measure(options, latency, &Contest { binary, qemu, conf, place });
    started.map_or(Ok(()), |cluster| cluster.down()).and(measured)
}

fn measure(options: &Options, latency: Option<&str>, contest: &Contest<'_>) -> Outcome {
    let place = contest.place;
    let raw = &place.join("image.raw");
    images::ext4(raw, place, options.gib << 10, options.data_mib)?;
    let versions = [Command::new(&contest.qemu).arg("--version"), contest.rbd().arg("--version")]
        .map(|command| output(command).unwrap_or_default().lines().next().unwrap_or_default().to_owned());
    let mut report = Report::new(&format!(
        "A file system of {} GiB holding {} MiB, on a cluster of one OSD that keeps its data in memory{}; {} pairs a kind of work,\n\
         alternating; the source is in the page cache for both. Peers: {}. Volary also digests the file\n\
         (SHA-256, qcow2 only) and the content, publishes only what is whole, and records; an export is synced, which the peers' are not;\n\
         verified, an import also reads everything back and compares.",
        options.gib,
        options.data_mib,
        latency.map_or(String::new(), |latency| format!(", every message delayed up to {latency}")),
        options.runs,
        versions.join("; "),
    ))?;

    for (name, format, form, compress, limit) in [
        ("sparse raw", "raw", "", false, None),
        ("plain qcow2", "qcow2", "", false, Some(1.5)),
        ("zlib qcow2", "qcow2", "", true, Some(1.5)),
        ("zstd qcow2", "qcow2", "compression_type=zstd", true, Some(1.5)),
    ] {
        let source = &if format == "raw" { raw.clone() } else { place.join("image.qcow2") };
        if format != "raw" {
            convert(raw, source, format, form, compress)?;
        }
        let case = |beside, limit, peer| Case {
            name: format!("import {name}"),
            beside,
            limit,
            ours: Box::new(move || contest.import(format, source, &["--no-verify"])),
            verified: Some(Box::new(move || contest.import(format, source, &[]))),
            peer,
        };
        let peer = Box::new(move || contest.qemu_import(format, source));
        report.measure(&case(QEMU, limit, peer), options)?;
        if format == "raw" {
            let peer = Box::new(move || contest.rbd_import(source));
            report.measure(&case("rbd import", Some(0.33), peer), options)?;
        }
    }

    output(contest.volary().args(["import", "--no-verify", "-f", "raw"]).arg(raw).arg("bench"))?;
    for (format, beside, limit) in
        [("raw", "rbd export", Some(0.5)), ("raw", QEMU, None), ("qcow2", QEMU, None)]
    {
        let case = Case {
            name: format!("export {format}"),
            beside,
            limit,
            ours: Box::new(move || contest.export(format)),
            verified: None,
            peer: Box::new(move || contest.peer_export(format, beside)),
        };
        report.measure(&case, options)?;
    }
    output(contest.volary().args(["rm", "bench"]))?;

    if options.only.is_none() {
        let sizes = [("10 GiB", 10 << 30), ("10 TiB", 10 << 40)];
        report.memory(raw, place, sizes, &["import", "export raw", "export qcow2"], |work, source| {
            let Some(format) = work.strip_prefix("export ") else {
                return contest.import("qcow2", source, &[]);
            };
            output(contest.volary().args(["import", "--no-verify"]).arg(source).arg("bench"))?;
            let run = contest.export(format)?;
            output(contest.volary().args(["rm", "bench"]))?;
            Ok(run)
        })?;
    }
    listing::measure(&mut report, contest, options)?;
    report.finish("ceph", "Importing and exporting on Ceph", options)
}

impl Contest<'_> {
    pub(super) fn volary(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--store").arg(format!("ceph:{}", self.conf.display())).args(["--no-progress", "-q"]);
        command
    }

    pub(super) fn rbd(&self) -> Command {
        let mut command = program("rbd");
        command.env_remove("CEPH_ARGS").arg("--conf").arg(&self.conf);
        command
    }

    fn url(&self, image: &str) -> String {
        format!("rbd:rbd/{image}:conf={}", self.conf.display())
    }

    /// What is imported is taken away again, unmeasured.
    fn import(&self, format: &str, source: &Path, flags: &[&str]) -> Outcome<Run> {
        let mut import = self.volary();
        let run =
            timed(import.args(["import", "-f", format]).args(flags).arg(source).arg("bench"), self.place)?;
        output(self.volary().args(["rm", "bench"]))?;
        Ok(run)
    }

    fn peers(&self, import: &Command) -> Outcome<Run> {
        let run = timed(import, self.place)?;
        output(self.rbd().args(["rm", "--no-progress", "rbd/peer"]))?;
        Ok(run)
    }

    fn qemu_import(&self, format: &str, source: &Path) -> Outcome<Run> {
        let mut import = Command::new(&self.qemu);
        import.args(["convert", "-W", "-m", "16", "-f", format, "-O", "raw"]).arg(source);
        self.peers(import.arg(self.url("peer")))
    }

    fn rbd_import(&self, source: &Path) -> Outcome<Run> {
        self.peers(self.rbd().args(["import", "--no-progress"]).arg(source).arg("rbd/peer"))
    }

    /// What is exported is taken away again, unmeasured.
    fn exported(&self, export: &mut Command) -> Outcome<Run> {
        let file = self.place.join("exported");
        let run = timed(export.arg(&file), self.place)?;
        fs::remove_file(file)?;
        Ok(run)
    }

    fn export(&self, format: &str) -> Outcome<Run> {
        self.exported(self.volary().args(["export", "-f", format, "bench"]))
    }

    fn peer_export(&self, format: &str, peer: &str) -> Outcome<Run> {
        if peer == QEMU {
            let mut export = Command::new(&self.qemu);
            export.args(["convert", "-W", "-m", "16", "-f", "raw", "-O", format]).arg(self.url("bench"));
            return self.exported(&mut export);
        }
        self.exported(self.rbd().args(["export", "--no-progress", "rbd/bench"]))
    }
}
