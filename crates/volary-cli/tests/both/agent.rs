//! The agent as a process: it finishes what was put off, settles what was killed, tells so, and ends cleanly.

use crate::bench;
use crate::harness::{Bench, ended, signal};
use rustix::process::Signal;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Agent {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Agent {
    pub(crate) fn start(bench: &Bench, more: &[&str]) -> Agent {
        let args = ["agent", &bench.home, "--interval", "300ms", "--listen", "127.0.0.1:0"];
        let mut child = bench.start(&[&args[..], more].concat());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it has ended");
        }
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        Agent { child, stderr, address }
    }

    pub(crate) fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends it as a service manager does; gives its log.
    pub(crate) fn stop(mut self) -> String {
        signal(&self.child, Signal::TERM);
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).unwrap();
        let ended = ended(self.child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{log}");
        log
    }
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn s04_the_agent_finishes_what_was_put_off_and_settles_what_was_killed() {
    let bench = bench();
    let (web, image) = (bench.at("web"), bench.image("disk.raw", 64));
    bench.ok(&["create", "--size", "8M", &web]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let spec: volary::VolumeSpec = format!("{}/web", bench.home).parse().unwrap();
    let write = volary::engine::OpenOptions::write();
    let opened = store.engine().open(&spec.namespace, &spec.volume, &write, &ctl);
    let holder = runtime.block_on(opened).unwrap();
    let put_off = bench.run(&["rm", "--wait", "1ms", "--retry-later", &web]);
    assert_eq!(put_off.code, Some(11), "{}", put_off.stderr);
    let mut child = bench.start(&["import", image.to_str().unwrap(), &bench.at("killed")]);
    let before = bench.objects();
    until("a write", || bench.objects() > before);
    child.kill().unwrap();
    child.wait().unwrap();
    let agent = Agent::start(&bench, &[]);
    let settled = |operation: &str| {
        agent.page("/metrics").contains(&format!("volary_settled_total{{operation=\"{operation}\"}} 1"))
    };
    until("the import's end", || settled("import"));
    assert_eq!(bench.json(&["ls", &bench.home]).as_array().unwrap().len(), 1, "a held volume stays");
    runtime.block_on(holder.close(&ctl)).unwrap();
    runtime.block_on(store.shutdown()).unwrap();
    until("the removal", || settled("remove"));
    let well = agent.page("/healthz");
    assert!(well.starts_with("HTTP/1.1 200") && well.ends_with("ok\n"), "{well}");
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]));
    until("a round after it", || agent.page("/metrics").contains("operation=\"remove\",pool=\"rbd\"} 0"));
    agent.stop();
    bench.assert_empty();
}

fn pending(bench: &Bench) -> usize {
    bench.json(&["pending", "ls", &bench.home]).as_array().unwrap().len()
}

#[test]
fn s05_an_agent_that_is_ended_in_mid_round_leaves_nothing_that_is_not_pending() {
    let bench = bench();
    // Large enough that an import is still at work when its intent is looked for; and the store is there before.
    let image = bench.image("disk.raw", 128);
    bench.json(&["ls", &bench.home]);
    for number in 0..6 {
        let volume = bench.at(&format!("volume-{number}"));
        let mut child = bench.start(&["import", image.to_str().unwrap(), &volume]);
        until("an intent", || pending(&bench) > number);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut agent = Agent::start(&bench, &["-v"]);
    let mut line = String::new();
    while !line.contains("taken over") {
        line.clear();
        assert_ne!(agent.stderr.read_line(&mut line).unwrap(), 0, "nothing was taken over");
    }
    let log = agent.stop();
    let left = bench.json(&["pending", "ls", &bench.home]);
    for of in left.as_array().unwrap().iter().filter(|of| of["attempts"] != 1) {
        assert_eq!(of["owner"], json!(null), "{of:#}\n{log}");
    }
    bench.ok(&["reap", &bench.home]);
    for of in bench.json(&["ls", &bench.home]).as_array().unwrap() {
        assert_eq!(bench.json(&["verify", of["volume"].as_str().unwrap()])["match"], true);
        bench.ok(&["rm", of["volume"].as_str().unwrap()]);
    }
    bench.assert_empty();
}

#[test]
fn one_round_by_hand_prints_what_it_came_to() {
    let bench = bench();
    let report = bench.json(&["agent", "--once", &bench.home]);
    assert_eq!((&report["outcome"], &report["namespaces"]), (&json!("done"), &json!(1)));
    let nowhere = bench.run(&["agent", "--once", "-o", "json", "nowhere"]);
    assert_eq!(nowhere.code, Some(3), "{}", nowhere.stderr);
    let remote = bench.run(&["agent", "--listen", "0.0.0.0:0"]);
    assert_eq!(remote.code, Some(2), "{}", remote.stderr);
    assert!(remote.stderr.contains("--allow-remote"), "{}", remote.stderr);
}

#[test]
fn a_second_agent_on_one_host_says_why_it_does_not_start_and_is_counted_where_it_does() {
    let bench = bench();
    let agent = Agent::start(&bench, &[]);
    let again = bench.run(&["agent", &bench.home, "--listen", &agent.address]);
    assert_eq!(again.code, Some(5), "{}", again.stderr);
    assert!(again.stderr.contains(&agent.address) && again.stderr.contains("--listen"), "{}", again.stderr);
    let counts = |agent: &Agent, count: &str| {
        let page = agent.page("/metrics");
        page.lines().any(|line| line.starts_with("volary_agents{") && line.ends_with(count))
    };
    // It looks again only minutes later; the second one finds it here.
    until("the first one's own count", || counts(&agent, " 1"));
    let second = Agent::start(&bench, &[]);
    until("the first one's being seen", || counts(&second, " 2"));
    second.stop();
    agent.stop();
}

#[test]
fn a_command_waits_for_no_agent_that_has_just_made_the_store() {
    for _ in 0..5 {
        let bench = bench();
        let agent = Agent::start(&bench, &[]);
        bench.ok(&["--timeout", "20s", "ls", &bench.home]);
        agent.stop();
    }
}

#[test]
fn a_hangup_makes_the_agent_connect_anew() {
    let bench = bench();
    bench.json(&["ls", &bench.home]);
    let mut agent = Agent::start(&bench, &[]);
    for _ in 0..2 {
        signal(&agent.child, Signal::HUP);
        let mut line = String::new();
        while !line.contains("connected anew") {
            line.clear();
            assert_ne!(agent.stderr.read_line(&mut line).unwrap(), 0, "it has ended");
        }
        let rounds = || {
            let page = agent.page("/metrics");
            let line =
                page.lines().find_map(|line| line.strip_prefix("volary_rounds_total{outcome=\"done\"} "));
            line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
        };
        let before = rounds();
        until("a round by the new connection", || rounds() > before);
    }
    assert!(agent.page("/healthz").ends_with("ok\n"));
    agent.stop();
}

#[test]
fn the_service_manager_is_told_when_the_agent_serves_and_when_it_stops() {
    let bench = bench();
    let path = bench.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut command = bench.command(&["agent", &bench.home, "--listen", "127.0.0.1:0"]);
    let mut child = command.env("NOTIFY_SOCKET", &path).spawn().unwrap();
    assert_eq!(told(), "READY=1");
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("http://"), "it is served before that is told: {line}");
    signal(&child, Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert!(child.wait().unwrap().success());
}
