//! A user and a configuration of a test's own on the cluster, and commands that use them.

use crate::harness::{Ended, cluster, ended};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Client {
    dir: tempfile::TempDir,
    user: Option<String>,
    /// The store's URL.
    pub(crate) url: String,
}

impl Client {
    /// The administrator.
    pub(crate) fn admin() -> Self {
        Client { dir: tempfile::tempdir().unwrap(), user: None, url: format!("ceph:{}", cluster::conf()) }
    }

    /// A new user, with its key in a keyring of its own.
    pub(crate) fn with_caps(caps: &[&str]) -> Self {
        let id = cluster::own_name();
        let user = format!("client.{id}");
        let mut client = Client::admin();
        client.user = Some(user.clone());
        let keyring = cluster::output("ceph", &[&["auth", "get-or-create", &user], caps].concat());
        std::fs::write(client.path("keyring"), keyring).unwrap();
        let path = client.path("keyring").display().to_string();
        let conf = client.conf("own.conf", &[("keyring", &path)]);
        client.url = format!("ceph:{}?id={id}", conf.display());
        client
    }

    /// The user's name, with `client.`.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("client.admin")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The cluster's configuration with some options set to something else.
    pub(crate) fn conf(&self, name: &str, options: &[(&str, &str)]) -> PathBuf {
        let text = std::fs::read_to_string(cluster::conf()).unwrap();
        let kept = text.lines().filter(|line| {
            let option = line.split_once('=').map(|(option, _)| option.trim());
            !options.iter().any(|(replaced, _)| option == Some(*replaced))
        });
        let mut text = kept.collect::<Vec<_>>().join("\n");
        for (option, value) in options {
            text.push_str(&format!("\n[client]\n{option} = {value}\n"));
        }
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_volary"));
        command.env_clear().env("VOLARY_STORE", &self.url).env("TMPDIR", self.dir());
        command.args(args).current_dir(self.dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args).output().unwrap())
    }

    /// Runs with `-o json`; it must end well.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// The command as a user who is not root, from where that user can run it.
    pub(crate) fn as_nobody(&self, args: &[&str]) -> Command {
        std::fs::set_permissions(self.dir(), Permissions::from_mode(0o755)).unwrap();
        let volary = self.path("volary");
        // By another program: a process that another thread starts while this one has the copy open to write keeps it open for a
        // moment, and the kernel executes no file that is open to write.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_volary")).arg(&volary).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new(&volary);
        command.uid(65534).gid(65534).env_clear().args(args).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(user) = &self.user {
            cluster::output("ceph", &["auth", "del", user]);
        }
    }
}

/// The error line of a command that failed, as JSON.
pub(crate) fn error_of(ended: &Ended) -> Value {
    let line = ended.stderr.lines().last().unwrap_or_default();
    let document: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {}", ended.stderr));
    document["error"].clone()
}
