//! What users install: the Debian package, its debug symbols and the wheel, built and tried in a Debian root that has nothing else.

use crate::tools::{self, Outcome, cargo, need, need_cargo, run};
use crate::wheel;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What lintian shall not tell: the project has no mail address, and no bug at Debian asks for the package.
const UNTOLD: &str = "bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs";

/// Where the clean root comes from; it is of the release of the machine that builds.
const MIRROR: &str = "http://deb.debian.org/debian";

/// Builds both, installs both in a clean root, and uses them there.
pub(crate) fn run_all(keep: bool) -> Outcome {
    need(&[
        ("debootstrap", "debootstrap"),
        ("dpkg-deb", "dpkg"),
        ("lintian", "lintian"),
        ("objcopy", "binutils"),
        ("readelf", "binutils"),
    ])?;
    let volary = tools::dist_binary()?;
    let package = debian_package(&volary)?;
    let symbols = Symbols::package(&volary, &package)?;
    let (_, wheel) = wheel::built(true)?;
    let root = CleanRoot::new(keep)?;
    try_package(&root, &package)?;
    try_symbols(&root, &symbols)?;
    try_wheel(&root, &wheel)?;
    try_removal(&root)?;
    println!("{}\n{}\n{}", package.display(), symbols.package.display(), wheel.display());
    Ok(())
}

/// The package, from the command and what that generates.
fn debian_package(volary: &Path) -> Outcome<PathBuf> {
    need_cargo("deb")?;
    // Where the manifest says that they are.
    let generated = tools::root().join("target/deb");
    if generated.is_dir() {
        fs::remove_dir_all(&generated)?;
    }
    let man = generated.join("man1");
    fs::create_dir_all(&man)?;
    run(Command::new(volary).arg("man").arg("--dir").arg(&man))?;
    for shell in ["bash", "zsh", "fish"] {
        let script = tools::output(Command::new(volary).args(["completions", shell]))?;
        fs::write(generated.join(shell), script)?;
    }
    let package = generated.join("volary.deb");
    // Without debug symbols, which are in a package of their own.
    let mut deb = cargo(&["deb", "--locked", "--no-build", "--profile", "dist", "--strip"]);
    run(deb.args(["--package", "volary-cli", "--output"]).arg(&package))?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error", "--suppress-tags", UNTOLD]);
    run(lintian.arg(&package))?;
    Ok(package)
}

/// The debug symbols, in a package beside the command's, as Debian has it: `volary-dbgsym`.
struct Symbols {
    package: PathBuf,
    /// Where debuggers look for them, by the command's build id.
    file: String,
}

impl Symbols {
    /// Makes the package of the symbols of `volary`, for exactly the version that `package` has.
    fn package(volary: &Path, package: &Path) -> Outcome<Symbols> {
        let id = build_id(volary)?;
        let (first, rest) = id.split_at_checked(2).ok_or("the build id is too short")?;
        let file = format!("usr/lib/debug/.build-id/{first}/{rest}.debug");
        let tree = package.with_file_name("dbgsym");
        let (place, control) = (tree.join(&file), tree.join("DEBIAN"));
        fs::create_dir_all(place.parent().ok_or("no directory for the symbols")?)?;
        fs::create_dir_all(&control)?;
        let mut copy = Command::new("objcopy");
        run(copy.args(["--only-keep-debug", "--compress-debug-sections"]).args([volary, &place]))?;
        let field =
            |name: &str| tools::output(Command::new("dpkg-deb").arg("--field").arg(package).arg(name));
        let (version, architecture) = (field("Version")?, field("Architecture")?);
        let (version, architecture, maintainer) = (version.trim(), architecture.trim(), field("Maintainer")?);
        fs::write(
            control.join("control"),
            format!(
                "Package: volary-dbgsym\nSource: volary\nVersion: {version}\nAuto-Built-Package: debug-symbols\n\
                 Architecture: {architecture}\nMaintainer: {}\nDepends: volary (= {version})\nSection: debug\n\
                 Priority: optional\nDescription: debug symbols for volary\nBuild-Ids: {id}\n",
                maintainer.trim()
            ),
        )?;
        let package = package.with_file_name("volary-dbgsym.deb");
        let mut build = Command::new("dpkg-deb");
        run(build.args(["--root-owner-group", "--build"]).args([&tree, &package]))?;
        Ok(Symbols { package, file })
    }
}

/// The id that the linker gave a program, by which its debug symbols are found.
fn build_id(program: &Path) -> Outcome<String> {
    let notes = tools::output(Command::new("readelf").arg("--notes").arg(program))?;
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    Ok(id.ok_or("the linker gave the command no build id")?.to_owned())
}

/// A Debian of its own, gone when this is dropped unless it is to be kept.
struct CleanRoot {
    directory: PathBuf,
    keep: bool,
}

impl CleanRoot {
    fn new(keep: bool) -> Outcome<CleanRoot> {
        let directory = tools::target()?.join("clean-root");
        let root = CleanRoot { directory, keep };
        root.remove()?;
        let codename =
            tools::output(Command::new("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]))?;
        let mut debootstrap = Command::new(tools::find("debootstrap").ok_or("debootstrap is missing")?);
        debootstrap.args(["--variant=minbase", "--include=adduser,python3,python3-venv", codename.trim()]);
        run(debootstrap.arg(&root.directory).arg(MIRROR).stdin(Stdio::null()))?;
        Ok(root)
    }

    fn put(&self, file: &Path) -> Outcome<String> {
        let name = file.file_name().ok_or("a file without a name")?.to_string_lossy().into_owned();
        fs::copy(file, self.directory.join("root").join(&name))?;
        Ok(format!("/root/{name}"))
    }

    /// Runs a script there, which fails with its first command.
    fn run(&self, script: &str) -> Outcome {
        // With a /proc of its own, that is gone with the script.
        let mut chroot = Command::new("unshare");
        chroot.args(["--mount", "--pid", "--fork", "--mount-proc", "--root"]).arg(&self.directory);
        chroot.args(["/bin/sh", "-euxc", script]).stdin(Stdio::null());
        chroot.env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
        ]);
        run(&mut chroot)
    }

    fn remove(&self) -> Outcome {
        if self.directory.is_dir() {
            fs::remove_dir_all(&self.directory)?;
        }
        Ok(())
    }
}

impl Drop for CleanRoot {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.remove()
        {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}

/// The main job on a local store, what belongs to the package in its places, and the hint where Ceph is not installed.
fn try_package(root: &CleanRoot, package: &Path) -> Outcome {
    let package = root.put(package)?;
    root.run(&format!("dpkg --install {package}"))?;
    root.run(
        "volary --version
        getent passwd volary
        test -s /usr/share/man/man1/volary.1.gz -a -s /usr/share/man/man1/volary-import.1.gz
        test -s /usr/share/bash-completion/completions/volary
        test -s /usr/lib/systemd/system/volary-agent.service -o -s /lib/systemd/system/volary-agent.service
        test -s /etc/volary/agent.env -a -s /usr/share/volary/prometheus/volary.rules.yml
        head --bytes 9000448 /dev/urandom >/root/disk.raw
        cd /root
        volary import disk.raw web --snapshot golden
        volary verify web@golden
        volary export web out.raw
        cmp disk.raw out.raw
        volary rm --purge-snapshots web
        code=0; volary --store ceph: doctor 2>said || code=$?
        cat said; test $code = 8; grep -q 'librados2' said",
    )
}

/// The symbols where debuggers look for them, and gone again.
fn try_symbols(root: &CleanRoot, symbols: &Symbols) -> Outcome {
    let package = root.put(&symbols.package)?;
    root.run(&format!("dpkg --install {package}; test -s /{}; dpkg --purge volary-dbgsym", symbols.file))
}

/// The module in an environment that can fetch nothing.
fn try_wheel(root: &CleanRoot, wheel: &Path) -> Outcome {
    let wheel = root.put(wheel)?;
    root.run(&format!(
        "python3 -m venv /root/env
        /root/env/bin/pip install --no-index {wheel}
        cd /root
        /root/env/bin/python -c '
import volary
store = volary.Store(\"local:/root/store\")
report = store.import_image(\"disk.raw\", \"web\", format=\"raw\")
assert report[\"verified\"] and store.verify(\"web\")[\"match\"]
store.export_image(\"web\", \"again.raw\")
assert store.remove(\"web\")[\"outcome\"] == \"removed\"
'
        cmp disk.raw again.raw"
    ))
}

/// Removed, the package leaves its configuration; purged, nothing but the user.
fn try_removal(root: &CleanRoot) -> Outcome {
    root.run(
        "dpkg --remove volary
        test ! -e /usr/bin/volary -a -e /etc/volary/agent.env
        dpkg --purge volary
        test ! -e /etc/volary",
    )
}
