//! A disk that fills up in mid-import.

use crate::place::Place;
use crate::store::scene::{Meanwhile, Scene};
use std::io::Write;
use std::process::Command;
use volary::{ErrorKind, Phase};

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
