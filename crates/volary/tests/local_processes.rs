//! Several processes on one local store: the test's own program is started again in the part of another process.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use volary::engine::*;
use volary::{Ctl, ErrorKind, Name, Namespace, Target};

const PART: &str = "VOLARY_TEST_PART";
const STORE: &str = "VOLARY_TEST_STORE";
const PROCESSES: u64 = 4;
const SWAPS: u64 = 25;
const BLOCK: usize = 4 << 20;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn store(path: &Path) -> Arc<dyn Engine> {
    local::open(path, &Ctl::new()).await.unwrap()
}

async fn open(engine: &dyn Engine, options: OpenOptions) -> volary::Result<Arc<dyn Volume>> {
    engine.open(&Namespace::default(), &Target::Name(name("web")), &options, &Ctl::new()).await
}

async fn create(engine: &dyn Engine) -> volary::Result<volary::VolumeId> {
    engine.create(&Namespace::default(), &name("web"), &CreateOptions::new(64 << 20), &Ctl::new()).await
}

/// Another process, its standard input, and the lines it says.
struct Other {
    child: Child,
    says: Box<dyn Iterator<Item = String>>,
}

impl Other {
    fn start(part: &str, store: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_the_other_process_does", "--nocapture"])
            .env(PART, part)
            .env(STORE, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness says things too.
        let says = lines.filter_map(|line| Some(line.unwrap().split_once("SAYS ")?.1.to_owned()));
        Other { child, says: Box::new(says) }
    }

    fn hears(&mut self) -> String {
        self.says.next().expect("the other process says something")
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "SAYS {word}").unwrap();
    out.flush().unwrap();
}

fn wait_for_go() {
    say("ready");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}

/// The part of another process; nothing when the tests are run as such.
#[tokio::test]
async fn what_the_other_process_does() {
    let (Ok(part), Some(path)) = (std::env::var(PART), std::env::var_os(STORE)) else { return };
    let (engine, ctl, home) = (store(Path::new(&path)).await, Ctl::new(), Namespace::default());
    match part.as_str() {
        "write" => {
            let head = open(&*engine, OpenOptions::write()).await.unwrap();
            head.write(0, Bytes::from(vec![1; BLOCK]), &ctl).await.unwrap();
            head.flush(&ctl).await.unwrap();
            head.write(BLOCK as u64, Bytes::from(vec![2; BLOCK]), &ctl).await.unwrap();
            say("written");
            for value in 0_u8.. {
                head.write(2 * BLOCK as u64, Bytes::from(vec![value; BLOCK]), &ctl).await.unwrap();
            }
        }
        "create" => {
            wait_for_go();
            say(match create(&*engine).await {
                Ok(_) => "created",
                Err(error) => error.kind().as_str(),
            });
        }
        "swap" => {
            wait_for_go();
            let mut done = 0;
            while done < SWAPS {
                let found = engine.records(&home, "count", &ctl).await.unwrap();
                let now = found.first().map(|record| record.value.clone());
                let count = now.as_deref().map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap()));
                let new = (count + 1).to_le_bytes();
                if engine.swap_record(&home, "count", now.as_deref(), Some(&new), &ctl).await.unwrap() {
                    done += 1;
                }
            }
            say("done");
        }
        part => panic!("no such part: {part}"),
    }
}

#[tokio::test]
async fn s04_a_killed_writer_is_named_while_it_lives_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, ctl) = (store(dir.path()).await, Ctl::new());
    create(&*engine).await.unwrap();
    let mut writer = Other::start("write", dir.path());
    assert_eq!(writer.hears(), "written");
    let process = format!("process {}", writer.child.id());

    let refused = open(&*engine, OpenOptions::write()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    assert!(refused.to_string().contains(&process), "{refused}");
    assert!(refused.remedy().unwrap().contains(&process));
    let reader = open(&*engine, OpenOptions::read(None)).await.unwrap();
    let holders = reader.holders(&ctl).await.unwrap();
    assert!(holders.len() == 1 && holders[0].detail.contains(&process), "{holders:?}");
    assert_eq!(reader.read(0, 2 * BLOCK, &ctl).await.unwrap(), [vec![1; BLOCK], vec![0; BLOCK]].concat());

    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    assert!(reader.holders(&ctl).await.unwrap().is_empty());
    let engine = store(dir.path()).await;
    let head = open(&*engine, OpenOptions::write()).await.unwrap();
    assert_eq!(head.read(0, 3 * BLOCK, &ctl).await.unwrap(), [vec![1; BLOCK], vec![0; 2 * BLOCK]].concat());
    let dirs = std::fs::read_dir(dir.path().join("objects")).unwrap();
    let objects: usize = dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum();
    assert_eq!(objects, 1, "what the writer had not flushed is swept");
}

#[tokio::test]
async fn s01_of_many_creators_of_one_name_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let mut others: Vec<_> = (0..PROCESSES).map(|_| Other::start("create", dir.path())).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.hears(), "ready"));
    others.iter_mut().for_each(Other::go);
    let mut said: Vec<_> = others.iter_mut().map(Other::hears).collect();
    said.sort();
    assert_eq!(said, ["already_exists", "already_exists", "already_exists", "created"]);
}

#[tokio::test]
async fn every_swap_that_succeeds_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut others: Vec<_> = (0..PROCESSES).map(|_| Other::start("swap", dir.path())).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.hears(), "ready"));
    others.iter_mut().for_each(Other::go);
    others.iter_mut().for_each(|other| assert_eq!(other.hears(), "done"));
    let found = store(dir.path()).await.records(&Namespace::default(), "count", &Ctl::new()).await.unwrap();
    assert_eq!(found[0].value, (PROCESSES * SWAPS).to_le_bytes());
}
