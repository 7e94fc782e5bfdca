//! Volary's chores: what CI and developers run, and no product code.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to whoever started it")]

mod bench;
mod bindings;
mod cluster;
mod demo;
mod fuzz;
mod generate;
mod guarantees;
mod images;
mod lanes;
mod matrix;
mod nova;
mod package;
mod promtool;
mod qemu;
mod roundtrip;
mod shake;
mod signals;
mod soak;
mod test;
mod tools;
mod watch;
mod wheel;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Volary's chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything CI checks: format, lints, documentation, licences, generated files, the tour, every test, guarantees.
    ///
    /// Starts a Ceph cluster for the tests that need one, and ends it.
    Test {
        /// Run only the tests whose names contain this, and no other check; guarantees are not counted then
        filter: Option<String>,
    },
    /// The quick checks, without a cluster: format, lints, documentation, unit tests, and the tests of xtask.
    Check,
    /// Walks the README's tour on an ext4 image made for it, in a store of its own.
    Demo {
        /// Size of the image's file system in MiB.
        #[arg(long, default_value_t = 512)]
        mib: u64,
        /// Walk with the development build, as `cargo xtask test` does.
        #[arg(long)]
        dev: bool,
        /// Walk on a Ceph cluster, started for it.
        #[arg(long)]
        ceph: bool,
    },
    /// Measures Volary beside what a user would run instead.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Imports and exports a real file system in every form qemu-img can write, and compares. Takes long.
    Roundtrip {
        /// Size of the file system in GiB.
        #[arg(long, default_value_t = 10)]
        gib: u64,
    },
    /// Kills commands at any point of their work, and lets reapers race an importer, for long.
    Soak(soak::Soak),
    /// Runs the tests on Ceph with random pauses around the locks of Ceph's libraries and with freed memory filled, seed by seed.
    Shake(shake::Shake),
    /// Runs the tests on Ceph against each release of Ceph that Debian has, in roots made for that; needs root.
    Matrix(matrix::Matrix),
    /// What `matrix` runs inside such a root.
    #[command(hide = true)]
    Inside { plan: PathBuf },
    /// Runs the fuzz targets, each for a given time, and shows what they reached and found.
    Fuzz(fuzz::Fuzz),
    /// Builds the Python module's wheel, installs it into an environment of its own, and runs its tests on both engines.
    Wheel {
        /// Build it for release.
        #[arg(long)]
        release: bool,
        /// On a directory only, without a Ceph cluster.
        #[arg(long)]
        local: bool,
    },
    /// Builds the Debian package and the wheel, and installs, uses and removes them in a clean Debian root; needs root.
    Package {
        /// Leave the root in the target directory.
        #[arg(long)]
        keep: bool,
    },
    /// Compares the Python module's stand-in for Nova's RBD driver with Nova's own, from Debian's packages, on a cluster.
    Nova,
    /// A one-node Ceph cluster of Debian's packages, for tests and benchmarks.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Writes the declarations of the C functions that the crate `rbd` calls; needs bindgen and Ceph's headers.
    Bindings,
    /// Writes the files that the command itself describes: pages in docs/, types for Python.
    Generate,
}

#[derive(Subcommand)]
enum Cluster {
    /// Makes and starts the cluster, and prints what a shell needs to use it.
    Up(cluster::Up),
    /// Ends the cluster's processes and removes its directory.
    Down(cluster::Which),
    /// Prints what a shell needs to use the cluster.
    Env(cluster::Which),
    /// Fetches a qemu-img that reads and writes RBD, and prints where it is.
    Qemu,
    /// Ends the cluster when standard input ends: what `test` and `demo` start beside a cluster of theirs.
    #[command(hide = true)]
    Guard(cluster::Which),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Test { filter } => test::run(filter.as_deref()),
        Chore::Check => test::check(),
        Chore::Demo { mib, dev, ceph } => {
            let binary = if dev { tools::dev_binary() } else { tools::release_binary() };
            binary.and_then(
                |binary| if ceph { demo::run_on_ceph(&binary, mib) } else { demo::run(&binary, mib) },
            )
        }
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Cluster(Cluster::Up(options)) => cluster::up(&options),
        Chore::Cluster(Cluster::Down(which)) => cluster::down(&which),
        Chore::Cluster(Cluster::Env(which)) => cluster::environment(&which),
        Chore::Cluster(Cluster::Qemu) => qemu::with_rbd().map(|path| println!("{}", path.display())),
        Chore::Cluster(Cluster::Guard(which)) => cluster::watch(&which.dir),
        Chore::Roundtrip { gib } => roundtrip::run(gib),
        Chore::Soak(soak) => soak::run(&soak),
        Chore::Shake(shake) => shake::run(&shake),
        Chore::Matrix(matrix) => matrix::run(&matrix),
        Chore::Inside { plan } => matrix::run_inside(&plan),
        Chore::Fuzz(fuzz) => fuzz::run(&fuzz),
        Chore::Wheel { release, local } => wheel::test(release, local),
        Chore::Package { keep } => package::run_all(keep),
        Chore::Nova => nova::compare(),
        Chore::Bindings => bindings::generate(),
        Chore::Generate => generate::write(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
