//! `cargo xtask shake`: tests on Ceph with random pauses around the locks of Ceph's libraries, and freed memory filled.

use crate::cluster;
use crate::lanes::TestBinary;
use crate::test::CONF;
use crate::tools::{self, Outcome, cargo, root, target};
use crate::watch::watch;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Which tests, how often, and how hard.
#[derive(Debug, Args)]
pub(crate) struct Shake {
    /// How many times, each with another seed
    #[arg(long, default_value_t = 10)]
    seeds: u32,
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 1)]
    first: u32,
    /// Every how many locks of Ceph's libraries a thread pauses on average
    #[arg(long, default_value_t = 400)]
    one_in: u32,
    /// For how many microseconds it pauses at most
    #[arg(long, default_value_t = 20_000)]
    microseconds: u32,
    /// How many seconds a run may print nothing until it counts as hanging
    #[arg(long, default_value_t = 900)]
    silent_seconds: u64,
    /// The configuration file of a cluster that runs, of any release, instead of one started for this
    #[arg(long)]
    conf: Option<PathBuf>,
    /// Tests whose names contain one of these; otherwise all of the store and of the crate `rbd`
    names: Vec<String>,
}

/// What a test binary is run with, to be shaken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shaker {
    library: PathBuf,
    programs: PathBuf,
    told: PathBuf,
}

impl Shaker {
    /// Builds it; what it tells goes to a file in `directory`.
    pub(crate) fn build(directory: &Path) -> Outcome<Shaker> {
        tools::run(&mut cargo(&["build", "--locked", "--package", "volary-shaker"]))?;
        let programs = target()?;
        let told = directory.join("told");
        fs::write(&told, "")?;
        Ok(Shaker { library: programs.join("debug/libvolary_shaker.so"), programs, told })
    }

    /// Has a command shaken, and what it starts of ours too: `pauses` is `ONE_IN:MICROSECONDS:SEED`.
    pub(crate) fn shake<'a>(&self, command: &'a mut Command, pauses: &str) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("VOLARY_SHAKE", pauses)
            .env("VOLARY_SHAKE_PROGRAMS", &self.programs)
            .env("VOLARY_SHAKE_TOLD", &self.told)
            // What is used after it was freed then holds neither zeros nor what was there.
            .env("MALLOC_PERTURB_", "165")
    }

    /// How many processes have paused at least once.
    pub(crate) fn processes(&self) -> Outcome<usize> {
        Ok(fs::read_to_string(&self.told)?.lines().count())
    }
}

/// Runs them; fails when one run does.
pub(crate) fn run(shake: &Shake) -> Outcome {
    let Some(conf) = &shake.conf else {
        let cluster = cluster::for_tests()?;
        run_on(shake, &cluster.conf())?;
        return cluster.down();
    };
    run_on(shake, &root().join(conf))
}

fn run_on(shake: &Shake, conf: &Path) -> Outcome {
    let logs = target()?.join("shake");
    fs::create_dir_all(&logs)?;
    let shaker = Shaker::build(&logs)?;
    let binaries = TestBinary::find(&[("rbd", "cluster"), ("volary", "ceph")])?;
    let mut failed = 0;
    for seed in shake.first..shake.first.saturating_add(shake.seeds) {
        for binary in &binaries {
            let name = &binary.crate_name;
            let log = logs.join(format!("{name}-{seed}.log"));
            let mut command = binary.command();
            command.env(CONF, conf).args(&shake.names);
            shaker.shake(&mut command, &format!("{}:{}:{seed}", shake.one_in, shake.microseconds));
            let begun = Instant::now();
            let ended = watch(&mut command, &log, Duration::from_secs(shake.silent_seconds))?;
            let text = fs::read_to_string(&log)?;
            let seconds = begun.elapsed().as_secs();
            if let Some(how) = ended {
                failed += 1;
                println!("seed {seed}: {name}: {how} after {seconds} s; {}", log.display());
                let lines: Vec<&str> = text.lines().collect();
                println!("    {}", lines[lines.len().saturating_sub(12)..].join("\n    "));
            } else {
                let result = text.lines().rfind(|line| line.starts_with("test result:")).unwrap_or_default();
                println!("seed {seed}: {name}: {result}");
            }
        }
    }
    println!("shaken {} times with {} seeds, {failed} failed", shaker.processes()?, shake.seeds);
    if failed > 0 {
        return Err(format!("{failed} runs failed").into());
    }
    if shaker.processes()? == 0 { Err("nothing was shaken".into()) } else { Ok(()) }
}
