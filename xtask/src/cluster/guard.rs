//! A cluster that ends with whoever asked for it, however that ends: a guard of its own watches over it.

use super::{ObjectStore, Up, absolute, config, up};
use crate::tools::Outcome;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A cluster that runs until this is ended or dropped, or its process dies.
pub(crate) struct Running {
    dir: PathBuf,
    guard: Child,
}

/// Starts a cluster for tests in a directory of its own.
pub(crate) fn for_tests() -> Outcome<Running> {
    start("tests", ObjectStore::Memstore, false, None)
}

/// Starts one whose daemons tests may freeze, on files: what it has acknowledged is there whatever happens to the daemon.
pub(crate) fn for_faults() -> Outcome<Running> {
    start("faults", ObjectStore::Bluestore, false, None)
}

/// Starts one with Ceph's own timings, and every message of its clients delayed.
pub(crate) fn for_benchmarks(latency: Option<&str>) -> Outcome<Running> {
    start("bench", ObjectStore::Memstore, true, latency.map(str::to_owned))
}

fn start(name: &str, objectstore: ObjectStore, stock: bool, latency: Option<String>) -> Outcome<Running> {
    // Short: the names of the daemons' sockets may have 107 bytes.
    let dir = std::env::temp_dir().join(format!("volary-ceph-{}-{name}", std::process::id()));
    // By this link, which holds also when the file has been built anew since.
    let mut guard = Command::new("/proc/self/exe");
    guard.args(["cluster", "guard", "--dir"]).arg(&dir).stdin(Stdio::piped()).stdout(Stdio::null());
    // A group of its own: what Ctrl-C ends at the terminal is the chore; the guard sees it go and cleans up.
    std::os::unix::process::CommandExt::process_group(&mut guard, 0);
    let running = Running { guard: guard.spawn()?, dir: dir.clone() };
    up(&Up { dir, objectstore, osds: 1, stock, latency })?;
    Ok(running)
}

impl Running {
    /// Its configuration file.
    pub(crate) fn conf(&self) -> PathBuf {
        config::conf(&self.dir)
    }

    /// Fails when tests have left volumes, namespaces or pools in it.
    pub(crate) fn check_empty(&self) -> Outcome {
        super::left::check(&self.dir)
    }

    /// Ends it.
    pub(crate) fn down(mut self) -> Outcome {
        self.end()
    }

    fn end(&mut self) -> Outcome {
        drop(self.guard.stdin.take());
        let status = self.guard.wait()?;
        if status.success() { Ok(()) } else { Err(format!("ending the cluster: {status}").into()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do when it has been ended; what goes wrong here, the guard has said.
        drop(self.end());
    }
}

/// Waits until standard input ends, as it does when the process that holds its other end is gone, and ends the cluster.
pub(crate) fn watch(dir: &Path) -> Outcome {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    let dir = absolute(dir);
    if dir.join(config::MARK).exists() { super::end(&dir) } else { Ok(()) }
}
