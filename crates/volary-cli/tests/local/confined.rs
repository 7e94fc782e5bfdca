//! That `inspect` and `import` give up opening files, seen from outside: in what they ask the kernel for, and in what it answers.

use crate::harness::trace::{CALLS, strace};
use crate::harness::{Bench, ended};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn s06_an_inspection_can_open_nothing_once_its_source_is_open() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 1);
    let image = image.to_str().unwrap();
    let (ended, trace) = strace(&bench, &["-f", "-e", CALLS], &["inspect", image]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (opened, given_up) = (trace.find(&["open", image]), trace.find(&["landlock_restrict_self"]));
    assert!(opened < given_up && trace.find(&["clone", "CLONE_THREAD"]) > given_up, "{:#?}", trace.0);
    assert_eq!(trace.opened(given_up, &[]), Vec::<PathBuf>::new());
}

#[test]
fn s06_the_kernel_denies_an_inspection_a_file_that_it_has_not_opened_before() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 1);
    let image = image.to_str().unwrap();
    // The first thread's opening fails for another reason; another thread then tries it anew, and strace leaves it alone.
    let inject = "inject=?open,openat:error=ENFILE";
    let (ended, trace) = strace(&bench, &["-P", image, "-e", inject], &["inspect", image]);
    assert!(trace.0.iter().any(|(_, call)| call.contains("ENFILE")), "{:#?}", trace.0);
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    assert!(ended.stderr.contains("Permission denied"), "{}", ended.stderr);
    assert_eq!(bench.run(&["inspect", image]).code, Some(0));
}

#[test]
fn s06_an_import_opens_nothing_but_what_it_needs_of_its_store() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 3);
    let image = image.to_str().unwrap();
    // The store is made by the first, and there for the second.
    for volume in ["web", "other"] {
        let (ended, trace) = strace(&bench, &["-f", "-e", CALLS], &["import", image, volume]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let given_up = trace.find(&["landlock_restrict_self"]);
        assert!(trace.find(&["open", image]) < given_up, "{:#?}", trace.0);
        // Who connected was a thread that nothing holds; it does nothing any more.
        let (free, after) = (trace.threads_before(given_up), &trace.0[given_up..]);
        assert!(
            !free.is_empty() && !after.iter().any(|(id, _)| free.contains(&id.as_str())),
            "{:#?}",
            trace.0
        );
        let opened = trace.opened(given_up, &[]);
        let needed = |path: &&PathBuf| {
            [bench.store.as_path(), Path::new("/proc"), Path::new("/dev/urandom")]
                .iter()
                .any(|root| path.starts_with(root))
        };
        assert!(opened.iter().any(|path| path.starts_with(bench.store.join("objects"))), "{opened:#?}");
        let others: Vec<_> = opened.iter().filter(|path| !needed(path)).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

#[test]
fn what_a_confined_command_still_needs_is_there() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 2);
    let qcow2 = bench.path("disk.qcow2");
    let made = Command::new("qemu-img").args(["convert", "-O", "qcow2"]).args([&image, &qcow2]).status();
    assert!(made.unwrap().success());
    // A piped source that must seek, and an audit log that is made anew.
    bench.ok(&["ls"]);
    let log = bench.path("audit.log");
    let mut command = bench.command(&["--audit-log", log.to_str().unwrap(), "import", "-", "web"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    while !log.exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    std::fs::remove_file(&log).unwrap();
    let bytes = std::fs::read(&qcow2).unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2);
    assert_eq!(bench.json(&["verify", "web"])["match"], true);
    let sums = bench.path("SHA256SUMS");
    let output = Command::new("sha256sum").arg("disk.qcow2").current_dir(bench.path("")).output().unwrap();
    std::fs::write(&sums, output.stdout).unwrap();
    let file = ["import", "--checksum-file", sums.to_str().unwrap(), qcow2.to_str().unwrap(), "summed"];
    bench.ok(&file);
}

#[test]
fn a_kernel_without_landlock_does_as_well_and_the_doctor_says_so() {
    let bench = Bench::new();
    let image = bench.image("disk.raw", 1);
    let image = image.to_str().unwrap();
    for (errno, remedy) in [("EOPNOTSUPP", "lsm="), ("ENOSYS", "Linux 5.13")] {
        let inject = format!("inject=landlock_create_ruleset:error={errno}");
        let options = ["-f", "-e", "trace=landlock_create_ruleset,landlock_restrict_self", "-e", &inject];
        let (ended, trace) = strace(&bench, &options, &["import", image, errno]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(!trace.0.iter().any(|(_, call)| call.contains("restrict_self")), "{:#?}", trace.0);
        let (ended, _) = strace(&bench, &options, &["-o", "json", "doctor"]);
        let check = landlock(&serde_json::from_str(&ended.stdout).unwrap());
        assert_eq!((ended.code, &check["verdict"]), (Some(0), &"warning".into()), "{check}");
        assert!(check["remedy"].as_str().unwrap().contains(remedy), "{check}");
    }
    let check = landlock(&bench.json(&["doctor"]));
    assert_eq!((&check["verdict"], &check["remedy"]), (&"ok".into(), &Value::Null), "{check}");
    assert!(bench.ok(&["doctor"]).contains("ok       landlock: version "));
}

fn landlock(report: &Value) -> Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "landlock").unwrap().clone()
}
