//! What `-v`, `-vv` and `-vvv` tell of an operation: its steps, the calls of the store, the calls of Ceph's libraries.

use crate::bench;
use crate::harness::Bench;
use serde_json::Value;

/// The lines of a command's log; all but the audit trail's.
fn lines(bench: &Bench, verbosity: &str, args: &[&str]) -> Vec<Value> {
    let ended = bench.run(&[&[verbosity, "--log-format", "json"], args].concat());
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
    let lines = ended.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] != "volary::audit").collect()
}

fn messages<'a>(lines: &'a [Value], target: &str) -> Vec<&'a str> {
    lines
        .iter()
        .filter(|line| line["target"] == target)
        .map(|line| line["message"].as_str().unwrap())
        .collect()
}

/// Every line of an operation has its id, and everything that took time says how much.
fn assert_told(lines: &[Value], operation: &str) {
    let of = |line: &Value| {
        let spans = line["spans"].as_array().cloned().unwrap_or_default();
        spans.into_iter().find(|span| span["operation"] == operation).map(|span| span["id"].clone())
    };
    let ids: Vec<Value> = lines.iter().filter_map(of).collect();
    assert!(
        ids.len() >= 3 && ids.iter().all(|id| *id == ids[0] && id.as_str().unwrap().len() == 32),
        "{ids:?}"
    );
    for line in lines
        .iter()
        .filter(|line| ["volary::engine", "rbd::call"].contains(&line["target"].as_str().unwrap()))
    {
        assert!(line["seconds"].is_f64(), "{line}");
    }
}

#[test]
fn an_import_is_told_step_by_step_call_by_call_and_no_more_than_was_asked_for() {
    let bench = bench();
    let image = bench.image("disk.raw", 2);
    let image = image.to_str().unwrap();
    assert_eq!(lines(&bench, "-q", &["import", image, &bench.at("quiet")]), Vec::<Value>::new());
    let steps = lines(&bench, "-v", &["import", image, &bench.at("a")]);
    assert_eq!(
        messages(&steps, "volary::engine"),
        ["create", "copy", "read back and compare", "trash_restore"].map(|step| step).to_vec(),
        "{steps:#?}"
    );
    assert_told(&steps, "import");
    let published = steps.iter().find(|line| line["message"] == "trash_restore").unwrap();
    let (doing, on) = (&published["doing"], published["on"].as_str().unwrap());
    assert!(doing == "publish as" && on.starts_with(&format!("{}, id:", bench.shown("a"))), "{published}");
    let copied = steps.iter().find(|line| line["message"] == "copy").unwrap();
    assert_eq!(copied["bytes"], 8 << 20, "{copied}");
    let calls = lines(&bench, "-vv", &["import", image, &bench.at("b")]);
    assert_told(&calls, "import");
    let told = messages(&calls, "volary::engine");
    for call in ["find", "create", "open", "write", "flush", "swap_record", "trash_restore", "close"] {
        assert!(told.contains(&call), "{call}: {told:?}");
    }
    let write = calls.iter().find(|line| line["message"] == "write").unwrap();
    assert!(write["outcome"] == "done" && write["on"].as_str().unwrap().contains(" bytes at "), "{write}");
    let free = |line: &Value| line["message"] == "find" && line["result"] == "not found";
    let looked: Vec<_> = calls.iter().filter(|line| free(line)).collect();
    assert!(!looked.is_empty() && looked.iter().all(|line| line["doing"] == "look for"), "{calls:#?}");
    assert!(messages(&calls, "rbd::call").is_empty());
    let all = lines(&bench, "-vvv", &["import", image, &bench.at("c")]);
    assert_told(&all, "import");
    let librbd: Vec<&Value> = all.iter().filter(|line| line["target"] == "rbd::call").collect();
    if bench.is_local() {
        assert!(librbd.is_empty());
        return;
    }
    let of = |function: &str| librbd.iter().find(|line| line["function"] == function).copied();
    let write = of("rbd_aio_write").unwrap();
    assert!(write["on"].as_str().unwrap().contains("object id:"), "{write}");
    let completed = librbd.iter().filter(|line| line["message"] == "completed").count();
    assert!(completed >= 2, "{librbd:#?}");
    let free =
        librbd.iter().find(|line| line["function"] == "rados_read" && line["errno"].is_string()).unwrap();
    assert!(free["errno"].as_str().unwrap().contains("ENOENT"), "the name was free: {free}");
}

#[test]
fn a_removal_is_told_step_by_step_and_a_wait_with_its_reason() {
    let bench = bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "8M", &web]);
    bench.ok(&["snap", "create", &bench.at("web@s")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let (write, spec) = (volary::engine::OpenOptions::write(), format!("{}/web", bench.home));
    let spec: volary::VolumeSpec = spec.parse().unwrap();
    let opened = store.engine().open(&spec.namespace, &spec.volume, &write, &ctl);
    let writer = runtime.block_on(opened).unwrap();
    let waited = |verbosity: &str| {
        let args = [verbosity, "--log-format", "json", "rm", "--purge-snapshots", "--wait", "300ms", &web];
        let ended = bench.run(&args);
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        let told = ended.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        told.collect::<Vec<_>>()
    };
    // The start of a wait is logged once, with its reason and the longest time; each try stands beside the calls of the engine.
    let of = |lines: &[Value], message: &str| {
        let lines = lines.iter().filter(|line| line["message"] == message);
        lines.cloned().collect::<Vec<_>>()
    };
    let (begins, again) = ("wait until it is released", "to be tried again");
    let steps = waited("-v");
    let waits = of(&steps, begins);
    assert!(waits.len() == 1 && waits[0]["at_most_seconds"].as_f64().unwrap() <= 0.3, "{steps:#?}");
    assert!(!waits[0]["why"].as_str().unwrap().is_empty() && of(&steps, again).is_empty(), "{steps:#?}");
    let tries = of(&waited("-vv"), again);
    assert!(tries[0]["tries"] == 1 && tries[0]["next_in_seconds"].is_f64(), "{tries:#?}");
    assert!(!tries[0]["why"].as_str().unwrap().is_empty(), "{tries:#?}");
    // The command's error is its last line, so that the line of the operation's end does not say it as well.
    let people = bench.run(&["-v", "create", "--size", "1M", &web]).stderr;
    let ends: Vec<_> =
        people.lines().filter_map(|line| line.split_once("]: ends: already_exists, ")).collect();
    assert!(ends.len() == 1 && ends[0].0.contains(" WARN create ") && !ends[0].1.contains(", "), "{people}");
    assert!(people.lines().any(|line| line.starts_with("error: ")), "{people}");
    runtime.block_on(writer.close(&ctl)).unwrap();
    runtime.block_on(store.shutdown()).unwrap();
    let steps = lines(&bench, "-v", &["rm", "--purge-snapshots", &web]);
    let told = messages(&steps, "volary::engine");
    let order: Vec<&str> = told
        .into_iter()
        .filter(|step| ["remove_snapshot", "trash_move", "trash_remove"].contains(step))
        .collect();
    assert_eq!(order, ["remove_snapshot", "trash_move", "trash_remove"], "{steps:#?}");
    assert_told(&steps, "remove");
}
