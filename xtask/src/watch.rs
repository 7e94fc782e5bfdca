//! Runs tests into a log, and ends those that hang: what hangs without a word tells nobody which test it was.

use crate::tools::{self, Outcome};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long tests may print nothing until they count as hanging, unless their caller says otherwise.
///
/// The test harness names a test that has run for a minute, once; after that only its end makes it print.
pub(crate) const SILENCE: Duration = Duration::from_secs(900);

/// Runs a command into a log until it ends, and says how it failed.
///
/// One that prints nothing for the time of `silence` hangs: its processes and threads are described at the end of the log, and
/// ended.
pub(crate) fn watch(command: &mut Command, log: &Path, silence: Duration) -> Outcome<Option<String>> {
    let mut file = File::create(log)?;
    let mut child =
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?).spawn()?;
    let (mut printed, mut since) = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            let signal = status.signal().map(|number| format!("ended by signal {number}"));
            return Ok((!status.success()).then(|| signal.unwrap_or(status.to_string())));
        }
        let now_printed = file.metadata()?.len();
        if now_printed != printed {
            (printed, since) = (now_printed, Instant::now());
        }
        if since.elapsed() > silence {
            let hung = format!("hung: it printed nothing for {} s", silence.as_secs());
            let family = family(child.id());
            let seen: String = family.iter().map(|&pid| describe(pid)).collect();
            writeln!(
                file,
                "{hung}; its processes and their threads, each with its state and where it waits:\n{seen}"
            )?;
            // The tests first, so that they start nothing more; what is no longer there needs no signal.
            for pid in family {
                let _ = tools::output(Command::new("kill").args(["-KILL", &pid.to_string()]));
            }
            child.wait()?;
            return Ok(Some(hung));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process and all that descend from it, parents first.
fn family(of: u32) -> Vec<u32> {
    let mut family = vec![of];
    let mut looked_at = 0;
    while let Some(&pid) = family.get(looked_at) {
        for task in entries(&format!("/proc/{pid}/task")) {
            let children =
                fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
            family.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        looked_at += 1;
    }
    family
}

/// The command line of a process, and of each thread its name, its state and the function of the kernel that it waits in.
fn describe(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&words).replace('\0', " ");
    let mut text = format!("  process {pid}: {}\n", line.chars().take(300).collect::<String>());
    for task in entries(&format!("/proc/{pid}/task")) {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/task/{task}/{file}")).unwrap_or_default();
        let stat = read("stat");
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next().unwrap_or('?');
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {task} {}: {state} {}", read("comm").trim_end(), read("wchan"));
    }
    text
}

fn entries(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(script: &str, silence: Duration) -> (Option<String>, String) {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let ended = watch(Command::new("sh").args(["-c", script]), &log, silence).unwrap();
        (ended, fs::read_to_string(log).unwrap())
    }

    #[test]
    fn a_run_that_falls_silent_is_described_and_ended_with_all_that_it_started() {
        let (ended, log) = watched("echo begun; sleep 3600 & echo $!; wait", Duration::from_millis(500));
        assert!(ended.unwrap().starts_with("hung"));
        assert!(log.starts_with("begun\n") && log.contains("sleep 3600"), "{log}");
        let sleeper = log.lines().nth(1).unwrap();
        // A process that was killed takes a moment to go; one that was not sleeps for an hour.
        let state = || fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
        let (began, mut last) = (Instant::now(), state());
        while !last.is_empty() && !last.contains(") Z") && began.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
            last = state();
        }
        assert!(last.is_empty() || last.contains(") Z"), "{last}");
    }

    #[test]
    fn a_run_that_ends_is_told_by_how() {
        assert_eq!(watched("echo well", SILENCE), (None, "well\n".to_owned()));
        assert_eq!(watched("exit 3", SILENCE).0.unwrap(), "exit status: 3");
        assert_eq!(watched("kill -9 $$", SILENCE).0.unwrap(), "ended by signal 9");
    }
}
