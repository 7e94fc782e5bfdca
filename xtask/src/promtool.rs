//! Prometheus's own checker of rules, unpacked beside the build, and what it says of deploy/.

use crate::qemu;
use crate::tools::{self, Outcome, find, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it is: the machine's, or fetched with apt-get. No server is installed or started.
pub(crate) fn place() -> Outcome<PathBuf> {
    if let Some(installed) = find("promtool") {
        return Ok(installed);
    }
    let (dir, unfinished) = (root().join("target/promtool"), root().join("target/promtool.unfinished"));
    let program = dir.join("usr/bin/promtool");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("fetching prometheus into {}", dir.display());
    for old in [&dir, &unfinished] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    fs::create_dir_all(&unfinished)?;
    let package = ["prometheus".to_owned()];
    if qemu::unpack(&unfinished, &package).is_err() {
        tools::run(Command::new("apt-get").args(["update", "-qq"]))?;
        qemu::unpack(&unfinished, &package)?;
    }
    // Under its name last: what is there is whole.
    fs::rename(unfinished, &dir)?;
    Ok(program)
}

/// Checks the alert rules and runs their tests.
pub(crate) fn check(promtool: &Path) -> Outcome {
    let rules = root().join("deploy/prometheus");
    tools::run(Command::new(promtool).current_dir(&rules).args(["check", "rules", "volary.rules.yml"]))?;
    tools::run(Command::new(promtool).current_dir(&rules).args(["test", "rules", "volary.rules.test.yml"]))
}
