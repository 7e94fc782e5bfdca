//! What tests left in a cluster: nothing, as it has to be.

use super::{ceph, config};
use crate::tools::{self, Outcome};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a test process has asked for goes when it has ended, and the OSD clears removed snapshots a moment later.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pool that tests share.
const SHARED: &str = "rbd";

/// How many names an error shows.
const SHOWN: usize = 20;

/// Fails, naming them, when there are objects of volumes, namespaces or pools of tests, also after a while.
pub(super) fn check(dir: &Path) -> Outcome {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = list(dir)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            let shown: Vec<&str> = left.iter().take(SHOWN).map(String::as_str).collect();
            let count = left.len();
            return Err(
                format!("the tests left {count} in the cluster, such as\n  {}", shown.join("\n  ")).into()
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn list(dir: &Path) -> Outcome<BTreeSet<String>> {
    let mut left = BTreeSet::new();
    let pools = tools::output(&mut ceph(dir, &["osd", "pool", "ls"]))?;
    // The manager has one or two of its own.
    let of_manager = |pool: &str| pool.starts_with('.') || pool == "device_health_metrics";
    for pool in pools.lines().filter(|pool| !of_manager(pool)) {
        if pool != SHARED {
            left.insert(format!("pool {pool}"));
            continue;
        }
        let mut rados = tools::program("rados");
        rados.env_remove("CEPH_ARGS").arg("--conf").arg(config::conf(dir)).args(["-p", pool, "--all", "ls"]);
        // Names need not be UTF-8, nor have but one line.
        let listed = rados.output()?;
        if !listed.status.success() {
            return Err(format!("rados ls: {}", String::from_utf8_lossy(&listed.stderr)).into());
        }
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let (namespace, object) = line.split_once('\t').unwrap_or(("", line));
            let kept = match namespace {
                "" => !["rbd_data.", "rbd_id.", "rbd_header.", "rbd_object_map."]
                    .iter()
                    .any(|kind| object.starts_with(kind)),
                namespace => namespace == super::daemons::BALLAST,
            };
            if !kept {
                left.insert(format!("{pool}/{namespace}: {object}"));
            }
        }
    }
    Ok(left)
}
