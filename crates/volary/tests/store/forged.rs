//! Records that a client with rights to one namespace can write into its journal: a more privileged reaper changes nothing
//! outside that namespace for them.

use super::scene::Scene;
use serde_json::{Value, json};
use std::time::Duration;
use volary::engine::{OpenOptions, VolumeEntry};
use volary::{
    ErrorKind, Name, Namespace, Outcome, ReapOptions, ReapOutcome, ReapReport, RemoveOptions, Target,
    VolumeId,
};

const STAGING: &str = "volary-staging-0123456789abcdef0123456789abcdef";

/// A record that nobody works on, numbered so that many have ids of their own.
fn record(number: u32, format: u32, volume: &str, id: Option<&VolumeId>, work: &Value) -> Value {
    json!({
        "format": format, "id": format!("{number:032x}"), "operation": "remove", "owner": null, "beat": 7,
        "lease_seconds": 30, "volume": volume, "volume_id": id, "work": work, "steps": ["staged", "publishing"],
        "attempts": 1, "last_error": null, "next_attempt": null, "created": jiff::Timestamp::now(),
    })
}

async fn put(f: &Scene, namespace: &Namespace, record: &Value) -> String {
    let id = record["id"].as_str().unwrap().to_owned();
    put_raw(f, namespace, &id, &serde_json::to_vec(record).unwrap()).await;
    id
}

async fn put_raw(f: &Scene, namespace: &Namespace, id: &str, value: &[u8]) {
    let key = format!("intent.{id}");
    assert!(f.engine.swap_record(namespace, &key, None, Some(value), &f.ctl).await.unwrap());
}

async fn reap(f: &Scene, namespaces: &[Namespace]) -> Vec<ReapReport> {
    let options = ReapOptions { wait: Duration::ZERO, ..ReapOptions::default() };
    f.store.reap(namespaces, &options, &f.ctl).await.unwrap()
}

/// What is worth attacking in a namespace: a protected snapshot with a clone, a volume in trash, and one being made.
struct Victim {
    namespace: Namespace,
    golden: VolumeId,
    snapshot: u64,
    child: VolumeId,
    trashed: VolumeId,
}

impl Victim {
    async fn new(f: &Scene, namespace: Namespace) -> Victim {
        let at = |name: &str| format!("{namespace}/{name}");
        f.family(&at("golden"), &at("child")).await;
        f.create(&at("old")).await;
        let kept = Duration::from_secs(24 * 3600);
        let trashed = f.store.trash_move(&f.spec(&at("old")), kept, &f.ctl).await.unwrap().id;
        f.create(&at(STAGING)).await;
        let staged = f.spec(&at(STAGING));
        let id = entry(f, &at(STAGING)).await.id;
        let volume = VolumeEntry { name: Name::new(STAGING).unwrap(), id };
        let options = volary::engine::TrashOptions::keep(kept);
        f.engine.trash_move(&staged.namespace, &volume, &options, &f.ctl).await.unwrap();
        let (golden, child) = (entry(f, &at("golden")).await.id, entry(f, &at("child")).await.id);
        let open = OpenOptions::read(None);
        let volume = f.engine.open(&namespace, &Target::Id(golden.clone()), &open, &f.ctl).await.unwrap();
        let snapshot = volume.snapshots(&f.ctl).await.unwrap()[0].id;
        volume.close(&f.ctl).await.unwrap();
        Victim { namespace, golden, snapshot, child, trashed }
    }

    /// Every kind of work, as it would do the most harm.
    fn works(&self) -> Vec<(&'static str, Option<&VolumeId>, Value)> {
        let (golden, snapshot) = (Some(&self.golden), self.snapshot);
        vec![
            ("made", None, json!({"make": {"staging": STAGING}})),
            (
                "golden",
                golden,
                json!({"remove": {"purge_snapshots": true, "flatten_children": true, "keep_seconds": null}}),
            ),
            (
                "golden",
                golden,
                json!({"remove": {"purge_snapshots": true, "flatten_children": false, "keep_seconds": 0}}),
            ),
            ("child", Some(&self.child), json!({"move_to_trash": {"keep_seconds": 0}})),
            (
                "golden",
                golden,
                json!({"remove_snapshot": {"snapshot": snapshot, "unprotect": true, "flatten_children": true}}),
            ),
            ("old", Some(&self.trashed), json!("remove_trashed")),
            ("old", Some(&self.trashed), json!({"restore": {"name": "again"}})),
            ("child", Some(&self.child), json!("flatten")),
            ("golden", golden, json!({"rollback": {"snapshot": snapshot}})),
            ("golden", golden, json!({"protect": {"snapshot": "s"}})),
        ]
    }
}

async fn entry(f: &Scene, spec: &str) -> VolumeEntry {
    let spec = f.spec(spec);
    f.engine.find(&spec.namespace, &spec.volume, &f.ctl).await.unwrap().unwrap()
}

/// All that can be seen of a namespace but its journal.
async fn seen(f: &Scene, namespace: &Namespace) -> Value {
    let all = f.state().await;
    let mut of =
        all.as_array().unwrap().iter().find(|of| of["namespace"] == namespace.to_string()).unwrap().clone();
    of["pending"] = Value::Null;
    of
}

/// **S14 No confused deputy.** A journal record, a note or any other state that a less privileged client can
/// write makes a more privileged process change nothing that its writer could not have changed: a record of
/// one pool and namespace is about volumes of that pool and namespace, or it is shown as invalid and not
/// carried out. [security.md](security.md) lists what can be written, and who acts on it. A local store is
/// its owner's alone; nothing in it is followed out of it.
#[tokio::test(flavor = "multi_thread")]
async fn s14_a_record_of_any_kind_about_another_namespace_is_invalid_and_not_carried_out() {
    let f = Scene::new().await;
    f.create("own").await;
    let (home, victim) = (f.home(), Victim::new(&f, f.place.elsewhere(&f.store).await).await);
    let before = (seen(&f, &home).await, seen(&f, &victim.namespace).await);
    let mut forged = Vec::new();
    for (volume, id, work) in victim.works() {
        for format in [2, 3] {
            let volume = format!("{}/{volume}", victim.namespace);
            let number = u32::try_from(forged.len()).unwrap();
            forged.push(put(&f, &home, &record(number, format, &volume, id, &work)).await);
        }
    }
    let reports = reap(&f, std::slice::from_ref(&home)).await;
    assert_eq!(reports.len(), forged.len());
    for report in &reports {
        let told = (report.outcome, report.error_kind);
        assert_eq!(told, (ReapOutcome::Invalid, Some(ErrorKind::Refused)), "{report:?}");
    }
    assert_eq!((seen(&f, &home).await, seen(&f, &victim.namespace).await), before);
    let pending = f.store.pending(&home, &f.ctl).await.unwrap();
    assert!(pending.iter().all(|of| of.invalid.is_some() && of.volume.is_empty()), "{pending:?}");
    let old = f.store.pending_record(&home, &forged[0], &f.ctl).await.unwrap().unwrap();
    let place = victim.namespace.to_string();
    assert!(old.invalid.as_deref().unwrap().contains(&place), "{old:?}");
    for id in &forged {
        assert!(f.store.forget(&home, id, false, &f.ctl).await.unwrap());
    }
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_an_id_of_another_namespace_is_nobodys_here() {
    let f = Scene::new().await;
    let (home, victim) = (f.home(), Victim::new(&f, f.place.elsewhere(&f.store).await).await);
    let before = (seen(&f, &home).await, seen(&f, &victim.namespace).await);
    for (number, (volume, id, work)) in victim.works().into_iter().enumerate() {
        put(&f, &home, &record(u32::try_from(number).unwrap(), 3, volume, id, &work)).await;
    }
    let reports = reap(&f, std::slice::from_ref(&home)).await;
    assert_eq!(reports.len(), victim.works().len());
    assert!(reports.iter().all(|of| of.outcome == ReapOutcome::Settled), "{reports:?}");
    assert_eq!((seen(&f, &home).await, seen(&f, &victim.namespace).await), before);
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_records_that_volary_cannot_have_written_are_invalid_and_hold_up_no_others() {
    let f = Scene::new().await;
    f.create("web").await;
    let (home, web) = (f.home(), entry(&f, "web").await.id);
    let remove =
        json!({"remove": {"purge_snapshots": false, "flatten_children": false, "keep_seconds": null}});
    let keep = |seconds: u64| json!({"move_to_trash": {"keep_seconds": seconds}});
    let good = record(0, 3, "web", Some(&web), &remove);
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        serde_json::to_vec(&changed).unwrap()
    };
    let work = |work: Value| with("work", work);
    let text = String::from_utf8(serde_json::to_vec(&good).unwrap()).unwrap();
    let owner = json!({"host": "h".repeat(300), "boot_id": "b", "pid_namespace": "n", "pid": 1, "pid_start": 1, "instance": "i"});
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("no JSON", b"\x1b[2J\xff".to_vec()),
        ("nothing", Vec::new()),
        ("no object", b"[]".to_vec()),
        ("deep", deep.clone().into_bytes()),
        ("deep inside", text.replacen("\"steps\":[", &format!("\"steps\":[{deep},"), 1).into_bytes()),
        ("unknown field", with("also", json!(1))),
        ("field given twice", text.replacen('{', "{\"beat\":1,", 1).into_bytes()),
        ("format given twice", text.replacen('{', "{\"format\":3,", 1).into_bytes()),
        ("another's id", with("id", json!("f".repeat(32)))),
        ("id of the volume", with("volume_id", json!("../10ab"))),
        ("no id of the volume", with("volume_id", Value::Null)),
        ("long name", with("volume", json!("n".repeat(2000)))),
        ("name with a slash", with("volume", json!("golden/img"))),
        ("name with a snapshot", with("volume", json!("web@s"))),
        ("name with a control byte", with("volume", json!("web\u{1b}[2J"))),
        ("name with an invisible character", with("volume", json!("we\u{202e}b"))),
        ("name with a bad escape", with("volume", json!("web\\q"))),
        ("operation", with("operation", json!("rm -rf; \n"))),
        ("step", with("steps", json!(["x".repeat(100)]))),
        ("attempts", with("attempts", json!(-1))),
        ("beat", with("beat", json!(1e300))),
        ("time", with("next_attempt", json!("99999-01-01T00:00:00Z"))),
        ("owner", with("owner", owner)),
        ("work", work(json!("remove_pool"))),
        ("two works", text.replacen("\"work\":{", "\"work\":{\"flatten\":null,", 1).into_bytes()),
        ("more in the work", work(json!({"rollback": {"snapshot": 1, "force": true}}))),
        ("kept for centuries", work(keep(3_155_760_000))),
        ("kept for ever", work(keep(u64::MAX))),
        ("staging name of another", work(json!({"make": {"staging": "web"}}))),
        (
            "staging name with a path",
            work(json!({"make": {"staging": "volary-staging-../../golden/img0123456789"}})),
        ),
        (
            "name of something new",
            serde_json::to_vec(&record(0, 3, "rbd_id.web", None, &json!({"make": {"staging": STAGING}})))
                .unwrap(),
        ),
        ("new name with a slash", work(json!({"restore": {"name": "golden/img"}}))),
        ("protect", work(json!({"protect": {"snapshot": "a@b"}}))),
    ];
    let kinds = hostile.len();
    for (number, (what, value)) in hostile.into_iter().enumerate() {
        let id = format!("{:032x}", 0x100 + number);
        let value = String::from_utf8(value.clone())
            .map(|text| text.replace(&format!("{:032x}", 0), &id).into_bytes())
            .unwrap_or(value);
        assert!(value.len() <= 65536, "{what}");
        put_raw(&f, &home, &id, &value).await;
    }
    put_raw(&f, &home, "\x1b[31mred", b"{}").await;
    let order = put(&f, &home, &record(0xffff_fff0, 3, "web", Some(&web), &remove)).await;
    let reports = reap(&f, std::slice::from_ref(&home)).await;
    assert_eq!(reports.len(), kinds + 2);
    for report in &reports {
        let expected = if report.id == order { ReapOutcome::Settled } else { ReapOutcome::Invalid };
        assert_eq!(report.outcome, expected, "{report:?}");
    }
    assert_eq!(f.names().await, Vec::<String>::new());
    for of in f.store.pending(&home, &f.ctl).await.unwrap() {
        let reason = of.invalid.clone().unwrap();
        assert!(reason.len() < 2000 && reason.chars().all(|c| !c.is_control()), "{reason}");
        let whole = f.store.pending_record(&home, &of.id, &f.ctl).await.unwrap().unwrap();
        assert!(!serde_json::to_string(&whole).unwrap().contains("\\u001b"), "{whole:?}");
        assert!(f.store.forget(&home, &of.id, false, &f.ctl).await.unwrap(), "{of:?}");
    }
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_new_name_out_of_the_grammar_is_given_only_to_what_had_it() {
    let f = Scene::new().await;
    f.create("web").await;
    let moved = f.store.trash_move(&f.spec("web"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    let work = json!({"restore": {"name": "golden\\x2fimg"}});
    put(&f, &f.home(), &record(1, 3, "web", Some(&moved.id), &work)).await;
    let reports = reap(&f, &[f.home()]).await;
    assert_eq!((reports[0].outcome, reports[0].error_kind), (ReapOutcome::Pending, Some(ErrorKind::Usage)));
    assert_eq!(f.names().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_what_is_made_is_known_by_its_staging_name_and_not_by_the_id_of_another() {
    let f = Scene::new().await;
    f.create("web").await;
    let moved = f.store.trash_move(&f.spec("web"), Duration::from_secs(3600), &f.ctl).await.unwrap();
    let make = json!({"make": {"staging": STAGING}});
    let mut begun = record(1, 3, "made", Some(&moved.id), &make);
    put(&f, &f.home(), &begun).await;
    begun["id"] = json!(format!("{:032x}", 2));
    begun["steps"] = json!(["staged"]);
    put(&f, &f.home(), &begun).await;
    let reports = reap(&f, &[f.home()]).await;
    assert!(reports.iter().all(|of| of.outcome == ReapOutcome::Settled), "{reports:?}");
    assert_eq!(f.names().await, Vec::<String>::new());
    assert_eq!(f.store.trash(&f.home(), &f.ctl).await.unwrap()[0].id, moved.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_records_of_the_old_format_in_their_own_namespace_are_settled() {
    let f = Scene::new().await;
    f.family("golden", "child").await;
    f.create("web").await;
    f.create("old").await;
    let ids = [entry(&f, "child").await.id, entry(&f, "web").await.id];
    let old = f.store.trash_move(&f.spec("old"), Duration::from_secs(3600), &f.ctl).await.unwrap().id;
    let remove =
        json!({"remove": {"purge_snapshots": false, "flatten_children": false, "keep_seconds": null}});
    for (number, volume, id, work) in [
        (1, "child", &ids[0], json!("flatten")),
        (2, "web", &ids[1], remove),
        (3, "old", &old, json!({"restore": {"name": "again"}})),
    ] {
        put(&f, &f.home(), &record(number, 2, &f.shown(volume), Some(id), &work)).await;
    }
    let pending = f.store.pending(&f.home(), &f.ctl).await.unwrap();
    assert_eq!(pending[0].volume, f.shown("child"));
    let reports = reap(&f, &[f.home()]).await;
    assert!(reports.iter().all(|of| of.outcome == ReapOutcome::Settled), "{reports:?}");
    let mut names = f.names().await;
    names.sort();
    assert_eq!(names, ["again", "child", "golden"]);
    assert_eq!(f.store.parent(&f.spec("child"), &f.ctl).await.unwrap(), None);
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_resumed_order_parts_no_clone_of_another_namespace() {
    let f = Scene::new().await;
    let elsewhere = f.place.elsewhere(&f.store).await;
    f.family("golden", "child").await;
    let foreign = format!("{elsewhere}/foreign");
    f.store.clone_volume(&f.spec("golden@s"), &f.spec(&foreign), &f.ctl).await.unwrap();
    let (home, golden) = (f.home(), entry(&f, "golden").await.id);
    let open = OpenOptions::read(None);
    let volume = f.engine.open(&home, &Target::Id(golden.clone()), &open, &f.ctl).await.unwrap();
    let snapshot = volume.snapshots(&f.ctl).await.unwrap()[0].id;
    volume.close(&f.ctl).await.unwrap();
    let before = f.state().await;
    let works = [
        json!({"remove": {"purge_snapshots": true, "flatten_children": true, "keep_seconds": null}}),
        json!({"remove_snapshot": {"snapshot": snapshot, "unprotect": true, "flatten_children": true}}),
    ];
    for (number, work) in works.iter().enumerate() {
        let id =
            put(&f, &home, &record(u32::try_from(number).unwrap(), 3, "golden", Some(&golden), work)).await;
        let reports = reap(&f, std::slice::from_ref(&home)).await;
        assert_eq!(
            (reports[0].outcome, reports[0].error_kind),
            (ReapOutcome::Pending, Some(ErrorKind::Partial))
        );
        let (hint, command) = (reports[0].hint.clone().unwrap(), format!("`volary flatten {foreign}`"));
        assert!(hint.starts_with(&command), "{hint}");
        let pending = f.store.pending(&home, &f.ctl).await.unwrap();
        assert!(pending[0].last_error.as_deref().unwrap().contains(&command), "{pending:?}");
        assert!(f.store.forget(&home, &id, false, &f.ctl).await.unwrap());
        assert_eq!(f.state().await, before, "{work}");
    }
    // Whoever may do so does what the remedy says; then the order goes on by itself.
    put(&f, &home, &record(9, 3, "golden", Some(&golden), &works[0])).await;
    f.store.flatten(&f.spec(&foreign), &f.ctl).await.unwrap();
    assert_eq!(reap(&f, std::slice::from_ref(&home)).await[0].outcome, ReapOutcome::Settled);
    assert_eq!(f.names().await, ["child"]);
    assert_eq!(f.store.parent(&f.spec("child"), &f.ctl).await.unwrap(), None);
    f.assert_nothing_hidden().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_resumed_flatten_copies_nothing_of_another_namespace() {
    let f = Scene::new().await;
    let golden = format!("{}/golden", f.place.elsewhere(&f.store).await);
    f.create(&golden).await;
    f.snapshot(&format!("{golden}@s"), true).await;
    f.store.clone_volume(&f.spec(&format!("{golden}@s")), &f.spec("middle"), &f.ctl).await.unwrap();
    f.snapshot("middle@s", true).await;
    f.store.clone_volume(&f.spec("middle@s"), &f.spec("child"), &f.ctl).await.unwrap();
    let (home, middle) = (f.home(), entry(&f, "middle").await.id);
    let before = seen(&f, &home).await;
    for (number, volume) in ["middle", "child"].into_iter().enumerate() {
        let id = entry(&f, volume).await.id;
        put(&f, &home, &record(u32::try_from(number).unwrap(), 3, volume, Some(&id), &json!("flatten")))
            .await;
    }
    let remove = json!({"remove": {"purge_snapshots": true, "flatten_children": true, "keep_seconds": null}});
    put(&f, &home, &record(2, 3, "middle", Some(&middle), &remove)).await;
    let reports = reap(&f, std::slice::from_ref(&home)).await;
    for report in &reports {
        let told = (report.outcome, report.error_kind);
        assert!(
            matches!(told, (ReapOutcome::Pending, Some(ErrorKind::Blocked | ErrorKind::Partial))),
            "{report:?}"
        );
        assert!(report.hint.as_deref().unwrap().starts_with("`volary flatten "), "{report:?}");
    }
    assert_eq!(seen(&f, &home).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_time_that_no_agent_sets_puts_nothing_off() {
    let f = Scene::new().await;
    f.create("web").await;
    let held = f.engine.open(&f.home(), &f.spec("web").volume, &OpenOptions::write(), &f.ctl).await.unwrap();
    let later = RemoveOptions { retry_later: true, ..RemoveOptions::default() };
    assert_eq!(f.store.remove(&f.spec("web"), &later, &f.ctl).await.unwrap().outcome, Outcome::Blocked);
    held.close(&f.ctl).await.unwrap();
    assert!(!f.store.pending(&f.home(), &f.ctl).await.unwrap()[0].is_due(), "it was paused just now");
    super::settle::rewrite(&f, |intent| intent["next_attempt"] = json!("9000-01-01T00:00:00Z")).await;
    assert!(f.store.pending(&f.home(), &f.ctl).await.unwrap()[0].is_due());
    let options = ReapOptions { due_only: true, ..ReapOptions::default() };
    let reports = f.store.reap(&[f.home()], &options, &f.ctl).await.unwrap();
    assert_eq!(reports[0].outcome, ReapOutcome::Settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_journal_full_of_records_does_not_hold_up_that_of_another_namespace() {
    let f = Scene::new().await;
    let elsewhere = f.place.elsewhere(&f.store).await;
    let web = format!("{elsewhere}/web");
    f.create(&web).await;
    for number in 0..2500_u32 {
        put_raw(&f, &f.home(), &format!("{number:032x}"), b"{}").await;
    }
    let remove =
        json!({"remove": {"purge_snapshots": false, "flatten_children": false, "keep_seconds": null}});
    put(&f, &elsewhere, &record(1, 3, "web", Some(&entry(&f, &web).await.id), &remove)).await;
    // A round looks at no more than a thousand, and the next one goes on after them.
    let (mut reaper, options) = (volary::Reaper::new(f.store.clone()), ReapOptions::default());
    let mut looked = Vec::new();
    for _ in 0..4 {
        looked.push(reaper.round(&f.home(), &options, &f.ctl).await.unwrap().len());
    }
    assert_eq!(looked, [1000, 1000, 500, 1000]);
    let reports = reap(&f, &[f.home(), elsewhere.clone()]).await;
    assert_eq!(reports.len(), 2501);
    // It has its turn after the first thousand.
    assert_eq!((reports[1000].outcome, &reports[1000].namespace), (ReapOutcome::Settled, &elsewhere));
    assert_eq!(f.store.pending(&f.home(), &f.ctl).await.unwrap().len(), 2500);
}
