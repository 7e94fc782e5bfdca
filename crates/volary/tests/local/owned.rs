//! S14 on a local store: it is its owner's alone, and nothing in it is followed out of it.
//!
//! Another user's files can be made by root only. A process that is not root makes them in a user namespace of its own,
//! by starting the test again below `unshare`; where neither can be, the test fails.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use volary::engine::local;
use volary::{Ctl, Error, ErrorKind};

const OTHER: u32 = 12_345;

/// Runs the test, as root or as the root of a user namespace.
fn as_root(test: &str, body: impl Future<Output = ()>) {
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(body);
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--map-auto", "--"]).arg(std::env::current_exe().unwrap());
    let status = command.args(["--exact", test]).status().unwrap();
    assert!(status.success(), "the test needs root, or a user namespace with other users in it");
}

async fn refused(path: &Path) -> Error {
    let error = local::open(path, &Ctl::new()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{}", error.report());
    assert!(error.remedy().is_some(), "{}", error.report());
    error
}

async fn opened(path: &Path) {
    local::open(path, &Ctl::new()).await.unwrap().shutdown().await.unwrap();
}

/// A store that was made and closed.
async fn made() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    opened(&store).await;
    (dir, store)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_becomes_a_store_for_all_who_open_it_at_once() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for round in 0..25 {
        let store = dir.path().join(round.to_string());
        std::fs::create_dir(&store).unwrap();
        std::fs::set_permissions(&store, Permissions::from_mode(0o755)).unwrap();
        let opened = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { local::open(&store, &Ctl::new()).await.map(drop) })
        });
        for opened in futures::future::join_all(opened).await {
            let opened = opened.unwrap();
            assert!(opened.is_ok(), "{opened:?}");
        }
        assert_eq!(mode(&store), 0o700);
    }
}

#[test]
fn s14_a_store_that_another_user_prepared_is_not_touched() {
    as_root("owned::s14_a_store_that_another_user_prepared_is_not_touched", async {
        // What belongs to the other user, one thing at a time; all of it, as he would have made it, is the first.
        let parts = ["", "store.db", "objects", "objects/01", "locks", "locks/unclean"];
        for part in parts {
            let (dir, store) = made().await;
            let victim = dir.path().join("victim");
            std::fs::create_dir(&victim).unwrap();
            let precious = victim.join("01".repeat(16));
            std::fs::write(&precious, "precious").unwrap();
            std::fs::write(store.join("locks/unclean/mark"), "").unwrap();
            // As a store that this user made long ago would have it, the link is refused alone: the owner counts here.
            if part.is_empty() {
                std::fs::remove_dir(store.join("objects/02")).unwrap();
                symlink(&victim, store.join("objects/02")).unwrap();
            }
            chown(store.join(part), Some(OTHER), None).unwrap();
            refused(&store).await;
            assert!(precious.exists() && store.join("locks/unclean/mark").exists(), "{part}");
        }
    });
}

#[tokio::test]
async fn s14_a_link_in_a_store_is_not_followed() {
    for (part, directory) in [
        ("objects", true),
        ("objects/01", true),
        ("locks", true),
        ("locks/unclean", true),
        ("store.db", false),
        ("store.db-wal", false),
    ] {
        let (dir, store) = made().await;
        let (there, elsewhere) = (store.join(part), dir.path().join("elsewhere"));
        match there.exists() {
            true => std::fs::rename(&there, &elsewhere).unwrap(),
            false => std::fs::write(&elsewhere, "").unwrap(),
        }
        symlink(&elsewhere, &there).unwrap();
        let error = refused(&store).await;
        assert!(error.to_string().contains(part), "{part}: {}", error.report());
        assert_eq!(elsewhere.is_dir(), directory);
    }
}

#[tokio::test]
async fn s14_a_lock_or_object_that_is_a_link_or_pipe_is_refused_when_it_is_opened() {
    let (dir, store) = made().await;
    let engine = local::open(&store, &Ctl::new()).await.unwrap();
    let ctl = Ctl::new();
    let namespace = volary::Namespace::default();
    let create = volary::engine::CreateOptions::new(1 << 22);
    let web = volary::Name::new("web").unwrap();
    let id = engine.create(&namespace, &web, &create, &ctl).await.unwrap();
    let target = volary::Target::Id(id.clone());
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "other bytes").unwrap();
    let options = volary::engine::OpenOptions::write();
    let head = engine.open(&namespace, &target, &options, &ctl).await.unwrap();
    head.write(0, bytes::Bytes::from(vec![7; 4096]), &ctl).await.unwrap();
    head.close(&ctl).await.unwrap();
    let lock = store.join(format!("locks/{id}.w"));
    std::fs::remove_file(&lock).unwrap();
    symlink(&elsewhere, &lock).unwrap();
    let error = engine.open(&namespace, &target, &options, &ctl).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{}", error.report());
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "other bytes");
    let object = walk(&store.join("objects")).pop().unwrap();
    let reader = volary::engine::OpenOptions::read(None);
    let read = async || {
        let head = engine.open(&namespace, &target, &reader, &ctl).await.unwrap();
        head.read(0, 4096, &ctl).await
    };
    assert_eq!(read().await.unwrap()[..], [7; 4096]);
    std::fs::remove_file(&object).unwrap();
    symlink(&elsewhere, &object).unwrap();
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Permission);
    std::fs::remove_file(&object).unwrap();
    assert!(Command::new("mkfifo").arg(&object).status().unwrap().success());
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Permission);
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(directory).unwrap();
    dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[tokio::test]
async fn s14_what_is_open_to_others_is_narrowed() {
    let (_dir, store) = made().await;
    let parts = ["", "store.db", "objects", "objects/01", "locks", "locks/unclean"];
    for part in parts {
        open_to_all(&store.join(part));
        opened(&store).await;
        let narrow = if store.join(part).is_dir() { 0o700 } else { 0o700 & mode(&store.join(part)) };
        assert_eq!(mode(&store.join(part)), narrow, "{part}");
    }
    // Not where it would lock others out of what is theirs too.
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("letters"), "").unwrap();
    open_to_all(shared.path());
    refused(shared.path()).await;
    assert_eq!(mode(shared.path()), 0o777);
    // Another name of a file, perhaps somewhere else, keeps the mode from being changed.
    let outside = shared.path().join("outside");
    std::fs::hard_link(store.join("store.db"), &outside).unwrap();
    open_to_all(&outside);
    refused(&store).await;
    assert_eq!(mode(&outside), 0o777);
}

#[test]
fn s14_the_way_to_a_store_is_one_that_nobody_else_can_change() {
    as_root("owned::s14_the_way_to_a_store_is_one_that_nobody_else_can_change", async {
        let dir = tempfile::tempdir().unwrap();
        let between = dir.path().join("between");
        let store = between.join("store");
        opened(&store).await;
        // Everybody may put something else in its place; sticky, nobody can.
        open_to_all(&between);
        assert!(refused(&store).await.remedy().unwrap().contains("chmod go-w"));
        std::fs::set_permissions(&between, Permissions::from_mode(0o1777)).unwrap();
        opened(&store).await;
        std::fs::set_permissions(&between, Permissions::from_mode(0o755)).unwrap();
        chown(&between, Some(OTHER), None).unwrap();
        assert!(refused(&store).await.to_string().contains("12345"));
        chown(&between, Some(0), None).unwrap();
        opened(&store).await;
        // Links on the way are followed when nobody else can change them.
        let link = dir.path().join("link");
        symlink("between/../between", &link).unwrap();
        opened(&link.join("store")).await;
        std::os::unix::fs::lchown(&link, Some(OTHER), None).unwrap();
        refused(&link.join("store")).await;
    });
}
