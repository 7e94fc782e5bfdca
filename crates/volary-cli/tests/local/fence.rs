//! A directory cannot keep a process out: it is named, and to be ended.

use serde_json::Value;
use std::io::Read;

#[test]
fn s10_who_has_a_local_volume_open_is_not_fenced_but_named() {
    let bench = crate::bench();
    let image = bench.image("disk.raw", 8);
    bench.ok(&["import", image.to_str().unwrap(), "web"]);
    let mut reader = bench.start(&["export", "web", "-"]);
    // More than a pipe holds: it waits for this test to read on.
    let mut out = reader.stdout.take().unwrap();
    out.read_exact(&mut [0; 4096]).unwrap();
    let why = bench.json(&["why", "web"]);
    let holder = &why["holders"][0];
    let client = format!("pid.{}", reader.id());
    assert_eq!((holder["client"].as_str(), holder["address"].as_str()), (Some(client.as_str()), None));
    for args in [&["--yes"][..], &["--dry-run"], &["--yes", "--client", &client], &[]] {
        let ended = bench.run(&[&["-o", "json", "why", "web", "--fence"], args].concat());
        assert_eq!(ended.code, Some(12), "{args:?}: {}", ended.stderr);
        let hint = serde_json::from_str::<Value>(&ended.stderr).unwrap()["error"]["hint"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(hint.contains(&format!("process {}", reader.id())), "{hint}");
    }
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert!(reader.wait().unwrap().success());
    assert_eq!(rest.len() + 4096, 32 << 20);
    assert_eq!(bench.run(&["why", "web", "--fence", "--yes"]).code, Some(3));
}
