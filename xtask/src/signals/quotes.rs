//! Each guarantee of docs/semantics.md is quoted, word for word, by a test that holds it.

use super::{all_sources, none};
use crate::tools::root;
use std::collections::BTreeMap;
use std::fs;

/// The number with which the text of a guarantee begins: `**S1 Atomic publication.** …`.
fn number(text: &str) -> Option<u8> {
    let digits: String = text.strip_prefix("**S")?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The first paragraph of each guarantee, as one line.
fn guarantees() -> BTreeMap<u8, String> {
    let page = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    let paragraphs = page.split("\n\n").filter_map(|paragraph| {
        let number = number(paragraph)?;
        let lines =
            paragraph.lines().take_while(|line| !line.starts_with("- ") && !line.starts_with("*Held by"));
        Some((number, lines.map(str::trim).collect::<Vec<_>>().join(" ")))
    });
    paragraphs.collect()
}

/// The number in the name of a test, such as `async fn s09_the_digest…() {`.
fn test_number(line: &str) -> Option<u8> {
    let (_, name) = line.split_once("fn s")?;
    let (digits, _) = name.split_once('_')?;
    digits.parse().ok().filter(|_| digits.len() == 2)
}

/// The first paragraph of the doc comment of each test that holds a guarantee, as one line: `(file:line, number, text)`.
fn quotes() -> Vec<(String, u8, String)> {
    let mut all = Vec::new();
    for file in all_sources() {
        let source = fs::read_to_string(&file).unwrap();
        let (mut text, mut ended) = (Vec::new(), false);
        for (line, n) in source.lines().map(str::trim).zip(1..) {
            if let Some(doc) = line.strip_prefix("///") {
                ended |= doc.trim().is_empty();
                if !ended {
                    text.push(doc.trim());
                }
            } else if !line.starts_with("#[") {
                if let (Some(number), false) = (test_number(line), text.is_empty()) {
                    all.push((format!("{}:{n}", file.display()), number, text.join(" ")));
                }
                (text, ended) = (Vec::new(), false);
            }
        }
    }
    all
}

#[test]
fn each_guarantee_is_quoted_by_a_test_that_holds_it() {
    let (guarantees, quotes) = (guarantees(), quotes());
    let expected: Vec<u8> = (1..=crate::guarantees::COUNT).collect();
    assert_eq!(
        guarantees.keys().copied().collect::<Vec<_>>(),
        expected,
        "the page has another number of guarantees"
    );
    let mut found = Vec::new();
    for (n, text) in &guarantees {
        if !quotes.iter().any(|(_, number, quote)| number == n && quote == text) {
            found.push(format!(
                "no test named s{n:02}_ has this as the first paragraph of its doc comment:\n  {text}"
            ));
        }
    }
    for (place, n, quote) in quotes.iter().filter(|(_, _, quote)| number(quote).is_some()) {
        if guarantees.get(n) != Some(quote) {
            found.push(format!("{place} quotes S{n} otherwise than docs/semantics.md has it"));
        }
    }
    none(&found);
}
