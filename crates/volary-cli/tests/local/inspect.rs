//! What `inspect` tells of an image: each check, the verdict, and what a refusal has spared.

use crate::harness::{Bench, ended};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use volary_testkit::images::{Cluster, Qcow2, magics, sample, vmdk};

fn write(bench: &Bench, name: &str, bytes: &[u8]) -> PathBuf {
    let path = bench.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_refusal_is_told_with_its_consequence_in_80_columns() {
    let bench = Bench::new();
    let mut built = sample().build();
    let image =
        write(&bench, "backed", &built.put64(8, 0x400).put32(16, 11).put(0x400, b"/etc/shadow").bytes);
    let ended = bench.run(&["inspect", image.to_str().unwrap()]);
    assert_eq!(ended.code, Some(6));
    let words = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in
        ["refused backing_file", "it would mean whoever opens it would read the named file of the host into"]
    {
        assert!(words.contains(told), "{told}: {}", ended.stdout);
    }
    let lines = || ended.stdout.lines().filter(|line| !line.starts_with("path "));
    assert!(lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    let checks = lines().filter(|line| line.contains("  pass  ") || line.contains("  fail  ")).count();
    assert!(checks >= 3, "{}", ended.stdout);
    assert!(ended.stderr.contains("reason backing_file"), "{}", ended.stderr);
    // An accepted one has neither.
    let good = write(&bench, "good", &sample().build().bytes);
    let report = bench.json(&["inspect", good.to_str().unwrap()]);
    assert_eq!(
        (&report["safe"], &report["reason"], &report["consequence"]),
        (&true.into(), &Value::Null, &Value::Null)
    );
    assert!(!bench.ok(&["inspect", good.to_str().unwrap()]).contains("refused"));
}

#[test]
fn s06_a_disk_that_begins_as_an_image_is_accepted_only_when_told_to() {
    let bench = Bench::new();
    let mut disk = vec![0; 4096];
    disk[..4].copy_from_slice(b"KDMV");
    let image = Qcow2 { cluster_bits: 12, ..Qcow2::new(1 << 20) }.with(0, Cluster::Plain(disk)).build().bytes;
    let image = write(&bench, "nested.qcow2", &image);
    let image = image.to_str().unwrap();
    for args in [&["inspect", image][..], &["import", image, "web"]] {
        let ended = bench.run(&[&["-o", "json"], args].concat());
        assert_eq!(ended.code, Some(6), "{}", ended.stderr);
        let error: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["context"]["reason"], "nested_header", "{error}");
        assert!(error["error"]["hint"].as_str().unwrap().contains("--allow-nested"), "{error}");
    }
    bench.assert_empty();
    let report = bench.json(&["inspect", "--allow-nested", image]);
    let note = report["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&report["safe"], &note["name"], &note["verdict"]),
        (&true.into(), &"content.nested".into(), &"note".into())
    );
    assert_eq!(bench.json(&["import", "--allow-nested", image, "web"])["verified"], true);
}

#[test]
fn an_ova_is_called_one_and_its_hint_is_a_command_that_imports_its_disk() {
    let bench = Bench::new();
    write(&bench, "vm.ovf", b"<Envelope/>");
    let disk = vmdk::valid().into_iter().next().unwrap();
    write(&bench, "vm-disk1.vmdk", &disk.file);
    let (ova, dir) = (bench.path("vm.ova"), bench.path(""));
    let mut tar = Command::new("tar");
    tar.args(["--format=ustar", "-C"]).arg(&dir).arg("-cf").arg(&ova).args(["vm.ovf", "vm-disk1.vmdk"]);
    assert!(tar.status().unwrap().success());
    let ova = ova.to_str().unwrap();
    for args in [&["import", ova, "web"][..], &["inspect", ova], &["import", "-f", "raw", ova, "web"]] {
        let ended = bench.run(args);
        assert_eq!(ended.code, Some(6), "{args:?}");
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(all.contains("OVA") || args.contains(&"raw"), "{args:?}: {all}");
        let hint = ended.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(
            hint.contains(&format!("`tar -xOf {ova} vm-disk1.vmdk | volary import -f vmdk - NAME`")),
            "{hint}"
        );
    }
    let hint = bench.run(&["inspect", ova]).stderr;
    let command = hint.split('`').nth(1).unwrap().replace("NAME", "web");
    let command = command.replace("volary", env!("CARGO_BIN_EXE_volary"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &command]).env("VOLARY_STORE", &bench.url);
    let ended = ended(shell.output().unwrap());
    assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
    let out = bench.path("out.raw");
    bench.ok(&["export", "web", out.to_str().unwrap()]);
    assert!(std::fs::read(out).unwrap() == disk.disk);
}

#[test]
fn a_refusal_has_the_command_of_the_tool_that_opens_the_file() {
    let bench = Bench::new();
    for (name, told) in [
        ("qed", "qemu-img convert -f qed"),
        ("vma", "vma extract"),
        ("lz4", "lz4 -dc"),
        ("android_sparse", "simg2img"),
        ("apple_sparse", "hdiutil convert"),
        ("gzip", "--decompress auto"),
        ("pdf", "holds no disk"),
    ] {
        let bytes = magics().into_iter().find(|(magic, _)| *magic == name).unwrap().1;
        let file = write(&bench, name, &bytes);
        for args in [&["inspect"][..], &["import", "web"]] {
            let ended = bench.run(&[&args[..1], &[file.to_str().unwrap()], &args[1..]].concat());
            assert_eq!(ended.code, Some(6), "{name}");
            assert!(ended.stderr.contains(told), "{name}: {}", ended.stderr);
        }
    }
    bench.assert_empty();
}

#[test]
fn a_name_that_says_another_format_is_told_in_a_note() {
    let bench = Bench::new();
    let image = write(&bench, "disk.vmdk", &sample().build().bytes);
    let image = image.to_str().unwrap();
    let told = "the name ends in .vmdk, the content is qcow2";
    let report = bench.json(&["inspect", image]);
    let note = &report["checks"][0];
    assert_eq!(
        (&note["name"], &note["verdict"], &note["detail"]),
        (&"source.name".into(), &"note".into(), &told.into())
    );
    assert_eq!(
        bench.json(&["import", image, "web", "--dry-run"])["source"]["notes"],
        serde_json::json!([told])
    );
    assert!(bench.ok(&["import", image, "web"]).contains(&format!("note: {told}\n")));
    let good = write(&bench, "disk.qcow2", &sample().build().bytes);
    let report = bench.json(&["import", good.to_str().unwrap(), "good"]);
    assert_eq!(report["source"]["notes"], serde_json::json!([]));
}
