//! A disk that fills up in mid-import, and one that is full when much is removed.

use crate::place::Place;
use crate::store::scene::{Meanwhile, Scene};
use std::io::Write;
use std::process::Command;
use volary::{Ctl, ErrorKind, Outcome, Phase, RemoveOptions, Store, StoreUrl};

/// A file system of a few megabytes, unmounted at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// Only root may mount: whoever is not sees the test fail, not pass unlooked.
    fn mount(path: std::path::PathBuf, mib: u64) -> SmallDisk {
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={mib}m,mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status().unwrap();
        assert!(mounted.success(), "the test's own file system could not be mounted");
        SmallDisk(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_a_disk_that_fills_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path().join("store"), 128);
    let scene = Scene::at(dir, Place::at(&disk.0)).await;
    let full = scene.path("full.raw");
    std::fs::write(&full, vec![7; 96 << 20]).unwrap();
    // Another takes the space between the check and the copy.
    let ballast = disk.0.join("ballast");
    let act = {
        let ballast = ballast.clone();
        move || {
            let mut file = std::fs::File::create(&ballast).unwrap();
            while file.write_all(&[1; 65536]).is_ok() {}
        }
    };
    let ctl = volary::Ctl::new().watched_by(Meanwhile::new(Phase::Copy, act));
    let error = scene.store.import(&scene.request(&full, "web"), &ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
    scene.assert_nothing_left().await;
    // What surely does not fit is not even begun.
    let error = scene.store.import(&scene.request(&full, "web"), &scene.ctl).await.unwrap_err();
    assert!(error.contexts().any(|(key, _)| key == "needed_bytes"), "{error:?}");
    std::fs::remove_file(ballast).unwrap();
    scene.store.import(&scene.request(&full, "web"), &scene.ctl).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s02_a_volume_of_many_blocks_is_removed_on_a_full_disk() {
    let (dir, ctl) = (tempfile::tempdir().unwrap(), &Ctl::new());
    let disk = SmallDisk::mount(dir.path().join("disk"), 192);
    let path = disk.0.join("store");
    let (url, web) = (StoreUrl::local(&path), "web".parse().unwrap());
    let store = Store::connect(&url, ctl).await.unwrap();
    store.create(&web, 1 << 40, ctl).await.unwrap();
    store.shutdown().await.unwrap();
    // As many rows as 400 GiB of data have, in a database of which a removal changes every page.
    let database = rusqlite::Connection::open(path.join("store.db")).unwrap();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
                INSERT INTO blocks(layer, idx, object, length, leaf, sum)
                SELECT head, i, randomblob(16), 0, randomblob(32), 0 FROM n, volume";
    assert_eq!(database.execute(rows, []).unwrap(), 100_000);
    drop(database);
    // The next command takes as much room as such a removal needs.
    Store::connect(&url, ctl).await.unwrap().shutdown().await.unwrap();
    let mut file = std::fs::File::create(disk.0.join("ballast")).unwrap();
    for bytes in [1 << 16, 4096] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
    }
    let store = Store::connect(&url, ctl).await.unwrap();
    let report = store.remove(&web, &RemoveOptions::default(), ctl).await.unwrap();
    assert_eq!(report.outcome, Outcome::Removed, "{report:?}");
    store.shutdown().await.unwrap();
    let database = rusqlite::Connection::open(path.join("store.db")).unwrap();
    let left: i64 = database.query_row("SELECT count(*) FROM garbage", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
