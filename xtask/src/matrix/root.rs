//! Debian roots below the target directory, each with the Ceph of one release: its daemons, programs and libraries.

use crate::tools::{self, Outcome, need, run, target};
use clap::ValueEnum;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is installed beside a minimal Debian: a cluster, what tests run beside Volary, and what Python needs.
const PACKAGES: &str = "ceph-mon,ceph-osd,ceph-mgr,ceph-common,python3-rados,python3-rbd,qemu-utils,qemu-block-extra,\
                        e2fsprogs,diffutils,procps,strace,bzip2,lz4,xz-utils,zstd";

/// Where Debian is when the machine's own package sources name no mirror of it.
const MIRROR: &str = "http://deb.debian.org/debian";

/// A release of Ceph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Pacific, of Debian 12
    #[value(name = "16")]
    Pacific,
    /// Reef, of Debian 13
    #[value(name = "18")]
    Reef,
    /// Tentacle, of Debian's unstable distribution
    #[value(name = "20")]
    Tentacle,
}

impl Release {
    /// Its number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Release::Pacific => 16,
            Release::Reef => 18,
            Release::Tentacle => 20,
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Release::Pacific => "bookworm",
            Release::Reef => "trixie",
            Release::Tentacle => "sid",
        }
    }
}

/// A root, complete.
pub(crate) struct Root {
    directory: PathBuf,
}

impl Root {
    /// The root of a release: the one that is there, or a new one, which takes a minute or two.
    ///
    /// # Errors
    /// Whoever is not root may neither make nor enter one.
    pub(crate) fn of(release: Release) -> Outcome<Root> {
        if tools::output(Command::new("id").arg("-u"))?.trim() != "0" {
            return Err("a root of another Debian is made and entered by root alone: use sudo".into());
        }
        need(&[("debootstrap", "debootstrap"), ("unshare", "util-linux")])?;
        let directory = target()?.join(format!("ceph-{}", release.number()));
        if directory.is_dir() {
            return Ok(Root { directory });
        }
        // Under its name last: what is there is whole.
        let unfinished = Root { directory: directory.with_extension("unfinished") };
        unfinished.remove()?;
        unfinished.install(release)?;
        fs::rename(&unfinished.directory, &directory)?;
        Ok(Root { directory })
    }

    fn install(&self, release: Release) -> Outcome {
        let mirror = mirror()?;
        let mut debootstrap = tools::program("debootstrap");
        debootstrap.args(["--variant=minbase", release.suite()]).arg(&self.directory).arg(&mirror);
        run(debootstrap.stdin(Stdio::null()).stdout(Stdio::null()))?;
        // As on this machine: proxies, and whether an old index of packages will do.
        fs::write(self.directory.join("etc/apt/apt.conf.d/00machine"), acquire()?)?;
        // Not every release of debootstrap makes it.
        fs::write(self.directory.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
        // No package starts a service here.
        let policy = self.directory.join("usr/sbin/policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let packages = PACKAGES.replace(',', " ");
        let mut apt = self.command(Path::new("/bin/sh"), Path::new("/"))?;
        apt.args([
            "-ec",
            &format!(
                "apt-get update -qq; apt-get install -y -qq --no-install-recommends {packages}; apt-get clean"
            ),
        ]);
        apt.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        run(&mut apt)
    }

    /// A command that runs in this root, with processes of its own that end with it, and the workspace where it is outside.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Outcome<Command> {
        let mut mounts = String::from(
            "set -e; mount -t proc proc \"$0/proc\"; mount -t tmpfs tmp \"$0/tmp\"\n\
             for place in dev sys; do mount --rbind \"/$place\" \"$0/$place\"; done\n",
        );
        for place in [tools::root(), target()?] {
            mounts += &format!("mkdir -p \"$0{0}\"; mount --bind \"{0}\" \"$0{0}\"\n", place.display());
        }
        mounts += "exec chroot \"$0\" env --chdir=\"$@\"";
        let mut command = tools::program("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "/bin/sh",
            "-c",
            &mounts,
        ]);
        command.arg(&self.directory).arg(directory).arg(program).stdin(Stdio::null());
        command.env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
        ]);
        Ok(command)
    }

    /// Removes it.
    pub(crate) fn remove(&self) -> Outcome {
        if self.directory.is_dir() {
            fs::remove_dir_all(&self.directory)?;
        }
        Ok(())
    }
}

/// Where this machine gets Debian's packages from.
fn mirror() -> Outcome<String> {
    let sources = tools::output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let debian =
        sources.lines().map(|line| line.trim_end_matches('/')).find(|line| line.ends_with("/debian"));
    Ok(debian.unwrap_or(MIRROR).to_owned())
}

/// The machine's own way to fetch packages, in the words of apt's configuration.
fn acquire() -> Outcome<String> {
    let all =
        tools::output(Command::new("apt-config").args(["dump", "Acquire", "--format", "%f \"%v\";%n"]))?;
    let wanted = |line: &&str| line.to_ascii_lowercase().contains("proxy") || line.contains("::Check-");
    Ok(all
        .lines()
        .filter(wanted)
        .filter(|line| !line.ends_with(" \"\";"))
        .map(|line| format!("{line}\n"))
        .collect())
}
