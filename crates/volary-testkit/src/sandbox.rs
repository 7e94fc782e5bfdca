//! The part of a Ceph cluster that is one test's own: namespaces and pools that no other test has, gone when the test ends.
//!
//! A process of Python's, one for each process of tests, makes and removes them through Ceph's own modules. It sees its
//! standard input end when the tests' process ends, in whatever way, and then removes what is still there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What is one test's own, until this is dropped.
///
/// Every name in it begins with a prefix that was drawn for it: a process id comes back after 32,768 processes, and with it
/// would come what an earlier process has left.
#[derive(Debug)]
pub struct Sandbox {
    conf: String,
    prefix: String,
    next: AtomicU32,
}

impl Sandbox {
    /// A sandbox on the cluster of this configuration file, with nothing in it.
    ///
    /// # Panics
    /// When `/usr/bin/python3` with Ceph's modules, which come with the package `ceph-common`, cannot connect.
    #[must_use]
    pub fn new(conf: &str) -> Sandbox {
        let drawn = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a random number");
        let drawn: String = drawn.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        let sandbox =
            Sandbox { conf: conf.to_owned(), prefix: format!("test-{drawn}-"), next: AtomicU32::new(0) };
        sandbox.must(&format!("prefix {}", sandbox.prefix));
        sandbox
    }

    /// A name that is this test's; namespaces and pools of such names are removed with the sandbox, whoever made them.
    #[must_use]
    pub fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    /// Makes a namespace in the pool `rbd` and returns its name.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn namespace(&self) -> String {
        let name = self.next_name();
        self.must(&format!("namespace rbd {name}"));
        name
    }

    /// Makes a pool for volumes and returns its name.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn pool(&self) -> String {
        let name = self.next_name();
        self.must(&format!("pool {name}"));
        name
    }

    fn next_name(&self) -> String {
        self.name(&self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    fn must(&self, request: &str) {
        self.ask(request).unwrap_or_else(|error| panic!("{request}: {error}"));
    }

    fn ask(&self, request: &str) -> Result<(), String> {
        static KEEPER: OnceLock<Mutex<Keeper>> = OnceLock::new();
        let keeper = KEEPER.get_or_init(|| Mutex::new(Keeper::start(&self.conf)));
        keeper.lock().unwrap_or_else(PoisonError::into_inner).ask(request)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let cleaned = self.ask(&format!("clean {}", self.prefix));
        // A test that fails already shall say why it does.
        if !std::thread::panicking() {
            cleaned.unwrap_or_else(|error| panic!("cleaning up after the test: {error}"));
        }
    }
}

/// The process that makes and removes.
struct Keeper {
    _child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    fn start(conf: &str) -> Keeper {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", include_str!("sandbox.py"), conf]);
        for variable in ["CEPH_ARGS", "CEPH_LIB", "CEPH_KEYRING", "CEPH_CONF"] {
            python.env_remove(variable);
        }
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: what Ctrl-C ends at the terminal are the tests; this cleans up after them.
        std::os::unix::process::CommandExt::process_group(&mut python, 0);
        let mut child = python.spawn().expect("/usr/bin/python3");
        let requests = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Keeper { _child: child, requests, answers }
    }

    fn ask(&mut self, request: &str) -> Result<(), String> {
        let mut answer = String::new();
        let asked = writeln!(self.requests, "{request}").and_then(|()| self.answers.read_line(&mut answer));
        match (asked, answer.trim_end()) {
            (Ok(_), "ok") => Ok(()),
            (Ok(0), _) => Err("the process that keeps the sandboxes has ended".to_owned()),
            (Ok(_), error) => Err(error.to_owned()),
            (Err(error), _) => Err(error.to_string()),
        }
    }
}
