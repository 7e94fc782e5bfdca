//! What runs inside the root of a release: clusters, and test binaries, one after the other.

use crate::cluster;
use crate::lanes::TestBinary;
use crate::soak::Handles;
use crate::test::{CONF, FAULTS, QEMU_IMG};
use crate::tools::{self, Outcome};
use crate::watch::{SILENCE, watch};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What is to be done inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Plan {
    /// The tests.
    Tests(Tests),
    /// The soak of handles.
    Handles(Handles),
}

/// Tests, and where what comes out of them goes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tests {
    pub(super) binaries: Vec<TestBinary>,
    /// The command.
    pub(super) volary: PathBuf,
    pub(super) filter: Vec<String>,
    /// What the tests print.
    pub(super) log: PathBuf,
    /// What comes out, as JSON.
    pub(super) figures: PathBuf,
}

/// What came out of the tests on one release.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) passed: usize,
    pub(super) ignored: usize,
    pub(super) failed: Vec<String>,
    pub(super) seconds: u64,
    /// The functions that Volary would use if the release had them.
    pub(super) lacks: String,
}

/// Carries out a plan.
pub(crate) fn run(plan: &Path) -> Outcome {
    match serde_json::from_slice(&fs::read(plan)?)? {
        Plan::Tests(tests) => run_tests(&tests),
        Plan::Handles(handles) => {
            let cluster = cluster::for_tests()?;
            handles.run(&cluster.conf())?;
            cluster.down()
        }
    }
}

fn run_tests(plan: &Tests) -> Outcome {
    let version = tools::output(tools::program("ceph").arg("--version"))?;
    let mut figures = Figures {
        version: version.split_whitespace().nth(2).unwrap_or_default().to_owned(),
        ..Figures::default()
    };
    let (tests, faults) = (cluster::for_tests()?, cluster::for_faults()?);
    figures.lacks = lacks(plan, &tests.conf())?;
    let begun = Instant::now();
    let mut log = File::create(&plan.log)?;
    for binary in &plan.binaries {
        let mut command = binary.command();
        command
            .args(&plan.filter)
            .env(CONF, tests.conf())
            .env(FAULTS, faults.conf())
            .env(QEMU_IMG, "/usr/bin/qemu-img");
        let name = format!("{}/{}", binary.crate_name, binary.test);
        run_one(&mut command, &name, plan, &mut log, &mut figures)?;
    }
    for cluster in [&tests, &faults] {
        if let Err(left) = cluster.check_empty() {
            figures.failed.push(left.to_string());
        }
    }
    figures.seconds = begun.elapsed().as_secs();
    fs::write(&plan.figures, serde_json::to_vec(&figures)?)?;
    faults.down()?;
    tests.down()
}

/// The functions that are missing, as `volary doctor` tells them.
fn lacks(plan: &Tests, conf: &Path) -> Outcome<String> {
    let mut doctor = Command::new(&plan.volary);
    // It warns of clusters such as this one; only what it says of the libraries matters here.
    let told =
        doctor.args(["-o", "json", "--store", &format!("ceph:{}", conf.display()), "doctor"]).output()?;
    let report: serde_json::Value = serde_json::from_slice(&told.stdout)?;
    let checks = report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let functions =
        checks.iter().find(|check| check["name"] == "functions").ok_or("doctor tells no functions")?;
    let detail = functions["detail"].as_str().unwrap_or_default();
    let missing =
        detail.strip_prefix("without ").and_then(|rest| rest.strip_suffix(", which Volary does without"));
    Ok(missing.unwrap_or("none").to_owned())
}

/// Runs one binary, and counts and logs what its tests print.
fn run_one(
    command: &mut Command,
    name: &str,
    plan: &Tests,
    log: &mut File,
    figures: &mut Figures,
) -> Outcome {
    let part = plan.log.with_extension("part");
    let failure = watch(command, &part, SILENCE)?;
    let printed = fs::read(&part)?;
    writeln!(log, "Running {name}")?;
    log.write_all(&printed)?;
    let (passed, failed) = (figures.passed, figures.failed.len());
    for line in String::from_utf8_lossy(&printed).lines() {
        let Some((test, how)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) else {
            continue;
        };
        match how {
            "ok" => figures.passed += 1,
            "FAILED" => figures.failed.push(format!("{name}: {test}")),
            _ if how.starts_with("ignored") => figures.ignored += 1,
            _ => {}
        }
    }
    if let Some(how) = failure.filter(|_| figures.failed.len() == failed) {
        figures.failed.push(format!("{name}: {how}"));
    }
    let (passed, failed) = (figures.passed - passed, figures.failed.len() - failed);
    eprintln!("{}: {name}: {passed} passed, {failed} failed", figures.version);
    Ok(())
}
