//! What pages of the documentation must show: links that lead somewhere, and a row for each schema.

use super::none;
use crate::tools::root;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that have no pages of the project.
const ELSEWHERE: &[&str] = &["target", ".git", "corpus", "artifacts"];

fn markdown(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !ELSEWHERE.iter().any(|name| path.ends_with(name)) {
                markdown(&path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

/// Every page of the repository.
pub(super) fn pages() -> Vec<PathBuf> {
    let mut all = Vec::new();
    markdown(&root(), &mut all);
    all.sort();
    all
}

/// The lines of a page outside of its examples.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut example = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let fence = line.trim_start().starts_with("```");
        example ^= fence;
        (!fence && !example).then_some((number, line))
    })
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
    let (all, mut links, mut found) = (pages(), 0, Vec::new());
    assert!(all.len() > 20, "the pages were not found");
    for page in all {
        let text = fs::read_to_string(&page).unwrap();
        for (number, line) in prose(&text) {
            let here = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
            for link in here.filter(|link| !link.contains("://")) {
                links += 1;
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
                let has_heading =
                    || fs::read_to_string(&target).unwrap().lines().any(|line| is_heading(line, heading));
                if !target.exists() || !(heading.is_empty() || has_heading()) {
                    found.push(format!("{}:{number}: {link}", page.display()));
                }
            }
        }
    }
    assert!(links > 100, "the links were not found");
    none(&found);
}

#[test]
fn every_schema_has_a_row_with_the_commands_that_print_it() {
    let page = fs::read_to_string(root().join("docs/json.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| report |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let file = cells[2].split_once("](schemas/").unwrap().1.trim_end_matches(')').to_owned();
        (file, (cells[0].to_owned(), quoted(cells[1])))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    let files = fs::read_dir(root().join("docs/schemas")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.map(|path| {
        let schema: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let title = schema["title"].as_str().unwrap();
        let report = match (title.strip_prefix("Array_of_"), title.strip_prefix("Nullable_")) {
            (Some(of), _) => format!("array of `{of}`"),
            (_, Some(of)) => format!("`{of}` or `null`"),
            _ => format!("`{title}`"),
        };
        let mut commands = quoted(schema["$comment"].as_str().unwrap());
        commands.retain(|word| word.starts_with("volary "));
        (path.file_name().unwrap().to_str().unwrap().to_owned(), (report, commands))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    assert_eq!(rows, files);
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
