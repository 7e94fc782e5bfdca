//! What Ctrl-C, SIGTERM, SIGKILL, a second command at once and a full disk leave behind: nothing.

use crate::harness::{ended, signal};
use rustix::process::Signal;
use std::process::Stdio;

#[test]
fn s05_an_interrupt_in_mid_import_exits_130_and_leaves_nothing() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 96);
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = bench.start(&["import", image.to_str().unwrap(), &bench.at("web")]);
        bench.wait_for_objects(&mut child);
        signal(&child, number);
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
        bench.assert_empty();
    }
}

#[test]
fn s01_a_killed_import_publishes_nothing_and_the_next_one_succeeds() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 64);
    let mut child = bench.start(&["import", image.to_str().unwrap(), &bench.at("web")]);
    bench.wait_for_objects(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(bench.json(&["ls", &bench.home]), serde_json::json!([]));
    let report = bench.json(&["import", image.to_str().unwrap(), &bench.at("web")]);
    assert_eq!(report["verified"], true);
    assert_eq!(bench.json(&["verify", &bench.at("web")])["match"], true);
}

#[test]
fn s01_of_two_imports_of_one_name_at_once_one_wins_and_the_other_exits_4() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 16);
    let args = ["import", image.to_str().unwrap(), &bench.at("web")];
    let children = [bench.start(&args), bench.start(&args)];
    let mut codes = children.map(|child| ended(child.wait_with_output().unwrap()).code.unwrap());
    codes.sort_unstable();
    assert_eq!(codes, [0, 4]);
    assert_eq!(bench.json(&["ls", &bench.home]).as_array().unwrap().len(), 1);
    assert_eq!(bench.json(&["trash", "ls", &bench.home]), serde_json::json!([]));
    assert_eq!(bench.json(&["verify", &bench.at("web")])["match"], true);
    assert_eq!(bench.objects(), 16, "the loser's data is gone");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let bench = crate::bench();
    for number in 0..3 {
        bench.ok(&["create", "--size", "1M", &bench.at(&format!("volume-{number}"))]);
    }
    let image = bench.image("disk.raw", 4);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let web = bench.at("web");
    for args in [&["ls", &bench.home][..], &["export", &web, "-"], &["-o", "json", "info", &web]] {
        let mut child = bench.command(args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn s02_a_second_writer_exits_5_and_names_the_first() {
    let bench = crate::bench();
    let web = bench.at("web");
    bench.ok(&["create", "--size", "8M", &web]);
    bench.ok(&["snap", "create", &bench.at("web@old")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ctl = volary::Ctl::new();
    let url: volary::StoreUrl = bench.url.parse().unwrap();
    let store = runtime.block_on(volary::Store::connect(&url, &ctl)).unwrap();
    let write = volary::engine::OpenOptions::write();
    let spec: volary::VolumeSpec = format!("{}/web", bench.home).parse().unwrap();
    let opened = store.engine().open(&spec.namespace, &spec.volume, &write, &ctl);
    let volume = runtime.block_on(opened).unwrap();
    let holder =
        if bench.is_local() { format!("process {}", std::process::id()) } else { "client.".to_owned() };
    for args in [
        &["resize", &web, "--size", "16M"][..],
        &["snap", "rollback", &bench.at("web@old")],
        &["rm", "--purge-snapshots", "--wait", "1ms", &web],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(5), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(&holder), "{args:?} does not name {holder}: {}", ended.stderr);
    }
    // On Ceph snapshots are made beside a writer: that is how a running machine's disk is kept.
    let beside = bench.run(&["snap", "create", &bench.at("web@new")]);
    assert_eq!(beside.code, Some(if bench.is_local() { 5 } else { 0 }), "{}", beside.stderr);
    runtime.block_on(volume.close(&ctl)).unwrap();
    runtime.block_on(store.shutdown()).unwrap();
    assert_eq!(bench.json(&["info", &web])["size_bytes"], 8 << 20, "nothing was changed");
    bench.ok(&["rm", "--purge-snapshots", &web]);
}
