//! A store that went back to the copy of its database, after files were cut or written in place: what is there is not
//! taken for rot, and what is gone is never zeros or other bytes.

use super::blocks;
use super::directory::now;
use super::handle::Open;
use super::ids::BLOCK_BYTES;
use super::repair::{DatabaseRepair, repair};
use super::store::Store;
use crate::engine::{CloneOptions, CreateOptions, OpenOptions, SnapshotRef};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, leaf};
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

struct Scene {
    dir: tempfile::TempDir,
    store: Option<Arc<Store>>,
    ctl: Ctl,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Some(Store::open(dir.path()).unwrap());
        Scene { dir, store, ctl: Ctl::new() }
    }

    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().unwrap()
    }

    fn create(&self, volume: &str, blocks: u64) -> Open {
        let options = CreateOptions::new(blocks * BLOCK_BYTES);
        self.store().create(&Namespace::default(), &name(volume), &options).unwrap();
        self.open(volume, &OpenOptions::write())
    }

    fn open(&self, volume: &str, options: &OpenOptions) -> Open {
        self.store().open_volume(&Namespace::default(), &Target::Name(name(volume)), options).unwrap()
    }

    fn read(&self, spec: &str, len: usize) -> Result<Vec<u8>> {
        let (volume, snapshot) = spec.split_once('@').unwrap_or((spec, ""));
        let snapshot = (!snapshot.is_empty()).then(|| name(snapshot));
        let open = self.open(volume, &OpenOptions::read(snapshot));
        Ok(open.read(0, len, &self.ctl)?.to_vec())
    }

    fn leaf_of(&self, open: &Open, index: u64, bytes: &[u8]) {
        open.record_leaves(&[(index, leaf(bytes).unwrap())], &self.ctl).unwrap();
    }

    fn copy(&self) {
        assert!(self.store().copy_if_due(now()).unwrap());
    }

    /// Loses the database and goes back to its copy.
    fn go_back(&mut self) {
        self.store().db.close();
        self.store = None;
        std::fs::remove_file(self.dir.path().join("store.db")).unwrap();
        assert!(matches!(repair(self.dir.path()).unwrap(), DatabaseRepair::Copy { made: Some(_) }));
        self.store = Some(Store::open(self.dir.path()).unwrap());
    }
}

fn is_damage(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{}", error.report());
    assert!(error.report().contains(what), "{}", error.report());
}

/// A block of ones and a half of twos.
fn block() -> Vec<u8> {
    [vec![1; 2 * MIB], vec![2; 2 * MIB]].concat()
}

#[test]
fn s13_a_file_that_was_cut_in_folding_is_whole_to_who_sees_its_beginning_and_short_to_who_sees_it_all() {
    let mut scene = Scene::new();
    let web = scene.create("web", 1);
    web.write(0, &block().into(), &scene.ctl).unwrap();
    web.create_snapshot(&name("all"), &scene.ctl).unwrap();
    scene.leaf_of(&scene.open("web", &OpenOptions::read(Some(name("all")))), 0, &block());
    web.resize(3 * MIB as u64, &scene.ctl).unwrap();
    web.create_snapshot(&name("less"), &scene.ctl).unwrap();
    web.protect_snapshot(&name("less"), true).unwrap();
    let (namespace, volume) = (Namespace::default(), web.id.clone());
    let parent = SnapshotRef { namespace: namespace.clone(), volume, snapshot: name("less") };
    scene.store().clone_volume(&parent, &namespace, &name("least"), &CloneOptions::default()).unwrap();
    scene.open("least", &OpenOptions::write()).resize(MIB as u64, &scene.ctl).unwrap();
    scene.copy();
    let right = |scene: &Scene| {
        for (spec, len) in [("web", 3 * MIB), ("web@less", 3 * MIB), ("least", MIB)] {
            assert!(scene.read(spec, len).unwrap() == block()[..len], "{spec}");
        }
    };
    assert!(scene.read("web@all", 4 * MIB).unwrap() == block());
    web.remove_snapshot(&name("all"), &scene.ctl).unwrap();
    right(&scene);
    drop(web);
    scene.go_back();
    right(&scene);
    is_damage(&scene.read("web@all", 4 * MIB).unwrap_err(), "shorter");
    // Nothing is copied on: what is not compared has no leaf, and what is seen whole is refused.
    let least = scene.open("least", &OpenOptions::write());
    least.write(5, &vec![9; 3].into(), &scene.ctl).unwrap();
    least.flatten(&scene.ctl).unwrap();
    drop(least);
    // It is folded once more.
    let web = scene.open("web", &OpenOptions::write());
    web.remove_snapshot(&name("all"), &scene.ctl).unwrap();
    let layers: i64 = scene
        .store()
        .db
        .read(|tx| {
            let select = "SELECT count(*) FROM layer WHERE volume = ?1";
            Ok(tx.query_row(select, [web.id.as_str()], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(layers, 2, "a layer is left to fold");
    web.resize(4 * MIB as u64, &scene.ctl).unwrap();
    assert!(scene.read("web@less", 3 * MIB).unwrap() == block()[..3 * MIB]);
    assert!(scene.read("web", 4 * MIB).unwrap() == [&block()[..3 * MIB], &vec![0; MIB]].concat());
}

#[test]
fn s13_a_file_that_is_shorter_than_what_is_seen_of_it_is_short_also_where_more_was_cut() {
    let scene = Scene::new();
    let web = scene.create("web", 1);
    web.write(0, &block().into(), &scene.ctl).unwrap();
    scene.leaf_of(&web, 0, &block());
    web.create_snapshot(&name("all"), &scene.ctl).unwrap();
    web.resize(3 * MIB as u64, &scene.ctl).unwrap();
    let (_, _, object) = scene
        .store()
        .db
        .read(|tx| {
            let id = tx.query_row("SELECT object FROM blocks", [], |row| row.get(0))?;
            Ok(blocks::of_object(tx, id)?.unwrap())
        })
        .unwrap();
    let file = scene.store().files.open(&scene.store().object_path(object.id), true).unwrap();
    file.cut_at(3 * MIB as u64 - 1).unwrap();
    is_damage(&scene.read("web", 3 * MIB).unwrap_err(), "shorter");
    // Its folding neither hides that nor makes more of it.
    web.remove_snapshot(&name("all"), &scene.ctl).unwrap();
    is_damage(&scene.read("web", 3 * MIB).unwrap_err(), "shorter");
}

#[test]
fn s13_a_block_that_was_written_after_the_copy_is_newer_or_missing_and_never_taken_for_rot() {
    let mut scene = Scene::new();
    let web = scene.create("web", 2);
    web.write(0, &block().into(), &scene.ctl).unwrap();
    web.write(BLOCK_BYTES, &block().into(), &scene.ctl).unwrap();
    web.flush(&scene.ctl).unwrap();
    scene.leaf_of(&web, 1, &block());
    scene.copy();
    for at in [7, BLOCK_BYTES + 7] {
        web.write(at, &vec![9; 5].into(), &scene.ctl).unwrap();
    }
    web.flush(&scene.ctl).unwrap();
    drop(web);
    scene.go_back();
    // Without a leaf it was written in place.
    assert_eq!(scene.read("web", 13).unwrap()[6..], [1, 9, 9, 9, 9, 9, 1]);
    is_damage(&scene.read("web", 2 * BLOCK_BYTES as usize).unwrap_err(), "missing");
}
