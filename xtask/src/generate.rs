//! Files that the command writes about itself.

use crate::tools::{self, Outcome, output};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `volary generate` is asked for, and where it is kept.
const FILES: &[(&str, &str)] = &[
    ("cli-reference", "docs/cli.md"),
    ("json-schemas", "docs/json.md"),
    ("metrics", "docs/metrics.md"),
    ("python-types", "crates/volary-python/python/volary/reports.py"),
];

/// Writes every generated file.
pub(crate) fn write() -> Outcome {
    let binary = tools::dev_binary()?;
    for (what, path) in FILES {
        fs::write(tools::root().join(path), text(&binary, what)?)?;
        eprintln!("wrote {path}");
    }
    Ok(())
}

/// Fails if a generated file is not what the command says now.
pub(crate) fn check(binary: &Path) -> Outcome {
    for (what, path) in FILES {
        let kept = fs::read_to_string(tools::root().join(path)).map_err(|e| format!("{path}: {e}"))?;
        if kept != text(binary, what)? {
            return Err(format!("{path} is out of date: run `cargo xtask generate` and commit it").into());
        }
    }
    Ok(())
}

fn text(binary: &Path, what: &str) -> Outcome<String> {
    // The reference does not depend on the terminal or the settings of whoever generates it.
    output(Command::new(binary).args(["generate", what]).env_remove("VOLARY_STORE").env("COLUMNS", "100"))
}
