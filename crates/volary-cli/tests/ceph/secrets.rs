//! A key that is known to the test appears nowhere, whatever is done and however much is logged.

use crate::client::Client;
use crate::harness::cluster;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A run of commands at TRACE, each watched for the key.
struct Watch<'a> {
    client: &'a Client,
    key: String,
    runs: usize,
}

fn contains(bytes: &[u8], key: &str) -> bool {
    bytes.windows(key.len()).any(|window| window == key.as_bytes())
}

impl Watch<'_> {
    fn clean(&self, bytes: &[u8], of: &str) {
        assert!(!contains(bytes, &self.key), "{of} holds the key: {}", String::from_utf8_lossy(bytes));
    }

    /// What other processes see of it while it runs.
    fn outside(&self, child: &Child, of: &str) {
        if let Ok(line) = std::fs::read(format!("/proc/{}/cmdline", child.id())) {
            self.clean(&line, of);
        }
    }

    fn runs(&mut self, store: &str, args: &[&str], exits: i32) {
        for format in ["text", "json"] {
            let always =
                ["-vvv", "--log-format", format, "-o", if format == "json" { "json" } else { "table" }];
            let mut command = self.client.command(
                &[&["--store", store, "--timeout", if exits == 8 { "2s" } else { "30s" }], &always[..], args]
                    .concat(),
            );
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            self.outside(&child, &format!("the command line of {args:?}"));
            let mut out = child.stdout.take().unwrap();
            let (mut printed, mut logged) = (Vec::new(), Vec::new());
            let reader = std::thread::spawn(move || {
                out.read_to_end(&mut printed).unwrap();
                printed
            });
            child.stderr.take().unwrap().read_to_end(&mut logged).unwrap();
            let ended = child.wait().unwrap();
            let printed = reader.join().unwrap();
            let said = format!("{args:?} ({format}): {}", String::from_utf8_lossy(&logged));
            // Twice the same: what the first made, the second finds.
            let second = format == "json" && ended.code() != Some(exits);
            assert!(ended.code() == Some(exits) || second, "{:?}: {said}", ended.code());
            self.clean(&printed, &format!("what {args:?} prints"));
            self.clean(&logged, &format!("what {args:?} logs"));
            self.runs += 1;
        }
    }

    /// Every file below a directory but the one that is to hold the key.
    fn files(&self, dir: &Path, keyring: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path, keyring);
            } else if path.is_file() && path != keyring {
                self.clean(&std::fs::read(&path).unwrap(), &path.display().to_string());
            }
        }
    }
}

impl Watch<'_> {
    /// What is in the pool: objects' contents, their maps (the journal's among them) and attributes.
    fn pool(&self, pool: &str) {
        for object in cluster::output("rados", &["-p", pool, "ls"]).lines() {
            for what in ["listomapvals", "listxattr"] {
                self.clean(cluster::output("rados", &["-p", pool, what, object]).as_bytes(), object);
            }
            let content = cluster::command("rados", &["-p", pool, "get", object, "-"]).output().unwrap();
            self.clean(&content.stdout, object);
        }
    }
}

/// **S8 Secrets stay inside.** No key in arguments, logs, errors, journal, metrics, JSON or core dumps.
#[test]
fn s08_a_marked_key_is_in_no_output_log_file_record_or_command_line() {
    let pool = cluster::own_pool();
    let caps = format!("profile rbd pool={pool}");
    let client = Client::with_caps(&["mon", "profile rbd", "osd", &caps, "mgr", &caps]);
    let keyring = client.path("keyring");
    let text = std::fs::read_to_string(&keyring).unwrap();
    let key = text.lines().find_map(|line| line.trim().strip_prefix("key = ")).unwrap().to_owned();
    assert!(key.len() >= 40 && contains(&std::fs::read(&keyring).unwrap(), &key), "the search finds a key");
    let mut watch = Watch { client: &client, key, runs: 0 };

    // The same key where it is of no use: another user's, and before monitors that are not there.
    let path = keyring.display().to_string();
    let id = client.user().trim_start_matches("client.").to_owned();
    let with = |name: &str, options: &[(&str, &str)]| {
        format!(
            "ceph:{}?id={id}",
            client.conf(name, &[&[("keyring", path.as_str())], options].concat()).display()
        )
    };
    let dead = with("dead.conf", &[("mon_host", "127.0.0.1:1")]);
    let stranger = client.path("stranger").display().to_string();
    std::fs::write(&stranger, text.replace(client.user(), "client.admin")).unwrap();
    let wrong = format!("ceph:{}", client.conf("wrong.conf", &[("keyring", &stranger)]).display());
    let unread = client.path("directory").display().to_string();
    std::fs::create_dir(&unread).unwrap();
    let unread = format!("ceph:{}", client.conf("unread.conf", &[("keyring", &unread)]).display());
    let own = client.url.clone();

    let image = client.path("disk.raw");
    std::fs::write(&image, vec![9; 5 << 20]).unwrap();
    std::fs::write(client.path("bad.qcow2"), b"QFI\xfb no more than that").unwrap();
    let at = |name: &str| format!("{pool}/{name}");
    let (web, s, copy) = (at("web"), at("web@s"), at("copy"));
    for (store, exits) in [(&dead, 8), (&wrong, 9), (&unread, 9)] {
        watch.runs(store, &["ls", &pool], exits);
        watch.runs(store, &["import", "disk.raw", &web], exits);
    }
    watch.runs(&own, &["ls", "rbd"], 9);
    watch.runs(&own, &["ls", "nowhere"], 3);
    watch.runs(&own, &["import", "bad.qcow2", &web], 6);
    watch.runs(&own, &["import", "disk.raw", &web, "--checksum", &format!("sha256:{}", "0".repeat(64))], 7);
    watch.runs(&own, &["import", "disk.raw", &web, "--snapshot", "s", "--protect"], 0);
    watch.runs(&own, &["clone", &s, &at("clone")], 0);
    watch.runs(&own, &["cp", &web, &copy], 0);
    watch.runs(&own, &["create", "--size", "4M", &at("new")], 0);
    for args in [
        &["inspect", "disk.raw"][..],
        &["ls", "-l", &pool],
        &["info", &web],
        &["du", &web],
        &["verify", &s],
        &["children", &s],
        &["parent", &at("clone")],
        &["snap", "create", &at("new@x")],
        &["snap", "ls", &web],
        &["snap", "protect", &at("new@x")],
        &["snap", "unprotect", &at("new@x")],
        &["snap", "rename", &at("new@x"), &at("new@y")],
        &["snap", "rollback", &at("new@y")],
        &["snap", "rm", &at("new@y")],
        &["snap", "purge", &at("new")],
        &["resize", &at("new"), "--size", "8M"],
        &["meta", "set", &at("new"), "a", "b"],
        &["meta", "get", &at("new"), "a"],
        &["meta", "ls", &at("new")],
        &["meta", "rm", &at("new"), "a"],
        &["pool", "ls"],
        &["pool", "info", &pool],
        &["status"],
        &["mons"],
        &["fsid"],
        &["doctor"],
        &["namespace", "create", &at("inner")],
        &["namespace", "ls", &pool],
        &["namespace", "rm", &at("inner")],
        &["export", "--force", &web, "out.raw"],
        &["export", "--force", "-f", "qcow2", &web, "out.qcow2"],
        &["trash", "ls", &pool],
        &["flatten", &at("clone")],
        &["mv", &at("new"), &at("newer")],
    ] {
        watch.runs(&own, args, 0);
    }
    watch.runs(&own, &["pool", "create", "other"], 12);
    watch.runs(&own, &["rm", &web], 5);
    watch.runs(&own, &["rm", "--retry-later", &web], 11);
    let records = cluster::output("rados", &["-p", &pool, "listomapkeys", "volary_journal"]);
    assert!(records.contains("intent."), "an order is in the journal: {records}");
    watch.pool(&pool);
    for args in [&["pending", "ls", &pool][..], &["lock", "ls", &web], &["lock", "add", &at("newer"), "l"]] {
        watch.runs(&own, args, 0);
    }
    watch.runs(&own, &["reap", "--wait", "1ms", &pool], 11);
    watch.runs(&own, &["trash", "mv", "--defer", "0s", &copy], 0);
    watch.runs(&own, &["trash", "purge", "--all", &pool], 0);
    watch.runs(&own, &["rm", "--dry-run", "--purge-snapshots", &web], 5);
    watch.runs(&own, &["snap", "rm", "--force", &s], 0);
    watch.runs(&own, &["rm", &web], 0);
    assert!(watch.runs > 90);

    std::fs::remove_file(&stranger).unwrap();
    watch.files(client.dir(), &keyring);
    watch.pool(&pool);
}

#[test]
fn s08_the_command_leaves_no_core_and_other_processes_of_its_user_cannot_look_into_it() {
    let client = Client::admin();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (keyring, mute) = (client.path("keyring"), mute.local_addr().unwrap().to_string());
    std::fs::write(&keyring, "[client.admin]\n\tkey = AQAAAAAAAAAAABAAdm9sYXJ5IHRlc3Qga2V5IQ==\n").unwrap();
    let options = [("mon_host", mute.as_str()), ("keyring", keyring.to_str().unwrap())];
    let mute = client.conf("mute.conf", &options);
    let store = format!("ceph:{}", mute.display());
    let mut child = client.as_nobody(&["--store", &store, "--timeout", "20s", "ls"]).spawn().unwrap();
    let place = PathBuf::from(format!("/proc/{}", child.id()));
    // The files of a process that hides belong to root, whoever it runs as.
    while std::fs::metadata(place.join("mem")).unwrap().uid() != 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended and had hidden nothing");
    }
    let limits = std::fs::read_to_string(place.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    child.kill().unwrap();
    child.wait().unwrap();
}
