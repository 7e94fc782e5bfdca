//! Programs the chores run: found, installed where that is possible, started, and their failure reported.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a chore: what went wrong is for people to read.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The workspace's directory.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// `cargo` in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(arguments).stdin(Stdio::null());
    command
}

/// Says what is run, runs it, and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let line = shown(command);
    eprintln!("$ {line}");
    let status = command.status().map_err(|error| format!("{line}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{line}: {status}").into()) }
}

/// Runs a command quietly and returns what it printed; its standard error is part of the failure.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let line = shown(command);
    let output = command.output().map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{line}: {}\n{}", output.status, said.trim_end()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Makes sure that programs of Debian packages are there: `(program, package)`.
///
/// Installs what lacks when run as root, and says so; otherwise names the packages.
pub(crate) fn need(programs: &[(&str, &str)]) -> Outcome {
    let mut packages: Vec<&str> =
        programs.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let wanted = packages.join(" ");
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        return Err(format!("missing programs; install them with: apt-get install {wanted}").into());
    }
    eprintln!("installing the packages {wanted}");
    run(Command::new("apt-get").args(["update", "-qq"]).stdin(Stdio::null()))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages);
    run(install.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))
}

/// Makes sure that a cargo subcommand is there; builds it from its locked release when it is not.
pub(crate) fn need_cargo(subcommand: &str) -> Outcome {
    let name = format!("cargo-{subcommand}");
    if find(&name).is_some() {
        return Ok(());
    }
    // Unoptimised it is there in a third of the time, and still done in seconds.
    eprintln!("installing {name}, an unoptimised build");
    run(&mut cargo(&["install", "--locked", "--debug", &name]))
}

/// Makes sure that a cargo subcommand is there in exactly this version; builds it from its locked release when it is not.
pub(crate) fn need_cargo_version(subcommand: &str, version: &str) -> Outcome {
    let name = format!("cargo-{subcommand}");
    let there =
        find(&name).and_then(|program| output(Command::new(program).args([subcommand, "--version"])).ok());
    if there.is_some_and(|text| text.split_whitespace().last() == Some(version)) {
        return Ok(());
    }
    let release = format!("{name}@{version}");
    eprintln!("installing {release}, an unoptimised build");
    run(&mut cargo(&["install", "--locked", "--debug", "--force", &release]))
}

/// Where a program is: on the path, in the directories of the system, or in cargo's.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map(|home| PathBuf::from(home).join("bin"));
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let all = env::split_paths(&path).chain(system).chain(cargo_home);
    all.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// A command for a program of the system, also when its directory is not on the path.
pub(crate) fn program(name: &str) -> Command {
    Command::new(find(name).unwrap_or_else(|| name.into()))
}

/// Builds the `volary` command for release and returns where it is.
pub(crate) fn release_binary() -> Outcome<PathBuf> {
    run(&mut cargo(&["build", "--release", "--locked", "--package", "volary-cli"]))?;
    Ok(target()?.join("release/volary"))
}

/// Builds the `volary` command for packages, with its debug symbols, and returns where it is.
pub(crate) fn dist_binary() -> Outcome<PathBuf> {
    run(&mut cargo(&["build", "--profile", "dist", "--locked", "--package", "volary-cli"]))?;
    Ok(target()?.join("dist/volary"))
}

/// Builds the `volary` command for development and returns where it is.
pub(crate) fn dev_binary() -> Outcome<PathBuf> {
    run(&mut cargo(&["build", "--locked", "--package", "volary-cli"]))?;
    built_binary()
}

/// Where the `volary` command is that was built for development last.
pub(crate) fn built_binary() -> Outcome<PathBuf> {
    Ok(target()?.join("debug/volary"))
}

/// The directory of everything that is built.
pub(crate) fn target() -> Outcome<PathBuf> {
    let text = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    Ok(metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?.into())
}
