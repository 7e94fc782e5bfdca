//! The Rust declarations of the C functions that the crate `rbd` calls, generated from Ceph's headers.

use crate::tools::{Outcome, find, root, run};
use std::fs;
use std::process::Command;

const TABLE: &str = "crates/rbd/src/table.rs";
const HEADER: &str = "crates/rbd/src/sys/later.h";
const BINDINGS: &str = "crates/rbd/src/sys/bindings.rs";

/// Constants of the C interface that the wrappers use.
const CONSTANTS: &str = "^(RBD_FEATURE_[A-Z0-9]+(_[A-Z]+)*|RBD_FLAG_.*|RBD_IMAGE_OPTION_(FEATURES|ORDER|STRIPE_UNIT|\
    STRIPE_COUNT|DATA_POOL|CLONE_FORMAT)|RBD_SNAP_REMOVE_.*|LIBRADOS_CMPXATTR_OP_EQ|LIBRADOS_CREATE_(EXCLUSIVE|IDEMPOTENT))$";

/// Writes the bindings of exactly the functions in the symbol table.
pub(crate) fn generate() -> Outcome {
    if find("bindgen").is_none() {
        return Err("bindgen is missing: apt-get install librados-dev librbd-dev libclang-dev, then \
                    cargo install --locked bindgen-cli"
            .into());
    }
    let root = root();
    let table = fs::read_to_string(root.join(TABLE))?;
    let names: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with("symbols! {"))
        .take_while(|line| *line != "}")
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| word.starts_with("rados_") || word.starts_with("rbd_"))
        .collect();
    let functions = format!("^({})$", names.join("|"));
    run(Command::new("bindgen").current_dir(&root).args([
        HEADER,
        "--output",
        BINDINGS,
        "--dynamic-loading",
        "Table",
        "--allowlist-function",
        &functions,
        "--allowlist-var",
        CONSTANTS,
        "--default-enum-style",
        "consts",
        "--no-prepend-enum-name",
        "--no-doc-comments",
        "--rust-edition",
        "2024",
        "--rust-target",
        "1.85",
    ]))
}
