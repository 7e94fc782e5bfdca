//! Files that the command writes about itself.

use crate::tools::{self, Outcome, output};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `volary generate` is asked for, and where it is kept.
const FILES: &[(&str, &str)] = &[
    ("cli-reference", "docs/cli.md"),
    ("metrics", "docs/metrics.md"),
    ("python-types", "crates/volary-python/python/volary/reports.py"),
];

/// Where the schemas are kept, a file for each report.
const SCHEMAS: &str = "docs/schemas";

/// Writes every generated file, and removes schemas of reports that no longer exist.
pub(crate) fn write() -> Outcome {
    let binary = tools::dev_binary()?;
    for (what, path) in FILES {
        fs::write(tools::root().join(path), text(&binary, what)?)?;
        eprintln!("wrote {path}");
    }
    let directory = tools::root().join(SCHEMAS);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir(&directory)?;
    schemas(&binary, &directory)?;
    eprintln!("wrote {SCHEMAS}");
    Ok(())
}

/// Fails if a generated file is not what the command says now.
pub(crate) fn check(binary: &Path) -> Outcome {
    for (what, path) in FILES {
        let kept = fs::read_to_string(tools::root().join(path)).map_err(|e| format!("{path}: {e}"))?;
        if kept != text(binary, what)? {
            return Err(out_of_date(path).into());
        }
    }
    let made = tempfile::tempdir()?;
    schemas(binary, made.path())?;
    let (kept, due) = (contents(&tools::root().join(SCHEMAS))?, contents(made.path())?);
    let mut names = kept.keys().chain(due.keys());
    match names.find(|name| kept.get(*name) != due.get(*name)) {
        Some(name) => Err(out_of_date(&format!("{SCHEMAS}/{name}")).into()),
        None => Ok(()),
    }
}

fn out_of_date(path: &str) -> String {
    format!("{path} is out of date: run `cargo xtask generate` and commit it")
}

fn text(binary: &Path, what: &str) -> Outcome<String> {
    // The reference does not depend on the terminal or the settings of the user who generates it.
    output(Command::new(binary).args(["generate", what]).env_remove("VOLARY_STORE").env("COLUMNS", "100"))
}

fn schemas(binary: &Path, directory: &Path) -> Outcome {
    output(Command::new(binary).args(["generate", "json-schemas"]).arg(directory)).map(drop)
}

/// The text of each file in a directory, by name.
fn contents(directory: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        all.insert(name, fs::read_to_string(entry.path())?);
    }
    Ok(all)
}
