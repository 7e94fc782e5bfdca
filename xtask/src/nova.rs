//! Volary in the place of Nova's RBD driver, beside Nova's own: Debian's `python3-nova` with all it needs, unpacked into the
//! target directory and not installed.

use crate::cluster;
use crate::test::CONF;
use crate::tools::{self, Outcome, need, output, program, run, target};
use crate::wheel;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian's Python, for which Ceph's and Nova's modules are built.
const PYTHON: &str = "/usr/bin/python3";

/// How many times faster the cheap calls are to be, those that Nova makes all the time, and the rest.
const AIMS: (f64, f64) = (15.0, 2.0);
const CHEAP: &[&str] = &["exists", "size", "get_fsid", "get_mon_addrs", "get_pool_info"];

/// Runs the tests that compare.
pub(crate) fn compare() -> Outcome {
    let cluster = cluster::for_tests()?;
    let mut tests = beside_nova(false)?;
    tests.args(["-m", "unittest", "--verbose", "--buffer"]);
    run(tests.env(CONF, cluster.conf()))?;
    cluster.down()
}

/// Measures the time per call of both, so many times each.
pub(crate) fn measure(turns: u16) -> Outcome {
    let mut bench = beside_nova(true)?;
    let cluster = cluster::for_benchmarks(None)?;
    bench.arg("bench.py").arg(turns.to_string()).env(CONF, cluster.conf());
    let found: Value = serde_json::from_str(&output(&mut bench)?)?;
    let rows = found["methods"].as_array().ok_or("the bench told no methods")?;
    println!("{:16} {:>10} {:>10} {:>8} {:>6}", "METHOD", "NOVA ms", "VOLARY ms", "FASTER", "AIM");
    for row in rows {
        let method = row["method"].as_str().unwrap_or_default();
        let aim = if CHEAP.contains(&method) { AIMS.0 } else { AIMS.1 };
        let figure = |key: &str| row[key].as_f64().unwrap_or_default();
        let (nova, volary, faster) = (figure("nova_ms"), figure("volary_ms"), figure("times_faster"));
        let missed = if faster < aim { "  MISSED" } else { "" };
        println!("{method:16} {nova:>10.2} {volary:>10.2} {faster:>8.1} {aim:>6}{missed}");
    }
    let seconds = |key: &str| found[key].as_f64().unwrap_or_default();
    let (alone, together) = (seconds("one_thread_s"), seconds("eight_threads_s"));
    let missed = if together > alone { "  MISSED" } else { "" };
    println!("the same calls by one thread {alone:.3} s, by eight {together:.3} s{missed}");
    for row in found["cleanups"].as_array().into_iter().flatten() {
        let work = row["work"].as_str().unwrap_or_default();
        let (nova, volary) =
            (row["nova_s"].as_f64().unwrap_or_default(), row["volary_s"].as_f64().unwrap_or_default());
        let most = if work.contains("snapshot") { 0.1 } else { 0.4 };
        let missed = if volary > most * nova { "  MISSED" } else { "" };
        let ratio = volary / nova;
        println!(
            "cleanup_volumes of {work}: Nova's {nova:.2} s, ours {volary:.2} s: {ratio:.3} (at most {most}){missed}"
        );
    }
    cluster.down()
}

/// Debian's Python, in the directory of the tests, with Nova, what it imports, and the wheel.
fn beside_nova(release: bool) -> Outcome<Command> {
    need(&[("rbd", "ceph-common")])?;
    let directory = target()?.join("nova");
    let nova = unpacked(&directory)?;
    let (pip, wheel) = wheel::built(release)?;
    let module = directory.join("volary");
    if module.is_dir() {
        fs::remove_dir_all(&module)?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
    run(Command::new(pip).args(install).arg(&module).arg(&wheel))?;
    let mut python = Command::new(PYTHON);
    python.current_dir(tools::root().join(wheel::CRATE).join("nova")).stdin(Stdio::null());
    python.args(["-W", "ignore"]).env("PYTHONPATH", std::env::join_paths([&nova, &module])?);
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
        python.env_remove(variable);
    }
    Ok(python)
}

/// The directory of Python modules with Nova and what it imports.
fn unpacked(directory: &Path) -> Outcome<PathBuf> {
    let root = directory.join("root");
    let modules = root.join("usr/lib/python3/dist-packages");
    if modules.join("nova").is_dir() {
        return Ok(modules);
    }
    let packages = directory.join("packages");
    fs::create_dir_all(&packages)?;
    let simulate = ["--simulate", "--no-install-recommends", "install", "python3-nova", "python3-rbd"];
    let plan = output(program("apt-get").args(simulate))?;
    let missing = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    // Daemons and libraries of theirs come along, but nothing that is imported here.
    let python = missing.filter(|name| name.starts_with("python"));
    run(program("apt-get").current_dir(&packages).args(["download", "-qq"]).args(python))?;
    for package in fs::read_dir(&packages)? {
        output(program("dpkg").arg("-x").arg(package?.path()).arg(&root))?;
    }
    Ok(modules)
}
