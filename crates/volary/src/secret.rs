//! Secrets that cannot be printed, and a scrubber behind every log writer for what slips past the type.

use secrecy::{ExposeSecret, SecretString};
use std::borrow::Cow;
use std::fmt;
use std::io;

/// A key or password: it cannot be displayed or serialised, its debug form is `[secret]`, and its memory is
/// wiped when it goes.
///
/// ```
/// let key = volary::Secret::new("AQBSECRET");
/// assert_eq!(format!("{key:?}"), "[secret]");
/// assert_eq!(key.expose(), "AQBSECRET");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a secret out of the reach of logs.
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(SecretString::from(secret.into()))
    }

    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

const REMOVED: &str = "[removed]";

/// Takes out of a text whatever looks like a secret: Ceph keys, `key=`, `password=` and the like, the password
/// of a URL, bearer tokens.
///
/// The type [`Secret`] is the defence; this stands behind it for text that others wrote.
///
/// ```
/// let line = "connect id=nova key=AQDd1/5kAAAAABAAmXqVnH1J6wE2m5xGq0k2bQ== to http://u:pw@host/x";
/// assert_eq!(volary::scrub(line), "connect id=nova key=[removed] to http://u:[removed]@host/x");
/// ```
pub fn scrub(text: &str) -> Cow<'_, str> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    found.extend(named_values(text));
    found.extend(url_passwords(text));
    found.extend(ceph_keys(text));
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in found {
        if end <= at {
            continue;
        }
        if start >= at {
            out.push_str(&text[at..start]);
            out.push_str(REMOVED);
        }
        at = end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Values after words that announce a secret: `key=…`, `"password": "…"`, `Authorization: Bearer …`.
fn named_values(text: &str) -> Vec<(usize, usize)> {
    const WORDS: [&str; 8] =
        ["key", "secret", "password", "passwd", "passphrase", "token", "bearer", "authorization"];
    let lower = text.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    let mut found = Vec::new();
    for word in WORDS {
        for (start, _) in lower.match_indices(word) {
            if start > 0 && bytes[start - 1].is_ascii_alphanumeric() {
                continue;
            }
            let mut at = start + word.len();
            let skip =
                |at: usize, set: &[u8]| at + bytes[at..].iter().take_while(|b| set.contains(b)).count();
            let separator = skip(at, b"\"'\\ ");
            let assigned = bytes.get(separator).is_some_and(|b| b"=:".contains(b));
            if word == "bearer" && separator > at {
                at = separator;
            } else if assigned {
                at = skip(separator + 1, b"\"'\\ ");
                if lower[at..].starts_with("bearer ") {
                    at += "bearer ".len();
                }
            } else {
                continue;
            }
            let len = bytes[at..].iter().take_while(|b| !b" \t\r\n\"'\\,;&)}]".contains(b)).count();
            if len > 0 && !text[at..].starts_with(REMOVED) {
                found.push((at, at + len));
            }
        }
    }
    found
}

/// The password in `scheme://user:password@host`.
fn url_passwords(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("://") {
        let authority = &text[start + 3..];
        let end =
            authority.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(authority.len());
        if let Some(at) = authority[..end].rfind('@')
            && let Some(colon) = authority[..at].find(':')
        {
            found.push((start + 3 + colon + 1, start + 3 + at));
        }
    }
    found
}

/// Bare Ceph keys: base64 of a type, a time and at least 16 bytes of key, which always starts `AQ` or `Ag`.
fn ceph_keys(text: &str) -> Vec<(usize, usize)> {
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !is_base64(bytes[at]) {
            at += 1;
            continue;
        }
        let len = bytes[at..].iter().take_while(|&&b| is_base64(b)).count();
        let padding = bytes[at + len..].iter().take(2).take_while(|&&b| b == b'=').count();
        let word = &text[at..at + len];
        if (word.starts_with("AQ") || word.starts_with("Ag")) && len >= 36 && (padding > 0 || len % 4 == 0) {
            found.push((at, at + len + padding));
        }
        at += len;
    }
    found
}

/// A log writer that scrubs every record and keeps it on one line: control characters inside it are escaped.
///
/// Each write must be one whole record, as `tracing-subscriber` makes them.
#[derive(Debug)]
pub struct ScrubbingWriter<W: io::Write>(W);

impl<W: io::Write> ScrubbingWriter<W> {
    /// Scrubs what goes to `inner`.
    pub fn new(inner: W) -> Self {
        ScrubbingWriter(inner)
    }
}

impl<W: io::Write> io::Write for ScrubbingWriter<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let body = record.strip_suffix(b"\n").unwrap_or(record);
        let text = String::from_utf8_lossy(body);
        let mut line = scrub(&text).into_owned();
        if line.contains(char::is_control) {
            line = line
                .chars()
                .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
                .collect();
        }
        if body.len() < record.len() {
            line.push('\n');
        }
        self.0.write_all(line.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn s08_what_looks_like_a_secret_is_scrubbed_and_the_rest_is_kept() {
        let key = "AQDd1/5kAAAAABAAmXqVnH1J6wE2m5xGq0k2bQ==";
        for (line, kept) in [
            (key.to_owned(), "[removed]".to_owned()),
            (format!("{{\"key\":\"{key}\",\"id\":7}}"), "{\"key\":\"[removed]\",\"id\":7}".to_owned()),
            (format!("[client.a]\n\tkey = {key}\n"), "[client.a]\n\tkey = [removed]\n".to_owned()),
            ("password: hunter2, user: me".into(), "password: [removed], user: me".into()),
            ("Authorization: Bearer abc.def".into(), "Authorization: Bearer [removed]".into()),
            (
                "https://me:pw@h/p and https://h/p?x=1".into(),
                "https://me:[removed]@h/p and https://h/p?x=1".into(),
            ),
        ] {
            assert_eq!(scrub(&line), kept);
        }
    }

    #[test]
    fn ordinary_lines_are_left_alone() {
        for line in [
            "imported rbd/web digest volary-v1:7fe0b08e3c671821303e0ef8b0c306af2d4f722344ef72aaff4640d4950021d3",
            "the monkey and the keyring /etc/ceph/ceph.client.nova.keyring",
            "no key given",
        ] {
            assert_eq!(scrub(line), line);
        }
    }

    #[test]
    fn s08_a_log_writer_lets_no_secret_through() {
        let mut out = Vec::new();
        ScrubbingWriter::new(&mut out).write_all(b"secret=abc done\n").unwrap();
        assert_eq!(out, b"secret=[removed] done\n");
    }

    #[test]
    fn a_record_cannot_forge_another_line() {
        let mut out = Vec::new();
        ScrubbingWriter::new(&mut out).write_all(b"importing a\n2026 ERROR \x1b[31mgone\n").unwrap();
        assert_eq!(out, b"importing a\\n2026 ERROR \\u{1b}[31mgone\n");
    }

    proptest::proptest! {
        #[test]
        fn scrubbing_never_panics(text in ".*(key=|://|AQ).*") {
            let _ = scrub(&text);
        }
    }
}
