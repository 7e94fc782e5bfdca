//! `cargo xtask bench ceph`: importing and exporting beside `qemu-img` and `rbd`, on the same cluster.

use super::Options;
use super::measure::{Report, Run, timed};
use super::{content, listing};
use crate::cluster;
use crate::qemu;
use crate::test::PROGRAMS;
use crate::tools::{self, Outcome, need, output, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const QEMU: &str = "qemu-img -W -m 16";
/// The same, until what it wrote is on the disk.
pub(super) const QEMU_SYNC: &str = "qemu-img -W -m 16, sync";

/// Everyone's way to the cluster.
pub(super) struct Contest<'a> {
    binary: PathBuf,
    qemu: PathBuf,
    conf: PathBuf,
    pub(super) place: &'a Path,
}

/// Measures imports, exports, verifying, their memory, then listing.
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
    let versions = [Command::new(&contest.qemu).arg("--version"), contest.rbd().arg("--version")]
        .map(|command| output(command).unwrap_or_default().lines().next().unwrap_or_default().to_owned());
    let mut report = Report::new(&format!(
        "A cluster of one OSD that keeps its data in memory{}; {} pairs a kind of work, alternating; the source is in the page cache\n\
         for both. Peers: {}. Volary also digests the file (SHA-256, qcow2 only, unless said) and the content, publishes only what is\n\
         whole, and records; an export is synced, which the peers' are not; verified, an import also reads everything back and\n\
         compares.",
        latency.map_or(String::new(), |latency| format!(", every message delayed up to {latency}")),
        options.runs,
        versions.join("; "),
    ))?;
    content::imports(&mut report, contest, options, latency.is_some())?;
    content::exports(&mut report, contest, options)?;
    listing::measure(&mut report, contest, options)?;
    content::verifying(&mut report, contest, options)?;
    if options.only.is_none() {
        content::memory(&mut report, contest, options)?;
    }
    report.finish("ceph", "Volary on Ceph", options)
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
    pub(super) fn import(&self, format: &str, source: &Path, flags: &[&str]) -> Outcome<Run> {
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

    pub(super) fn qemu_import(&self, format: &str, source: &Path) -> Outcome<Run> {
        let mut import = Command::new(&self.qemu);
        import.args(["convert", "-W", "-m", "16", "-f", format, "-O", "raw"]).arg(source);
        self.peers(import.arg(self.url("peer")))
    }

    pub(super) fn rbd_import(&self, source: &Path) -> Outcome<Run> {
        self.peers(self.rbd().args(["import", "--no-progress"]).arg(source).arg("rbd/peer"))
    }

    /// As Nova imports what is not raw: into a file first, then by `rbd`.
    pub(super) fn nova_import(&self, format: &str, source: &Path) -> Outcome<Run> {
        let mut import = program("sh");
        let script = "qemu-img convert -f \"$1\" -O raw \"$2\" \"$3\" && \
                      rbd --conf \"$4\" import --no-progress \"$3\" rbd/peer; status=$?; rm -f \"$3\"; exit $status";
        import
            .args(["-c", script, "sh", format])
            .arg(source)
            .arg(self.place.join("nova.raw"))
            .arg(&self.conf);
        self.peers(&import)
    }

    /// Reads what a volume has through librbd's Python module, many reads in flight.
    pub(super) fn read(&self, image: &str) -> Outcome<Run> {
        let mut read = Command::new("/usr/bin/python3");
        timed(read.args(["-c", include_str!("read.py")]).arg(&self.conf).arg(image), self.place)
    }

    pub(super) fn verify(&self, image: &str) -> Outcome<Run> {
        timed(self.volary().args(["verify", image]), self.place)
    }

    /// What is exported is taken away again, unmeasured.
    fn exported(&self, export: &mut Command) -> Outcome<Run> {
        let file = self.place.join("exported");
        let run = timed(export.arg(&file), self.place)?;
        fs::remove_file(file)?;
        Ok(run)
    }

    pub(super) fn export(&self, format: &str) -> Outcome<Run> {
        self.exported(self.volary().args(["export", "-f", format, "bench"]))
    }

    pub(super) fn peer_export(&self, format: &str, peer: &str) -> Outcome<Run> {
        let convert = ["convert", "-W", "-m", "16", "-f", "raw", "-O", format];
        if peer == QEMU {
            return self.exported(Command::new(&self.qemu).args(convert).arg(self.url("bench")));
        }
        if peer == QEMU_SYNC {
            // Its arguments end with the file.
            let mut export = Command::new("sh");
            export.args(["-c", "\"$@\" && for file; do :; done && sync \"$file\"", "sh"]).arg(&self.qemu);
            return self.exported(export.args(convert).arg(self.url("bench")));
        }
        self.exported(self.rbd().args(["export", "--no-progress", "rbd/bench"]))
    }
}
