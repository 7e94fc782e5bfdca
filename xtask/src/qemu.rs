//! A qemu-img that reads and writes RBD, unpacked beside the build: the machine's own stays as it is.

use crate::tools::{Outcome, output, program, root};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages; the module fits only the program of the very same version.
const PACKAGES: [&str; 2] = ["qemu-utils", "qemu-block-extra"];

/// Where it is once it has been fetched.
pub(crate) fn place() -> PathBuf {
    root().join("target/qemu-rbd/qemu-img")
}

/// Where it is; fetched with apt-get when it is not there yet.
pub(crate) fn with_rbd() -> Outcome<PathBuf> {
    let (start, dir) = (place(), root().join("target/qemu-rbd"));
    if start.is_file() {
        return Ok(start);
    }
    eprintln!("fetching {} into {}", PACKAGES.join(" and "), dir.display());
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let version = match offered()? {
        Some(version) => version,
        None => {
            crate::tools::run(Command::new("apt-get").args(["update", "-qq"]))?;
            offered()?.ok_or("no package source has qemu-block-extra")?
        }
    };
    unpack(&dir, &PACKAGES.map(|package| format!("{package}={version}")))?;
    let libraries = files(&dir.join("usr/lib"))?;
    let module = libraries.iter().map(|library| library.join("qemu/block-rbd.so")).find(|file| file.exists());
    let modules = module.as_deref().and_then(Path::parent).ok_or("the package has no block-rbd.so")?;
    let script = format!(
        "#!/bin/sh\nQEMU_MODULE_DIR='{}' exec '{}' \"$@\"\n",
        modules.display(),
        dir.join("usr/bin/qemu-img").display()
    );
    // Under its name last: what is there is whole.
    let unfinished = dir.join("unfinished");
    fs::write(&unfinished, script)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    fs::rename(unfinished, &start)?;
    Ok(start)
}

/// Fetches packages of the machine's sources, and unpacks them into a directory instead of installing them.
pub(crate) fn unpack(dir: &Path, packages: &[String]) -> Outcome {
    let mut download = Command::new("apt-get");
    // As this user: apt's own may not write here.
    download.current_dir(dir).args(["download", "-qq", "-o", "APT::Sandbox::User=root"]);
    output(download.args(packages))?;
    for file in files(dir)?.iter().filter(|file| file.extension().is_some_and(|end| end == "deb")) {
        output(program("dpkg-deb").arg("-x").arg(file).arg(dir))?;
        fs::remove_file(file)?;
    }
    Ok(())
}

/// The version that apt would install.
fn offered() -> Outcome<Option<String>> {
    let shown = output(Command::new("apt-cache").args(["policy", "qemu-block-extra"]))?;
    let version = shown.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(version.filter(|version| *version != "(none)").map(str::to_owned))
}

fn files(dir: &Path) -> Outcome<Vec<PathBuf>> {
    Ok(fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}
