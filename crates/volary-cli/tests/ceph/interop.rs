//! What Volary keeps on Ceph, Ceph's own programs read alike, and the other way round.

use crate::harness::{Bench, cluster};

#[test]
fn s10_what_was_imported_rbd_exports_byte_for_byte() {
    let bench = Bench::ceph();
    let image = bench.image("disk.raw", 3);
    bench.ok(&["import", image.to_str().unwrap(), &bench.at("web")]);
    let out = bench.path("out.raw");
    cluster::output("rbd", &["export", "--no-progress", &bench.at("web"), out.to_str().unwrap()]);
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&image).unwrap());
    bench.ok(&["rm", &bench.at("web")]);
    bench.assert_empty();
}
