//! What Ctrl-C, SIGTERM, SIGHUP, SIGKILL and a second command at once leave behind: nothing.

use crate::harness::{Bench, Ended, cluster, ended, signal};
use rustix::process::Signal;
use std::process::{Child, Stdio};

/// What an interrupted command has begun is undone; where the time for that was too short it is pending, and settled by whoever comes.
fn assert_undone_or_pending(bench: &Bench, ended: &Ended, code: i32) {
    if ended.code == Some(11) {
        assert!(ended.stderr.contains("volary pending"), "{}", ended.stderr);
        bench.ok(&["reap", "--wait", "60s", &bench.home]);
    } else {
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
    bench.assert_empty();
}

#[test]
fn s05_an_interrupt_in_mid_import_exits_130_and_leaves_nothing() {
    let bench = crate::bench();
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (mut child, _stream) = bench.start_unending_import(&bench.at("web"));
        bench.wait_for_objects(&mut child);
        signal(&child, number);
        let ended = ended(child.wait_with_output().unwrap());
        assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
        assert_undone_or_pending(&bench, &ended, code);
    }
}

#[test]
fn a_terminal_that_is_closed_does_not_end_what_nohup_started() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 96);
    let mut nohup = std::process::Command::new("/usr/bin/nohup");
    nohup.env_clear().env("VOLARY_STORE", &bench.url).stdin(Stdio::null());
    nohup.args([env!("CARGO_BIN_EXE_volary"), "import", image.to_str().unwrap(), &bench.at("web")]);
    let mut child = nohup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bench.wait_for_objects(&mut child);
    signal(&child, Signal::HUP);
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(bench.json(&["verify", &bench.at("web")])["match"], true);
}

/// A volume of 900 TiB; on Ceph one without the features whose objects grow with its size, for the cluster is others' too.
fn huge(bench: &Bench, name: &str) {
    if bench.is_local() {
        bench.ok(&["create", "--size", "900T", &bench.at(name)]);
    } else {
        let options = ["create", "--size", "900T", "--image-feature", "layering", &bench.at(name)];
        cluster::output("rbd", &options);
    }
}

/// Waits until a command is in the middle of its work, as far as the time shows that it has computed, or has ended.
fn wait_until_busy(child: &mut Child) {
    /// In ticks, of which a second has a hundred.
    const MIDDLE: u64 = 30;
    while child.try_wait().unwrap().is_none() {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap().split_ascii_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        if ticks >= MIDDLE {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn s05_a_signal_ends_every_command_on_a_volume_of_900_tebibytes() {
    let bench = crate::bench();
    let (big, copy) = (bench.at("big"), bench.at("copy"));
    huge(&bench, "big");
    bench.ok(&["snap", "create", &bench.at("big@s")]);
    let commands: [&[&str]; 10] = [
        &["cp", &big, &copy],
        &["export", &big, "-"],
        &["export", "--digest", "sha256", &bench.at("big@s"), "-"],
        &["verify", "--record", &big],
        &["ls", "-l", &bench.home],
        &["info", &big],
        &["check", "--read", &bench.home],
        &["snap", "rollback", &bench.at("big@s")],
        &["resize", "--allow-shrink", "--size", "1G", &big],
        &["rm", "--purge-snapshots", &big],
    ];
    for (number, args) in commands.into_iter().enumerate() {
        let (number, code) = [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)][number % 3];
        let mut child = bench.command(args).stdout(Stdio::null()).spawn().unwrap();
        wait_until_busy(&mut child);
        // Where it has ended by itself there is nobody to hear the signal.
        if child.try_wait().unwrap().is_none() {
            signal(&child, number);
        }
        let ended = ended(child.wait_with_output().unwrap());
        let codes = [Some(0), Some(code), Some(11)];
        assert!(codes.contains(&ended.code), "{args:?}: {:?} {}", ended.code, ended.stderr);
    }
}

#[test]
fn s01_a_killed_import_publishes_nothing_and_the_next_one_succeeds() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 64);
    let (mut child, _stream) = bench.start_unending_import(&bench.at("web"));
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
fn a_reader_that_goes_away_ends_a_listing_quietly_and_an_export_with_what_it_took() {
    let bench = crate::bench();
    for number in 0..3 {
        bench.ok(&["create", "--size", "1M", &bench.at(&format!("volume-{number}"))]);
    }
    let image = bench.image("disk.raw", 4);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let web = bench.at("web");
    let unread = |args: &[&str]| {
        let mut child = bench.command(args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        ended(child.wait_with_output().unwrap())
    };
    for args in [&["ls", &bench.home][..], &["-o", "json", "info", &web]] {
        let ended = unread(args);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
    let ended = unread(&["export", &web, "-"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("taken_bytes 0"), "{}", ended.stderr);
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
        // What a table has, the error does not repeat.
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(&holder), "{args:?} does not name {holder}: {said}");
    }
    // On Ceph snapshots are made beside a writer: that is how a running machine's disk is kept.
    let beside = bench.run(&["snap", "create", &bench.at("web@new")]);
    assert_eq!(beside.code, Some(if bench.is_local() { 5 } else { 0 }), "{}", beside.stderr);
    runtime.block_on(volume.close(&ctl)).unwrap();
    runtime.block_on(store.shutdown()).unwrap();
    assert_eq!(bench.json(&["info", &web])["size_bytes"], 8 << 20, "nothing was changed");
    bench.ok(&["rm", "--purge-snapshots", &web]);
}
