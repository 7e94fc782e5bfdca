//! One target's round: libFuzzer's process, what it says, and what it found.

use super::figures::Figures;
use super::targets::Target;
use crate::tools::{Outcome, root};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) figures: Figures,
    /// What to do about what was found.
    pub(crate) finding: Option<String>,
}

/// The most seconds, MiB in all, and MiB at once that one input may take. A reader's work follows the file's length, and those are
/// short; the sanitizer's own memory counts too.
const LIMITS: [&str; 3] = ["-timeout=1", "-rss_limit_mb=256", "-malloc_limit_mb=64"];

/// How often a round goes on after an input that was slow once: others may have had the processor.
const SLOW_ONCE: usize = 3;

/// Runs a target for so long, or until it finds something.
pub(crate) fn run(binaries: &Path, target: &Target, time: Duration) -> Outcome<Round> {
    let fuzz = root().join("fuzz");
    let (corpus, artifacts) =
        (fuzz.join("corpus").join(&target.name), fuzz.join("artifacts").join(&target.name));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    let log = binaries.join(format!("{}.log", target.name));
    let begun = Instant::now();
    let mut figures = Figures::of(&target.name);
    let mut slow = 0;
    loop {
        let left = time.saturating_sub(begun.elapsed()).as_secs_f64().ceil().max(1.0);
        eprintln!("fuzzing {} for {left} s, log in {}", target.name, log.display());
        let mut command = libfuzzer(binaries, target);
        command
            .arg(format!("-max_total_time={left}"))
            .arg(format!("-max_len={}", target.longest))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(&corpus)
            .arg(fuzz.join("seeds").join(&target.name));
        let status = logged(&mut command, &log)?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        figures.add(&said);
        figures.seconds = begun.elapsed().as_secs();
        if status.success() {
            return Ok(Round { figures, finding: None });
        }
        let Some(artifact) = written(&said) else {
            return Err(format!("libFuzzer ended with {status} and no input; see {}", log.display()).into());
        };
        let once = is_timeout(&artifact) && slow < SLOW_ONCE && is_quick(binaries, target, &artifact)?;
        if !once {
            figures.findings = 1;
            let finding = advice(&target.name, &artifact, &said);
            return Ok(Round { figures, finding: Some(finding) });
        }
        slow += 1;
        fs::remove_file(artifact)?;
        if begun.elapsed() >= time {
            return Ok(Round { figures, finding: None });
        }
    }
}

fn libfuzzer(binaries: &Path, target: &Target) -> Command {
    let mut command = Command::new(binaries.join(&target.name));
    // Freed memory is kept from reuse to see its use; a quarter of a GiB of it, the default, is all that a target may have.
    command
        .env("ASAN_OPTIONS", "quarantine_size_mb=16:detect_odr_violation=0")
        .args(LIMITS)
        .stdin(Stdio::null());
    command
}

fn logged(command: &mut Command, log: &Path) -> Outcome<ExitStatus> {
    let log = File::create(log)?;
    Ok(command
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .map_err(|error| format!("{command:?}: {error}"))?)
}

/// Whether an input that took too long does not when it runs alone.
fn is_quick(binaries: &Path, target: &Target, artifact: &Path) -> Outcome<bool> {
    let mut command = libfuzzer(binaries, target);
    Ok(command.arg(artifact).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

fn is_timeout(artifact: &Path) -> bool {
    artifact.file_name().is_some_and(|name| name.to_string_lossy().starts_with("timeout-"))
}

/// The file that libFuzzer says it wrote the input to.
fn written(said: &str) -> Option<PathBuf> {
    said.lines()
        .find_map(|line| line.split_once("Test unit written to "))
        .map(|(_, path)| PathBuf::from(path.trim()))
}

/// What was found, and how it becomes a test.
fn advice(target: &str, artifact: &Path, said: &str) -> String {
    // A panic's words, or the sanitizer's; behind them only the way to where they were said.
    let first = said.lines().skip_while(|line| !line.contains(" panicked at ") && !line.contains("ERROR: "));
    let words = first.take(12).collect::<Vec<_>>().join("\n");
    let file = artifact.strip_prefix(root()).unwrap_or(artifact).display();
    format!(
        "the target {target} failed on {file}\n{words}\n\
         again:  RUSTC_BOOTSTRAP=1 cargo fuzz run {target} {file}\n\
         smaller: RUSTC_BOOTSTRAP=1 cargo fuzz tmin {target} {file}\n\
         then make it a test with the fix, as fuzz/README.md says"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_input_is_found_and_named() {
        let said = "==7== ERROR: libFuzzer: deadly signal\nartifact_prefix='/x/'; Test unit written to /x/crash-01ab\nBase64: AA==\n";
        let artifact = written(said).unwrap();
        assert_eq!(artifact, Path::new("/x/crash-01ab"));
        assert!(!is_timeout(&artifact) && is_timeout(Path::new("/x/timeout-01ab")));
        let advice = advice("vdi", &artifact, said);
        assert!(
            advice.contains("cargo fuzz run vdi /x/crash-01ab") && advice.contains("deadly signal"),
            "{advice}"
        );
        assert_eq!(written("#2 DONE\n"), None);
    }
}
