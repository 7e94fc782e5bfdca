//! The cluster that the tests share, and Ceph's own commands on it.

use serde_json::Value;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use volary_testkit::sandbox::Sandbox;

/// Which variable names the cluster: tests that freeze daemons have one of their own.
const VARIABLE: &str = match env!("CARGO_CRATE_NAME").as_bytes() {
    b"ceph_faults" => "VOLARY_TEST_CEPH_FAULTS",
    _ => "VOLARY_TEST_CEPH_CONF",
};

/// The configuration file of the cluster; a test that needs one fails without it.
pub fn conf() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} names no ceph.conf: run `cargo xtask test`, or see `cargo xtask cluster --help`")
    })
}

/// `ceph`, `rbd` or `rados` as the administrator.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--conf", &conf()]).args(args);
    for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
        command.env_remove(variable);
    }
    command
}

/// What such a command prints; it must succeed.
pub fn output(program: &str, args: &[&str]) -> String {
    let output = command(program, args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same, as JSON.
pub fn json(program: &str, args: &[&str]) -> Value {
    let text = output(program, &[args, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{program} {args:?}: {error}: {text}"))
}

/// What a test makes without a [`super::Bench`] of its own; it goes when the process of the tests ends.
fn shared() -> &'static Sandbox {
    static SHARED: OnceLock<Sandbox> = OnceLock::new();
    SHARED.get_or_init(sandbox)
}

/// A part of the cluster that no other test has.
pub fn sandbox() -> Sandbox {
    Sandbox::new(&conf())
}

/// A name for a pool, a namespace or a user that no other test has.
pub fn own_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    shared().name(&format!("n{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Makes a pool that no other test has.
pub fn own_pool() -> String {
    shared().pool()
}

/// Makes a namespace in the pool `rbd` that no other test has.
pub fn own_namespace() -> String {
    shared().namespace()
}
