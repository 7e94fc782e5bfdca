//! Where the tests' stores are: namespaces of their own on the cluster that `VOLARY_TEST_CEPH_CONF` names.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use volary::engine::{Engine, ceph};
use volary::{CephUrl, Ctl, Namespace, Store};
use volary_testkit::sandbox::Sandbox;

/// One test's store.
pub(crate) struct Place {
    sandbox: Sandbox,
    home: String,
}

/// A connection of its own to the whole cluster.
pub(crate) async fn open() -> Arc<dyn Engine> {
    let engine = ceph::open(&CephUrl::new(conf()), &Ctl::new()).await.unwrap();
    // The harness ends the process beside connections that are just ending; Ceph's exit handlers would crash beside their threads.
    rbd::Library::load(None).unwrap().leave_at_exit();
    engine
}

pub(crate) fn conf() -> String {
    let conf = std::env::var("VOLARY_TEST_CEPH_CONF");
    conf.expect(
        "VOLARY_TEST_CEPH_CONF names no ceph.conf: run `cargo xtask test`, or `cargo xtask cluster env`",
    )
}

impl Place {
    pub(crate) const LOCAL: bool = false;
    /// How many random histories are lived, of how many steps.
    pub(crate) const HISTORIES: u32 = 6;
    pub(crate) const STEPS: usize = 40;

    pub(crate) async fn new(_dir: &Path) -> Place {
        let sandbox = Sandbox::new(&conf());
        let home = sandbox.namespace();
        Place { sandbox, home }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Engine> {
        open().await
    }

    /// The namespace in which the test's volumes are.
    pub(crate) fn home(&self) -> Namespace {
        format!("rbd/{}", self.home).parse().unwrap()
    }

    /// Another namespace, in another pool.
    pub(crate) async fn elsewhere(&self, store: &Store) -> Namespace {
        let pool = self.sandbox.pool();
        let namespace: Namespace = format!("{pool}/{}", self.name("tenant")).parse().unwrap();
        store.create_namespace(&namespace, &Ctl::new()).await.unwrap();
        namespace
    }

    /// A namespace's name that is this test's.
    pub(crate) fn name(&self, suffix: &str) -> String {
        self.sandbox.name(suffix)
    }

    /// What names this process where it holds a volume: its client, whose number is drawn.
    pub(crate) fn holder(&self) -> String {
        "client.".to_owned()
    }

    /// The objects that hold data.
    pub(crate) fn objects(&self) -> Vec<String> {
        let all = run("rados", &["--pool", "rbd", "--namespace", &self.home, "ls"]);
        all.lines().filter(|name| name.starts_with("rbd_data.")).map(str::to_owned).collect()
    }

    /// Takes an object away behind the store's back.
    pub(crate) fn lose(&self, object: &str) {
        run("rados", &["--pool", "rbd", "--namespace", &self.home, "rm", object]);
    }

    /// Changes a byte of an object behind the store's back.
    pub(crate) fn damage(&self, object: &str, offset: u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (namespace, path) = (self.home.as_str(), file.path().to_str().unwrap());
        let rados = ["--pool", "rbd", "--namespace", namespace];
        run("rados", &[&rados[..], &["get", object, path]].concat());
        let byte = !std::fs::read(path).unwrap()[offset as usize];
        std::fs::write(path, [byte]).unwrap();
        run("rados", &[&rados[..], &["put", object, path, "--offset", &offset.to_string()]].concat());
    }
}

/// Runs one of Ceph's commands as the administrator, which must succeed.
fn run(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.arg("--conf").arg(conf()).args(args);
    for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
