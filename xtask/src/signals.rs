//! What a glance at the sources must show: tests that read them, run by `cargo test` like all others.

#![cfg(test)]

mod crates;
mod pages;
mod product_code;
mod prose;
mod quotes;

use crate::tools::root;
use crates::{Crate, is_tool, libraries, products};
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 500;

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut all = Vec::new();
    sources(&root().join("crates"), &mut all);
    sources(&root().join("xtask"), &mut all);
    assert!(all.len() > 20, "the sources were not found");
    all
}

fn in_directory(file: &Path, name: &str) -> bool {
    file.parent().is_some_and(|parent| parent.ends_with(name))
}

/// Lines of the product code of `crates` in which one of `words` stands, not only as the end of another word.
fn uses(crates: &[Crate], words: &[&str]) -> Vec<String> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str, word: &str| line.match_indices(word).any(|(at, _)| !line[..at].ends_with(in_word));
    let lines = crates.iter().flat_map(Crate::code);
    lines
        .filter(|(_, line)| words.iter().any(|word| has(line, word)))
        .map(|(place, line)| format!("{place}: {}", line.trim()))
        .collect()
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// **S7 No subprocess.** Nothing is run: no shell, no `ceph`, `rbd` or `qemu-img`.
#[test]
fn s07_product_crates_start_no_program() {
    none(&uses(&products(), &["process::Command", "posix_spawn", "execve", "fork(", "system("]));
    // The scan sees such a line where it is.
    let own = fs::read_to_string(root().join("xtask/src/tools.rs")).unwrap();
    assert!(own.contains("process::{Command"), "programs are started in xtask alone");
    none(&uses(&products(), &["process::{Command", "Command, Stdio"]));
}

#[test]
fn products_depend_on_no_tool() {
    let edges = products().into_iter().flat_map(|of| {
        let tools = of.dependencies.into_iter().filter(|name| is_tool(name));
        tools.map(|tool| format!("{} depends on {tool}", of.name)).collect::<Vec<_>>()
    });
    none(&edges.collect::<Vec<_>>());
}

/// The crates that call C: the one that users link, and a tool of the tests that nothing depends on.
const UNSAFE: &[&str] = &["crates/rbd", "crates/volary-shaker"];

#[test]
fn nothing_depends_on_the_shaker() {
    let manifests =
        fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("Cargo.toml"));
    let all = manifests.chain([root().join("xtask/Cargo.toml"), root().join("Cargo.toml")]);
    let users = all.filter(|path| path.exists() && !in_directory(path, "volary-shaker"));
    let users = users.filter(|path| fs::read_to_string(path).unwrap().contains("volary-shaker"));
    none(&users.map(|path| path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn s06_every_crate_but_rbd_forbids_unsafe_code() {
    let roots = all_sources()
        .into_iter()
        .filter(|file| in_directory(file, "src") && (file.ends_with("lib.rs") || file.ends_with("main.rs")));
    let safe = |file: &PathBuf| !UNSAFE.iter().any(|name| file.starts_with(root().join(name)));
    let without = roots.filter(safe).filter(|file| {
        !fs::read_to_string(file).unwrap().lines().any(|line| line == "#![forbid(unsafe_code)]")
    });
    none(&without.map(|file| file.display().to_string()).collect::<Vec<_>>());
}

/// The one file of a library that looks at the environment, since Ceph's libraries would obey what is in it.
const READS_THE_ENVIRONMENT: &str = "crates/rbd/src/environment.rs";

#[test]
fn libraries_neither_print_nor_read_the_environment() {
    let words = [
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
        "dbg!",
        "env::var",
        "std::env",
        "std::{env",
        "home_dir",
    ];
    let mut found = uses(&libraries(), &words);
    let all = found.len();
    found.retain(|line| !line.contains(READS_THE_ENVIRONMENT));
    assert_ne!(found.len(), all, "{READS_THE_ENVIRONMENT} need not be left out any more");
    none(&found);
}

#[test]
fn files_hold_one_topic() {
    let rooms = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
    let mut found = Vec::new();
    for file in all_sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        // Generated, by `cargo xtask bindings`: nobody reads it from end to end.
        if lines > MAX_LINES && !file.ends_with("rbd/src/sys/bindings.rs") {
            found.push(format!("{}: {lines} lines, at most {MAX_LINES}", file.display()));
        }
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        if rooms.contains(&stem.as_str()) || rooms.iter().any(|room| in_directory(&file, room)) {
            found.push(format!("{}: the name says nothing of what is in it", file.display()));
        }
    }
    none(&found);
}

#[test]
fn nothing_is_left_to_do_later() {
    let marks = ["todo!(", "unimplemented!(", "TODO", "FIXME", "#[ignore"];
    let mut found = Vec::new();
    for file in all_sources().into_iter().filter(|file| !file.ends_with("signals.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let marked =
            text.lines().enumerate().filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        found.extend(marked.map(|(i, line)| format!("{}:{}: {}", file.display(), i + 1, line.trim())));
    }
    none(&found);
}

#[test]
fn the_architecture_page_names_files_that_exist() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let code: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let names = all_sources();
    let known = |word: &str| {
        if word.contains('/') {
            root().join(word).exists()
        } else {
            names.iter().any(|file| file.ends_with(word))
        }
    };
    let paths = code.iter().filter(|word| word.ends_with(".rs") || word.starts_with("crates/"));
    none(&paths.filter(|word| !known(word)).map(|word| format!("{word} is not there")).collect::<Vec<_>>());
}
