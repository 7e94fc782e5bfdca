//! The symbol table beside the wrappers: every function in it is called, and every one told in the docs is in it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn wrappers() -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file() && !path.ends_with("table.rs"));
    files.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_symbol_is_called_by_a_wrapper() {
    let source = wrappers();
    let words: BTreeSet<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with(['/', '#']))
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .collect();
    let unused: Vec<&str> =
        rbd::SYMBOLS.iter().map(|symbol| symbol.name).filter(|name| !words.contains(name)).collect();
    assert_eq!(unused, [""; 0]);
}

#[test]
fn every_documented_function_is_in_the_table_and_named_in_the_text() {
    let source = wrappers();
    let names: BTreeSet<&str> = rbd::SYMBOLS.iter().map(|symbol| symbol.name).collect();
    let aliases: Vec<&str> =
        source.split("doc(alias = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(aliases.len() > 60, "{}", aliases.len());
    for alias in aliases.into_iter().filter(|alias| alias.starts_with('r')) {
        assert!(names.contains(alias), "{alias} is not in the table");
    }
    // The line above an alias is the documentation's last, and names the same function.
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    for pair in lines.windows(2).filter(|pair| pair[1].starts_with("#[doc(alias = \"r")) {
        let name = pair[1].split('"').nth(1).unwrap();
        assert!(pair[0].starts_with("/// C: ") && pair[0].contains(name), "{pair:?}");
    }
}

#[test]
fn a_missing_library_says_what_to_install() {
    let error = rbd::Library::load(Some(Path::new("/nonexistent/librbd.so.1"))).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("/nonexistent/librbd.so.1") && said.contains("package librbd1"), "{said}");
}

#[test]
fn a_library_of_something_else_names_what_it_lacks() {
    let error = rbd::Library::load(Some(Path::new("libc.so.6"))).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("rados_connect") && said.contains("rbd_open") && !said.contains("rbd_clone4"),
        "{said}"
    );
}
