//! Images, snapshots, clones, trash, and who holds what.

use crate::{LIMIT, MIB, connect, own_name, own_namespace, own_pool};
use bytes::Bytes;
use rbd::{Errno, Features, ImageOptions, Progress, SnapshotKind, TrashSource};
use std::time::Duration;

#[tokio::test]
async fn odd_names_go_through_every_list() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    let names: [&[u8]; 5] = [b"\xff\xfe", b"-x", b"a/b@c", b"\n\x1b[31m", b".."];
    for name in names {
        pool.create(name, MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    }
    let mut listed: Vec<_> = pool.images(LIMIT).await.unwrap().into_iter().map(|image| image.name).collect();
    let mut expected = names.map(<[u8]>::to_vec).to_vec();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    let image = pool.open(b"\xff\xfe", None, LIMIT).await.unwrap();
    image.create_snapshot(b"\xf0 s", LIMIT).await.unwrap();
    image.set_metadata(b"k\xff", &[b'v'; 9000], LIMIT).await.unwrap();
    assert_eq!(image.snapshots(LIMIT).await.unwrap()[0].name, b"\xf0 s");
    assert_eq!(image.metadata_value(b"k\xff", LIMIT).await.unwrap().unwrap(), [b'v'; 9000]);
    assert_eq!(image.name(LIMIT).await.unwrap(), b"\xff\xfe");
    let error = pool.open(b"\xff\xfe", Some(b"gone"), LIMIT).await.unwrap_err();
    assert!(error.to_string().contains(r"object \xff\xfe, snapshot gone"), "{error}");
}

#[tokio::test]
async fn an_image_is_made_as_told_and_tells_so() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    let mut options = ImageOptions::default();
    options.features = Some(Features::RBD_FEATURE_LAYERING | Features::RBD_FEATURE_EXCLUSIVE_LOCK);
    options.order = Some(20);
    options.data_pool = Some(b"rbd".to_vec());
    pool.create(b"disk", 5 * MIB, &options, LIMIT).await.unwrap();
    assert_eq!(pool.create(b"disk", 1, &options, LIMIT).await.unwrap_err().errno(), Some(Errno::EEXIST));
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    let stat = image.stat(LIMIT).await.unwrap();
    assert_eq!((stat.size_bytes, stat.object_bytes, stat.objects), (5 * MIB, MIB, 5));
    assert!(image.features(LIMIT).await.unwrap().names().starts_with(&["layering", "exclusive-lock"]));
    assert_eq!(image.flags(LIMIT).await, Ok(0));
    assert_eq!(image.data_pool(LIMIT).await.unwrap(), pool.id());
    assert!(image.created(LIMIT).await.unwrap().is_some());
    image.modified(LIMIT).await.unwrap();
    image.op_features(LIMIT).await.unwrap();
    image.resize(9 * MIB, false, &Progress::default(), LIMIT).await.unwrap();
    let shrink = image.resize(MIB, false, &Progress::default(), LIMIT).await;
    assert_eq!(shrink.unwrap_err().errno(), Some(Errno::EINVAL));
    image.resize(MIB, true, &Progress::default(), LIMIT).await.unwrap();
    assert_eq!(image.size(LIMIT).await, Ok(MIB));
    let id = image.id(LIMIT).await.unwrap();
    let stat = pool.object_stat(b"rbd_id.disk", LIMIT).await.unwrap().unwrap();
    assert_eq!(stat.size_bytes as usize, id.len() + 4);
    let read = pool.object_read(b"rbd_id.disk", 4096, LIMIT).await.unwrap().unwrap();
    assert_eq!(read[4..], id);
    assert_eq!(pool.object_read(b"rbd_id.none", 4096, LIMIT).await, Ok(None));
    let versioned = || async { pool.object_read_versioned(b"rbd_id.disk", 4096, LIMIT).await.unwrap() };
    let (same, version) = versioned().await.unwrap();
    assert_eq!((&same, versioned().await.map(|(_, version)| version)), (&read, Some(version)));
    pool.rename(b"disk", b"other", LIMIT).await.unwrap();
    assert_eq!(pool.object_stat(b"rbd_id.disk", LIMIT).await, Ok(None));
    assert_eq!(versioned().await, None);
    pool.rename(b"other", b"disk", LIMIT).await.unwrap();
    let (same, later) = versioned().await.unwrap();
    assert!(same == read && later > version, "{later} after {version}");
    pool.rename(b"disk", b"other", LIMIT).await.unwrap();
    assert_eq!(
        pool.open_by_id_read_only(&id, None, LIMIT).await.unwrap().name(LIMIT).await.unwrap(),
        b"other"
    );
}

#[tokio::test]
async fn snapshots_are_protected_cloned_flattened_rolled_back_and_removed() {
    let cluster = connect().await;
    let (pool, far) = (own_pool(&cluster).await, own_pool(&cluster).await);
    let quiet = Progress::default();
    pool.create(b"parent", 8 * MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let parent = pool.open(b"parent", None, LIMIT).await.unwrap();
    parent.write(0, Bytes::from_static(b"old")).await.unwrap();
    parent.create_snapshot(b"s", LIMIT).await.unwrap();
    assert_eq!(parent.create_snapshot(b"s", LIMIT).await.unwrap_err().errno(), Some(Errno::EEXIST));
    assert!(!parent.is_protected(b"s", LIMIT).await.unwrap());
    parent.protect_snapshot(b"s", LIMIT).await.unwrap();
    assert!(parent.is_protected(b"s", LIMIT).await.unwrap());
    let snapshot = parent.snapshots(LIMIT).await.unwrap().remove(0);
    assert_eq!((snapshot.name.as_slice(), snapshot.size_bytes), (b"s".as_slice(), 8 * MIB));
    assert!(parent.snapshot_created(snapshot.id, LIMIT).await.unwrap().is_some());
    assert_eq!(parent.snapshot_kind(snapshot.id, LIMIT).await, Ok(SnapshotKind::User));
    let mut v1 = ImageOptions::default();
    v1.clone_format = Some(1);
    pool.clone_image(b"parent", b"s", &pool, b"child", &v1, LIMIT).await.unwrap();
    let child = pool.open(b"child", None, LIMIT).await.unwrap();
    let from = child.parent(LIMIT).await.unwrap().unwrap();
    assert_eq!(
        (from.image.name.as_slice(), from.snapshot.as_slice()),
        (b"parent".as_slice(), b"s".as_slice())
    );
    assert_eq!((from.image.id, from.snapshot_id), (parent.id(LIMIT).await.unwrap(), snapshot.id));
    assert_eq!(child.overlap(LIMIT).await, Ok(8 * MIB));
    let at_snapshot = pool.open_read_only(b"parent", Some(b"s"), LIMIT).await.unwrap();
    let children = at_snapshot.children(LIMIT).await.unwrap();
    assert_eq!(children.len(), 1);
    assert!(children[0].name == b"child" && !children[0].trash && children[0].pool == b"rbd");
    let mut v2 = ImageOptions::default();
    v2.clone_format = Some(2);
    pool.clone_image(b"parent", b"s", &far, b"far", &v2, LIMIT).await.unwrap();
    assert_eq!(at_snapshot.children(LIMIT).await.unwrap().len(), 2);
    far.remove(b"far", &quiet, LIMIT).await.unwrap();
    assert_eq!(parent.unprotect_snapshot(b"s", LIMIT).await.unwrap_err().errno(), Some(Errno::EBUSY));
    assert_eq!(parent.remove_snapshot(b"s", &quiet, LIMIT).await.unwrap_err().errno(), Some(Errno::EBUSY));
    child.flatten(&quiet, LIMIT).await.unwrap();
    assert_eq!(child.read(0, 3).await.unwrap(), b"old");
    assert_eq!(parent.children(LIMIT).await.unwrap(), []);

    parent.write(0, Bytes::from_static(b"new")).await.unwrap();
    parent.rollback(b"s", &quiet, LIMIT).await.unwrap();
    assert_eq!(parent.read(0, 3).await.unwrap(), b"old");
    parent.rename_snapshot(b"s", b"t", LIMIT).await.unwrap();
    at_snapshot.close(LIMIT).await.unwrap();
    parent.unprotect_snapshot(b"t", LIMIT).await.unwrap();
    let full = pool.remove(b"parent", &quiet, LIMIT).await.unwrap_err();
    assert!(matches!(full.errno(), Some(Errno::ENOTEMPTY | Errno::EBUSY)), "{full}");
    parent.remove_snapshot(b"t", &quiet, LIMIT).await.unwrap();
    assert_eq!(parent.snapshots(LIMIT).await.unwrap(), []);
    parent.close(LIMIT).await.unwrap();
    child.close(LIMIT).await.unwrap();
    pool.remove(b"child", &quiet, LIMIT).await.unwrap();
    pool.remove(b"parent", &quiet, LIMIT).await.unwrap();
    assert_eq!(pool.images(LIMIT).await.unwrap(), []);
}

#[tokio::test]
async fn trash_keeps_restores_and_removes() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    let quiet = Progress::default();
    for name in [b"a", b"b"] {
        pool.create(name, MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    }
    let id = pool.images(LIMIT).await.unwrap().into_iter().find(|image| image.name == b"a").unwrap().id;
    pool.trash_move(b"a", Duration::from_secs(3600), LIMIT).await.unwrap();
    let entry = pool.trash(LIMIT).await.unwrap().remove(0);
    assert_eq!(pool.trash_entry(&id, LIMIT).await.unwrap().as_ref(), Some(&entry));
    assert_eq!((entry.name.as_slice(), entry.source), (b"a".as_slice(), TrashSource::User));
    assert_eq!(entry.until.unwrap().duration_since(entry.deleted.unwrap()).unwrap().as_secs(), 3600);
    assert_eq!(pool.trash_entry(b"none", LIMIT).await, Ok(None));

    // A staging image: written and protected in trash, published while open.
    let staged = pool.open_by_id(&id, None, LIMIT).await.unwrap();
    staged.write(0, Bytes::from_static(b"staged")).await.unwrap();
    staged.create_snapshot(b"s", LIMIT).await.unwrap();
    let taken = pool.trash_restore(&id, b"b", LIMIT).await.unwrap_err();
    assert_eq!(taken.errno(), Some(Errno::EEXIST));
    pool.trash_restore(&id, b"c", LIMIT).await.unwrap();
    assert_eq!(pool.open_read_only(b"c", None, LIMIT).await.unwrap().read(0, 6).await.unwrap(), b"staged");
    staged.remove_snapshot(b"s", &quiet, LIMIT).await.unwrap();
    staged.close(LIMIT).await.unwrap();

    pool.trash_move(b"c", Duration::from_secs(3600), LIMIT).await.unwrap();
    assert_eq!(pool.trash_remove(&id, false, &quiet, LIMIT).await.unwrap_err().errno(), Some(Errno::EPERM));
    pool.trash_remove(&id, true, &quiet, LIMIT).await.unwrap();
    assert_eq!(pool.trash(LIMIT).await.unwrap(), []);
}

#[tokio::test]
async fn holders_are_told() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"disk", MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    assert_eq!(image.lockers(LIMIT).await.unwrap().lockers, []);
    image.write(0, Bytes::from_static(b"x")).await.unwrap();
    let me = cluster.instance_id(LIMIT).await.unwrap();
    let watchers = image.watchers(LIMIT).await.unwrap();
    assert_eq!(
        watchers.iter().map(|watcher| watcher.client).collect::<Vec<_>>(),
        [i64::try_from(me).unwrap()]
    );
    let other = pool.open_read_only(b"disk", None, LIMIT).await.unwrap();
    let lockers = other.lockers(LIMIT).await.unwrap();
    assert!(lockers.exclusive);
    assert_eq!(lockers.lockers[0].client, format!("client.{me}").into_bytes());
    assert_eq!(image.lock_owners(LIMIT).await.unwrap().len(), 1);
    assert_eq!(image.group(LIMIT).await, Ok(None));
    assert!(!image.mirror(LIMIT).await.is_ok_and(|mirror| mirror.enabled));
    let busy = pool.remove(b"disk", &Progress::default(), LIMIT).await.map(drop);
    assert_eq!(busy.unwrap_err().errno(), Some(Errno::EBUSY));
}

#[tokio::test]
async fn an_advisory_lock_has_one_holder_and_breaking_it_fences() {
    let (cluster, reaper) = (connect().await, connect().await);
    let namespace = own_namespace(&cluster).await;
    let pool = cluster.pool(b"rbd", &namespace, LIMIT).await.unwrap();
    let mut options = ImageOptions::default();
    options.features = Some(Features::RBD_FEATURE_LAYERING);
    pool.create(b"disk", MIB, &options, LIMIT).await.unwrap();
    let open = async || pool.open(b"disk", None, LIMIT).await.unwrap();
    let image = open().await;
    image.lock(b"one", LIMIT).await.unwrap();
    assert!(matches!(
        image.lock(b"two", LIMIT).await.unwrap_err().errno(),
        Some(Errno::EBUSY | Errno::EEXIST)
    ));
    assert_eq!(image.unlock(b"two", LIMIT).await.unwrap_err().errno(), Some(Errno::ENOENT));
    let held = open().await.lockers(LIMIT).await.unwrap();
    assert!(held.exclusive && held.lockers.len() == 1 && held.lockers[0].cookie == b"one");
    // From its header's object alone, the same is told.
    let header = [b"rbd_header.", image.id(LIMIT).await.unwrap().as_slice()].concat();
    let there = pool.lockers(&header, b"rbd_lock", LIMIT).await.unwrap();
    assert_eq!((there.exclusive, &there.tag, there.lockers.len()), (true, &held.tag, 1));
    let (there, held) = (&there.lockers[0], &held.lockers[0]);
    assert_eq!((&there.client, &there.cookie), (&held.client, &held.cookie));
    assert!(there.address.ends_with(&held.address));
    assert_eq!(pool.lockers(b"no such object", b"rbd_lock", LIMIT).await.unwrap().lockers, []);
    image.unlock(b"one", LIMIT).await.unwrap();
    for cookie in [b"one", b"two"] {
        image.lock_shared(cookie, b"tag", LIMIT).await.unwrap();
    }
    let held = pool.lockers(&header, b"rbd_lock", LIMIT).await.unwrap();
    assert_eq!((held.exclusive, &*held.tag, held.lockers.len()), (false, &b"tag"[..], 2));
    assert_eq!(image.lock_shared(b"three", b"other", LIMIT).await.unwrap_err().errno(), Some(Errno::EBUSY));
    for cookie in [b"one", b"two"] {
        image.unlock(cookie, LIMIT).await.unwrap();
    }
    image.lock(b"two", LIMIT).await.unwrap();
    let there =
        reaper.pool(b"rbd", &namespace, LIMIT).await.unwrap().open(b"disk", None, LIMIT).await.unwrap();
    let held = there.lockers(LIMIT).await.unwrap().lockers.remove(0);
    there.break_locker(&held, LIMIT).await.unwrap();
    assert_eq!(there.lockers(LIMIT).await.unwrap().lockers, []);
    let error = image.write(0, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ESHUTDOWN));
}

#[tokio::test]
async fn a_writer_whose_lock_was_broken_is_fenced() {
    let (writer, reaper) = (connect().await, connect().await);
    let namespace = own_namespace(&writer).await;
    let pool = writer.pool(b"rbd", &namespace, LIMIT).await.unwrap();
    pool.create(b"disk", MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    image.write(0, Bytes::from_static(b"x")).await.unwrap();
    let there =
        reaper.pool(b"rbd", &namespace, LIMIT).await.unwrap().open(b"disk", None, LIMIT).await.unwrap();
    let owner = there.lock_owners(LIMIT).await.unwrap().remove(0);
    there.break_lock(&owner, LIMIT).await.unwrap();
    let error = image.write(0, Bytes::from_static(b"y")).await.unwrap_err();
    assert!(matches!(error.errno(), Some(Errno::ESHUTDOWN | Errno::EROFS)), "{error}");
}

#[tokio::test]
async fn the_exclusive_lock_is_kept_from_others_until_it_is_released() {
    let (one, two) = (connect().await, connect().await);
    let namespace = own_namespace(&one).await;
    let pool = one.pool(b"rbd", &namespace, LIMIT).await.unwrap();
    pool.create(b"disk", MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    let image = pool.open(b"disk", None, LIMIT).await.unwrap();
    let there = two.pool(b"rbd", &namespace, LIMIT).await.unwrap().open(b"disk", None, LIMIT).await.unwrap();
    image.acquire_lock(LIMIT).await.unwrap();
    image.acquire_lock(LIMIT).await.unwrap();
    image.write(0, Bytes::from_static(b"x")).await.unwrap();
    let refused = there.acquire_lock(LIMIT).await.unwrap_err();
    assert!(matches!(refused.errno(), Some(Errno::EROFS | Errno::EAGAIN | Errno::EBUSY)), "{refused}");
    image.release_lock(LIMIT).await.unwrap();
    assert_eq!(image.release_lock(LIMIT).await.unwrap_err().errno(), Some(Errno::EINVAL));
    there.acquire_lock(LIMIT).await.unwrap();
    there.write(0, Bytes::from_static(b"y")).await.unwrap();
}

#[tokio::test]
async fn namespaces_and_metadata_come_and_go() {
    let cluster = connect().await;
    let pool = cluster.pool(b"rbd", b"", LIMIT).await.unwrap();
    let name = own_name().into_bytes();
    pool.create_namespace(&name, LIMIT).await.unwrap();
    assert_eq!(pool.create_namespace(&name, LIMIT).await.unwrap_err().errno(), Some(Errno::EEXIST));
    assert!(pool.namespaces(LIMIT).await.unwrap().contains(&name));
    let own = cluster.pool(b"rbd", &name, LIMIT).await.unwrap();
    own.create(b"disk", MIB, &ImageOptions::default(), LIMIT).await.unwrap();
    assert_eq!(pool.remove_namespace(&name, LIMIT).await.unwrap_err().errno(), Some(Errno::EBUSY));
    let image = own.open(b"disk", None, LIMIT).await.unwrap();
    let mut all = Vec::new();
    for at in 0..150 {
        let (key, value) = (format!("k{at:03}").into_bytes(), vec![b'v'; at * 10]);
        image.set_metadata(&key, &value, LIMIT).await.unwrap();
        all.push((key, value));
    }
    assert_eq!(image.metadata(LIMIT).await.unwrap(), all);
    // More snapshots than the first buffer holds, made at the same time.
    let image = std::sync::Arc::new(image);
    let made = (0..40).map(|at| {
        let image = std::sync::Arc::clone(&image);
        tokio::spawn(async move { image.create_snapshot(format!("s{at}").as_bytes(), LIMIT).await })
    });
    for made in made.collect::<Vec<_>>() {
        made.await.unwrap().unwrap();
    }
    let snapshots = image.snapshots(LIMIT).await.unwrap();
    assert_eq!(snapshots.len(), 40);
    for snapshot in snapshots {
        image.remove_snapshot(&snapshot.name, &Progress::default(), LIMIT).await.unwrap();
    }
    image.remove_metadata(b"k000", LIMIT).await.unwrap();
    assert_eq!(image.metadata_value(b"k000", LIMIT).await, Ok(None));
    image.close(LIMIT).await.unwrap();
    own.remove(b"disk", &Progress::default(), LIMIT).await.unwrap();
    pool.remove_namespace(&name, LIMIT).await.unwrap();
    assert!(!pool.namespace_exists(&name, LIMIT).await.unwrap());
}
