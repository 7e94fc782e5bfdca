//! Changes to the objects of a namespace that no command of Ceph's makes, or stops in the middle of.

use super::{Ended, ended};
use std::process::Command;

/// Without the last two a thread of librados sometimes runs into what the end of the process has taken down.
const BEGIN: &str = r#"
import atexit, rados, struct, sys, time
conf, user, pool, namespace, *args = sys.argv[1:]
cluster = rados.Rados(conffile=conf, name=user)
cluster.connect()
atexit.register(cluster.shutdown)
io = cluster.open_ioctx(pool)
atexit.register(io.close)
io.set_namespace(namespace)
text = lambda text: struct.pack("<I", len(text)) + text.encode()
"#;

/// Runs a script in Python with the rights of a user. The script finds the namespace's objects in `io`, its arguments in `args`, and
/// Ceph's encoding of a string in `text`.
pub fn script(conf: &str, user: &str, namespace: &str, script: &str, args: &[&str]) -> Ended {
    let (pool, namespace) = namespace.split_once('/').unwrap();
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", &format!("{BEGIN}{script}"), conf, user, pool, namespace]).args(args);
    ended(python.env_remove("CEPH_ARGS").output().unwrap())
}
