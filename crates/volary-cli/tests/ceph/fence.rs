//! Cutting off a client that has a volume open.

use crate::client::{Client, error_of};
use crate::harness::{Bench, cluster};
use serde_json::{Value, json};
use std::process::{Child, Stdio};

/// A process of another program that writes to a volume until it may no more.
struct Writer(Child);

impl Writer {
    fn start(bench: &Bench, name: &str) -> Self {
        let before = clients(bench, name).len();
        let volume = bench.at(name);
        let write =
            ["bench", "--io-type", "write", "--io-size", "4K", "--io-threads", "1", "--io-total", "1T"];
        let mut command = cluster::command("rbd", &[&write[..], &[&volume]].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let writer = Writer(command.spawn().unwrap());
        while clients(bench, name).len() == before {
            std::thread::yield_now();
        }
        writer
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watchers(bench: &Bench, name: &str) -> Vec<Value> {
    let why = bench.json(&["why", &bench.at(name)]);
    why["holders"].as_array().unwrap().iter().filter(|of| of["kind"] == "watcher").cloned().collect()
}

fn clients(bench: &Bench, name: &str) -> Vec<String> {
    let mut all: Vec<_> =
        watchers(bench, name).iter().map(|of| of["client"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

fn blocklisted(address: &str) -> bool {
    // Its JSON is followed by another document on some releases.
    cluster::output("ceph", &["osd", "blocklist", "ls"]).contains(&format!("{address} "))
}

#[test]
fn exactly_the_client_that_watches_is_cut_off_for_a_while() {
    let bench = crate::bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "8M", &web]);
    let mut writer = Writer::start(&bench, "web");
    let watcher = watchers(&bench, "web").remove(0);
    let (client, address) = (watcher["client"].as_str().unwrap(), watcher["address"].as_str().unwrap());
    assert!(client.starts_with("client.") && address.contains(":0/"), "{watcher}");
    assert!(
        watcher["remedy"].as_str().unwrap().contains(&format!("`volary why {} --fence`", bench.shown("web")))
    );

    // Who is not asked, or only looks, changes nothing.
    let refused = bench.run(&["why", &web, "--fence"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes") && refused.stderr.contains(client), "{}", refused.stderr);
    let planned = bench.json(&["why", &web, "--fence", "--dry-run"]);
    assert_eq!(
        (
            &planned["client"],
            &planned["address"],
            &planned["fenced"],
            &planned["watching"],
            &planned["until"]
        ),
        (&json!(client), &json!(address), &json!(false), &json!(true), &Value::Null)
    );
    let unknown = bench.run(&["-o", "json", "why", &web, "--fence", "--yes", "--client", "client.1"]);
    assert_eq!((unknown.code, &error_of(&unknown)["context"]["clients"]), (Some(3), &json!(client)));
    for answer in ["n\n", "\n", "perhaps\n"] {
        assert_eq!(on_a_terminal(&bench, &["why", &web, "--fence"], answer), Some(2), "{answer:?}");
    }
    assert!(!blocklisted(address) && writer.0.try_wait().unwrap().is_none());

    let fenced = bench.json(&["why", &web, "--fence", "--yes", "--for", "10m"]);
    assert_eq!(
        (&fenced["client"], &fenced["address"], &fenced["fenced"], &fenced["watching"]),
        (&json!(client), &json!(address), &json!(true), &json!(false))
    );
    assert!(fenced["until"].is_string() && blocklisted(address), "{fenced}");
    assert_eq!(clients(&bench, "web"), [""; 0]);
    // This command was not cut off with it, and nobody holds the volume any more.
    assert_eq!(bench.json(&["rm", "--wait", "0s", &web])["outcome"], "removed");
    cluster::output("ceph", &["osd", "blocklist", "rm", address]);
}

#[test]
fn of_several_clients_the_one_that_is_named_is_cut_off() {
    let bench = crate::bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "8M", &web]);
    let _writers = [Writer::start(&bench, "web"), Writer::start(&bench, "web")];
    let both = clients(&bench, "web");
    let refused = bench.run(&["-o", "json", "why", &web, "--fence", "--yes"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let named = error_of(&refused)["context"]["clients"].as_str().unwrap().to_owned();
    assert!(both.iter().all(|client| named.contains(client)), "{named} {both:?}");
    assert_eq!(clients(&bench, "web"), both);
    assert_eq!(on_a_terminal(&bench, &["why", &web, "--fence", "--client", &both[1]], "y\n"), Some(0));
    assert_eq!(clients(&bench, "web"), both[..1]);
}

#[test]
fn without_the_right_to_it_nobody_is_cut_off() {
    let bench = crate::bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "8M", &web]);
    let _writer = Writer::start(&bench, "web");
    let before = clients(&bench, "web");
    let client = Client::with_caps(&["mon", "allow r", "osd", "profile rbd"]);
    let refused = client.run(&["-o", "json", "why", &web, "--fence", "--yes"]);
    assert_eq!(refused.code, Some(9), "{}", refused.stderr);
    let hint = error_of(&refused)["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("mon 'profile rbd'"), "{hint}");
    assert_eq!(clients(&bench, "web"), before);
    // The least rights that Volary asks for are enough.
    let client = Client::with_caps(&["mon", "profile rbd", "osd", "profile rbd pool=rbd"]);
    assert_eq!(client.json(&["why", &web, "--fence", "--yes", "--for", "1m"])["watching"], false);
}

/// Runs the command on a terminal of its own, on which somebody types.
fn on_a_terminal(bench: &Bench, args: &[&str], typed: &str) -> Option<i32> {
    use std::io::Write;
    let quoted = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
    let command = format!("{} {quoted}", env!("CARGO_BIN_EXE_volary"));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env("VOLARY_STORE", &bench.url);
    let mut child =
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(shown.contains("Fence it? (y/N)"), "{shown}");
    ended.status.code()
}
