//! The life of volumes between creation and removal: listings, sizes, names, lineage, snapshots, trash, metadata.

use super::scene::Scene;
use futures::TryStreamExt;
use std::time::Duration;
use volary::engine::{CreateOptions, HolderKind, OpenOptions, TrashOptions};
use volary::{
    Error, ErrorKind, Name, Namespace, Outcome, RemoveOptions, SnapshotOutcome, SnapshotRemoveOptions, Store,
    Target,
};

/// Puts a volume into trash as another program would, without Volary's note.
async fn foreign_trash(f: &Scene, volume: &str, keep: Duration) {
    let target = Target::Name(Name::from_bytes(volume));
    let entry = f.engine.find(&f.home(), &target, &f.ctl).await.unwrap().unwrap();
    f.engine.trash_move(&f.home(), &entry, &TrashOptions::keep(keep), &f.ctl).await.unwrap();
}

async fn in_trash(f: &Scene) -> Vec<String> {
    let mut names: Vec<_> =
        f.store.trash(&f.home(), &f.ctl).await.unwrap().iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    names
}

fn kinds(outcome: &SnapshotOutcome) -> Vec<HolderKind> {
    outcome.blockers.iter().map(|blocker| blocker.kind).collect()
}

/// Every future can run on any thread; this fails to compile when one cannot.
#[test]
fn operations_can_be_spawned() {
    fn spawnable(_: impl Send) {}
    fn all(store: &Store, ctl: &volary::Ctl) {
        let web = &"web@1".parse().unwrap();
        spawnable(store.create_snapshot(web, true, ctl));
        spawnable(store.rollback(web, ctl));
        spawnable(store.remove(web, &RemoveOptions::default(), ctl));
        spawnable(store.purge_snapshots(web, SnapshotRemoveOptions::default(), ctl));
        spawnable(store.clone_volume(web, web, ctl));
        spawnable(store.info(web, ctl));
        spawnable(store.trash_purge(&Namespace::default(), false, 1, ctl));
    }
    let _ = all;
}

#[tokio::test]
async fn names_that_break_the_grammar_are_refused_for_everything_new() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", false).await;
    let (ctl, store) = (&f.ctl, &f.store);
    let bad = Name::from_bytes("-rf");
    let errors = [
        store.create(&f.spec("-rf"), 1, ctl).await.map(drop),
        store.create(&f.spec("a@1"), 1, ctl).await.map(drop),
        store.rename(&f.spec("a"), &f.spec("rbd_id.a"), ctl).await.map(drop),
        store.rename(&f.spec("a"), &f.spec("other/a"), ctl).await.map(drop),
        store.clone_volume(&f.spec("a@1"), &f.spec("-rf"), ctl).await.map(drop),
        store.create_snapshot(&f.spec("a@-rf"), false, ctl).await.map(drop),
        store.rename_snapshot(&f.spec("a@1"), &bad, ctl).await.map(drop),
        store.create_pool(&bad, ctl).await,
        store.create_namespace(&Namespace { pool: Name::from_bytes("rbd"), name: bad }, ctl).await,
        store.create_namespace(&Namespace::default(), ctl).await,
    ];
    for error in errors {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[tokio::test]
async fn one_odd_name_never_breaks_a_listing() {
    let f = Scene::new().await;
    f.create("a").await;
    let odd = Name::from_bytes(b"x\x1b[31m/\xff\n".to_vec());
    f.engine.create(&f.home(), &odd, &CreateOptions::new(4096), &f.ctl).await.unwrap();
    let listed: Vec<_> = f.store.list(&f.home(), &f.ctl).try_collect().await.unwrap();
    let mut shown: Vec<_> = listed.iter().map(|listing| listing.volume.to_string()).collect();
    shown.sort();
    assert_eq!(shown, [f.shown("a"), f.shown("x\\x1b\\x5b31m\\x2f\\xff\\x0a")]);
    let details: Vec<_> = f.store.list_details(&f.home(), &f.ctl).try_collect().await.unwrap();
    assert_eq!(details.len(), 2);
    // What is printed can be typed.
    assert_eq!(f.store.info(&f.spec(&shown[1]), &f.ctl).await.unwrap().size_bytes, 4096);
    f.store.rename(&f.spec(&shown[1]), &f.spec("tame"), &f.ctl).await.unwrap();
}

#[tokio::test]
async fn a_long_listing_leaves_out_what_vanishes_and_shows_what_may_not_be_opened() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    let details: Vec<_> = f.store.list_details(&f.home(), &f.ctl).try_collect().await.unwrap();
    let b = details.iter().find(|of| of.volume == f.spec("b")).unwrap();
    assert_eq!(b.parent.as_ref().unwrap().volume, f.spec("a"));
    for (kind, shown) in [(ErrorKind::NotFound, 0), (ErrorKind::Permission, 2)] {
        let store = f.faulty(move |call| match call {
            "open" | "usage" => Err(Error::new(kind, "made to fail")),
            _ => Ok(()),
        });
        let details: Vec<_> = store.list_details(&f.home(), &f.ctl).try_collect().await.unwrap();
        assert_eq!(details.len(), shown);
        assert!(details.iter().all(|of| of.size_bytes.is_none()));
    }
    // One that takes too long to count ends the listing of no other.
    let store = f.faulty(|call| match call {
        "used_bytes" => Err(Error::new(ErrorKind::Deadline, "made to fail")),
        _ => Ok(()),
    });
    let details: Vec<_> = store.list_details(&f.home(), &f.ctl).try_collect().await.unwrap();
    assert!(details.len() == 2 && details.iter().all(|of| of.size_bytes.is_some()), "{details:?}");
}

#[tokio::test]
async fn info_and_du_show_heads_and_snapshots() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", true).await;
    f.store.resize(&f.spec("a"), 16 << 20, false, &f.ctl).await.unwrap();
    assert_eq!(f.store.info(&f.spec("a"), &f.ctl).await.unwrap().size_bytes, 16 << 20);
    let then = f.store.info(&f.spec("a@1"), &f.ctl).await.unwrap();
    assert_eq!((then.size_bytes, then.volume.to_string().as_str()), (8 << 20, f.shown("a@1").as_str()));
    let json = serde_json::to_value(&then).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let published = "created features id metadata notes object_bytes parent pending size_bytes snapshots used_bytes volume";
    assert_eq!(keys.join(" "), published);
    let keys: Vec<_> = json["snapshots"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.join(" "), "created name protected size_bytes");
    let usage = f.store.usage(&f.spec("a"), &f.ctl).await.unwrap();
    let sizes: Vec<_> = usage.iter().map(|of| (of.snapshot.is_some(), of.size_bytes)).collect();
    assert_eq!(sizes, [(true, 8 << 20), (false, 16 << 20)]);
    let all: Vec<_> = f.store.usage_of_all(&f.home(), &f.ctl).try_collect().await.unwrap();
    assert_eq!(all, usage);
}

#[tokio::test]
async fn shrinking_takes_a_word() {
    let f = Scene::new().await;
    f.create("a").await;
    let refused = f.store.resize(&f.spec("a"), 4 << 20, false, &f.ctl).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(refused.remedy().unwrap().contains("--allow-shrink"));
    assert_eq!(f.store.info(&f.spec("a"), &f.ctl).await.unwrap().size_bytes, 8 << 20);
    let report = f.store.resize(&f.spec("a"), 4 << 20, true, &f.ctl).await.unwrap();
    assert_eq!((report.old_size_bytes, report.size_bytes), (8 << 20, 4 << 20));
}

#[tokio::test]
async fn no_volume_and_no_parent_are_told_apart() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    assert_eq!(f.store.parent(&f.spec("a"), &f.ctl).await.unwrap(), None);
    assert_eq!(f.store.parent(&f.spec("c"), &f.ctl).await.unwrap_err().kind(), ErrorKind::NotFound);
    let flat = f.store.flatten(&f.spec("a"), &f.ctl).await;
    assert_eq!(flat.unwrap_err().kind(), ErrorKind::Usage);
    let children = f.store.children(&f.spec("a@s"), &f.ctl).await.unwrap();
    assert_eq!(children[0].volume, f.spec("b"));
    let missing = f.store.children(&f.spec("a@none"), &f.ctl).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    f.snapshot("a@loose", false).await;
    let unprotected = f.store.clone_volume(&f.spec("a@loose"), &f.spec("c"), &f.ctl).await.unwrap_err();
    assert_eq!(unprotected.kind(), ErrorKind::Blocked);
}

#[tokio::test]
async fn a_failed_protect_takes_the_snapshot_back() {
    let f = Scene::new().await;
    f.create("a").await;
    let store = f.faulty(|call| match call {
        "protect_snapshot" => Err(Error::new(ErrorKind::Unreachable, "made to fail")),
        _ => Ok(()),
    });
    let error = store.create_snapshot(&f.spec("a@1"), true, &f.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(!f.store.exists(&f.spec("a@1"), &f.ctl).await.unwrap());
    let store = f.faulty(|call| match call {
        "protect_snapshot" | "remove_snapshot" => Err(Error::new(ErrorKind::Unreachable, "made to fail")),
        _ => Ok(()),
    });
    let error = store.create_snapshot(&f.spec("a@1"), true, &f.ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Partial, "what could not be taken back is said");
}

#[tokio::test]
async fn s03_a_purge_removes_all_snapshots_or_none_and_each_has_its_reason() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    f.snapshot("a@free", false).await;
    f.snapshot("a@kept", true).await;
    let spec = f.spec("a");
    let purge = async |force, flatten_children| {
        let options = SnapshotRemoveOptions { force, flatten_children };
        let planned = f.store.plan_purge_snapshots(&spec, options, &f.ctl).await.unwrap();
        let before = f.store.snapshots(&spec, &f.ctl).await.unwrap();
        let outcomes = f.store.purge_snapshots(&spec, options, &f.ctl).await.unwrap();
        let shown = |of: &SnapshotOutcome| (of.snapshot.to_string(), of.outcome, kinds(of));
        if outcomes.iter().any(|of| of.outcome == Outcome::Blocked) {
            assert_eq!(planned, outcomes, "what is refused is what was planned");
            assert!(outcomes.iter().all(|of| of.steps.is_empty() || kinds(of) != [HolderKind::Snapshot]));
            assert_eq!(f.store.snapshots(&spec, &f.ctl).await.unwrap(), before, "nothing was changed");
        } else {
            assert!(planned.iter().all(|of| of.outcome == Outcome::Planned), "{planned:?}");
            assert!(f.store.snapshots(&spec, &f.ctl).await.unwrap().is_empty());
        }
        assert!(f.store.pending(&f.home(), &f.ctl).await.unwrap().is_empty());
        outcomes.iter().map(shown).collect::<Vec<_>>()
    };
    use HolderKind::{Child, Protected, Snapshot};
    let blocked = |name: &str, by: &[HolderKind]| (name.to_owned(), Outcome::Blocked, by.to_vec());
    let removed = |name: &str| (name.to_owned(), Outcome::Removed, vec![]);
    let first =
        [blocked("s", &[Child, Protected]), blocked("free", &[Snapshot]), blocked("kept", &[Protected])];
    assert_eq!(purge(false, false).await, first);
    assert_eq!(
        purge(true, false).await,
        [blocked("s", &[Child]), blocked("free", &[Snapshot]), blocked("kept", &[Snapshot])]
    );
    assert_eq!(purge(false, true).await, [removed("s"), removed("free"), removed("kept")]);
    assert_eq!(f.store.parent(&f.spec("b"), &f.ctl).await.unwrap(), None);
}

#[tokio::test]
async fn s03_a_dry_run_of_any_removal_changes_nothing_and_says_what_would_be() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    f.create("gone").await;
    f.store.trash_move(&f.spec("gone"), Duration::ZERO, &f.ctl).await.unwrap();
    let trash = f.store.trash(&f.home(), &f.ctl).await.unwrap();
    let by_id = f.home().volume_by_id(trash[0].id.clone());
    let force = SnapshotRemoveOptions { force: true, ..Default::default() };
    let flatten = SnapshotRemoveOptions { flatten_children: true, ..Default::default() };
    let one = f.store.plan_remove_snapshot(&f.spec("a@s"), force, &f.ctl).await.unwrap();
    assert_eq!((one.outcome, kinds(&one)), (Outcome::Blocked, vec![HolderKind::Child]));
    let one = f.store.plan_remove_snapshot(&f.spec("a@s"), flatten, &f.ctl).await.unwrap();
    let actions: Vec<_> = one.steps.iter().map(|step| step.action.as_str()).collect();
    assert_eq!((one.outcome, actions), (Outcome::Planned, vec!["flatten", "unprotect", "remove_snapshot"]));
    let none = f.store.plan_remove_snapshot(&f.spec("a@none"), force, &f.ctl).await.unwrap();
    assert_eq!((none.outcome, none.error().unwrap().kind()), (Outcome::Absent, ErrorKind::NotFound));
    let purged = f.store.plan_trash_purge(&f.home(), false, &f.ctl).await.unwrap();
    assert_eq!((purged.len(), purged[0].outcome), (1, Outcome::Planned));
    let removed = f.store.plan_trash_remove(&by_id, false, &f.ctl).await.unwrap();
    assert_eq!(removed.outcome, Outcome::Planned);
    assert_eq!(f.store.trash(&f.home(), &f.ctl).await.unwrap(), trash);
    assert!(f.store.parent(&f.spec("b"), &f.ctl).await.unwrap().is_some());
    assert!(f.store.snapshots(&f.spec("a"), &f.ctl).await.unwrap()[0].protected);
    assert!(f.store.pending(&f.home(), &f.ctl).await.unwrap().is_empty());
}

#[tokio::test]
async fn s03_a_writer_stops_a_snapshot_removal_before_its_first_step() {
    let f = Scene::new().await;
    f.family("a", "b").await;
    let target = Target::Name(Name::from_bytes("a"));
    let held = f.engine.open(&f.home(), &target, &OpenOptions::write(), &f.ctl).await.unwrap();
    let options = SnapshotRemoveOptions { force: true, flatten_children: true };
    let outcome = f.store.remove_snapshot(&f.spec("a@s"), options, &f.ctl).await.unwrap();
    assert_eq!((outcome.outcome, outcome.steps.len()), (Outcome::Blocked, 0));
    assert!(outcome.error().unwrap().message().contains(&f.place.holder()), "{outcome:?}");
    assert!(f.store.parent(&f.spec("b"), &f.ctl).await.unwrap().is_some());
    held.close(&f.ctl).await.unwrap();
    let gone = f.store.remove_snapshot(&f.spec("a@none"), options, &f.ctl).await.unwrap();
    assert_eq!((gone.outcome, gone.error().unwrap().kind()), (Outcome::Absent, ErrorKind::NotFound));
}

#[tokio::test]
async fn trash_is_purged_of_what_volary_put_there_and_whose_date_has_passed() {
    let f = Scene::new().await;
    for name in ["ours", "kept", "foreign", "volary-staging-0", "with-snapshot"] {
        f.create(name).await;
    }
    f.snapshot("with-snapshot@1", false).await;
    f.store.trash_move(&f.spec("ours"), Duration::ZERO, &f.ctl).await.unwrap();
    f.store.trash_move(&f.spec("kept"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    f.store.trash_move(&f.spec("with-snapshot"), Duration::ZERO, &f.ctl).await.unwrap();
    foreign_trash(&f, "foreign", Duration::ZERO).await;
    foreign_trash(&f, "volary-staging-0", Duration::ZERO).await;
    let staging = f.store.trash(&f.home(), &f.ctl).await.unwrap();
    let staging = staging.iter().find(|entry| entry.name.to_string() == "volary-staging-0").unwrap();
    let (namespace, target) = (f.home(), Target::Id(staging.id.clone()));
    let writer = f.engine.open(&namespace, &target, &OpenOptions::write(), &f.ctl).await.unwrap();

    let reports = f.store.trash_purge(&f.home(), false, usize::MAX, &f.ctl).await.unwrap();
    let mut outcomes: Vec<_> = reports.iter().map(|report| report.outcome.as_str()).collect();
    outcomes.sort_unstable();
    // A snapshot that nobody said may go with the volume, and an import that is still at work.
    assert_eq!(outcomes, ["blocked", "blocked", "removed"], "{reports:?}");
    assert_eq!(in_trash(&f).await, ["foreign", "kept", "volary-staging-0", "with-snapshot"]);
    writer.close(&f.ctl).await.unwrap();
    f.store.trash_purge(&f.home(), true, usize::MAX, &f.ctl).await.unwrap();
    assert_eq!(in_trash(&f).await, ["kept", "with-snapshot"]);
}

#[tokio::test]
async fn a_deferred_removal_is_finished_by_the_purge_snapshots_included() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@1", false).await;
    let options =
        RemoveOptions { purge_snapshots: true, defer: Some(Duration::ZERO), ..RemoveOptions::default() };
    f.store.remove(&f.spec("a"), &options, &f.ctl).await.unwrap();
    let reports = f.store.trash_purge(&f.home(), false, usize::MAX, &f.ctl).await.unwrap();
    assert_eq!(reports[0].outcome, Outcome::Removed, "{reports:?}");
    assert!(in_trash(&f).await.is_empty());
}

#[tokio::test]
async fn an_inherited_or_outdated_note_is_nobodys_order_to_purge() {
    let f = Scene::new().await;
    f.create("a").await;
    f.snapshot("a@s", true).await;
    let moved = f.store.trash_move(&f.spec("a"), Duration::ZERO, &f.ctl).await.unwrap();
    let parent = f.home().volume_by_id(moved.id.clone());
    let cloned = f.store.clone_volume(&parent.at(Name::from_bytes("s")), &f.spec("b"), &f.ctl).await;
    if !f.store.describe(&f.ctl).await.unwrap().clones_from_trash {
        // Where a volume in trash cannot be cloned, its note is inherited by none.
        assert_eq!(cloned.unwrap_err().kind(), ErrorKind::Unsupported);
        return;
    }
    cloned.unwrap();
    assert!(
        f.store.metadata(&f.spec("b"), &f.ctl).await.unwrap().iter().any(|(key, _)| key == b"volary.trash")
    );
    foreign_trash(&f, "b", Duration::ZERO).await;
    f.store.trash_purge(&f.home(), false, usize::MAX, &f.ctl).await.unwrap();
    assert!(in_trash(&f).await.contains(&"b".to_owned()));
}

#[tokio::test]
async fn trash_answers_to_ids_keeps_until_its_date_and_restores() {
    let f = Scene::new().await;
    f.create("a").await;
    let moved = f.store.trash_move(&f.spec("a"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    let by_id = f.home().volume_by_id(moved.id);
    let by_name = f.store.trash_remove(&f.spec("a"), true, &f.ctl).await;
    assert_eq!(by_name.unwrap_err().kind(), ErrorKind::Usage);
    let early = f.store.trash_remove(&by_id, false, &f.ctl).await.unwrap();
    assert_eq!((early.outcome, early.blockers[0].kind), (Outcome::Blocked, HolderKind::Trash));
    f.create("a").await;
    let taken = f.store.trash_restore(&by_id, None, &f.ctl).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let restored = f.store.trash_restore(&by_id, Some(&Name::from_bytes("b")), &f.ctl).await.unwrap();
    assert_eq!(restored.volume, f.spec("b"));
    assert!(f.store.metadata(&f.spec("b"), &f.ctl).await.unwrap().is_empty());
    f.store.trash_move(&f.spec("b"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    let now = f.store.trash_remove(&by_id, true, &f.ctl).await.unwrap();
    assert_eq!(now.outcome, Outcome::Removed);
    let gone = f.store.trash_remove(&by_id, true, &f.ctl).await.unwrap();
    assert_eq!((gone.outcome, gone.error().unwrap().kind()), (Outcome::Absent, ErrorKind::NotFound));
}

#[tokio::test]
async fn a_failed_move_to_trash_leaves_no_note() {
    let f = Scene::new().await;
    f.create("a").await;
    let before = f.state().await;
    let store = f.faulty(|call| match call {
        "trash_move" => Err(Error::new(ErrorKind::Blocked, "made to fail")),
        _ => Ok(()),
    });
    let failed = store.trash_move(&f.spec("a"), Duration::ZERO, &f.ctl).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Blocked);
    assert_eq!(f.state().await, before);
}

#[tokio::test]
async fn an_unfinished_import_is_not_restored_from_trash() {
    let f = Scene::new().await;
    f.create("volary-staging-0").await;
    foreign_trash(&f, "volary-staging-0", Duration::ZERO).await;
    let id = f.store.trash(&f.home(), &f.ctl).await.unwrap()[0].id.clone();
    let restored =
        f.store.trash_restore(&f.home().volume_by_id(id), Some(&Name::from_bytes("a")), &f.ctl).await;
    assert_eq!(restored.unwrap_err().kind(), ErrorKind::Blocked);
}

#[tokio::test]
async fn metadata_is_free_but_for_what_others_read() {
    let f = Scene::new().await;
    f.create("a").await;
    let a = &f.spec("a");
    f.store.set_metadata(a, b"owner", b"alice\x1b", &f.ctl).await.unwrap();
    assert_eq!(f.store.get_metadata(a, b"owner", &f.ctl).await.unwrap(), b"alice\x1b");
    assert_eq!(f.store.list_metadata(a, &f.ctl).await.unwrap()[0].value, "alice\\x1b");
    for key in ["conf_rbd_cache", "volary.digest.head"] {
        let set = f.store.set_metadata(a, key.as_bytes(), b"x", &f.ctl).await;
        assert_eq!(set.unwrap_err().kind(), ErrorKind::Usage);
        let removed = f.store.remove_metadata(a, key.as_bytes(), &f.ctl).await;
        assert_eq!(removed.unwrap_err().kind(), ErrorKind::Usage);
    }
    f.store.remove_metadata(a, b"owner", &f.ctl).await.unwrap();
    for missing in [
        f.store.get_metadata(a, b"owner", &f.ctl).await.map(drop),
        f.store.remove_metadata(a, b"owner", &f.ctl).await,
    ] {
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn namespaces_come_and_go_when_empty() {
    let f = Scene::new().await;
    let tenant: Namespace = format!("rbd/{}", f.place.name("tenant")).parse().unwrap();
    f.store.create_namespace(&tenant, &f.ctl).await.unwrap();
    f.create(&format!("{tenant}/a")).await;
    let mut all = f.store.namespaces(&tenant.pool, &f.ctl).await.unwrap();
    all.retain(|namespace| *namespace == f.home() || namespace.name.to_string() == f.place.name("tenant"));
    assert_eq!(all, [f.home(), tenant.clone()]);
    let held = f.store.remove_namespace(&tenant, &f.ctl).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Blocked);
    let default = f.store.remove_namespace(&Namespace::default(), &f.ctl).await.unwrap_err();
    assert_eq!(default.kind(), ErrorKind::Usage);
    f.store.remove(&f.spec(&format!("{tenant}/a")), &RemoveOptions::default(), &f.ctl).await.unwrap();
    f.store.remove_namespace(&tenant, &f.ctl).await.unwrap();
}

#[tokio::test]
async fn operations_are_small_enough_to_be_called_within_one_another() {
    let f = Scene::new().await;
    let (spec, place) = (f.spec("web"), [f.home()]);
    let (remove, reap) = (RemoveOptions::default(), volary::ReapOptions::default());
    let mut reaper = volary::Reaper::new(f.store.clone());
    let request = f.request(&f.path("disk.raw"), "web");
    // Each is part of its caller's state, and in a debug build several copies of it stand on a thread's stack of 2 MiB.
    let sizes = [
        ("import", std::mem::size_of_val(&f.store.import(&request, &f.ctl))),
        ("remove", std::mem::size_of_val(&f.store.remove(&spec, &remove, &f.ctl))),
        ("trash_remove", std::mem::size_of_val(&f.store.trash_remove(&spec, true, &f.ctl))),
        ("reap", std::mem::size_of_val(&f.store.reap(&place, &reap, &f.ctl))),
        ("round", std::mem::size_of_val(&reaper.round(&place[0], &reap, &f.ctl))),
    ];
    assert!(sizes.iter().all(|(_, bytes)| *bytes <= 16 << 10), "{sizes:?}");
}
