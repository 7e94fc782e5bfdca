//! `cargo xtask test`: everything CI checks, in the order in which failures are cheapest to find; and `cargo xtask check`, the part
//! of it that needs no cluster and takes two minutes.

use crate::cluster;
use crate::lanes::{TestBinary, Which};
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

/// What is checked in the sources before any test is run.
const OF_THE_SOURCES: &[fn() -> Outcome] = &[format, lints, documentation];

fn format() -> Outcome {
    tools::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Outcome {
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    tools::run(clippy.args(FEATURES).args(["--", "-D", "warnings"]))
}

fn documentation() -> Outcome {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    tools::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

fn licences() -> Outcome {
    need_cargo("deny")?;
    tools::run(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]))
}

/// Checks the sources, and runs the unit tests and the tests of xtask.
pub(crate) fn check() -> Outcome {
    let begun = Instant::now();
    OF_THE_SOURCES.iter().try_for_each(|check| check())?;
    // Built as for all tests, so that nothing is built twice.
    lanes::run(TestBinary::build()?, Which::Quick, &[])?;
    eprintln!(
        "xtask: the quick checks passed in {} s; the rest is `cargo xtask test`",
        begun.elapsed().as_secs()
    );
    Ok(())
}

/// Runs every check, or only the tests whose names contain `filter`.
pub(crate) fn run(filter: Option<&str>) -> Outcome {
    let (begun, everything) = (Instant::now(), filter.is_none());
    need(PROGRAMS)?;
    if everything {
        OF_THE_SOURCES.iter().try_for_each(|check| check())?;
        licences()?;
    }
    let tests = TestBinary::build()?;
    let binary = tools::built_binary()?;
    let promtool = promtool::place()?;
    if everything {
        generate::check(&binary)?;
        promtool::check(&promtool)?;
        demo::run(&binary, 96)?;
    }
    let qemu = qemu::with_rbd()?;
    let cluster = cluster::for_tests()?;
    if everything {
        demo::on_cluster(&binary, 96, &cluster)?;
        Handles::build("here", Duration::from_secs(60), 1)?.run(&cluster.conf())?;
    }
    let faults = cluster::for_faults()?;
    let environment =
        [(CONF, cluster.conf()), (FAULTS, faults.conf()), (QEMU_IMG, qemu), (PROMTOOL, promtool)];
    let seen = lanes::run(tests, filter.map_or(Which::All, Which::Named), &environment)?;
    cluster.check_empty()?;
    faults.check_empty()?;
    faults.down()?;
    cluster.down()?;
    let seconds = begun.elapsed().as_secs();
    match filter {
        None => {
            seen.check()?;
            eprintln!("xtask: everything passed in {seconds} s");
            Ok(())
        }
        Some(filter) if seen.passed() == 0 => {
            Err(format!("no test has a name that contains {filter:?}").into())
        }
        Some(filter) => {
            let tests = seen.passed();
            eprintln!(
                "xtask: {tests} tests whose names contain {filter:?} passed in {seconds} s; only these ran, and the guarantees \
                 were not counted"
            );
            Ok(())
        }
    }
}
