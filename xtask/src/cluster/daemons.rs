//! The cluster's processes: started one after another, known by their process ids, ended by them alone.

use super::ceph;
use super::config::{Cluster, conf};
use crate::tools::{self, Outcome};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Starting takes about seven seconds on two cores; a loaded machine needs more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts the daemons, waits until the OSDs are up, and makes the pool `rbd`.
pub(super) fn start(cluster: &Cluster) -> Outcome {
    let dir = &cluster.dir;
    let mut mkfs = tools::program("ceph-mon");
    mkfs.arg("--conf").arg(conf(dir)).args(["--mkfs", "-i", "a", "--monmap"]).arg(dir.join("monmap"));
    tools::output(mkfs.arg("--keyring").arg(dir.join("keyring")))?;
    spawn(dir, "ceph-mon", "a")?;
    until("the monitor answers", || Ok(tools::output(&mut ceph(dir, &["fsid"])).is_ok()))?;

    fs::create_dir_all(dir.join("mgr/x"))?;
    tools::output(ceph(dir, &["auth", "import", "-i"]).arg(dir.join("keyring")))?;
    spawn(dir, "ceph-mgr", "x")?;
    for osd in 0..cluster.osds {
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        let id = osd.to_string();
        tools::output(&mut ceph(dir, &["osd", "new", &uuid, &id]))?;
        fs::create_dir_all(dir.join("osd").join(&id))?;
        let mut mkfs = tools::program("ceph-osd");
        mkfs.arg("--conf").arg(conf(dir)).args(["--mkfs", "-i", &id, "--osd-uuid", &uuid]);
        tools::output(&mut mkfs)?;
        spawn(dir, "ceph-osd", &id)?;
    }
    let wanted = format!("\"num_up_osds\":{}", cluster.osds);
    until("the OSDs are up", || {
        let stat = tools::output(&mut ceph(dir, &["osd", "stat", "--format", "json"]))?;
        Ok(stat.replace(' ', "").contains(&wanted))
    })?;
    tools::output(&mut ceph(dir, &["osd", "pool", "create", "rbd", "8"]))?;
    tools::output(&mut ceph(dir, &["osd", "pool", "application", "enable", "rbd", "rbd"]))?;
    let mut init = tools::program("rbd");
    tools::output(init.env_remove("CEPH_ARGS").arg("--conf").arg(conf(dir)).args(["pool", "init", "rbd"]))?;
    if !cluster.bluestore {
        ballast(dir)?;
    }
    until("the manager tells the pool's figures", || {
        Ok(tools::output(&mut ceph(dir, &["df", "--format", "json"]))?.contains("\"name\":\"rbd\""))
    })
}

/// The namespace of an object that stays.
pub(super) const BALLAST: &str = "ballast";

/// A memstore's threads count its bytes without a lock: an empty one soon counts fewer than none, takes itself for full, and
/// no write is answered any more. An object that stays keeps the count above that.
fn ballast(dir: &Path) -> Outcome {
    for step in [&["create", "ballast"][..], &["truncate", "ballast", "100000000"]] {
        let mut rados = tools::program("rados");
        rados.env_remove("CEPH_ARGS").arg("--conf").arg(conf(dir)).args(["-p", "rbd", "-N", BALLAST]);
        tools::output(rados.args(step))?;
    }
    Ok(())
}

/// Starts a daemon in the foreground mode of its own and leaves its process id in `run/`.
fn spawn(dir: &Path, program: &str, id: &str) -> Outcome {
    let log = File::create(dir.join("log").join(format!("{program}.{id}.out")))?;
    let mut command = tools::program(program);
    command.env_remove("CEPH_ARGS").arg("-f").arg("--conf").arg(conf(dir)).args(["-i", id]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A group of its own: Ctrl-C at the terminal ends the chore, not the cluster.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    fs::write(dir.join("run").join(format!("{program}.{id}.daemon")), child.id().to_string())?;
    Ok(())
}

/// Whether any of the cluster's processes is there.
pub(super) fn running(dir: &Path) -> bool {
    !own(dir).is_empty()
}

/// Ends the cluster's processes: asked first, then killed.
pub(super) fn stop(dir: &Path) -> Outcome {
    for signal in ["-TERM", "-KILL"] {
        for pid in own(dir) {
            let _ = tools::output(Command::new("kill").args([signal, &pid]));
        }
        let end = Instant::now() + Duration::from_secs(10);
        while running(dir) && Instant::now() < end {
            sleep(Duration::from_millis(50));
        }
    }
    if running(dir) { Err("a process of the cluster does not end".into()) } else { Ok(()) }
}

/// The ids of processes that were started here and still are what they were: a number alone may be another's by now.
fn own(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.join("run")) else { return Vec::new() };
    let conf = conf(dir).display().to_string();
    let daemon = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        path.extension().filter(|extension| *extension == "daemon")?;
        let pid = fs::read_to_string(path).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(&conf).then_some(pid)
    };
    entries.filter_map(daemon).collect()
}

fn until(what: &str, mut reached: impl FnMut() -> Outcome<bool>) -> Outcome {
    let end = Instant::now() + PATIENCE;
    while !reached()? {
        if Instant::now() > end {
            return Err(format!("waited in vain until {what}; its logs are in the cluster's log/").into());
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}
