//! The removal of many volumes by a list, when one of them cannot go.

use crate::bench;
use serde_json::{Value, json};

#[test]
fn s02_of_a_list_all_go_but_the_one_that_is_held_and_the_exit_code_says_so() {
    let bench = bench();
    bench.ok(&["create", "--size", "8M", &bench.at("base")]);
    bench.ok(&["snap", "create", "--protect", &bench.at("base@golden")]);
    let names: Vec<String> = (0..8).map(|number| bench.at(&format!("clone-{number}"))).collect();
    for name in &names {
        bench.ok(&["clone", &bench.at("base@golden"), name]);
    }
    let list = bench.path("names");
    std::fs::write(&list, names.join("\n")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let spec: volary::VolumeSpec = bench.shown("clone-3").parse().unwrap();
    let write = volary::engine::OpenOptions::write();
    let opened = store.engine().open(&spec.namespace, &spec.volume, &write, &ctl);
    let holder = runtime.block_on(opened).unwrap();
    let cleanup = |more: &[&str]| {
        let args = ["-o", "json", "cleanup", "--names-from", list.to_str().unwrap(), "--wait", "1ms"];
        let ended = bench.run(&[&args[..], more].concat());
        let reports: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
        let outcomes: Vec<_> =
            reports.iter().map(|of| (of["outcome"].clone(), of["pending"] == true)).collect();
        (ended.code, outcomes)
    };
    let but_the_held = |others: &str, pending: bool| {
        let each = |number| if number == 3 { (json!("blocked"), pending) } else { (json!(others), false) };
        (0..8).map(each).collect::<Vec<_>>()
    };
    assert_eq!(cleanup(&["--dry-run"]), (Some(5), but_the_held("planned", false)));
    assert_eq!(cleanup(&[]), (Some(5), but_the_held("removed", false)));
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]));
    assert_eq!(cleanup(&["--retry-later"]), (Some(11), but_the_held("absent", true)));
    assert_eq!(bench.json(&["pending", "ls", &bench.home]).as_array().unwrap().len(), 1);
    runtime.block_on(holder.close(&ctl)).unwrap();
    runtime.block_on(store.shutdown()).unwrap();
    bench.ok(&["reap", &bench.home]);
    assert_eq!(bench.json(&["pending", "ls", &bench.home]), json!([]));
    bench.ok(&["snap", "unprotect", &bench.at("base@golden")]);
    bench.ok(&["rm", "--purge-snapshots", &bench.at("base")]);
    bench.assert_empty();
}
