//! `cargo xtask test`: everything CI checks, in the order in which failures are cheapest to learn.

use crate::cluster;
use crate::lanes::TestBinary;
use crate::soak::Handles;
use crate::tools::{self, Outcome, cargo, need, need_cargo};
use crate::{demo, generate, lanes, promtool, qemu};
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
    let tests = TestBinary::build()?;
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
    let environment =
        [(CONF, cluster.conf()), (FAULTS, faults.conf()), (QEMU_IMG, qemu), (PROMTOOL, promtool)];
    let seen = lanes::run(tests, &environment)?;
    cluster.check_empty()?;
    faults.check_empty()?;
    faults.down()?;
    cluster.down()?;
    seen.check()?;
    eprintln!("xtask: everything passed in {} s", begun.elapsed().as_secs());
    Ok(())
}
