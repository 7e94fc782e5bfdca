//! `cargo xtask fuzz`: one build of all targets, each run for so long, a table of what was reached, and what was found.

mod figures;
mod round;
mod targets;

use crate::tools::{self, Outcome, cargo, need, need_cargo_version, root};
use clap::Args;
use figures::Figures;
use round::Round;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use targets::Target;

/// How long, and what.
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// How many seconds each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this target; can be given several times
    #[arg(long)]
    target: Vec<String>,
    /// How many targets run side by side
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Keep the figures in docs/formats.md
    #[arg(long)]
    record: bool,
}

/// What builds the targets: libFuzzer's hooks and the address sanitizer are the compiler's, their flags are its.
const CARGO_FUZZ: &str = "0.13.2";

/// The page that has the figures.
const PAGE: &str = "docs/formats.md";

/// Builds, seeds and runs the targets, and tells what they reached; fails when one found something.
pub(crate) fn run(options: &Fuzz) -> Outcome {
    let targets = targets::choose(&options.target)?;
    seed(&targets)?;
    build()?;
    let rounds = rounds(&targets, options)?;
    print!("{}", figures::table(rounds.iter().map(|round| &round.figures)));
    if options.record {
        let page = root().join(PAGE);
        let figures: Vec<&Figures> = rounds.iter().map(|round| &round.figures).collect();
        fs::write(&page, figures::recorded(&fs::read_to_string(&page)?, &figures)?)?;
        eprintln!("wrote {PAGE}");
    }
    let found: Vec<String> = rounds.into_iter().filter_map(|round| round.finding).collect();
    if found.is_empty() { Ok(()) } else { Err(found.join("\nxtask: ").into()) }
}

/// Writes the seeds anew; those a target could not take whole would only be cut.
fn seed(targets: &[Target]) -> Outcome {
    let seeds = root().join("fuzz/seeds");
    if seeds.exists() {
        fs::remove_dir_all(&seeds)?;
    }
    let arguments =
        ["run", "--quiet", "--locked", "-p", "volary-testkit", "--example", "corpus", "--", "fuzz/seeds"];
    tools::run(&mut cargo(&arguments))?;
    for target in targets {
        let folder = seeds.join(&target.name);
        let files = fs::read_dir(&folder)
            .map_err(|_| format!("the example `corpus` has no seeds for {}", target.name))?;
        for file in files {
            let file = file?;
            if file.metadata()?.len() > target.longest {
                fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

/// Builds every target at once; with the compiler the project is built with, which is told to take unstable flags.
fn build() -> Outcome {
    need(&[("c++", "g++")])?;
    need_cargo_version("fuzz", CARGO_FUZZ)?;
    tools::run(cargo(&["fuzz", "build"]).env("RUSTC_BOOTSTRAP", "1"))
}

/// Runs the targets, some side by side, in the order of their names; the rounds come in that order too.
fn rounds(targets: &[Target], options: &Fuzz) -> Outcome<Vec<Round>> {
    let binaries = targets::binaries()?;
    let queue = Mutex::new(targets.iter().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    let each = Duration::from_secs(options.seconds.max(1));
    // A function of its own, so that nobody holds the queue while a target runs. What another thread left behind when it
    // panicked is whole all the same.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = |binaries: &Path| {
        while let Some(target) = next() {
            let round =
                round::run(binaries, target, each).map_err(|error| format!("{}: {error}", target.name));
            done.lock().unwrap_or_else(PoisonError::into_inner).push(round);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, targets.len()) {
            scope.spawn(|| work(&binaries));
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut rounds = done.into_iter().collect::<Result<Vec<_>, String>>()?;
    rounds.sort_by(|a, b| a.figures.target.cmp(&b.figures.target));
    Ok(rounds)
}
