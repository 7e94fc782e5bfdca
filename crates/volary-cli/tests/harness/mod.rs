//! Runs the real command on a store of its own: a directory, or a namespace on the cluster that the tests share.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

pub mod cluster;
pub mod tamper;
pub mod trace;

use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use volary_testkit::sandbox::Sandbox;

pub struct Bench {
    dir: tempfile::TempDir,
    /// The directory of a local store.
    pub store: PathBuf,
    pub url: String,
    /// The namespace that is the test's own, such as `rbd`.
    pub home: String,
    /// What the test has on the cluster.
    sandbox: Option<Sandbox>,
}

pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// A local store.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        Bench { dir, ..Bench::with_store(store) }
    }

    /// A local store somewhere else than beside the files.
    pub fn with_store(store: PathBuf) -> Self {
        let url = format!("local:{}", store.display());
        Bench { dir: tempfile::tempdir().unwrap(), store, url, home: "rbd".to_owned(), sandbox: None }
    }

    /// A namespace of its own on the tests' cluster; without one the test fails.
    pub fn ceph() -> Self {
        let url = format!("ceph:{}", cluster::conf());
        let sandbox = cluster::sandbox();
        let home = format!("rbd/{}", sandbox.namespace());
        let dir = tempfile::tempdir().unwrap();
        Bench { dir, store: PathBuf::new(), url, home, sandbox: Some(sandbox) }
    }

    /// The spec of a volume or snapshot in the test's own namespace, from its name: `web` or `rbd/t1/web`.
    pub fn at(&self, name: &str) -> String {
        if self.is_local() { name.to_owned() } else { format!("{}/{name}", self.home) }
    }

    /// The same as it is shown: `rbd/web`.
    pub fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.home)
    }

    /// A pool that no other test uses.
    pub fn own_pool(&self) -> String {
        self.sandbox.as_ref().map_or_else(|| "rbd".to_owned(), Sandbox::pool)
    }

    pub fn is_local(&self) -> bool {
        self.url.starts_with("local:")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of `blocks` blocks of 4 MiB that are all different and not compressible.
    pub fn image(&self, name: &str, blocks: usize) -> PathBuf {
        let path = self.path(name);
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = vec![0; 1 << 20];
        for _ in 0..blocks * 4 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            file.write_all(&block).unwrap();
        }
        file.into_inner().unwrap().sync_all().unwrap();
        path
    }

    /// The id of a volume in the test's own namespace.
    pub fn id(&self, name: &str) -> String {
        self.json(&["info", &self.at(name)])["id"].as_str().unwrap().to_owned()
    }

    /// What `rados` prints of the test's own namespace.
    pub fn rados(&self, args: &[&str]) -> String {
        let (pool, namespace) = self.home.split_once('/').unwrap();
        cluster::output("rados", &[&["--pool", pool, "--namespace", namespace], args].concat())
    }

    /// Changes the objects of the test's own namespace as the administrator: see [`tamper::script`].
    pub fn tamper(&self, script: &str, args: &[&str]) {
        let ended = tamper::script(&cluster::conf(), "client.admin", &self.home, script, args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// The command, which hears signals also where these tests run with some ignored, as below nohup.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_volary")]);
        command.env_clear().env("VOLARY_STORE", &self.url);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args).output().unwrap())
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// Runs with `-o json` and gives the document.
    pub fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", ended.stdout))
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Asserts that a failed or interrupted command left nothing: no volume, no trash, no object.
    pub fn assert_empty(&self) {
        assert_eq!(self.json(&["ls", &self.home]), Value::Array(Vec::new()));
        assert_eq!(self.json(&["trash", "ls", &self.home]), Value::Array(Vec::new()));
        assert_eq!(self.objects(), 0, "objects are left");
    }

    /// How many objects hold data of volumes.
    pub fn objects(&self) -> usize {
        let Some((pool, namespace)) = self.home.split_once('/') else { return objects(&self.store) };
        let all = cluster::output("rados", &["--pool", pool, "--namespace", namespace, "ls"]);
        all.lines().filter(|name| name.starts_with("rbd_data.")).count()
    }

    /// Changes one byte of an object of data behind the store's back.
    pub fn flip_a_byte(&self) {
        if !self.is_local() {
            let objects = "next(o.key for o in io.list_objects() if o.key.startswith('rbd_data.'))";
            let flip = format!(
                "name = {objects}\nbyte = io.read(name, 1, 4097)[0]\nio.write(name, bytes([byte ^ 1]), 4097)"
            );
            return self.tamper(&flip, &[]);
        }
        let mut files = std::fs::read_dir(self.store.join("objects")).unwrap();
        let file =
            files.find_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().next()).unwrap().unwrap();
        let mut bytes = std::fs::read(file.path()).unwrap();
        bytes[4097] ^= 1;
        std::fs::write(file.path(), bytes).unwrap();
    }

    /// Puts a record into the journal of the test's own namespace.
    pub fn put_record(&self, key: &str, value: &[u8]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), self.url.parse().unwrap());
        let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
        let home = self.home.parse().unwrap();
        assert!(runtime.block_on(store.engine().swap_record(&home, key, None, Some(value), &ctl)).unwrap());
        runtime.block_on(store.shutdown()).unwrap();
    }

    /// Starts an import that cannot end before the test wants it to, however slow the test is: its source is a stream that is held open.
    pub fn start_unending_import(&self, volume: &str) -> (Child, ChildStdin) {
        let mut command = self.command(&["import", "-f", "raw", "-", volume]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stream = child.stdin.take().unwrap();
        stream.write_all(&vec![0xa5; 32 << 20]).unwrap();
        (child, stream)
    }

    /// Waits until the child has begun to write into the store; it must not have ended.
    pub fn wait_for_objects(&self, child: &mut Child) {
        while self.objects() == 0 {
            assert!(child.try_wait().unwrap().is_none(), "ended before it wrote: {}", errors(child));
            std::thread::yield_now();
        }
    }
}

pub fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn objects(store: &Path) -> usize {
    let Ok(dirs) = std::fs::read_dir(store.join("objects")) else { return 0 };
    dirs.filter_map(|dir| std::fs::read_dir(dir.ok()?.path()).ok()).map(Iterator::count).sum()
}

fn errors(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}
