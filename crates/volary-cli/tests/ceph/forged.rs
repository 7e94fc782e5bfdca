//! A tenant whose rights end at its namespace writes there what it likes; the administrator reaps, and nothing outside changes.

use crate::client::Client;
use crate::harness::trace::{CALLS, strace};
use crate::harness::{Bench, Ended, cluster, tamper};
use serde_json::{Value, json};

/// A tenant's namespace, the least privileged user of it, and what is in another pool.
struct Case {
    bench: Bench,
    tenant: Client,
    golden: Golden,
}

/// A pool of the administrator's own; it goes with the test.
struct Golden {
    pool: String,
    number: i64,
}

impl Golden {
    fn new() -> Golden {
        let pool = cluster::own_pool();
        let listed = cluster::json("ceph", &["osd", "pool", "ls", "detail"]);
        let of = listed.as_array().unwrap().iter().find(|of| of["pool_name"] == pool.as_str()).unwrap();
        Golden { number: of["pool_id"].as_i64().unwrap(), pool }
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.pool)
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        let sure = ["osd", "pool", "rm", &self.pool, &self.pool, "--yes-i-really-really-mean-it"];
        cluster::output("ceph", &sure);
    }
}

impl Case {
    fn new() -> Case {
        let bench = Bench::ceph();
        let (pool, namespace) = bench.home.split_once('/').unwrap();
        let caps = format!("profile rbd pool={pool} namespace={namespace}");
        let tenant = Client::with_caps(&["mon", "profile rbd", "osd", &caps]);
        let golden = Golden::new();
        let image = bench.image("golden.raw", 2);
        let import = ["import", image.to_str().unwrap(), &golden.at("img"), "--snapshot", "v1", "--protect"];
        bench.ok(&import);
        Case { bench, tenant, golden }
    }

    /// Changes the objects of the tenant's namespace with the tenant's rights: see [`tamper::script`].
    fn tamper(&self, script: &str, args: &[&str]) {
        let ended = self.as_tenant(script, args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    fn as_tenant(&self, script: &str, args: &[&str]) -> Ended {
        let conf = self.tenant.path("own.conf");
        tamper::script(conf.to_str().unwrap(), self.tenant.user(), &self.bench.home, script, args)
    }

    /// The tenant writes a record into the journal of its namespace.
    fn forge(&self, number: u32, format: u32, volume: &str, id: &str, work: &Value) {
        let id_of_record = format!("{number:032x}");
        let record = json!({
            "format": format, "id": id_of_record, "operation": "remove", "owner": null, "beat": 0,
            "lease_seconds": 30, "volume": volume, "volume_id": id, "work": work, "steps": ["publishing"],
            "attempts": 1, "last_error": null, "next_attempt": null, "created": jiff::Timestamp::now(),
        });
        let script = r#"
key, value = args
with rados.WriteOpCtx() as op:
    op.new(0)
    io.set_omap(op, (key,), ((b"=" + value.encode()),))
    io.operate_write_op(op, "volary_journal")
"#;
        self.tamper(script, &[&format!("intent.{id_of_record}"), &record.to_string()]);
    }

    /// Every object of the administrator's pool, and what its header says.
    fn outside(&self) -> (String, Value, Value) {
        let mut objects: Vec<_> = cluster::output("rados", &["--pool", &self.golden.pool, "ls"])
            .lines()
            .map(str::to_owned)
            .collect();
        objects.sort();
        let image = self.golden.at("img");
        let mut info = self.bench.json(&["info", &image]);
        for field in ["accessed", "modified"] {
            info[field] = Value::Null;
        }
        (objects.join("\n"), info, self.bench.json(&["verify", &format!("{image}@v1")])["match"].clone())
    }
}

#[test]
fn s14_a_tenants_records_make_the_administrators_reap_change_nothing_outside() {
    let case = Case::new();
    let (bench, golden) = (&case.bench, case.golden.at("img"));
    let before = case.outside();
    let info = bench.json(&["info", &golden]);
    let id = info["id"].as_str().unwrap();
    let listed = cluster::json("rbd", &["snap", "ls", &golden]);
    let snapshot = listed[0]["id"].as_u64().unwrap();
    let works = [
        json!({"remove_snapshot": {"snapshot": snapshot, "unprotect": true, "flatten_children": true}}),
        json!({"remove": {"purge_snapshots": true, "flatten_children": true, "keep_seconds": null}}),
        json!({"move_to_trash": {"keep_seconds": 0}}),
        json!("remove_trashed"),
        json!({"rollback": {"snapshot": snapshot}}),
    ];
    let mut number = 0;
    for work in &works {
        for (format, volume) in [(2, golden.as_str()), (3, golden.as_str()), (3, "img")] {
            number += 1;
            case.forge(number, format, volume, id, work);
        }
    }
    let outside = "cluster.open_ioctx(args[0]).read('rbd_directory')";
    let refused = case.as_tenant(outside, &[&case.golden.pool]);
    assert!(refused.stderr.contains("PermissionError"), "{}", refused.stderr);
    let reaped = bench.run(&["-o", "json", "reap", &bench.home]);
    assert_eq!(reaped.code, Some(11), "{}", reaped.stderr);
    assert!(reaped.stderr.contains("volary pending forget"), "{}", reaped.stderr);
    let reports: Value = serde_json::from_str(&reaped.stdout).unwrap();
    let count =
        |outcome: &str| reports.as_array().unwrap().iter().filter(|of| of["outcome"] == outcome).count();
    assert_eq!((count("invalid"), count("settled")), (works.len() * 2, works.len()), "{reports}");
    assert_eq!(case.outside(), before);

    let pending = bench.json(&["pending", "ls", &bench.home]);
    assert_eq!(pending.as_array().unwrap().len(), works.len() * 2);
    for of in pending.as_array().unwrap() {
        assert!(of["invalid"].as_str().unwrap().contains(&golden) && of["namespace"] == bench.home, "{of}");
        let id = of["id"].as_str().unwrap();
        let shown = bench.json(&["pending", "show", id, &bench.home]);
        assert_eq!((&shown["invalid"], &shown["record"]["volume"]), (&of["invalid"], &json!(golden)));
        let retried = bench.run(&["pending", "retry", id, &bench.home]);
        assert_eq!(retried.code, Some(11), "{}", retried.stderr);
        bench.ok(&["pending", "forget", id, &bench.home]);
    }
    bench.ok(&["reap", &bench.home]);
    assert_eq!(case.outside(), before);
    bench.assert_empty();
}

#[test]
fn s14_an_entry_of_the_journal_that_is_no_record_is_shown_and_forgotten() {
    let case = Case::new();
    let bench = &case.bench;
    let script = r#"
values = {"intent.raw": b"raw", "intent.none": b"", "intent.large": b"=" + b"[" * 200000,
          "intent." + "k" * 300: b"=1", "intent.\u00e9": b"=1"}
with rados.WriteOpCtx() as op:
    op.new(0)
    io.set_omap(op, tuple(values), tuple(values.values()))
    io.operate_write_op(op, "volary_journal")
"#;
    case.tamper(script, &[]);
    bench.ok(&["create", "--size", "4M", &bench.at("web")]);
    let pending = bench.json(&["pending", "ls", &bench.home]);
    let ids: Vec<_> = pending.as_array().unwrap().iter().map(|of| of["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["large", "none", "raw"], "{pending}");
    assert_eq!(bench.run(&["reap", &bench.home]).code, Some(11));
    for id in ids {
        bench.ok(&["pending", "forget", id, &bench.home]);
    }
    bench.ok(&["reap", &bench.home]);
    bench.ok(&["rm", &bench.at("web")]);
}

#[test]
fn s14_a_header_that_names_the_data_of_another_pool_is_not_obeyed() {
    let case = Case::new();
    let (bench, golden) = (&case.bench, case.golden.at("img"));
    let id = bench.json(&["info", &golden])["id"].as_str().unwrap().to_owned();
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let before = case.outside();
    let script = r#"
header, prefix, pool = args
values = {"object_prefix": text(prefix), "data_pool_id": struct.pack("<q", int(pool))}
with rados.WriteOpCtx() as op:
    io.set_omap(op, tuple(values), tuple(values.values()))
    io.operate_write_op(op, header)
"#;
    let header = format!("rbd_header.{}", bench.id("web"));
    case.tamper(script, &[&header, &format!("rbd_data.{id}"), &case.golden.number.to_string()]);
    for args in
        [&["rm", &bench.at("web")][..], &["resize", "--size", "4M", "--allow-shrink", &bench.at("web")]]
    {
        let refused = bench.run(args);
        assert_eq!(refused.code, Some(6), "{args:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("not its own"), "{}", refused.stderr);
    }
    assert_eq!(case.outside(), before);
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]), "a refused removal leaves no order");
    let mend = r#"
header, prefix = args
with rados.WriteOpCtx() as op:
    io.set_omap(op, ("object_prefix",), (text(prefix),))
    io.remove_omap_keys(op, ("data_pool_id",))
    io.operate_write_op(op, header)
"#;
    let own = format!("rbd_data.{}", bench.id("web"));
    case.tamper(mend, &[&header, &own]);
    bench.ok(&["rm", &bench.at("web")]);
    bench.assert_empty();
}

#[test]
fn s14_configuration_in_a_tenants_metadata_loads_no_plugin_and_makes_no_file() {
    let case = Case::new();
    let bench = &case.bench;
    bench.ok(&["create", "--size", "8M", &bench.at("web")]);
    let header = format!("rbd_header.{}", bench.id("web"));
    let cache = bench.path("cache");
    std::fs::create_dir(&cache).unwrap();
    let set = r#"
header, cache = args
values = {"plugins": "pwl_cache", "persistent_cache_mode": "ssd", "persistent_cache_size": "1073741824",
          "persistent_cache_path": cache}
with rados.WriteOpCtx() as op:
    io.set_omap(op, tuple("metadata_conf_rbd_" + key for key in values), tuple(map(str.encode, values.values())))
    io.operate_write_op(op, header)
"#;
    case.tamper(set, &[&header, cache.to_str().unwrap()]);
    for args in [&["snap", "create", &bench.at("web@s")][..], &["resize", "--size", "16M", &bench.at("web")]]
    {
        let (ended, trace) = strace(bench, &["-f", "-e", CALLS], args);
        assert_ne!(ended.code, Some(0), "{args:?}");
        let plugins: Vec<_> = trace.0.iter().filter(|(_, call)| call.contains("pwl_cache")).collect();
        assert!(!plugins.is_empty(), "librbd looked for none: the metadata was not read");
        let looked_in = |call: &str| call.contains("\"/nonexistent/");
        assert!(plugins.iter().all(|(_, call)| looked_in(call)), "{plugins:#?}");
        assert!(std::fs::read_dir(&cache).unwrap().next().is_none(), "{args:?}: {}", ended.stderr);
    }
    let unset = r#"
with rados.WriteOpCtx() as op:
    io.remove_omap_keys(op, ("metadata_conf_rbd_plugins",))
    io.operate_write_op(op, args[0])
"#;
    case.tamper(unset, &[&header]);
    bench.ok(&["rm", &bench.at("web")]);
}

#[test]
fn s14_records_of_a_renamed_pool_are_those_of_the_pool() {
    let (bench, golden) = (Bench::ceph(), Golden::new());
    let web = golden.at("web");
    bench.ok(&["create", "--size", "8M", &web]);
    let locked = bench.ok(&["lock", "add", &web, "mine"]);
    assert_eq!(bench.run(&["rm", "--retry-later", &web]).code, Some(11), "{locked}");
    let renamed = Golden { pool: format!("{}-renamed", golden.pool), number: golden.number };
    cluster::output("ceph", &["osd", "pool", "rename", &golden.pool, &renamed.pool]);
    std::mem::forget(golden);
    let pending = bench.json(&["pending", "ls", &renamed.pool]);
    assert_eq!((&pending[0]["volume"], &pending[0]["invalid"]), (&json!(renamed.at("web")), &Value::Null));
    let locks = bench.json(&["lock", "ls", &renamed.at("web")]);
    let client = locks[0]["client"].as_str().unwrap();
    bench.ok(&["lock", "rm", &renamed.at("web"), "mine", client]);
    let reaped = bench.json(&["reap", &renamed.pool]);
    assert_eq!((&reaped[0]["outcome"], &reaped[0]["volume"]), (&json!("settled"), &json!(renamed.at("web"))));
    assert_eq!(bench.json(&["ls", &renamed.pool]), json!([]));
    assert_eq!(bench.json(&["pending", "ls", &renamed.pool]), json!([]));
}
