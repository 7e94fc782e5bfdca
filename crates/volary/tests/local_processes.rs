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
const PROCESSES: u64 = 6;
const SWAPS: u64 = 25;
const BLOCK: usize = 4 << 20;
const SIZE: usize = 4 * BLOCK;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn store(path: &Path) -> Arc<dyn Engine> {
    local::open(path, &Ctl::new()).await.unwrap()
}

async fn open(engine: &dyn Engine, options: OpenOptions) -> volary::Result<Arc<dyn Volume>> {
    engine.open(&Namespace::default(), &Target::Name(name("web")), &options, &Ctl::new()).await
}

async fn create(engine: &dyn Engine) -> volary::Result<VolumeEntry> {
    let options = CreateOptions::new(SIZE as u64);
    let id = engine.create(&Namespace::default(), &name("web"), &options, &Ctl::new()).await?;
    Ok(VolumeEntry { name: name("web"), id })
}

fn objects(store: &Path) -> usize {
    let dirs = std::fs::read_dir(store.join("objects")).unwrap();
    dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum()
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

    /// Starts so many at once, and lets them all go.
    fn race(part: &str, store: &Path) -> Vec<Other> {
        let mut others: Vec<_> = (0..PROCESSES).map(|_| Other::start(part, store)).collect();
        others.iter_mut().for_each(|other| assert_eq!(other.hears(), "ready"));
        others.iter_mut().for_each(Other::go);
        others
    }

    /// How the other process is named in what others are told.
    fn process(&self) -> String {
        format!("process {}", self.child.id())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
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
    if part != "write" && part != "read" {
        wait_for_go();
    }
    let (engine, ctl, home) = (store(Path::new(&path)).await, Ctl::new(), Namespace::default());
    match part.as_str() {
        "read" => {
            let _head = open(&*engine, OpenOptions::read(None)).await.unwrap();
            wait_for_go();
        }
        "write" => {
            let head = open(&*engine, OpenOptions::write()).await.unwrap();
            let (block, part) = (BLOCK as u64, Bytes::from(vec![1; BLOCK / 4]));
            head.write(0, part.clone(), &ctl).await.unwrap();
            head.write(2 * block, part, &ctl).await.unwrap();
            head.flush(&ctl).await.unwrap();
            head.write(block, Bytes::from(vec![2; BLOCK]), &ctl).await.unwrap();
            head.write_zeroes(2 * block, block, &ctl).await.unwrap();
            say("ready");
            for value in (0..=u8::MAX).cycle() {
                head.write(3 * block, Bytes::from(vec![value; BLOCK]), &ctl).await.unwrap();
            }
        }
        "create" => {
            say(match create(&*engine).await {
                Ok(_) => "created",
                Err(error) => error.kind().as_str(),
            });
        }
        "swap" => {
            let mut done = 0;
            while done < SWAPS {
                let found = engine.records(&home, "count", b"", 9, &ctl).await.unwrap().records;
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
    assert_eq!(writer.hears(), "ready");
    let process = writer.process();

    let refused = open(&*engine, OpenOptions::write()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    assert!(refused.to_string().contains(&process), "{refused}");
    assert!(refused.remedy().unwrap().contains(&process));
    let reader = open(&*engine, OpenOptions::read(None)).await.unwrap();
    let holders = reader.holders(&ctl).await.unwrap();
    assert!(holders.len() == 1 && holders[0].detail.contains(&process), "{holders:?}");
    let mut flushed = vec![0; SIZE];
    flushed[..BLOCK / 4].fill(1);
    flushed[2 * BLOCK..2 * BLOCK + BLOCK / 4].fill(1);
    assert!(reader.read(0, SIZE, &ctl).await.unwrap() == flushed, "another sees what is flushed");

    writer.kill();
    assert!(reader.holders(&ctl).await.unwrap().is_empty());
    let engine = store(dir.path()).await;
    let head = open(&*engine, OpenOptions::write()).await.unwrap();
    assert!(head.read(0, SIZE, &ctl).await.unwrap() == flushed, "what was flushed stays, all else is lost");
    assert_eq!(objects(dir.path()), 2, "what the writer had not flushed is swept");
}

#[tokio::test]
async fn what_another_process_has_open_cannot_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, ctl, home) = (store(dir.path()).await, Ctl::new(), Namespace::default());
    let entry = create(&*engine).await.unwrap();
    for part in ["read", "write"] {
        let mut other = Other::start(part, dir.path());
        assert_eq!(other.hears(), "ready");
        let refused = engine.remove(&home, &entry, &ctl).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Blocked);
        let (process, report) = (other.child.id().to_string(), refused.report());
        assert!(report.contains(&process), "{part} {process}: {report}");
        other.kill();
    }
    engine.remove(&home, &entry, &ctl).await.unwrap();
}

#[tokio::test]
async fn s01_of_many_that_make_the_store_and_one_name_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let mut others = Other::race("create", &dir.path().join("store"));
    let mut said: Vec<_> = others.iter_mut().map(Other::hears).collect();
    said.sort();
    assert_eq!(said.pop().unwrap(), "created");
    assert_eq!(said, ["already_exists"; PROCESSES as usize - 1]);
}

#[tokio::test]
async fn every_swap_that_succeeds_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut others = Other::race("swap", dir.path());
    others.iter_mut().for_each(|other| assert_eq!(other.hears(), "done"));
    let found = store(dir.path())
        .await
        .records(&Namespace::default(), "count", b"", 9, &Ctl::new())
        .await
        .unwrap()
        .records;
    assert_eq!(found[0].value, (PROCESSES * SWAPS).to_le_bytes());
}
