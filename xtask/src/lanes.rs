//! The tests, in two lanes side by side: those on the cluster wait much, and the others compute meanwhile.
//!
//! What works on one cluster runs one binary after the other, as `cargo test` would have it.

use crate::guarantees::Seen;
use crate::test::FEATURES;
use crate::tools::{self, Outcome, cargo, target};
use crate::watch::{SILENCE, watch};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// The tests that need the cluster, all but those that have one of their own: crate and name.
const ON_THE_CLUSTER: &[(&str, &str)] =
    &[("volary-cli", "ceph"), ("volary", "ceph"), ("rbd", "cluster"), ("rbd", "leaks"), ("rbd", "handles")];

/// Tests that are one program without the harness, and so take no filter: crate and name.
const WITHOUT_HARNESS: &[(&str, &str)] = &[("rbd", "leaks"), ("rbd", "handles"), ("rbd", "environment")];

/// Which tests are run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    /// Every test.
    All,
    /// Those whose names contain this.
    Named(&'a str),
    /// Unit tests and those of xtask: they need no cluster.
    Quick,
}

impl Which<'_> {
    fn filter(&self) -> Option<&str> {
        match self {
            Which::Named(filter) => Some(filter),
            Which::All | Which::Quick => None,
        }
    }

    fn takes(&self, binary: &TestBinary) -> bool {
        match self {
            Which::All => true,
            // Without the harness a test is known by its binary's name.
            Which::Named(filter) => !binary.is_one_of(WITHOUT_HARNESS) || binary.test.contains(filter),
            Which::Quick => binary.is_of_units() || binary.crate_name == "xtask",
        }
    }
}

/// A test binary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TestBinary {
    pub(crate) crate_name: String,
    pub(crate) test: String,
    /// Where cargo would run it: the directory of its crate.
    directory: PathBuf,
    /// Its file, below that.
    source: PathBuf,
    path: PathBuf,
}

impl TestBinary {
    /// Builds all tests and the command that they run, once for everything that follows.
    pub(crate) fn build() -> Outcome<Vec<TestBinary>> {
        let mut build = cargo(&["test", "--workspace", "--locked", "--no-run"]);
        build.args(FEATURES).arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
        let built = tools::output(&mut build)?;
        let mut all = Vec::new();
        for message in built.lines() {
            let message: serde_json::Value = serde_json::from_str(message)?;
            let text = |pointer: &str| message.pointer(pointer).and_then(serde_json::Value::as_str);
            let (Some(path), Some(manifest), Some(test), Some(source)) =
                (text("/executable"), text("/manifest_path"), text("/target/name"), text("/target/src_path"))
            else {
                continue;
            };
            if message["profile"]["test"] == true {
                let directory = Path::new(manifest).parent().ok_or("a manifest without directory")?;
                all.push(TestBinary {
                    crate_name: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    test: test.to_owned(),
                    directory: directory.to_owned(),
                    source: Path::new(source).strip_prefix(directory)?.to_owned(),
                    path: path.into(),
                });
            }
        }
        Ok(all)
    }

    /// Builds all tests, and finds some by crate and name.
    pub(crate) fn find(wanted: &[(&str, &str)]) -> Outcome<Vec<TestBinary>> {
        let all = TestBinary::build()?;
        let find = |&(crate_name, test): &(&str, &str)| {
            let found = all.iter().find(|of| of.crate_name == crate_name && of.test == test);
            Ok(found.ok_or_else(|| format!("cargo built no test {test} of {crate_name}"))?.clone())
        };
        wanted.iter().map(find).collect()
    }

    /// Runs it where cargo would.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    fn is_one_of(&self, tests: &[(&str, &str)]) -> bool {
        tests.contains(&(self.crate_name.as_str(), self.test.as_str()))
    }

    fn is_of_units(&self) -> bool {
        self.source.starts_with("src")
    }

    /// As `cargo test` names it.
    fn heading(&self) -> String {
        let unit = if self.is_of_units() { "unittests " } else { "" };
        format!("     Running {unit}{} ({})", self.source.display(), self.path.display())
    }
}

struct Ended {
    heading: String,
    output: String,
    failed: bool,
}

fn run_one(
    binary: &TestBinary,
    filter: Option<&str>,
    logs: &Path,
    environment: &[(&str, PathBuf)],
) -> Outcome<Ended> {
    let log = logs.join(format!("{}-{}.log", binary.crate_name, binary.test));
    let mut command = binary.command();
    command.args(filter.filter(|_| !binary.is_one_of(WITHOUT_HARNESS)));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
        command.env_remove(variable);
    }
    let failed = watch(&mut command, &log, SILENCE)?.is_some();
    let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(Ended { heading: binary.heading(), output, failed })
}

/// Runs tests and shows what each binary prints when it ends; remembers which tests passed.
pub(crate) fn run(
    mut binaries: Vec<TestBinary>,
    which: Which<'_>,
    environment: &[(&str, PathBuf)],
) -> Outcome<Seen> {
    binaries.retain(|binary| which.takes(binary));
    let filter = which.filter();
    let logs = target()?.join("tests");
    fs::create_dir_all(&logs)?;
    eprintln!("xtask: what the tests print goes to {} meanwhile", logs.display());
    let lanes: (Vec<_>, Vec<_>) = binaries.into_iter().partition(|binary| binary.is_one_of(ON_THE_CLUSTER));
    let (mut seen, mut failed) = (Seen::default(), Vec::new());
    let mut show = |ended: Ended| {
        println!("{}\n{}", ended.heading, ended.output);
        seen.line(&ended.heading);
        ended.output.lines().for_each(|line| seen.line(line));
        failed.extend(ended.failed.then(|| ended.heading.trim().to_owned()));
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for lane in [lanes.0, lanes.1] {
            let (sender, logs) = (sender.clone(), &logs);
            scope.spawn(move || {
                for binary in &lane {
                    // An error as text, which may cross threads.
                    let ended = run_one(binary, filter, logs, environment).map_err(|error| error.to_string());
                    if sender.send(ended).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for ended in receiver {
            show(ended?);
        }
        Outcome::Ok(())
    })?;
    if !matches!(which, Which::Quick) {
        // Last, so that the closing lines of `cargo test` close the output.
        let mut docs = cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]);
        docs.args(FEATURES).args(filter.into_iter().flat_map(|filter| ["--", filter]));
        let docs = docs.stdout(Stdio::piped()).stderr(Stdio::inherit()).output()?;
        let heading = "   Doc-tests of the workspace".to_owned();
        let output = String::from_utf8_lossy(&docs.stdout).into_owned();
        show(Ended { heading, output, failed: !docs.status.success() });
    }
    if failed.is_empty() { Ok(seen) } else { Err(format!("failed:\n  {}", failed.join("\n  ")).into()) }
}
