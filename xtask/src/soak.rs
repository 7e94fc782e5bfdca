//! `cargo xtask soak`: the tests of kills and races, for as long as one likes.

use crate::cluster;
use crate::test::CONF;
use crate::tools::{self, Outcome, cargo};
use clap::Args;

/// How long, and where.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How many commands are killed, one at a time, at any point of their work
    #[arg(long, default_value_t = 300)]
    kills: u64,
    /// How many seconds two reapers and an importer that is killed again and again race each other
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Draws the points; the same seed draws the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// On the local engine instead of a Ceph cluster, started for it
    #[arg(long)]
    local: bool,
}

/// Runs them, one after the other.
pub(crate) fn run(soak: &Soak) -> Outcome {
    let binary = if soak.local { "local" } else { "ceph" };
    let mut command = cargo(&["test", "--package", "volary-cli", "--locked", "--test", binary]);
    if !soak.local {
        command.args(["--features", "ceph-tests"]);
    }
    command.args(["--", "--nocapture", "--test-threads=1", "both::kills", "both::race"]);
    for (variable, number) in [
        ("VOLARY_SOAK_KILLS", soak.kills),
        ("VOLARY_SOAK_SECONDS", soak.seconds),
        ("VOLARY_SOAK_SEED", soak.seed),
    ] {
        command.env(variable, number.to_string());
    }
    if soak.local {
        return tools::run(&mut command);
    }
    let cluster = cluster::for_tests()?;
    tools::run(command.env(CONF, cluster.conf()))?;
    cluster.down()
}
