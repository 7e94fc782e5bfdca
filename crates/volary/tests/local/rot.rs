//! Rot in a store's files and in its database: whoever reads a whole block notices, and nothing is made of it.

use crate::store::scene::Scene;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use volary::engine::{OpenOptions, Volume};
use volary::{CopyOptions, Error, ErrorKind, ExportReport, ExportRequest, ExportTarget};

const MIB: u64 = 1 << 20;

/// A volume `web`, its protected snapshot `base`, and a clone `child` of that; the store is closed.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB);
    let mut request = scene.request(&raw, "web");
    request.snapshot = Some(volary::Name::new("base").unwrap());
    request.protect = true;
    scene.store.import(&request, &scene.ctl).await.unwrap();
    scene.store.clone_volume(&scene.spec("web@base"), &scene.spec("child"), &scene.ctl).await.unwrap();
    scene
}

fn objects(scene: &Scene) -> Vec<PathBuf> {
    scene.place.objects().into_iter().map(PathBuf::from).collect()
}

fn database(scene: &Scene) -> rusqlite::Connection {
    rusqlite::Connection::open(scene.path("store/store.db")).unwrap()
}

fn assert_named(what: &str, error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{what}: {error:?}");
    let keys: Vec<&str> = error.contexts().map(|(key, _)| key).collect();
    assert!(keys.contains(&"id") && keys.contains(&"block"), "{what}: {error:?}");
    assert!(keys.contains(&"object") || keys.contains(&"file"), "{what}: {error:?}");
}

/// Everything that reads whole blocks notices, and leaves nothing.
async fn assert_noticed(scene: &Scene) {
    let (store, ctl) = (&scene.store, &scene.ctl);
    for volume in ["web", "web@base", "child"] {
        let target = scene.path("out.raw");
        let request = ExportRequest::new(scene.spec(volume), ExportTarget::File(target.clone()));
        assert_named("export", &store.export(request, ctl).await.unwrap_err());
        assert!(!target.exists(), "{volume} was exported");
        let (copy, options) = (scene.spec("copy"), CopyOptions::default());
        assert_named("cp", &store.copy(&scene.spec(volume), &copy, options, ctl).await.unwrap_err());
    }
    for volume in ["web", "web@base"] {
        assert_named("verify", &store.verify(&scene.spec(volume), false, ctl).await.unwrap_err());
    }
    let child = open(scene, "child").await;
    assert_named("write", &child.write(5, b"part"[..].into(), ctl).await.unwrap_err());
    child.close(ctl).await.unwrap();
    assert_named("flatten", &store.flatten(&scene.spec("child"), ctl).await.unwrap_err());
    assert_eq!(scene.names().await, ["child", "web"]);
    scene.assert_nothing_hidden().await;
}

async fn open(scene: &Scene, volume: &str) -> std::sync::Arc<dyn Volume> {
    let spec = scene.spec(volume);
    let options = OpenOptions::write();
    scene.engine.open(&spec.namespace, &spec.volume, &options, &scene.ctl).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_flipped_byte_in_an_object_is_noticed() {
    let scene = scene().await;
    objects(&scene).iter().for_each(|object| scene.place.damage(object.to_str().unwrap(), 0));
    assert_noticed(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_an_object_cut_short_is_noticed() {
    let scene = scene().await;
    for object in objects(&scene) {
        let file = std::fs::File::options().write(true).open(object).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }
    assert_noticed(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_missing_object_is_noticed() {
    let scene = scene().await;
    objects(&scene).iter().for_each(|object| std::fs::remove_file(object).unwrap());
    assert_noticed(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_swapped_objects_are_noticed() {
    let scene = scene().await;
    let objects = objects(&scene);
    let rename = |from: &Path, to: &Path| std::fs::rename(from, to).unwrap();
    let aside = scene.path("aside");
    rename(&objects[0], &aside);
    objects.windows(2).for_each(|pair| rename(&pair[1], &pair[0]));
    rename(&aside, objects.last().unwrap());
    assert_noticed(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_flipped_bits_in_a_row_are_noticed() {
    for change in [
        "object = randomblob(16)",
        "object = NULL, length = NULL, leaf = NULL",
        "length = length + 1",
        "length = 'long'",
        "leaf = randomblob(32)",
        "leaf = NULL",
        "sum = sum + 1",
    ] {
        let scene = scene().await;
        database(&scene).execute(&format!("UPDATE blocks SET {change}"), []).unwrap();
        let export = ExportTarget::File(scene.path("out.raw"));
        let error =
            scene.store.export(ExportRequest::new(scene.spec("web"), export), &scene.ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{change}: {error:?}");
    }
    let scene = scene().await;
    database(&scene).execute("UPDATE blocks SET length = length - 1", []).unwrap();
    assert_noticed(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_block_that_is_written_in_part_is_compared_first() {
    let scene = scene().await;
    let raw = scene.raw("other.raw", 5 * MIB);
    scene.store.import(&scene.request(&raw, "own"), &scene.ctl).await.unwrap();
    let own = open(&scene, "own").await;
    // Sound blocks: the checksum goes with the first write, which makes another file, and no later one copies.
    let mut before: BTreeSet<_> = objects(&scene).into_iter().collect();
    for (byte, made) in [(3, 1), (4, 0)] {
        own.write(7, vec![byte; 9].into(), &scene.ctl).await.unwrap();
        own.flush(&scene.ctl).await.unwrap();
        assert_eq!(own.read(7, 9, &scene.ctl).await.unwrap()[..], [byte; 9]);
        let now: BTreeSet<_> = objects(&scene).into_iter().collect();
        assert_eq!((now.len(), now.difference(&before).count()), (before.len(), made));
        before = now;
    }
    objects(&scene).iter().for_each(|object| scene.place.damage(object.to_str().unwrap(), 0));
    let error = own.write(4 * MIB + 7, vec![1; 9].into(), &scene.ctl).await.unwrap_err();
    assert_named("write", &error);
    own.close(&scene.ctl).await.unwrap();
}

/// How many blocks have no checksum.
fn unknown(scene: &Scene) -> i64 {
    let count = "SELECT count(*) FROM blocks WHERE object IS NOT NULL AND leaf IS NULL";
    database(scene).query_row(count, [], |row| row.get(0)).unwrap()
}

/// A snapshot `web@later` with a block that has no checksum, and the file of that.
async fn later(scene: &Scene) -> String {
    let before: BTreeSet<_> = objects(scene).into_iter().collect();
    let web = open(scene, "web").await;
    web.write(0, vec![9; 4 << 20].into(), &scene.ctl).await.unwrap();
    web.create_snapshot(&volary::Name::new("later").unwrap(), &scene.ctl).await.unwrap();
    web.close(&scene.ctl).await.unwrap();
    assert_eq!(unknown(scene), 1);
    let made = objects(scene).into_iter().find(|object| !before.contains(object)).unwrap();
    made.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_what_is_not_what_was_recorded_gets_no_checksum() {
    let scene = scene().await;
    let object = later(&scene).await;
    let later = scene.spec("web@later");
    // The digest is recorded, the checksums are not, as in a store of an older version.
    let older = scene.faulty(|call| match call {
        "record_leaves" => Err(Error::new(ErrorKind::Unsupported, "there are no checksums yet")),
        _ => Ok(()),
    });
    older.verify(&later, true, &scene.ctl).await.unwrap();
    assert_eq!(unknown(&scene), 1);
    scene.place.damage(&object, 5);
    let report = scene.store.verify(&later, false, &scene.ctl).await.unwrap();
    assert!(!report.matches);
    assert_eq!(unknown(&scene), 1, "a damaged block got a checksum");
    scene.place.damage(&object, 5);
    assert!(scene.store.verify(&later, false, &scene.ctl).await.unwrap().matches);
    assert_eq!(unknown(&scene), 0);
    scene.place.damage(&object, 5);
    assert_named("verify", &scene.store.verify(&later, false, &scene.ctl).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_a_head_that_others_may_write_gets_no_checksums() {
    let scene = scene().await;
    let web = open(&scene, "web").await;
    web.write(0, vec![9; 4 << 20].into(), &scene.ctl).await.unwrap();
    web.close(&scene.ctl).await.unwrap();
    scene.store.verify(&scene.spec("web"), false, &scene.ctl).await.unwrap();
    assert_eq!(unknown(&scene), 1);
    scene.store.verify(&scene.spec("web"), true, &scene.ctl).await.unwrap();
    assert_eq!(unknown(&scene), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_what_was_compared_is_not_hashed_again() {
    let scene = scene().await;
    later(&scene).await;
    let spec = scene.spec("web@later");
    let options = OpenOptions::read(spec.snapshot.clone());
    let snapshot = scene.engine.open(&spec.namespace, &spec.volume, &options, &scene.ctl).await.unwrap();
    // All of the last block's file, which ends within the block; half of a block; one without a checksum.
    for (offset, len, known) in [(4, 4, true), (8, 1, true), (4, 2, false), (0, 4, false)] {
        let (bytes, leaf) =
            snapshot.read_block(offset * MIB, (len * MIB) as usize, &scene.ctl).await.unwrap();
        assert_eq!(leaf, volary::leaf(&bytes).filter(|_| known), "{len} MiB at {offset}");
    }
    // A part of what the checksum is of.
    let child = open(&scene, "child").await;
    child.resize(6 * MIB, &scene.ctl).await.unwrap();
    let (bytes, leaf) = child.read_block(4 * MIB, 2 * MIB as usize, &scene.ctl).await.unwrap();
    let whole = std::fs::read(scene.path("disk.raw")).unwrap();
    assert!(bytes[..] == whole[4 << 20..6 << 20]);
    assert_eq!(leaf, None);
    child.close(&scene.ctl).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_what_a_volume_takes_up_is_told_where_damage_is_accepted() {
    let scene = scene().await;
    assert_eq!(database(&scene).execute("UPDATE blocks SET sum = sum + 1 WHERE idx = 0", []).unwrap(), 1);
    let spec = scene.spec("web@base");
    let mut options = OpenOptions::read(spec.snapshot.clone());
    for accept in [false, true] {
        options.accept_mismatch = accept;
        let volume = scene.engine.open(&spec.namespace, &spec.volume, &options, &scene.ctl).await.unwrap();
        match volume.used_bytes(&scene.ctl).await {
            Ok(bytes) => assert!(accept && bytes > 0 && bytes < 9 * MIB, "{bytes}"),
            Err(error) => assert!(!accept && error.kind() == ErrorKind::Mismatch, "{error:?}"),
        }
        volume.close(&scene.ctl).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_verifying_a_snapshot_makes_its_checksums_known() {
    let scene = scene().await;
    later(&scene).await;
    let unknown = || unknown(&scene);
    scene.store.verify(&scene.spec("web@later"), true, &scene.ctl).await.unwrap();
    assert_eq!(unknown(), 0);
    scene.store.flatten(&scene.spec("child"), &scene.ctl).await.unwrap();
    assert_eq!(unknown(), 0, "a flattened block keeps its checksum");
    copy(&scene, "web@later", false).await;
    assert_eq!(unknown(), 0);
}

async fn copy(scene: &Scene, from: &str, accept_mismatch: bool) -> volary::CopyReport {
    let options = CopyOptions { accept_mismatch };
    scene.store.copy(&scene.spec(from), &scene.spec("copy"), options, &scene.ctl).await.unwrap()
}

async fn rescue(scene: &Scene, from: &str) -> (ExportReport, Vec<u8>) {
    let target = scene.path("rescued.raw");
    let mut request = ExportRequest::new(scene.spec(from), ExportTarget::File(target.clone()));
    (request.accept_mismatch, request.force) = (true, true);
    let report = scene.store.export(request, &scene.ctl).await.unwrap();
    (report, std::fs::read(target).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_what_is_left_of_damaged_blocks_is_taken_when_that_is_accepted_and_counted() {
    const BLOCK: usize = 4 << 20;
    for how in ["flipped", "short", "missing", "row"] {
        let scene = scene().await;
        let whole = std::fs::read(scene.path("disk.raw")).unwrap();
        // The object of the first block, by its bytes.
        let is_first = |object: &PathBuf| whole[..BLOCK].starts_with(&std::fs::read(object).unwrap());
        let first = objects(&scene).into_iter().find(is_first).unwrap();
        match how {
            "flipped" => scene.place.damage(first.to_str().unwrap(), 70_000),
            "short" => std::fs::File::options().write(true).open(first).unwrap().set_len(70_000).unwrap(),
            "missing" => std::fs::remove_file(first).unwrap(),
            _ => {
                let changed = database(&scene).execute("UPDATE blocks SET sum = sum + 1 WHERE idx = 0", []);
                assert_eq!(changed.unwrap(), 1);
            }
        }
        // A clone has no digest of its own: only the count tells.
        for volume in ["web@base", "child"] {
            let (report, rescued) = rescue(&scene, volume).await;
            assert_eq!(report.mismatched_bytes, BLOCK as u64, "{how} {volume}");
            assert!(report.mismatch_accepted, "{how} {volume}");
            assert!(rescued[BLOCK..] == whole[BLOCK..], "{how} {volume}");
            let mut expected = whole[..BLOCK].to_vec();
            match how {
                "flipped" => expected[70_000] = rescued[70_000],
                "short" => expected[70_000..].fill(0),
                _ => expected.fill(0),
            }
            assert!(rescued[..BLOCK] == expected && rescued[..BLOCK] != whole[..BLOCK], "{how} {volume}");
        }
        let known = || -> i64 {
            let count = "SELECT count(leaf) FROM blocks";
            database(&scene).query_row(count, [], |row| row.get(0)).unwrap()
        };
        let before = known();
        let copied = copy(&scene, "child", true).await;
        assert_eq!((copied.mismatched_bytes, copied.mismatch_accepted), (BLOCK as u64, true), "{how}");
        assert_eq!(known(), before, "{how}: damaged bytes got a checksum");
        let unrecorded = scene.store.verify(&scene.spec("copy"), false, &scene.ctl).await.unwrap_err();
        assert_eq!(unrecorded.kind(), ErrorKind::NotFound, "{how}");
    }
}
