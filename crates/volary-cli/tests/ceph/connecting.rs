//! What every failure to connect tells, and that it tells it in time.

use crate::client::{Client, error_of};
use crate::harness::{Ended, cluster, ended};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(4);
/// How much later a busy machine may be: librados' own limits are minutes.
const GRACE: Duration = Duration::from_secs(20);

/// What is expected of a failure; in texts, what they contain.
struct Wanted<'a> {
    exit: i32,
    kind: &'a str,
    step: &'a str,
    errno: &'a str,
    user: &'a str,
    monitors: &'a str,
    message: &'a str,
    hint: &'a str,
    /// Contexts beside those that all have.
    more: &'a [(&'a str, &'a str)],
}

fn command(store: &str, args: &[&str]) -> std::process::Command {
    let mut command = Client::admin().command(&["--store", store, "--timeout", "4s", "-o", "json"]);
    command.args(args).current_dir("/");
    command
}

fn check(store: &str, ended: &Ended, wanted: &Wanted<'_>) {
    let error = error_of(ended);
    let said = format!("{store}: {error:#}");
    assert_eq!(ended.code, Some(wanted.exit), "{said}");
    assert_eq!(error["kind"], wanted.kind, "{said}");
    let has = |value: &Value, part: &str| value.as_str().is_some_and(|value| value.contains(part));
    assert!(has(&error["message"], wanted.message), "{said}");
    assert!(has(&error["hint"], wanted.hint), "{said}");
    let context = &error["context"];
    assert!(has(&context["store"], store), "{said}");
    assert_eq!(context["step"], wanted.step, "{said}");
    assert_eq!(context["errno"], wanted.errno, "{said}");
    assert_eq!(context["user"], wanted.user, "{said}");
    assert!(has(&context["monitors"], wanted.monitors), "{said}");
    let elapsed = context["elapsed"].as_str().and_then(|text| text.strip_suffix(" s")).unwrap();
    assert!(elapsed.parse::<f64>().unwrap() <= (TIMEOUT + GRACE).as_secs_f64(), "{said}");
    for (key, part) in wanted.more {
        assert!(has(&context[*key], part), "{key}: {said}");
    }
    assert!(!ended.stderr.contains(WRONG_KEY), "{said}");
}

/// Runs, and expects an answer by the timeout and a grace.
fn fails(store: &str, args: &[&str], wanted: &Wanted<'_>) {
    let began = Instant::now();
    let ended = ended(command(store, args).output().unwrap());
    let took = began.elapsed();
    assert!(took < TIMEOUT + GRACE, "{store}: it took {took:?}");
    check(store, &ended, wanted);
}

const WRONG_KEY: &str = "AQAAAAAAAAAAABAAdm9sYXJ5IHRlc3Qga2V5IQ==";
const LOOPBACK: &str = "127.0.0.1:";

fn refused<'a>() -> Wanted<'a> {
    Wanted {
        exit: 9,
        kind: "permission",
        step: "connect",
        errno: "EACCES",
        user: "client.admin",
        monitors: LOOPBACK,
        message: "",
        hint: "",
        more: &[],
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let client = Client::admin();
    let unread =
        || Wanted { step: "read the configuration", monitors: "not read", hint: "ceph:/", ..refused() };
    let missing = client.path("none.conf").display().to_string();
    let more = &[("configuration", missing.as_str())];
    let wanted = Wanted {
        exit: 3,
        kind: "not_found",
        errno: "ENOENT",
        message: "no such configuration",
        more,
        ..unread()
    };
    fails(&format!("ceph:{missing}"), &["ls"], &wanted);
    let garbled = client.path("garbled.conf");
    std::fs::write(&garbled, "[[[ = garbage\n").unwrap();
    let wanted =
        Wanted { exit: 2, kind: "usage", errno: "EINVAL", message: "cannot be understood", ..unread() };
    fails(&format!("ceph:{}", garbled.display()), &["ls"], &wanted);
    let wanted =
        Wanted { exit: 2, kind: "usage", errno: "EISDIR", message: "cannot be understood", ..unread() };
    fails(&format!("ceph:{}", client.dir().display()), &["ls"], &wanted);
    let nobody = client.conf("nobody.conf", &[("mon_host", "")]);
    let wanted = Wanted {
        exit: 3,
        kind: "not_found",
        errno: "ENOENT",
        monitors: "none",
        hint: "mon_host",
        ..refused()
    };
    fails(&format!("ceph:{}", nobody.display()), &["ls"], &wanted);
}

#[test]
fn a_key_that_is_missing_or_wrong_names_user_monitors_and_keyring() {
    let client = Client::admin();
    let at = |name: &str| client.path(name).display().to_string();
    let with = |name: &str| {
        let conf = client.conf(&format!("{name}.conf"), &[("keyring", &at(name))]);
        format!("ceph:{}", conf.display())
    };
    let wanted = |errno, message, hint| Wanted { errno, message, hint, ..refused() };
    let named = |name| [("keyring", at(name))];
    let tell = |store: &str, keyring: &[(&str, String)], wanted: Wanted<'_>| {
        let more: Vec<_> = keyring.iter().map(|(key, path)| (*key, path.as_str())).collect();
        fails(store, &["ls"], &Wanted { more: &more, ..wanted });
    };
    tell(&with("none"), &named("none"), wanted("ENOENT", "no keyring", "ceph auth get client.admin"));
    std::fs::write(at("wrong"), format!("[client.admin]\n\tkey = {WRONG_KEY}\n")).unwrap();
    tell(
        &with("wrong"),
        &named("wrong"),
        wanted("EACCES", "refuse this user's key", "ceph auth get client.admin"),
    );
    let other = Wanted { user: "client.other", ..wanted("EACCES", "has no key for this user", "?id=") };
    tell(&format!("{}?id=other", with("wrong")), &named("wrong"), other);
    // A key in the configuration itself counts before any file: none is named, and a malformed one is said to be that.
    let inline = |name, key| format!("ceph:{}", client.conf(name, &[("key", key)]).display());
    let none = [("keyring", "none, the configuration has the key itself".to_owned())];
    tell(
        &inline("malformed.conf", "notakey"),
        &none,
        wanted("EINVAL", "the key is malformed", "ceph auth get-key client.admin"),
    );
    tell(
        &inline("own.conf", WRONG_KEY),
        &none,
        wanted("EACCES", "refuse this user's key", "ceph auth get client.admin"),
    );
    // As people read it, each thing stands there once.
    let told =
        Client::admin().command(&["--store", &with("wrong"), "--timeout", "4s", "ls"]).output().unwrap();
    let told = ended(told).stderr;
    let line = told.lines().next().unwrap();
    for once in ["client.admin", "monitors [", &format!("keyring {}", at("wrong"))] {
        assert_eq!(line.matches(once).count(), 1, "{once}: {line}");
    }
    std::fs::create_dir(at("directory")).unwrap();
    tell(
        &with("directory"),
        &named("directory"),
        wanted("EISDIR", "cannot be read", "let this process read"),
    );
}

#[test]
fn files_that_others_may_not_read_are_named() {
    let client = Client::admin();
    let keyring = client.path("keyring");
    std::fs::write(&keyring, format!("[client.admin]\n\tkey = {WRONG_KEY}\n")).unwrap();
    let conf = client.conf("own.conf", &[("keyring", keyring.to_str().unwrap())]);
    let store = format!("ceph:{}", conf.display());
    let ask = |wanted: &Wanted<'_>| {
        let mut command = client.as_nobody(&["--store", &store, "-o", "json", "ls"]);
        check(&store, &ended(command.output().unwrap()), wanted);
    };
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(&keyring, closed.clone()).unwrap();
    let more = &[("keyring", keyring.to_str().unwrap())];
    ask(&Wanted { message: "keyring cannot be read", hint: "let this process read", more, ..refused() });
    std::fs::set_permissions(&conf, closed).unwrap();
    let more = &[("configuration", conf.to_str().unwrap())];
    let (step, monitors) = ("read the configuration", "not read");
    ask(&Wanted { message: "may not be read", step, monitors, more, ..refused() });
}

#[test]
fn a_pool_that_is_missing_or_forbidden_is_named_with_the_remedy() {
    let pool = cluster::own_name();
    cluster::output("ceph", &["osd", "pool", "create", &pool, "1"]);
    let client = Client::with_caps(&["mon", "profile rbd", "osd", "profile rbd pool=rbd"]);
    let user = client.user();
    let forbidden = format!("osd 'profile rbd pool={pool}'");
    for args in [&["ls", &pool][..], &["create", "--size", "1M", &format!("{pool}/web")]] {
        let step = if args[0] == "ls" { "list volumes" } else { "find a volume" };
        let more = &[("pool", pool.as_str())];
        let wanted = Wanted { errno: "EPERM", user, step, hint: &forbidden, more, ..refused() };
        fails(&client.url, args, &wanted);
    }
    let more = &[("pool", "nowhere")];
    let (exit, kind, errno, step) = (3, "not_found", "ENOENT", "list volumes");
    let missing =
        Wanted { exit, kind, errno, step, message: "no such pool", user, hint: &pool, more, ..refused() };
    fails(&client.url, &["ls", "nowhere"], &missing);
    fails(&client.url, &["ls", "nowhere"], &Wanted { hint: "rbd", ..missing });
}

#[test]
fn s05_monitors_that_do_not_answer_are_given_up_in_time() {
    let client = Client::admin();
    // It takes the connection and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for monitor in [mute, gone] {
        let store = format!("ceph:{}", client.conf("mute.conf", &[("mon_host", &monitor)]).display());
        let (exit, kind, errno) = (8, "deadline", "ETIMEDOUT");
        let (message, hint) = ("no monitor answers", "--timeout");
        fails(&store, &["ls"], &Wanted { exit, kind, errno, monitors: &monitor, message, hint, ..refused() });
    }
}

#[test]
fn s05_libraries_that_never_return_are_given_up_in_time() {
    let client = Client::admin();
    // Opening a pipe that nobody writes to does not return.
    let pipe = client.path("pipe").display().to_string();
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let conf = client.conf("pipe.conf", &[("keyring", &pipe)]).display().to_string();
    for file in [conf, pipe] {
        let (step, monitors) = ("read the configuration", "not read");
        let (exit, kind, errno) = (8, "deadline", "ETIMEDOUT");
        let (message, hint) = ("was not read in time", "--timeout");
        let more = &[("configuration", file.as_str())];
        let late = Wanted { exit, kind, errno, step, monitors, message, hint, more, ..refused() };
        fails(&format!("ceph:{file}"), &["ls"], &late);
    }
}

#[test]
fn s08_the_environment_does_not_outrank_the_configuration() {
    let client = Client::admin();
    let log = client.path("log");
    let mut command = client.command(&["-o", "json", "ls"]);
    command.env("CEPH_ARGS", format!("--log-file={} --debug-rados=20 --id=nobody", log.display()));
    command
        .env("CEPH_CONF", "/nonexistent")
        .env("CEPH_KEYRING", "/nonexistent")
        .env("CEPH_LIB", client.dir());
    let ended = ended(command.output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(!log.exists());
    let listed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_ne!(listed, json!(null));
}

/// Says to a process of its own whether it trusts the environment.
const TRUST: &str = "VOLARY_TEST_TRUST";

#[tokio::test]
async fn a_library_connects_in_a_hostile_environment_only_when_it_is_told_to_trust_it() {
    let url = volary::CephUrl::new(cluster::conf());
    if let Ok(trusted) = std::env::var(TRUST) {
        let url = if trusted == "yes" { url.trusting_environment() } else { url };
        let connected = volary::Store::connect(&volary::StoreUrl::Ceph(url), &volary::Ctl::new()).await;
        let code = match connected {
            Ok(store) => store.shutdown().await.map_or(1, |()| 0),
            Err(error) => {
                assert!(error.report().contains("CEPH_ARGS"), "{}", error.report());
                error.kind().exit_code()
            }
        };
        volary::engine::ceph::leave(code);
    }
    let test = "connecting::a_library_connects_in_a_hostile_environment_only_when_it_is_told_to_trust_it";
    for (trusted, code) in [("yes", 0), ("no", 2)] {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", test]).env(TRUST, trusted).env("CEPH_ARGS", "--debug-rados=0");
        assert_eq!(again.output().unwrap().status.code(), Some(code), "{trusted}");
    }
}
