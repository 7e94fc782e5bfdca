//! What a glance at the sources must show: tests that read them, run by `cargo test` like all others.

#![cfg(test)]

use crate::tools::root;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates that users run or link.
const PRODUCT: &[&str] = &["volary", "volary-image", "volary-cli"];
/// Those of them that belong to their caller: they neither print nor read the environment.
const LIBRARIES: &[&str] = &["volary", "volary-image"];
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

/// The code of a crate without comments and without its test modules: `(file:line, text)`.
fn code(name: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(&root().join("crates").join(name).join("src"), &mut files);
    assert!(!files.is_empty(), "crate {name} has no sources");
    let mut lines = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("tests.rs") && !in_directory(file, "tests")) {
        let text = fs::read_to_string(file).unwrap();
        let product = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
        for (number, line) in product.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            lines.push((format!("{}:{}", file.display(), number + 1), line.to_owned()));
        }
    }
    lines
}

fn in_directory(file: &Path, name: &str) -> bool {
    file.parent().is_some_and(|parent| parent.ends_with(name))
}

/// Lines of the product code of `crates` in which one of `words` stands.
fn uses(crates: &[&str], words: &[&str]) -> Vec<String> {
    let lines = crates.iter().flat_map(|name| code(name));
    lines
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(place, line)| format!("{place}: {}", line.trim()))
        .collect()
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn s07_product_crates_start_no_program() {
    none(&uses(PRODUCT, &["process::Command", "posix_spawn", "execve", "fork(", "system("]));
    // The scan sees such a line where it is.
    let own = fs::read_to_string(root().join("xtask/src/tools.rs")).unwrap();
    assert!(own.contains("process::{Command"), "programs are started in xtask alone");
    none(&uses(PRODUCT, &["process::{Command", "Command, Stdio"]));
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

#[test]
fn libraries_neither_print_nor_read_the_environment() {
    let words = ["println!", "print!", "dbg!", "env::var", "std::env", "home_dir"];
    none(&uses(LIBRARIES, &words));
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

/// Whether a line of a page is the heading that a link names: in lower case, with `-` for spaces and without punctuation.
fn is_heading(line: &str, link: &str) -> bool {
    let Some(text) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()) else {
        return false;
    };
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).eq(link.chars())
}

#[test]
fn pages_link_to_files_that_exist() {
    let mut pages = vec!["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    pages.extend([
        "docs/semantics.md",
        "docs/digest.md",
        "docs/errors.md",
        "docs/compatibility.md",
        "docs/internals.md",
        "docs/parity.md",
        "docs/json.md",
        "docs/operations.md",
        "docs/security.md",
        "docs/sources.md",
    ]);
    let mut found = Vec::new();
    for page in pages {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { root().join(page) } else { root().join(page).with_file_name(file) };
            let has_heading =
                || fs::read_to_string(&target).unwrap().lines().any(|line| is_heading(line, heading));
            if !target.exists() || !(heading.is_empty() || has_heading()) {
                found.push(format!("{page}: {link}"));
            }
        }
    }
    none(&found);
}
