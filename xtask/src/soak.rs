//! `cargo xtask soak`: the tests of kills and races, and those of handles, for as long as one likes.

use crate::cluster;
use crate::lanes::TestBinary;
use crate::matrix::{self, Plan, Release};
use crate::shake::Shaker;
use crate::test::{CONF, FEATURES};
use crate::tools::{self, Outcome, cargo, root, target};
use crate::watch::watch;
use clap::Args;
use serde::{Deserialize, Serialize};
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
    /// On this release of Ceph, with its daemons and libraries in a root of its own, as `matrix` makes it; may be given more than once
    #[arg(long, value_enum, requires = "handles", conflicts_with = "conf")]
    release: Vec<Release>,
    /// Leave the roots in the target directory
    #[arg(long, requires = "release")]
    keep: bool,
}

/// How much longer than asked for it may last until it counts as hanging: calls that were begun end first.
const GRACE: Duration = Duration::from_secs(600);

/// Every how many locks of Ceph's libraries a thread pauses, and for how many microseconds at most.
const PAUSES: &str = "400:20000";

/// Many threads that open images and let go of them for so long, shaken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Handles {
    binary: TestBinary,
    shaker: Shaker,
    log: PathBuf,
    lasting: Duration,
    seed: u64,
}

impl Handles {
    /// Builds what it needs; what it prints goes to a file named for `of`.
    pub(crate) fn build(of: &str, lasting: Duration, seed: u64) -> Outcome<Handles> {
        let logs = target()?.join("shake").join(of);
        fs::create_dir_all(&logs)?;
        let shaker = Shaker::build(&logs)?;
        let [binary] = <[_; 1]>::try_from(TestBinary::find(&[("rbd", "handles")])?)
            .map_err(|_| "cargo built more than one test")?;
        Ok(Handles { binary, shaker, log: logs.join("handles.log"), lasting, seed })
    }

    /// Runs it; its last line says what it did.
    pub(crate) fn run(&self, conf: &Path) -> Outcome {
        let mut command = self.binary.command();
        command.env(CONF, conf).env("VOLARY_SOAK_SECONDS", self.lasting.as_secs().to_string());
        command.env("VOLARY_SOAK_SEED", self.seed.to_string());
        let pauses = format!("{PAUSES}:{}", self.seed);
        let ended = watch(self.shaker.shake(&mut command, &pauses), &self.log, self.lasting + GRACE)?;
        let said = fs::read_to_string(&self.log)?;
        if let Some(how) = ended {
            return Err(format!("handles: {how}\n{said}").into());
        }
        if self.shaker.processes()? == 0 {
            return Err("handles: nothing was shaken".into());
        }
        println!("{}", said.lines().last().unwrap_or_default());
        Ok(())
    }
}

fn soak_handles(soak: &Soak) -> Outcome {
    let lasting = Duration::from_secs(soak.minutes.saturating_mul(60));
    for release in &soak.release {
        let handles = Handles::build(&release.number().to_string(), lasting, soak.seed)?;
        println!("Ceph {}:", release.number());
        matrix::carry_out(*release, &Plan::Handles(handles), soak.keep)?;
    }
    if !soak.release.is_empty() {
        return Ok(());
    }
    let handles = Handles::build("here", lasting, soak.seed)?;
    if let Some(conf) = &soak.conf {
        return handles.run(&root().join(conf));
    }
    let cluster = cluster::for_tests()?;
    handles.run(&cluster.conf())?;
    cluster.down()
}

/// Runs them, one after the other.
pub(crate) fn run(soak: &Soak) -> Outcome {
    if soak.handles {
        return soak_handles(soak);
    }
    let binary = if soak.local { "local" } else { "ceph" };
    // Built as `cargo xtask test` builds it, so that nothing is compiled once more.
    let mut command = cargo(&["test", "--workspace", "--locked", "--test", binary]);
    command.args(FEATURES).args(["--", "--nocapture", "--test-threads=1", "both::kills", "both::race"]);
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
