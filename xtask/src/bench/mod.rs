//! Volary beside what a user would run instead: one harness, a room for each engine.

mod ceph;
mod content;
mod listing;
mod local;
mod measure;

use crate::tools::Outcome;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The local engine beside `qemu-img convert -O raw` and `sync`.
    Local(Options),
    /// The Ceph engine beside `qemu-img convert -W -m 16` and `rbd`, on a cluster started for it.
    Ceph {
        #[command(flatten)]
        options: Options,
        /// Use a cluster that runs, by its configuration file, instead of starting one.
        #[arg(long)]
        conf: Option<PathBuf>,
        /// Delay every message of every client, such as 5ms.
        #[arg(long, value_name = "DURATION", conflicts_with = "conf")]
        latency: Option<String>,
    },
    /// Calls of the Python module's stand-in for Nova's RBD driver beside Nova's own, on a cluster started for it.
    Nova {
        /// Calls of each.
        #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..))]
        turns: u16,
    },
}

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Pairs of runs per kind of work.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Virtual size of the image in GiB.
    #[arg(long, default_value_t = 10)]
    gib: u64,
    /// Data in the image in MiB.
    #[arg(long, default_value_t = 350)]
    data_mib: u64,
    /// Only work whose name contains this, without the memory of large volumes.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Also writes docs/benchmarks/DATE-ENGINE.md.
    #[arg(long)]
    record: bool,
}

impl Options {
    /// The image that is measured, beside every ratio.
    fn data(&self) -> String {
        format!("{} MiB of {} GiB", self.data_mib, self.gib)
    }
}

/// Measures; fails when a figure is over its limit.
pub(crate) fn run(bench: &Bench) -> Outcome {
    match bench {
        Bench::Local(options) => local::run(options),
        Bench::Nova { turns } => crate::nova::measure(*turns),
        Bench::Ceph { options, conf, latency } => ceph::run(options, conf.as_deref(), latency.as_deref()),
    }
}
