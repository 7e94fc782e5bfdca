//! A machine without Ceph: the command alone with what it is linked to, in a root directory of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A root directory with the command, the libraries it is linked to, and `/proc`.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Machine(tempfile::tempdir().unwrap());
        let command = Path::new(env!("CARGO_BIN_EXE_volary"));
        std::fs::copy(command, machine.path("volary")).unwrap();
        let linked = Command::new("ldd").arg(command).output().unwrap();
        let linked = String::from_utf8(linked.stdout).unwrap();
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            assert!(!library.contains("rados") && !library.contains("rbd"), "linked to {library}");
            let to = machine.path(library);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(library, to).unwrap();
        }
        std::fs::create_dir(machine.path("proc")).unwrap();
        mount("proc", machine.path("proc"), "proc", MountFlags::empty(), None).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name.trim_start_matches('/'))
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("chroot");
        command.arg(self.0.path()).arg("/volary").args(["-o", "json"]).args(args).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        unmount(self.path("proc"), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn without_ceph_the_command_works_on_local_and_says_what_ceph_needs() {
    let machine = Machine::new();
    // Neither has it a configuration: the libraries come first.
    for store in ["ceph:", "ceph:/no/such.conf?id=nova"] {
        let ended = machine.run(&["--store", store, "ls"]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(8), "{said}");
        let error: Value = serde_json::from_str(&said).unwrap();
        let error = &error["error"];
        assert_eq!(error["kind"], "unreachable");
        for word in ["librbd1", "librados2", "apt install", "dnf install", "local:"] {
            assert!(error["hint"].as_str().unwrap().contains(word), "{word}: {said}");
        }
        assert!(error["message"].as_str().unwrap().contains("librbd.so.1: cannot open"), "{said}");
        let context = &error["context"];
        assert_eq!(context["step"], "load Ceph's libraries");
        assert_eq!(context["errno"], "ELIBACC");
        assert!(
            store.starts_with(context["store"].as_str().unwrap().split("/etc").next().unwrap()),
            "{said}"
        );
        let user = if store.contains("nova") { "client.nova" } else { "client.admin" };
        assert_eq!(context["user"], user);
        assert!(context["elapsed"].is_string() && context["monitors"].is_string(), "{said}");
    }
    std::fs::write(machine.path("disk.raw"), vec![7; 5 << 20]).unwrap();
    for args in [
        &["import", "/disk.raw", "web"][..],
        &["verify", "web"],
        &["export", "web", "/out.raw"],
        &["rm", "web"],
    ] {
        let ended = machine.run(&[&["--store", "local:/store"], args].concat());
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    let same = |name| std::fs::read(machine.path(name)).unwrap();
    assert!(same("disk.raw") == same("out.raw"));
}
