//! What the tests of states share that other tools, or `rados` in the wrong hands, leave behind.

pub(crate) use crate::damage::{end, filled, orphans};
use crate::harness::{Bench, cluster};
use serde_json::Value;

/// Runs a whole command of `rbd` or `rados` as a remedy has it.
pub(crate) fn carry_out(command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    cluster::output(words[0], &words[1..]);
}

/// That a volume has the data which [`filled`] gave it.
pub(crate) fn assert_whole(bench: &Bench, volume: &str) {
    let out = bench.path("out.raw");
    bench.ok(&["export", "--force", volume, out.to_str().unwrap()]);
    assert!(std::fs::read(out).unwrap() == std::fs::read(bench.path("disk.raw")).unwrap(), "{volume}");
}

/// Who holds a volume: kind, detail and remedy.
pub(crate) fn holders(bench: &Bench, volume: &str) -> Vec<(String, String, String)> {
    let why = bench.json(&["why", volume]);
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let all = why["holders"].as_array().unwrap().iter();
    all.map(|of| (text(&of["kind"]), text(&of["detail"]), text(&of["remedy"]))).collect()
}

/// Sets one byte of a value in an object's map; counted from the end when negative. Its arguments are object, key, place, byte.
pub(crate) const SET_BYTE: &str = r#"
object, key, at, byte = args
with rados.ReadOpCtx() as op:
    found, _ = io.get_omap_vals_by_keys(op, (key,))
    io.operate_read_op(op, object)
    value = bytearray(dict(found)[key])
value[int(at)] = int(byte)
with rados.WriteOpCtx() as op:
    io.set_omap(op, (key,), (bytes(value),))
    io.operate_write_op(op, object)
"#;
