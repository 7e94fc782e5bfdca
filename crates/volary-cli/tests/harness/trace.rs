//! What a command asks the kernel for, and what that answers, as strace tells it.

use super::{Bench, Ended, ended};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The calls that open files, start threads and confine.
pub const CALLS: &str = "?open,openat,openat2,clone,clone3,landlock_create_ruleset,landlock_restrict_self";

/// What a command did, call by call, as strace tells it.
pub struct Trace(pub Vec<(String, String)>);

impl Trace {
    fn read(path: &Path) -> Trace {
        let text = std::fs::read_to_string(path).unwrap();
        let split =
            |line: &str| line.split_once(' ').map(|(id, call)| (id.to_owned(), call.trim().to_owned()));
        Trace(text.lines().filter_map(split).collect())
    }

    /// Where a call of these words succeeded for the first time.
    pub fn find(&self, words: &[&str]) -> usize {
        let wanted = |call: &str| words.iter().all(|word| call.contains(word)) && !call.contains("= -1");
        let found = self.0.iter().position(|(_, call)| wanted(call));
        found.unwrap_or_else(|| panic!("{words:?}: {:#?}", self.0))
    }

    /// The files that were opened from a call on, by others than these threads.
    pub fn opened(&self, start: usize, spared: &[&str]) -> Vec<PathBuf> {
        let mut opened = Vec::new();
        for (at, (id, call)) in self.0.iter().enumerate().skip(start) {
            if !call.starts_with("open") || spared.contains(&id.as_str()) {
                continue;
            }
            let resumed = |(other, line): &&(String, String)| other == id && line.starts_with("<... open");
            let end = match call.ends_with("<unfinished ...>") {
                true => self.0[at..].iter().find(resumed).map_or("", |(_, line)| line),
                false => call,
            };
            if !end.contains("= -1") {
                // `openat2(7</srv/store>, "objects/01/…", …)`
                let below =
                    call.split(['<', '>']).nth(1).filter(|_| call.contains(">, \"")).unwrap_or_default();
                opened.push(Path::new(below).join(call.split('"').nth(1).unwrap()));
            }
        }
        opened
    }

    /// The threads that did something before a call, beside the first.
    pub fn threads_before(&self, call: usize) -> Vec<&str> {
        self.0[..call].iter().map(|(id, _)| id.as_str()).filter(|id| *id != self.0[0].0).collect()
    }
}

/// Runs the command below strace.
pub fn strace(bench: &Bench, options: &[&str], args: &[&str]) -> (Ended, Trace) {
    let file = bench.path("trace");
    let mut command = Command::new("strace");
    command
        .args(["-qq", "-y", "-s", "300", "-o"])
        .arg(&file)
        .args(options)
        .arg(env!("CARGO_BIN_EXE_volary"))
        .args(args);
    command.env_clear().env("VOLARY_STORE", &bench.url).env("TMPDIR", bench.path("")).stdin(Stdio::null());
    let output = command.output().expect("strace, which `cargo xtask test` installs");
    (ended(output), Trace::read(&file))
}
