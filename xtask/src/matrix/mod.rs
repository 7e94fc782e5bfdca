//! `cargo xtask matrix`: the tests on Ceph, on each release of Ceph that Debian has, with that release's libraries and programs.
//!
//! The test binaries are built once, on this machine. For each release this very program runs once more inside a root of it, where it
//! starts the clusters and the tests as `cargo xtask test` does outside.

mod inside;
mod root;

pub(crate) use inside::{Plan, run as run_inside};
pub(crate) use root::Release;

use root::Root;

use crate::lanes::TestBinary;
use crate::tools::{self, Outcome, target};
use clap::{Args, ValueEnum};
use inside::{Figures, Tests};
use std::fs;
use std::path::PathBuf;

/// Which releases, and which tests.
#[derive(Debug, Args)]
pub(crate) struct Matrix {
    /// This release alone; may be given more than once
    #[arg(long, value_enum, default_values = ["16", "18", "20"])]
    release: Vec<Release>,
    /// Leave the roots in the target directory: the next time finds them there
    #[arg(long)]
    keep: bool,
    /// Tests whose names contain one of these, or options of the test harness
    #[arg(last = true)]
    filter: Vec<String>,
}

/// The tests that need a cluster: crate and name.
const TESTS: &[(&str, &str)] =
    &[("rbd", "cluster"), ("volary", "ceph"), ("volary-cli", "ceph"), ("volary-cli", "ceph_faults")];

/// Runs the tests on each release, and prints a table of what came out; fails when a test failed.
pub(crate) fn run(matrix: &Matrix) -> Outcome {
    let binaries = TestBinary::find(TESTS)?;
    let mut all = Vec::new();
    for release in Release::value_variants().iter().filter(|release| matrix.release.contains(release)) {
        let root = Root::of(*release)?;
        let figures = run_in(&root, *release, &binaries, &matrix.filter);
        if !matrix.keep {
            root.remove()?;
        }
        all.push((*release, figures?));
    }
    println!("| Ceph | version | passed | failed | ignored | seconds | functions that it lacks |");
    println!("|---|---|---|---|---|---|---|");
    for (release, of) in &all {
        let (passed, failed, ignored) = (of.passed, of.failed.len(), of.ignored);
        let (number, version, lacks) = (release.number(), &of.version, &of.lacks);
        println!("| {number} | {version} | {passed} | {failed} | {ignored} | {} | {lacks} |", of.seconds);
    }
    let failed: Vec<String> = all
        .iter()
        .flat_map(|(release, of)| {
            of.failed.iter().map(move |test| format!("Ceph {}: {test}", release.number()))
        })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed:\n  {}", failed.join("\n  ")).into()) }
}

fn run_in(root: &Root, release: Release, binaries: &[TestBinary], filter: &[String]) -> Outcome<Figures> {
    let at = directory()?;
    let of = |end: &str| at.join(format!("{}{end}", release.number()));
    let tests = Tests {
        binaries: binaries.to_vec(),
        volary: tools::built_binary()?,
        filter: filter.to_vec(),
        log: of(".log"),
        figures: of(".json"),
    };
    let figures = tests.figures.clone();
    eprintln!("Ceph {}: what the tests print goes to {}", release.number(), tests.log.display());
    inside(root, release, &Plan::Tests(tests))?;
    Ok(serde_json::from_slice(&fs::read(figures)?)?)
}

/// Carries a plan out inside the root of a release, which stays or goes.
pub(crate) fn carry_out(release: Release, plan: &Plan, keep: bool) -> Outcome {
    let root = Root::of(release)?;
    let done = inside(&root, release, plan);
    if !keep {
        root.remove()?;
    }
    done
}

fn directory() -> Outcome<PathBuf> {
    let at = target()?.join("matrix");
    fs::create_dir_all(&at)?;
    Ok(at)
}

fn inside(root: &Root, release: Release, plan: &Plan) -> Outcome {
    let at = directory()?;
    let written = at.join(format!("{}-plan.json", release.number()));
    fs::write(&written, serde_json::to_vec(plan)?)?;
    // By this copy, which holds also when the build of the tests has replaced the file.
    let this = at.join(format!("{}-xtask", release.number()));
    fs::copy("/proc/self/exe", &this)?;
    tools::run(root.command(&this, &tools::root())?.arg("inside").arg(&written))
}
