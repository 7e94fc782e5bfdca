//! The Python module as users get it: a wheel, installed into an environment of its own in the target directory.

use crate::cluster;
use crate::test::CONF;
use crate::tools::{self, Outcome, run, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The crate, below the workspace.
pub(crate) const CRATE: &str = "crates/volary-python";

/// Builds, installs and tests the wheel.
pub(crate) fn test(release: bool, local: bool) -> Outcome {
    let (python, wheel) = built(release)?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"];
    run(Command::new(&python).args(pip).arg(&wheel))?;
    let module = tools::root().join(CRATE);
    // What the types say and what the module has.
    run(Command::new(&python).current_dir(target()?).args(["-m", "mypy.stubtest", "volary._volary"]))?;
    let typed = module.join("tests/typed.py");
    run(Command::new(&python).current_dir(target()?).args(["-m", "mypy", "--strict"]).arg(typed))?;
    unittest(&python, &module, None)?;
    if !local {
        let cluster = cluster::for_tests()?;
        unittest(&python, &module, Some(&cluster.conf()))?;
        cluster.down()?;
    }
    println!("{}", wheel.display());
    Ok(())
}

/// Builds the wheel; returns a Python that can install it, and where it is.
pub(crate) fn built(release: bool) -> Outcome<(PathBuf, PathBuf)> {
    let python = environment()?;
    let wheel = build(&python, release)?;
    Ok((python, wheel))
}

/// An environment with what builds and checks the wheel; returns its Python.
fn environment() -> Outcome<PathBuf> {
    let directory = target()?.join("python");
    let python = directory.join("bin/python");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "maturin>=1.9,<2", "mypy>=1.15,<3"]))?;
    Ok(python)
}

fn build(python: &Path, release: bool) -> Outcome<PathBuf> {
    let wheels = target()?.join("wheels");
    if wheels.is_dir() {
        fs::remove_dir_all(&wheels)?;
    }
    let mut build = Command::new(python);
    build.args(["-m", "maturin", "build", "--locked", "--manifest-path"]);
    build.arg(tools::root().join(CRATE).join("Cargo.toml")).arg("--out").arg(&wheels);
    run(if release { build.arg("--release") } else { &mut build })?;
    let built = fs::read_dir(&wheels)?.next().ok_or("maturin built no wheel")??;
    Ok(built.path())
}

fn unittest(python: &Path, module: &Path, conf: Option<&Path>) -> Outcome {
    let mut tests = Command::new(python);
    tests.current_dir(module.join("tests")).args(["-m", "unittest", "--verbose"]).stdin(Stdio::null());
    tests.env("PYTHONDONTWRITEBYTECODE", "1").env_remove(CONF);
    for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
        tests.env_remove(variable);
    }
    if let Some(conf) = conf {
        tests.env(CONF, conf);
    }
    run(&mut tests)
}
