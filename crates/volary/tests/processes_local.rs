//! Several processes on one local store. The test program starts itself again to be the other process.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use volary::engine::{CreateOptions, Engine, OpenOptions, Volume, VolumeEntry, local};
use volary::{Ctl, ErrorKind, Name, Namespace, Result, Target};

const ROLE: &str = "VOLARY_TEST_ROLE";
const STORE: &str = "VOLARY_TEST_STORE";
const MIB: usize = 1 << 20;

async fn open_store(path: &Path) -> Arc<dyn Engine> {
    local::open(path, &Ctl::new()).await.unwrap()
}

async fn create(engine: &dyn Engine, name: &str) -> Result<VolumeEntry> {
    let name = Name::new(name).unwrap();
    let id = engine.create(&Namespace::default(), &name, &CreateOptions::new(16 << 20), &Ctl::new()).await?;
    Ok(VolumeEntry { name, id })
}

async fn open(engine: &dyn Engine, name: &str, options: &OpenOptions) -> Result<Arc<dyn Volume>> {
    engine.open(&Namespace::default(), &Target::Name(Name::new(name).unwrap()), options, &Ctl::new()).await
}

/// Another process that plays a role on the store, and has told that it is ready.
struct Other {
    child: Child,
    said: String,
}

impl Other {
    fn start(role: &str, store: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture"])
            .env(ROLE, role)
            .env(STORE, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn ready(role: &str, store: &Path) -> Other {
        let mut child = Other::start(role, store);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said =
            lines.map(|line| line.unwrap()).find_map(|line| line.split_once("SAYS ").map(|s| s.1.to_owned()));
        Other { child, said: said.unwrap() }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Not a test of its own: what the other process does.
#[tokio::test]
async fn other_process() {
    let (Ok(role), Ok(store)) = (std::env::var(ROLE), std::env::var(STORE)) else { return };
    let engine = open_store(Path::new(&store)).await;
    let ctl = Ctl::new();
    let say = |what: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "SAYS {what}").unwrap();
        out.flush().unwrap();
    };
    let volume = match role.as_str() {
        "create" => return say(if create(&*engine, "one").await.is_ok() { "won" } else { "lost" }),
        "read" => open(&*engine, "one", &OpenOptions::read(None)).await.unwrap(),
        "write" => {
            let volume = open(&*engine, "one", &OpenOptions::write()).await.unwrap();
            volume.write(0, vec![1; MIB].into(), &ctl).await.unwrap();
            volume.write(8 << 20, vec![1; MIB].into(), &ctl).await.unwrap();
            volume.flush(&ctl).await.unwrap();
            volume.write(4 << 20, vec![2; MIB].into(), &ctl).await.unwrap();
            volume.write_zeroes(8 << 20, 4 << 20, &ctl).await.unwrap();
            volume
        }
        other => panic!("no role {other}"),
    };
    say("ready");
    // Lives until it is killed, or its parent is gone.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(volume);
}

#[tokio::test]
async fn s10_many_processes_may_make_one_store_and_one_gets_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let all: Vec<_> = (0..6).map(|_| Other::start("create", &path)).collect();
    let ends: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(ends.iter().all(|end| end.status.success()), "{ends:?}");
    let won = ends.iter().filter(|end| String::from_utf8_lossy(&end.stdout).contains("SAYS won")).count();
    assert_eq!(won, 1, "{ends:?}");
}

#[tokio::test]
async fn s10_a_second_writer_is_told_the_process_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open_store(dir.path()).await;
    let entry = create(&*engine, "one").await.unwrap();
    for role in ["read", "write"] {
        let other = Other::ready(role, dir.path());
        let pid = other.child.id().to_string();
        let removed = engine.remove(&Namespace::default(), &entry, &Ctl::new()).await.unwrap_err();
        assert_eq!(removed.kind(), ErrorKind::Blocked);
        assert!(removed.report().contains(&pid), "{role} {pid}: {}", removed.report());
        if role == "write" {
            let error = open(&*engine, "one", &OpenOptions::write()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Blocked);
            assert!(error.report().contains(&pid), "{pid}: {}", error.report());
            assert!(error.remedy().unwrap().contains(&pid));
            let reader = open(&*engine, "one", &OpenOptions::read(None)).await.unwrap();
            let holders = reader.holders(&Ctl::new()).await.unwrap();
            assert!(holders.iter().any(|holder| holder.detail.contains(&pid)), "{holders:?}");
        }
        other.kill();
    }
    engine.remove(&Namespace::default(), &entry, &Ctl::new()).await.unwrap();
}

#[tokio::test]
async fn s10_a_killed_writer_leaves_what_it_flushed_and_no_objects_besides() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open_store(dir.path()).await;
    create(&*engine, "one").await.unwrap();
    let other = Other::ready("write", dir.path());
    assert_eq!(other.said, "ready");
    other.kill();
    engine.shutdown().await.unwrap();
    let engine = open_store(dir.path()).await;
    let volume = open(&*engine, "one", &OpenOptions::write()).await.unwrap();
    let content = volume.read(0, 16 << 20, &Ctl::new()).await.unwrap();
    let mut flushed = vec![0; 16 << 20];
    flushed[..MIB].fill(1);
    flushed[8 * MIB..9 * MIB].fill(1);
    assert!(content == flushed);
    volume.close(&Ctl::new()).await.unwrap();
    engine.shutdown().await.unwrap();
    assert_eq!(files_in(&dir.path().join("objects")), 2);
}

fn files_in(objects: &Path) -> usize {
    let dirs = std::fs::read_dir(objects).unwrap();
    dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum()
}
