//! The product code of a source file: its text with comments, strings and test items blanked, on the same lines.

/// Words with which an item begins, after `pub`; anything else behind `#[cfg(test)]` is a field, a variant or an expression.
const ITEMS: &[&str] = &[
    "fn",
    "async",
    "const",
    "unsafe",
    "extern",
    "mod",
    "use",
    "struct",
    "enum",
    "union",
    "trait",
    "impl",
    "type",
    "static",
    "macro_rules",
    "let",
];

const TEST: &str = "#[cfg(test)]";

/// What of a source file is compiled into the product.
pub(super) fn product(text: &str) -> String {
    let mut code = without_comments(text);
    if find(&code, 0, "#![cfg(test)]").is_some() {
        return String::new();
    }
    while let Some(start) = find(&code, 0, TEST) {
        let end = end_of_item(&code, start);
        blank(&mut code, start, end);
    }
    code.into_iter().collect()
}

/// The modules that a file declares for tests alone.
pub(super) fn test_modules(text: &str) -> Vec<String> {
    let (code, mut names, mut from) = (without_comments(text), Vec::new(), 0);
    while let Some(start) = find(&code, from, TEST) {
        let end = end_of_item(&code, start);
        let item: String = code[start..end].iter().collect();
        let name = item.rsplit_once("mod ").and_then(|(_, name)| name.strip_suffix(';'));
        names.extend(name.map(str::to_owned));
        from = end;
    }
    names
}

fn without_comments(text: &str) -> Vec<char> {
    let mut code: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < code.len() {
        match end_of_text(&code, at) {
            Some(end) => {
                blank(&mut code, at, end);
                at = end;
            }
            None => at += 1,
        }
    }
    code
}

fn blank(code: &mut [char], from: usize, to: usize) {
    let to = to.min(code.len());
    code[from..to].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
}

fn starts_with(code: &[char], at: usize, word: &str) -> bool {
    word.chars().enumerate().all(|(i, c)| code.get(at + i) == Some(&c))
}

fn find(code: &[char], from: usize, word: &str) -> Option<usize> {
    (from..code.len()).find(|&at| starts_with(code, at, word))
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The end of the comment, string or character that begins at `at`, if one does.
fn end_of_text(code: &[char], at: usize) -> Option<usize> {
    let behind = |end: Option<usize>, width: usize| end.map_or(code.len(), |end| end + width);
    match code[at] {
        '/' if starts_with(code, at, "//") => Some(behind(find(code, at, "\n"), 0)),
        '/' if starts_with(code, at, "/*") => {
            let (mut depth, mut at) = (1, at + 2);
            while depth > 0 && at < code.len() {
                if starts_with(code, at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if starts_with(code, at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
            }
            Some(at)
        }
        '"' => {
            let mut at = at + 1;
            while at < code.len() && code[at] != '"' {
                at += if code[at] == '\\' { 2 } else { 1 };
            }
            Some(at + 1)
        }
        'r' if at == 0 || !in_word(code[at - 1]) || "bc".contains(code[at - 1]) => {
            let hashes = code[at + 1..].iter().take_while(|c| **c == '#').count();
            (code.get(at + 1 + hashes) == Some(&'"')).then(|| {
                let close = format!("\"{}", "#".repeat(hashes));
                behind(find(code, at + 2 + hashes, &close), close.len())
            })
        }
        // Else it is a lifetime.
        '\'' if code.get(at + 1) == Some(&'\\') => Some(behind(find(code, at + 3, "'"), 1)),
        '\'' if code.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

/// The end of what the attribute at `at` is about: behind its block or semicolon, or, of a field or variant, behind its comma.
///
/// Where that is not clear, the end comes too early rather than too late: too much is then looked at.
fn end_of_item(code: &[char], at: usize) -> usize {
    let mut at = at;
    while starts_with(code, at, "#[") {
        at = find(code, at, "]").map_or(code.len(), |end| end + 1);
        at += code[at..].iter().take_while(|c| c.is_whitespace()).count();
    }
    let rest: String = code[at..].iter().take(80).collect();
    let mut rest = rest.as_str();
    if let Some(public) = rest.strip_prefix("pub") {
        rest = match public.strip_prefix('(') {
            Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
            None => public,
        };
    }
    let word = rest.trim_start().split(|c| !in_word(c)).next().unwrap_or_default();
    let is_item = ITEMS.contains(&word);
    let mut depth = 0_u32;
    while let Some(&c) = code.get(at) {
        match c {
            '(' | '[' | '{' => depth += 1,
            // What is around it ends here.
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' => depth -= 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && !is_item => return at + 1,
            _ => {}
        }
        at += 1;
    }
    code.len()
}

#[test]
fn test_items_alone_are_left_out() {
    let text = r##"
#[cfg(test)]
use a::{b, c};
fn one() -> char { '"' }
#[cfg(test)]
#[allow(unused)]
pub(crate) fn two<A, B>(a: A) -> B { let x = "}"; { x } }
struct Three<'a> {
    #[cfg(test)]
    pub four: [u8; 3],
    five: &'a str, // six "
}
#[cfg(test)]
mod seven;
/* eight /* nine */ ten */ const ELEVEN: &str = r#"twelve " thirteen"#;
#[cfg(test)]
mod fourteen { fn fifteen() { '\'' } }
fn sixteen() {}
"##;
    let words = ["one", "Three", "five", "ELEVEN", "sixteen"];
    let kept = product(text);
    let left: Vec<_> = kept.split(|c| !in_word(c)).filter(|word| !word.is_empty()).collect();
    for word in words {
        assert!(left.contains(&word), "{word}: {kept}");
    }
    let gone = [
        "b", "two", "x", "four", "six", "seven", "eight", "ten", "twelve", "thirteen", "fourteen", "fifteen",
    ];
    for word in gone {
        assert!(!left.contains(&word), "{word}: {kept}");
    }
    assert_eq!(kept.lines().count(), text.lines().count());
    assert_eq!(test_modules(text), ["seven"]);
    assert_eq!(product("#![cfg(test)]\nfn one() {}"), "");
}
