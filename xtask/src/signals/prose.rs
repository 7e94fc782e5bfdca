//! Words that texts for users do without (CONTRIBUTING.md, "Prose").

use super::{none, pages, sources};
use crate::tools::root;
use std::fs;
use std::path::PathBuf;

/// Words for which there is always a plainer one.
const WORDS: &[&str] = &[
    "told",
    "tells",
    "anew",
    "so many",
    "somebody",
    "nobody",
    "gone to",
    "let go",
    "lets go",
    "taken off",
    "come to",
    "came to",
];

/// Lines in which such a word is the right one: part of the page's path, part of the line, and the reason.
const RIGHT: &[(&str, &str, &str)] = &[
    ("CONTRIBUTING.md", "", "the rules quote the words that they refuse"),
    ("CHANGELOG.md", "", "entries of earlier releases stay as they were written"),
];

/// Whether `line` has `word`, and not only inside another word.
fn has(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(in_word) && !after.starts_with(in_word)
    })
}

fn find(place: &str, number: usize, line: &str, found: &mut Vec<String>) {
    let lower = line.to_lowercase();
    let right = RIGHT.iter().any(|(page, part, _)| place.ends_with(page) && line.contains(part));
    if !right && let Some(word) = WORDS.iter().find(|word| has(&lower, word)) {
        found.push(format!("{place}:{number}: \"{word}\" in: {}", line.trim()));
    }
}

/// The files whose doc comments and examples are the help of the command.
fn help() -> Vec<PathBuf> {
    let command = root().join("crates/volary-cli/src");
    let mut files = vec![command.join("cli.rs"), command.join("arguments.rs")];
    sources(&command.join("commands"), &mut files);
    assert!(files.len() > 20, "the commands were not found");
    files
}

#[test]
fn help_uses_plain_words() {
    let mut found = Vec::new();
    for file in help() {
        let text = fs::read_to_string(&file).unwrap();
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| line.trim_start().starts_with("///")) {
            find(&file.display().to_string(), number, line, &mut found);
        }
    }
    none(&found);
}

#[test]
fn pages_use_plain_words() {
    let mut found = Vec::new();
    // The page of the command is made of its help.
    let of_users = |page: &PathBuf| {
        (page.parent() == Some(root().as_path()) || page.starts_with(root().join("docs")))
            && !page.ends_with("docs/cli.md")
    };
    for page in pages::pages().into_iter().filter(of_users) {
        let text = fs::read_to_string(&page).unwrap();
        for (number, line) in pages::prose(&text) {
            find(&page.display().to_string(), number, line, &mut found);
        }
    }
    none(&found);
}

#[test]
fn words_are_found_whole() {
    assert!(has("it is told twice", "told") && has("told", "told") && has("let go.", "let go"));
    assert!(!has("heads_tells_all", "tells") && !has("outlet goes", "let go") && !has("retold", "told"));
}
