//! `cargo xtask test`: everything CI checks, in the order in which failures are cheapest to learn.

use crate::cluster::{self, Running};
use crate::guarantees::Seen;
use crate::soak::Handles;
use crate::tools::{self, Outcome, cargo, need, need_cargo};
use crate::{demo, generate, promtool, qemu};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What the tests and the tour run beside Volary.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("qemu-img", "qemu-utils"),
    ("mke2fs", "e2fsprogs"),
    ("cmp", "diffutils"),
    ("cc", "gcc"),
    ("strace", "strace"),
];

/// Names the configuration file of the cluster to the tests that need one.
pub(crate) const CONF: &str = "VOLARY_TEST_CEPH_CONF";

/// Names that of a second cluster, whose daemons tests freeze.
pub(crate) const FAULTS: &str = "VOLARY_TEST_CEPH_FAULTS";

/// Names a qemu-img that reads and writes RBD to the same tests.
pub(crate) const QEMU_IMG: &str = "VOLARY_TEST_QEMU_IMG";

/// Names the program that evaluates alert rules to the tests of the agent.
const PROMTOOL: &str = "VOLARY_TEST_PROMTOOL";

/// Builds the tests that need a cluster or promtool too.
pub(crate) const FEATURES: &[&str] =
    &["--features", "rbd/ceph-tests,volary/ceph-tests,volary-cli/ceph-tests,volary-agent/promtool-tests"];

/// Runs every check.
pub(crate) fn run() -> Outcome {
    let begun = Instant::now();
    need(PROGRAMS)?;
    tools::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    tools::run(clippy.args(FEATURES).args(["--", "-D", "warnings"]))?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    tools::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    need_cargo("deny")?;
    tools::run(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]))?;
    // One build for all that follows: with the tests, cargo builds the command that they run.
    tools::run(cargo(&["test", "--workspace", "--locked", "--no-run"]).args(FEATURES))?;
    let binary = tools::built_binary()?;
    generate::check(&binary)?;
    let promtool = promtool::place()?;
    promtool::check(&promtool)?;
    demo::run(&binary, 96)?;
    let qemu = qemu::with_rbd()?;
    let cluster = cluster::for_tests()?;
    demo::on_cluster(&binary, 96, &cluster)?;
    Handles::build("here", Duration::from_secs(60), 1)?.run(&cluster.conf())?;
    let faults = cluster::for_faults()?;
    // Last, so that the closing lines of `cargo test` close the output.
    let seen = cargo_test(&cluster, &faults, &[(QEMU_IMG, &qemu), (PROMTOOL, &promtool)])?;
    cluster.check_empty()?;
    faults.check_empty()?;
    faults.down()?;
    cluster.down()?;
    seen.check()?;
    eprintln!("xtask: everything passed in {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Runs all tests, passes on what they print as it comes, and remembers which ones passed.
fn cargo_test(cluster: &Running, faults: &Running, programs: &[(&str, &Path)]) -> Outcome<Seen> {
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command
        .args(FEATURES)
        .env(CONF, cluster.conf())
        .env(FAULTS, faults.conf())
        .envs(programs.iter().copied());
    for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
        command.env_remove(variable);
    }
    eprintln!("$ {}", tools::shown(&command));
    // One pipe for both streams: cargo names the test binary on the one, the binary its tests on the other.
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command);
    let mut seen = Seen::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        seen.line(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if status.success() { Ok(seen) } else { Err(format!("cargo test: {status}").into()) }
}
