//! That an import into Ceph, too, gives up opening files, once the libraries are connected.

use crate::harness::trace::{CALLS, strace};
use std::path::PathBuf;

#[test]
fn s06_an_import_opens_nothing_that_its_source_could_name() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 3);
    let image = image.to_str().unwrap();
    let (ended, trace) = strace(&bench, &["-f", "-e", CALLS], &["import", image, &bench.at("web")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let given_up = trace.find(&["landlock_restrict_self"]);
    assert!(trace.find(&["open", image]) < given_up, "{:#?}", trace.0);
    // The threads of the libraries are there already. They get bytes to send, and nothing else of the image.
    let opened = trace.opened(given_up, &trace.threads_before(given_up));
    let told = ["/proc", "/sys", "/usr", "/lib", "/dev/urandom"];
    let others: Vec<&PathBuf> =
        opened.iter().filter(|path| !told.iter().any(|root| path.starts_with(root))).collect();
    assert!(!opened.is_empty() && others.is_empty(), "{others:#?}");
    assert_eq!(bench.json(&["verify", &bench.at("web")])["match"], true);
}
