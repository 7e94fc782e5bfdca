//! Names: any bytes when read, a strict grammar when made, and always printable when shown.

use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::fmt;

/// Makes bytes from outside safe to print on one line, reversibly.
///
/// Letters, digits and ASCII punctuation stay; every other byte becomes `\xNN`, and a backslash `\\`. So no
/// control character, escape sequence, line break, invisible or direction-changing character gets through.
///
/// ```
/// assert_eq!(volary::escape(b"a\x1b[31m\nb"), "a\\x1b[31m\\x0ab");
/// assert_eq!(volary::escape("größe".as_bytes()), "größe");
/// ```
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    escape_keeping(bytes, |c| c == ' ' || c.is_ascii_graphic())
}

fn escape_keeping(bytes: &[u8], keeps_ascii: impl Fn(char) -> bool) -> Cow<'_, str> {
    use fmt::Write;
    let keeps = |c: char| c != '\\' && if c.is_ascii() { keeps_ascii(c) } else { c.is_alphanumeric() };
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(keeps)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if keeps(c) => out.push(c),
                c => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        let _ = write!(out, "\\x{byte:02x}");
                    }
                }
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// Undoes [`escape`].
///
/// # Errors
/// [`ErrorKind::Usage`] for a backslash that starts neither `\\` nor `\xNN`.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let bad = || {
        Error::new(
            ErrorKind::Usage,
            format!("`{}` has a backslash that is not `\\\\` or `\\xNN`", escape(text.as_bytes())),
        )
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            out.push(b'\\');
            rest = after;
        } else {
            let digits = rest.strip_prefix(b"x").and_then(|d| d.get(..2)).ok_or_else(bad)?;
            out.push(hex::decode(digits).map_err(|_| bad())?[0]);
            rest = &rest[3..];
        }
    }
    Ok(out)
}

/// The name of a volume, snapshot, pool or namespace: bytes as the store has them.
///
/// Shown escaped, with every ASCII character but letters, digits and `._-+=,%` escaped too: what is printed reads back as a spec, and
/// in a command that somebody pastes into a shell a name that another user chose is never more than an argument.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Name(Vec<u8>);

impl Name {
    /// The longest name Volary creates, in bytes.
    pub const MAX_LEN: usize = 128;

    /// A name as a store returned it, or as a user typed it to find something: any bytes.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Name(bytes.into())
    }

    /// A name that Volary may give to something new.
    ///
    /// ```
    /// use volary::Name;
    /// assert!(Name::new("web-01.disk").is_ok());
    /// assert!(Name::new("-rf").is_err());
    /// assert!(Name::new("rbd_header").is_err());
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] unless it matches `^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$` and does not start with `rbd_`.
    pub fn new(name: &str) -> Result<Self> {
        Name::from_bytes(name).checked_for_creation()
    }

    /// This name, if Volary may give it to something new; see [`Name::new`].
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if it breaks the grammar.
    pub fn checked_for_creation(self) -> Result<Self> {
        let good = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        let fits = (1..=Self::MAX_LEN).contains(&self.0.len());
        if fits
            && self.0[0].is_ascii_alphanumeric()
            && self.0.iter().all(good)
            && !self.0.starts_with(b"rbd_")
        {
            return Ok(self);
        }
        let shown: String = self.to_string().chars().take(160).collect();
        Err(Error::new(ErrorKind::Usage, format!("`{shown}` cannot be the name of something new")).hint(
            "a name starts with a letter or digit, has up to 128 letters, digits, `.`, `_` or `-`, and does not start with `rbd_`",
        ))
    }

    /// The bytes as the store has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is empty, as the default namespace's is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape_keeping(&self.0, |c| c.is_ascii_alphanumeric() || "._-+=,%".contains(c)))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Name {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaping_is_reversible_and_printable(bytes: Vec<u8>) {
            let name = Name::from_bytes(bytes.clone());
            for text in [escape(&bytes).into_owned(), name.to_string()] {
                prop_assert!(text.chars().all(|c| !c.is_control()));
                prop_assert_eq!(unescape(&text).unwrap(), bytes.clone());
            }
        }
    }

    #[test]
    fn s14_a_name_in_a_command_to_paste_is_an_argument() {
        let name = Name::from_bytes("a;reboot`id`$(id)|{b,c}*?[x]~#!&<>'\"\\ \nz");
        assert!(name.to_string().chars().all(|c| c.is_ascii_alphanumeric() || "\\,".contains(c)), "{name}");
        assert_eq!(Name::from_bytes("win10_x86-64,v1.2+b=3%").to_string(), "win10_x86-64,v1.2+b=3%");
    }

    #[test]
    fn direction_and_invisible_characters_are_escaped() {
        assert_eq!(escape("a\u{202e}b\u{200b}".as_bytes()), "a\\xe2\\x80\\xaeb\\xe2\\x80\\x8b");
    }

    #[test]
    fn the_grammar_refuses_what_shells_paths_and_ceph_misread() {
        for bad in ["", "-x", ".", "..", "a/b", "a@b", "a b", "a\nb", "ä", "rbd_id.x", &"a".repeat(129)] {
            assert_eq!(Name::new(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
        for good in ["a", "0", "a-b_c.d", &"a".repeat(128)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
    }
}
