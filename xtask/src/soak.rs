//! `cargo xtask soak`: the tests of kills and races, and those of handles, for as long as one likes.

use crate::cluster;
use crate::shake::{Shaker, TestBinary, watch};
use crate::test::CONF;
use crate::tools::{self, Outcome, cargo, root, target};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Instead: many threads open images of Ceph and let go of them in every way, beside a load on all cores, with random pauses
    /// around the locks of Ceph's libraries
    #[arg(long, conflicts_with_all = ["kills", "seconds", "local"])]
    handles: bool,
    /// For how many minutes they do
    #[arg(long, default_value_t = 1, requires = "handles")]
    minutes: u64,
    /// The configuration file of a cluster that runs, of any release, instead of one started for this
    #[arg(long, requires = "handles")]
    conf: Option<PathBuf>,
}

/// How much longer than asked for it may last until it counts as hanging: calls that were begun end first.
const GRACE: Duration = Duration::from_secs(600);

/// Every how many locks of Ceph's libraries a thread pauses, and for how many microseconds at most.
const PAUSES: &str = "400:20000";

/// Lets many threads open images and let go of them for so long, shaken; its last line says what it did.
pub(crate) fn handles(conf: &Path, lasting: Duration, seed: u64) -> Outcome {
    let logs = target()?.join("shake");
    fs::create_dir_all(&logs)?;
    let (shaker, log) = (Shaker::build(&logs)?, logs.join("handles.log"));
    for binary in TestBinary::build(&[("rbd", "handles")])? {
        let mut command = binary.command(conf);
        command.env("VOLARY_SOAK_SECONDS", lasting.as_secs().to_string());
        command.env("VOLARY_SOAK_SEED", seed.to_string());
        let ended = watch(shaker.shake(&mut command, &format!("{PAUSES}:{seed}")), &log, lasting + GRACE)?;
        let said = fs::read_to_string(&log)?;
        if let Some(how) = ended {
            return Err(format!("handles: {how}\n{said}").into());
        }
        if shaker.processes()? == 0 {
            return Err("handles: nothing was shaken".into());
        }
        println!("{}", said.lines().last().unwrap_or_default());
    }
    Ok(())
}

/// Runs them, one after the other.
pub(crate) fn run(soak: &Soak) -> Outcome {
    if soak.handles {
        let lasting = Duration::from_secs(soak.minutes.saturating_mul(60));
        if let Some(conf) = &soak.conf {
            return handles(&root().join(conf), lasting, soak.seed);
        }
        let cluster = cluster::for_tests()?;
        handles(&cluster.conf(), lasting, soak.seed)?;
        return cluster.down();
    }
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
