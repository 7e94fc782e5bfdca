//! The local engine's own properties: what no other engine has, such as files, sweeping and locks of one host.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use volary::engine::*;
use volary::{Ctl, ErrorKind, Name, Namespace, Target, VolumeId};

const MIB: u64 = 1 << 20;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn store(path: &Path) -> Arc<dyn Engine> {
    local::open(path, &Ctl::new()).await.unwrap()
}

async fn make(engine: &dyn Engine, volume: &str, mib: u64) -> VolumeId {
    let options = CreateOptions::new(mib * MIB);
    engine.create(&Namespace::default(), &name(volume), &options, &Ctl::new()).await.unwrap()
}

async fn open(engine: &dyn Engine, id: &VolumeId, options: OpenOptions) -> volary::Result<Arc<dyn Volume>> {
    engine.open(&Namespace::default(), &Target::Id(id.clone()), &options, &Ctl::new()).await
}

fn objects(path: &Path) -> usize {
    let dirs = std::fs::read_dir(path.join("objects")).unwrap();
    dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn layers_keep_what_each_snapshot_and_clone_saw() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, ctl, home) = (store(&dir.path().join("new/store")).await, Ctl::new(), Namespace::default());
    let id = make(&*engine, "web", 10).await;
    let head = open(&*engine, &id, OpenOptions::write()).await.unwrap();
    head.write(3 * MIB, Bytes::from(vec![1; 2 << 20]), &ctl).await.unwrap();
    head.create_snapshot(&name("one"), &ctl).await.unwrap();
    head.write(4 * MIB, Bytes::from(vec![2; 100]), &ctl).await.unwrap();
    assert_eq!(head.read(4 * MIB - 1, 102, &ctl).await.unwrap()[..], [&[1][..], &[2; 100], &[1]].concat());
    let one = open(&*engine, &id, OpenOptions::read(Some(name("one")))).await.unwrap();
    assert_eq!(one.read(0, 10 << 20, &ctl).await.unwrap()[3 << 20..5 << 20], [1; 2 << 20]);

    let parent = SnapshotRef { namespace: home.clone(), volume: id.clone(), snapshot: name("one") };
    let options = CloneOptions::default();
    let clone = || engine.clone_volume(&parent, &home, &parent.snapshot, &options, &ctl);
    assert_eq!(clone().await.unwrap_err().kind(), ErrorKind::Blocked);
    head.protect_snapshot(&name("one"), &ctl).await.unwrap();
    let child = open(&*engine, &clone().await.unwrap(), OpenOptions::write()).await.unwrap();
    child.write_zeroes(4 * MIB, 10, &ctl).await.unwrap();
    assert_eq!(child.read(4 * MIB - 1, 12, &ctl).await.unwrap()[..], [&[1][..], &[0; 10], &[1]].concat());
    child.resize(4 * MIB + 5, &ctl).await.unwrap();
    child.resize(10 * MIB, &ctl).await.unwrap();
    assert_eq!(child.stat(&ctl).await.unwrap().parent.unwrap().overlap_bytes, 4 * MIB + 5);
    let whole = child.read(0, 10 << 20, &ctl).await.unwrap();
    assert_eq!((&whole[3 << 20..4 << 20], &whole[4 << 20..]), (&[1; 1 << 20][..], &[0; 6 << 20][..]));
    child.flatten(&ctl).await.unwrap();
    assert_eq!(child.read(0, 10 << 20, &ctl).await.unwrap(), whole);
    assert!(child.stat(&ctl).await.unwrap().parent.is_none());

    head.rollback(&name("one"), &ctl).await.unwrap();
    assert_eq!(head.read(4 * MIB, 100, &ctl).await.unwrap()[..], [1; 100]);
    head.unprotect_snapshot(&name("one"), &ctl).await.unwrap();
    let held = head.remove_snapshot(&name("one"), &ctl).await.unwrap_err();
    assert!(held.to_string().contains(&format!("process {}", std::process::id())), "{held}");
    one.close(&ctl).await.unwrap();
    head.remove_snapshot(&name("one"), &ctl).await.unwrap();
    assert_eq!(head.read(3 * MIB, 2 << 20, &ctl).await.unwrap()[..], [1; 2 << 20]);
    head.close(&ctl).await.unwrap();
}

#[tokio::test]
async fn s04_objects_that_no_row_names_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let engine = store(dir.path()).await;
    let (ctl, id) = (Ctl::new(), make(&*engine, "web", 16).await);
    let head = open(&*engine, &id, OpenOptions::write()).await.unwrap();
    head.write(0, Bytes::from(vec![1; 8 << 20]), &ctl).await.unwrap();
    head.flush(&ctl).await.unwrap();
    let orphan = dir.path().join("objects/07/07000000000000000000000000000000");
    std::fs::write(&orphan, "left by a writer that was killed").unwrap();
    store(dir.path()).await;
    assert!(orphan.exists(), "nothing is swept beside a writer");
    head.write(8 * MIB, Bytes::from(vec![2; 4 << 20]), &ctl).await.unwrap();
    assert_eq!(objects(dir.path()), 4);
    drop(head);
    assert_eq!(objects(dir.path()), 3, "what was not flushed goes with the handle");
    std::fs::write(dir.path().join("locks/unclean/0000"), "").unwrap();
    let engine = store(dir.path()).await;
    assert_eq!(objects(dir.path()), 2);
    let entry = VolumeEntry { name: name("web"), id };
    engine.remove(&Namespace::default(), &entry, &ctl).await.unwrap();
    assert_eq!(objects(dir.path()), 0);
}

#[tokio::test]
async fn s04_flattening_over_unflushed_writes_leaves_no_object_without_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, ctl, home) = (store(dir.path()).await, Ctl::new(), Namespace::default());
    let id = make(&*engine, "web", 12).await;
    let head = open(&*engine, &id, OpenOptions::write()).await.unwrap();
    head.write(0, Bytes::from(vec![1; 12 << 20]), &ctl).await.unwrap();
    head.create_snapshot(&name("one"), &ctl).await.unwrap();
    head.protect_snapshot(&name("one"), &ctl).await.unwrap();
    let parent = SnapshotRef { namespace: home.clone(), volume: id, snapshot: name("one") };
    let id =
        engine.clone_volume(&parent, &home, &name("clone"), &CloneOptions::default(), &ctl).await.unwrap();
    let clone = open(&*engine, &id, OpenOptions::write()).await.unwrap();
    clone.write(4 * MIB, Bytes::from(vec![2; 100]), &ctl).await.unwrap();
    clone.write_zeroes(8 * MIB, 4 * MIB, &ctl).await.unwrap();
    clone.flatten(&ctl).await.unwrap();
    clone.close(&ctl).await.unwrap();
    assert_eq!(objects(dir.path()), 3 + 2);
}

#[tokio::test]
async fn a_path_that_cannot_be_a_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = local::open(&file, &Ctl::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);

    let newer = dir.path().join("newer");
    store(&newer).await.shutdown().await.unwrap();
    rusqlite::Connection::open(newer.join("store.db"))
        .unwrap()
        .execute("UPDATE store SET version = 99", [])
        .unwrap();
    assert_eq!(local::open(&newer, &Ctl::new()).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_second_writer_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine = store(dir.path()).await;
    let (ctl, id) = (Ctl::new(), make(&*engine, "web", 16).await);
    let first = open(&*engine, &id, OpenOptions::write()).await.unwrap();
    let refused = open(&*engine, &id, OpenOptions::write()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    assert!(refused.remedy().unwrap().contains("end it"));
    let reader = open(&*engine, &id, OpenOptions::read(None)).await.unwrap();
    assert_eq!(first.holders(&ctl).await.unwrap().len(), 1);
    assert_eq!(reader.holders(&ctl).await.unwrap().len(), 1);
    let entry = VolumeEntry { name: name("web"), id: id.clone() };
    first.close(&ctl).await.unwrap();
    let keep = std::time::Duration::ZERO;
    let moved = engine.trash_move(&Namespace::default(), &entry, &TrashOptions::keep(keep), &ctl).await;
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::Blocked);
    reader.close(&ctl).await.unwrap();
    engine.trash_move(&Namespace::default(), &entry, &TrashOptions::keep(keep), &ctl).await.unwrap();
    let staged = open(&*engine, &id, OpenOptions::write()).await.unwrap();
    engine.trash_restore(&Namespace::default(), &id, &name("done"), &ctl).await.unwrap();
    staged.close(&ctl).await.unwrap();
}
