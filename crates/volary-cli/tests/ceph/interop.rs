//! What Volary keeps on Ceph, Ceph's own programs and QEMU read alike, and the other way round.

use crate::harness::{Bench, cluster};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn same(a: &Path, b: &Path) -> bool {
    std::fs::read(a).unwrap() == std::fs::read(b).unwrap()
}

/// An image with data, holes and an end that fills no block.
fn image(bench: &Bench) -> std::path::PathBuf {
    let path = bench.image("disk.raw", 3);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len((21 << 20) + 512).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 512], 21 << 20).unwrap();
    path
}

/// A qemu-img with QEMU's module for RBD.
fn qemu_img(args: &[&str]) -> String {
    let program = std::env::var("VOLARY_TEST_QEMU_IMG");
    let program = program.expect("VOLARY_TEST_QEMU_IMG names no qemu-img: run `cargo xtask cluster qemu`");
    let output = Command::new(program).args(args).env_remove("CEPH_ARGS").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn s10_what_is_imported_rbd_and_qemu_read_byte_for_byte() {
    let bench = Bench::ceph();
    let (disk, out) = (image(&bench), bench.path("out"));
    let (disk_path, out_path) = (disk.to_str().unwrap(), out.to_str().unwrap());
    let qcow2 = bench.path("disk.qcow2");
    qemu_img(&["convert", "-O", "qcow2", "-c", disk_path, qcow2.to_str().unwrap()]);
    for (source, name) in [(&disk, "raw"), (&qcow2, "qcow2")] {
        let spec = bench.at(name);
        bench.ok(&["import", "--snapshot", "s", source.to_str().unwrap(), &spec]);
        for seen in [spec.clone(), format!("{spec}@s")] {
            cluster::output("rbd", &["export", "--no-progress", &seen, out_path]);
            assert!(same(&out, &disk), "rbd export {seen}");
            std::fs::remove_file(&out).unwrap();
            let url = format!("rbd:{seen}:conf={}", cluster::conf());
            qemu_img(&["convert", "-f", "raw", "-O", "raw", &url, out_path]);
            assert!(same(&out, &disk), "qemu-img convert {url}");
            std::fs::remove_file(&out).unwrap();
        }
    }
}

#[test]
fn s09_what_rbd_and_qemu_wrote_is_exported_and_verified_alike() {
    let bench = Bench::ceph();
    let (disk, out) = (image(&bench), bench.path("out"));
    let (disk_path, out_path) = (disk.to_str().unwrap(), out.to_str().unwrap());
    cluster::output("rbd", &["import", "--no-progress", disk_path, &bench.at("theirs")]);
    let url = format!("rbd:{}:conf={}", bench.at("qemus"), cluster::conf());
    qemu_img(&["convert", "-f", "raw", "-O", "raw", disk_path, &url]);
    let ours = bench.json(&["import", disk_path, &bench.at("ours")]);
    for name in ["theirs", "qemus"] {
        let spec = bench.at(name);
        assert_eq!(bench.run(&["verify", &spec]).code, Some(3), "nobody has recorded a digest of {name}");
        let recorded = bench.json(&["verify", "--record", &spec]);
        assert_eq!(recorded["actual"], ours["digest"], "{name}");
        assert_eq!(bench.json(&["verify", &spec])["match"], true, "{name}");
        bench.ok(&["export", &spec, out_path]);
        assert!(same(&out, &disk), "{name}");
        std::fs::remove_file(&out).unwrap();
    }
    // What another program writes into a volume of ours shows.
    cluster::output("rbd", &["bench", "--io-type", "write", "--io-total", "4K", &bench.at("ours")]);
    let changed = bench.run(&["-o", "json", "verify", &bench.at("ours")]);
    assert_eq!(changed.code, Some(7), "{}", changed.stderr);
}

#[test]
fn s10_info_and_snapshots_agree_with_rbds() {
    let bench = Bench::ceph();
    let web = bench.at("web");
    bench.ok(&["import", "--snapshot", "golden", "--protect", image(&bench).to_str().unwrap(), &web]);
    bench.ok(&["resize", "--size", "32M", &web]);
    bench.ok(&["snap", "create", &bench.at("web@later")]);
    cluster::output("rbd", &["snap", "create", "--no-progress", &bench.at("web@theirs")]);
    cluster::output("rbd", &["clone", &bench.at("web@golden"), &bench.at("child")]);
    for name in ["web", "child"] {
        let (ours, theirs) =
            (bench.json(&["info", &bench.at(name)]), cluster::json("rbd", &["info", &bench.at(name)]));
        assert_eq!(ours["id"], theirs["id"], "{name}");
        assert_eq!(ours["size_bytes"], theirs["size"], "{name}");
        assert_eq!(ours["object_bytes"], theirs["object_size"], "{name}");
        let sorted = |of: &Value| {
            let mut all: Vec<_> =
                of.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&ours["features"]), sorted(&theirs["features"]), "{name}");
        let parent = &theirs["parent"];
        let due = format!("{}@{}", bench.at(parent["image"].as_str().unwrap_or("")), parent["snapshot"]);
        let shown = match &ours["parent"] {
            Value::Null => format!("{}@null", bench.at("")),
            parent => format!("{}@{}", parent["volume"].as_str().unwrap(), parent["snapshot"]),
        };
        assert_eq!(shown, due, "{name}: {}", ours["parent"]);
    }
    let theirs = cluster::json("rbd", &["snap", "ls", &web]);
    let theirs = theirs.as_array().unwrap().iter();
    let theirs: Vec<_> =
        theirs.map(|of| json!([of["name"], of["size"], of["protected"] == "true"])).collect();
    let ours = bench.json(&["snap", "ls", &web]);
    let ours = ours.as_array().unwrap().iter();
    let ours: Vec<_> = ours.map(|of| json!([of["name"], of["size_bytes"], of["protected"]])).collect();
    assert_eq!((ours.len(), &ours), (3, &theirs));
}

#[test]
fn s03_clones_that_rbd_made_are_children_and_block() {
    let bench = Bench::ceph();
    bench.ok(&["import", "--snapshot", "s", "--protect", image(&bench).to_str().unwrap(), &bench.at("web")]);
    bench.ok(&["clone", &bench.at("web@s"), &bench.at("ours")]);
    cluster::output("rbd", &["clone", &bench.at("web@s"), &bench.at("theirs")]);
    let apart = cluster::own_namespace();
    let apart = format!("rbd/{apart}/apart");
    // Only the second version of clones may be in another namespace.
    cluster::output("rbd", &["clone", "--rbd-default-clone-format", "2", &bench.at("web@s"), &apart]);
    let theirs = cluster::json("rbd", &["children", &bench.at("web@s")]);
    let mut theirs: Vec<String> = theirs
        .as_array()
        .unwrap()
        .iter()
        .map(|of| {
            let part = |key: &str| of[key].as_str().unwrap().to_owned();
            [part("pool"), part("pool_namespace"), part("image")].join("/")
        })
        .collect();
    theirs.sort();
    let ours = bench.json(&["children", &bench.at("web@s")]);
    let mut ours: Vec<String> =
        ours.as_array().unwrap().iter().map(|of| of["volume"].as_str().unwrap().to_owned()).collect();
    ours.sort();
    assert_eq!((ours.len(), &ours), (3, &theirs));
    let refused = bench.run(&["-o", "json", "rm", "--purge-snapshots", &bench.at("web")]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    for child in &theirs {
        assert!(refused.stdout.contains(child.as_str()), "{child} is not named: {}", refused.stdout);
    }
    assert_eq!(cluster::json("rbd", &["snap", "ls", &bench.at("web")]).as_array().unwrap().len(), 1);
}
