//! Imports, exports and verifying, beside what users would run instead, and the memory they take.

use super::Options;
use super::ceph::{Contest, QEMU, QEMU_SYNC};
use super::measure::{Case, Limits, Report};
use crate::images::{self, convert};
use crate::tools::{Outcome, output};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// How large the volume is that is verified, and read by librbd.
const VERIFIED_TIB: u64 = 10;

/// What may be slow on the way in: the file is digested unless told otherwise.
const NO_DIGEST: &[&str] = &["--no-verify", "--source-digest", "none"];

/// A kind of source: its name, format, form and whether it is compressed, and what an import of it may take.
type Source = (&'static str, &'static str, &'static str, bool, f64);

const SOURCES: [Source; 4] = [
    ("sparse raw", "raw", "", false, 1.0),
    ("plain qcow2", "qcow2", "", false, 1.2),
    ("zlib qcow2", "qcow2", "", true, 0.7),
    ("zstd qcow2", "qcow2", "compression_type=zstd", true, 0.9),
];

/// Where every cluster costs a delay, keeping many in flight is what counts.
const DELAYED: f64 = 0.7;

/// A case of an import; the peer is `qemu-img` unless it is changed.
fn import<'a>(
    contest: &'a Contest<'_>,
    name: String,
    data: String,
    format: &'static str,
    source: &'a Path,
) -> Case<'a> {
    Case {
        name,
        data,
        beside: QEMU,
        limits: Limits::default(),
        ours: Box::new(move || contest.import(format, source, &["--no-verify"])),
        verified: None,
        peer: Box::new(move || contest.qemu_import(format, source)),
    }
}

/// Measures imports of every kind of source.
pub(super) fn imports(
    report: &mut Report,
    contest: &Contest<'_>,
    options: &Options,
    delayed: bool,
) -> Outcome {
    let raw = image(contest, options)?;
    for (name, format, form, compress, wall) in SOURCES {
        let source = source(contest, &raw, format, form, compress)?;
        let source = source.as_path();
        let case = |name: String| import(contest, format!("import {name}"), options.data(), format, source);
        let limits = Limits {
            wall: Some(if delayed { DELAYED } else { wall }),
            verified: (!delayed).then_some(1.8),
            cpu: None,
        };
        let verified = move || contest.import(format, source, &[]);
        report.measure(
            &Case { limits, verified: Some(Box::new(verified)), ..case(name.to_owned()) },
            options,
        )?;
        if delayed {
            continue;
        }
        if format == "qcow2" {
            let limits = Limits { wall: (!compress).then_some(1.0), cpu: Some(1.0), verified: None };
            let ours = Box::new(move || contest.import(format, source, NO_DIGEST));
            report.measure(&Case { limits, ours, ..case(format!("{name}, no source digest")) }, options)?;
        } else {
            let (limits, peer) = (Limits::wall(0.1), Box::new(move || contest.rbd_import(source)));
            report.measure(&Case { beside: "rbd import", limits, peer, ..case(name.to_owned()) }, options)?;
        }
        if name == "zstd qcow2" {
            let (limits, peer) = (Limits::wall(0.2), Box::new(move || contest.nova_import(format, source)));
            report.measure(
                &Case { beside: "qemu-img, rbd import", limits, peer, ..case(name.to_owned()) },
                options,
            )?;
        }
    }
    if !delayed {
        let noise = contest.place.join("noise.raw");
        images::incompressible(&noise, 2 << 10)?;
        let data = "2048 MiB of 2 GiB".to_owned();
        let case = import(contest, "import full raw".to_owned(), data, "raw", &noise);
        report.measure(
            &Case { verified: Some(Box::new(|| contest.import("raw", &noise, &[]))), ..case },
            options,
        )?;
        fs::remove_file(&noise)?;
    }
    Ok(fs::remove_file(raw)?)
}

/// Measures exports of a sparse volume.
pub(super) fn exports(report: &mut Report, contest: &Contest<'_>, options: &Options) -> Outcome {
    let raw = image(contest, options)?;
    output(contest.volary().args(["import", "--no-verify", "-f", "raw"]).arg(&raw).arg("bench"))?;
    let peers = [
        ("raw", "rbd export", 0.1),
        ("raw", QEMU, 1.0),
        ("qcow2", QEMU, 1.0),
        ("raw", QEMU_SYNC, 1.0),
        ("qcow2", QEMU_SYNC, 1.0),
    ];
    for (format, beside, limit) in peers {
        let case = Case {
            name: format!("export {format}"),
            data: options.data(),
            beside,
            limits: Limits::wall(limit),
            ours: Box::new(move || contest.export(format)),
            verified: None,
            peer: Box::new(move || contest.peer_export(format, beside)),
        };
        report.measure(&case, options)?;
    }
    output(contest.volary().args(["rm", "bench"]))?;
    Ok(fs::remove_file(raw)?)
}

/// Measures verifying a volume of 10 TiB beside reading what it has.
pub(super) fn verifying(report: &mut Report, contest: &Contest<'_>, options: &Options) -> Outcome {
    let name = "verify".to_owned();
    if options.only.as_ref().is_some_and(|part| !name.contains(part.as_str())) {
        return Ok(());
    }
    let raw = image(contest, options)?;
    let qcow2 = large(contest, &raw, VERIFIED_TIB << 40)?;
    output(contest.volary().args(["import", "--no-verify"]).arg(&qcow2).arg("bench"))?;
    fs::remove_file(qcow2)?;
    let case = Case {
        name,
        data: format!("{} MiB of {VERIFIED_TIB} TiB", options.data_mib),
        beside: "reading it by librbd",
        limits: Limits::wall(2.0),
        ours: Box::new(|| contest.verify("bench")),
        verified: None,
        peer: Box::new(|| contest.read("bench")),
    };
    report.measure(&case, options)?;
    output(contest.volary().args(["rm", "bench"]))?;
    Ok(fs::remove_file(raw)?)
}

/// Measures what imports and exports of 10 GiB and of 10 TiB take.
pub(super) fn memory(report: &mut Report, contest: &Contest<'_>, options: &Options) -> Outcome {
    let raw = image(contest, options)?;
    let sizes = [("10 GiB", 10 << 30), ("10 TiB", 10 << 40)];
    report.memory(
        &raw,
        contest.place,
        sizes,
        &["import", "export raw", "export qcow2"],
        |work, source| {
            let Some(format) = work.strip_prefix("export ") else {
                return contest.import("qcow2", source, &[]);
            };
            output(contest.volary().args(["import", "--no-verify"]).arg(source).arg("bench"))?;
            let run = contest.export(format)?;
            output(contest.volary().args(["rm", "bench"]))?;
            Ok(run)
        },
    )?;
    Ok(fs::remove_file(raw)?)
}

/// The file system that is measured, as a sparse file.
fn image(contest: &Contest<'_>, options: &Options) -> Outcome<PathBuf> {
    let raw = contest.place.join("image.raw");
    images::ext4(&raw, contest.place, options.gib << 10, options.data_mib)?;
    Ok(raw)
}

fn source(contest: &Contest<'_>, raw: &Path, format: &str, form: &str, compress: bool) -> Outcome<PathBuf> {
    if format == "raw" {
        return Ok(raw.to_owned());
    }
    let source = contest.place.join("image.qcow2");
    convert(raw, &source, format, form, compress)?;
    Ok(source)
}

/// The same file system on a disk of so many bytes.
fn large(contest: &Contest<'_>, raw: &Path, bytes: u64) -> Outcome<PathBuf> {
    File::options().write(true).open(raw)?.set_len(bytes)?;
    let qcow2 = contest.place.join("large.qcow2");
    convert(raw, &qcow2, "qcow2", "", false)?;
    Ok(qcow2)
}
