//! A pool at its quota: what takes room fails at once and leaves nothing, what makes room goes on.

use crate::harness::{Bench, cluster, ended, signal};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn quota(pool: &str, bytes: &str, full: bool) {
    cluster::output("ceph", &["osd", "pool", "set-quota", pool, "max_bytes", bytes]);
    let began = Instant::now();
    let flags = || {
        let pools = cluster::json("ceph", &["osd", "pool", "ls", "detail"]);
        let mut pools = pools.as_array().unwrap().iter();
        pools.find(|of| of["pool_name"] == pool).unwrap()["flags_names"].as_str().unwrap().to_owned()
    };
    while flags().contains("full_quota") != full {
        assert!(began.elapsed() < Duration::from_secs(120), "the manager does not look");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Writes into a volume in place, as a control plane does.
fn write_in_place(bench: &Bench, volume: &str) -> volary::Result<()> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let spec: volary::VolumeSpec = volume.parse().unwrap();
    runtime.block_on(async {
        let store = volary::Store::connect(&url, &ctl).await?;
        let options = volary::engine::OpenOptions::write();
        let volume = store.engine().open(&spec.namespace, &spec.volume, &options, &ctl).await?;
        let written = match volume.write(0, vec![7; 1 << 20].into(), &ctl).await {
            Ok(()) => volume.flush(&ctl).await,
            refused => refused,
        };
        let closed = volume.close(&ctl).await;
        store.shutdown().await?;
        written.and(closed)
    })
}

/// A pool of the test's own, and a bench in a namespace of it.
fn tenant() -> (String, Bench) {
    let pool = cluster::own_pool();
    let home = format!("{pool}/tenant");
    cluster::output("rbd", &["namespace", "create", &home]);
    let mut bench = Bench::ceph();
    bench.home = home;
    (pool, bench)
}

#[test]
fn s05_a_pool_at_its_quota_refuses_at_once_leaves_nothing_and_lets_volumes_go() {
    let _alone = crate::alone();
    let (pool, bench) = tenant();
    let [image, large] = [("disk.raw", 2), ("large.raw", 24)].map(|(name, blocks)| bench.image(name, blocks));
    let [image, large] = [&image, &large].map(|path| path.to_str().unwrap());
    let [base, golden, child, thin, new] =
        ["base", "base@golden", "child", "thin", "new"].map(|name| bench.at(name));
    bench.ok(&["import", "--snapshot", "golden", "--protect", image, &base]);
    bench.ok(&["clone", &golden, &child]);
    bench.ok(&["import", image, &bench.at("old")]);
    bench.ok(&["trash", "mv", "--defer", "0s", &bench.at("old")]);
    bench.ok(&["create", "--size", "8M", &thin]);
    let before = bench.objects();
    let trashed = bench.json(&["trash", "ls", &bench.home]);
    let old = bench.at(&format!("id:{}", trashed[0]["id"].as_str().unwrap()));
    // Reached while an import is under way, which looked when there was room.
    let mut child_process = bench.start(&["-o", "json", "import", large, &new]);
    while bench.objects() == before {
        assert!(child_process.try_wait().unwrap().is_none(), "ended before it wrote");
    }
    signal(&child_process, Signal::STOP);
    quota(&pool, "1000000", true);
    signal(&child_process, Signal::CONT);
    let under_way = ended(child_process.wait_with_output().unwrap());
    let full = |args: &[&str]| bench.run(&[&["-o", "json"], args].concat());
    let refused = [
        ("under way", under_way),
        ("import", full(&["import", image, &new])),
        ("copy", full(&["cp", &base, &new])),
        ("create", full(&["create", "--size", "1M", &new])),
        ("clone", full(&["clone", &golden, &new])),
        ("flatten", full(&["flatten", &child])),
        ("restore", full(&["trash", "restore", &old])),
    ];
    for (what, ended) in refused {
        let error: Value =
            serde_json::from_str(ended.stderr.lines().last().unwrap_or_default()).unwrap_or_default();
        let told = (ended.code, error["error"]["kind"].as_str());
        assert_eq!(told, (Some(10), Some("no_space")), "{what}: {}", ended.stderr);
    }
    assert_eq!(write_in_place(&bench, &thin).unwrap_err().kind(), volary::ErrorKind::NoSpace);
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]));
    assert_eq!(bench.json(&["trash", "ls", &bench.home]), trashed);
    assert_eq!(bench.json(&["ls", &bench.home]).as_array().unwrap().len(), 3);
    assert_eq!(bench.objects(), before);
    // What was refused was never made, and is not missed: the child reads from its parent, the other one is empty.
    let out = bench.path("out.raw");
    for (volume, content) in [(&child, std::fs::read(image).unwrap()), (&thin, vec![0; 8 << 20])] {
        bench.ok(&["export", "--force", volume, out.to_str().unwrap()]);
        assert!(std::fs::read(&out).unwrap() == content, "{volume}");
    }
    // Full as it is, what is there can be removed.
    bench.ok(&["trash", "rm", "--force", &old]);
    bench.ok(&["rm", &child]);
    bench.ok(&["rm", &thin]);
    bench.ok(&["rm", "--purge-snapshots", "--flatten-children", &base]);
    bench.assert_empty();
    quota(&pool, "0", false);
    bench.ok(&["import", image, &new]);
}

#[test]
fn s05_the_map_of_a_clone_whose_flatten_a_quota_refused_is_rebuilt_at_the_quota() {
    let _alone = crate::alone();
    let (pool, bench) = tenant();
    let image = bench.image("disk.raw", 4);
    let [base, golden, child] = ["base", "base@golden", "child"].map(|name| bench.at(name));
    bench.ok(&["import", "--snapshot", "golden", "--protect", image.to_str().unwrap(), &base]);
    bench.ok(&["clone", &golden, &child]);
    quota(&pool, "1000000", true);
    assert_eq!(bench.run(&["flatten", &child]).code, Some(10));
    let check = |extra: &[&str]| bench.run(&[&["check", "--pause", "0ms", &bench.home], extra].concat());
    let found = check(&[]);
    assert_eq!(found.code, Some(7), "{}", found.stderr);
    assert!(found.stdout.contains("object_map_invalid"), "{}", found.stdout);
    let repaired = check(&["--repair"]);
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.stdout, repaired.stderr);
    assert_eq!(check(&[]).code, Some(0));
    quota(&pool, "0", false);
    let out = bench.path("out.raw");
    let assert_whole = || {
        bench.ok(&["export", "--force", &child, out.to_str().unwrap()]);
        assert!(std::fs::read(&out).unwrap() == std::fs::read(&image).unwrap());
    };
    assert_whole();
    bench.ok(&["flatten", &child]);
    assert_whole();
}
