//! `cargo xtask matrix`: the tests on Ceph, on each release of Ceph that Debian has, with that release's libraries and programs.
//!
//! The test binaries are built once, on this machine. For each release this very program runs once more inside a root of it, where it
//! starts the clusters and the tests as `cargo xtask test` does outside.

mod inside;
mod root;

pub(crate) use inside::{Plan, run as run_inside};
pub(crate) use root::{Release, Root};

use crate::shake::TestBinary;
use crate::tools::{self, Outcome, target};
use clap::{Args, ValueEnum};
use inside::{Binary, Figures};
use std::fs;

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
    let binaries: Vec<Binary> = TestBinary::build(TESTS)?
        .into_iter()
        .zip(TESTS)
        .map(|(built, (of, test))| Binary {
            name: format!("{of}/{test}"),
            path: built.path,
            directory: built.directory,
        })
        .collect();
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

fn run_in(root: &Root, release: Release, binaries: &[Binary], filter: &[String]) -> Outcome<Figures> {
    let at = target()?.join("matrix");
    fs::create_dir_all(&at)?;
    let of = |end: &str| at.join(format!("{}{end}", release.number()));
    let plan = Plan {
        binaries: binaries.to_vec(),
        volary: tools::built_binary()?,
        filter: filter.to_vec(),
        log: of(".log"),
        figures: of(".json"),
    };
    let written = of("-plan.json");
    fs::write(&written, serde_json::to_vec(&plan)?)?;
    // By this link, which holds also when the build of the tests has replaced the file.
    let this = at.join("xtask");
    fs::copy("/proc/self/exe", &this)?;
    let mut inside = root.command(&this, &tools::root())?;
    eprintln!("Ceph {}: what the tests print goes to {}", release.number(), plan.log.display());
    tools::run(inside.arg("inside").arg(&written))?;
    Ok(serde_json::from_slice(&fs::read(&plan.figures)?)?)
}
