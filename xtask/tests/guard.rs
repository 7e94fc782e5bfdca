//! A test cluster ends when whoever asked for it is gone, and nothing else does.
#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};

/// A process that stands for a daemon: it runs for ever, and names the configuration file.
fn daemon(conf: &std::path::Path) -> Child {
    Command::new("tail").arg("-f").arg(conf).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_cluster_ends_with_the_other_end_of_its_guards_input() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cluster");
    std::fs::create_dir_all(dir.join("run")).unwrap();
    std::fs::write(dir.join("volary-test-cluster"), "").unwrap();
    std::fs::write(dir.join("ceph.conf"), "").unwrap();
    let other_conf = home.path().join("other.conf");
    std::fs::write(&other_conf, "").unwrap();
    let (mut own, mut other) = (daemon(&dir.join("ceph.conf")), daemon(&other_conf));
    std::fs::write(dir.join("run/a.daemon"), own.id().to_string()).unwrap();
    // A number that another process has by now.
    std::fs::write(dir.join("run/b.daemon"), other.id().to_string()).unwrap();

    let mut guard = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let guard = guard.args(["cluster", "guard", "--dir"]).arg(&dir).stdin(Stdio::piped());
    let mut guard = guard.spawn().unwrap();
    assert!(guard.try_wait().unwrap().is_none() && own.try_wait().unwrap().is_none());
    drop(guard.stdin.take());
    assert!(guard.wait().unwrap().success());
    assert!(!own.wait().unwrap().success() && !dir.exists());
    assert!(other.try_wait().unwrap().is_none(), "another's process is left alone");
    other.kill().unwrap();
    other.wait().unwrap();
}
