//! What docs/formats.md says of reasons, limits and checks is what the code has.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use volary_image::{Limits, Reason};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/formats.md")).unwrap()
}

/// The first cells of the table below a line that starts with `header`.
fn names(page: &str, header: &str) -> Vec<String> {
    let rows = page.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn the_formats_page_has_every_reason_and_limit() {
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names(&page(), "| reason |"), reasons);
    let fields = format!("{:#?}", Limits::default());
    let fields = fields.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name.trim());
    assert_eq!(names(&page(), "| limit |"), fields.collect::<Vec<_>>());
}

#[test]
fn the_formats_page_has_every_check_by_its_name() {
    let (page, mut files) = (page(), vec![root().join("crates/volary-image/src")]);
    let (mut seen, mut missing) = (0, Vec::new());
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Literals of the form `format.check`: whatever stands between two quotes and looks like it.
        for word in text.split('"') {
            let Some((format, check)) = word.split_once('.') else { continue };
            let plain = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
            };
            if plain(format) && plain(check) && !word.starts_with(|c: char| c.is_ascii_digit()) {
                seen += 1;
                if !page.contains(&format!("`{word}`")) {
                    missing.push(format!("{word}, {}", path.display()));
                }
            }
        }
    }
    assert!(seen > 40 && missing.is_empty(), "{seen} checks; not on the page: {missing:#?}");
}
