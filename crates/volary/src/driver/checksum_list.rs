//! Lists of checksums, as catalogues publish them beside their images.

use super::checksum::{Algorithm, Checksum};
use crate::{Error, ErrorKind, Result, escape};
use std::borrow::Cow;

/// Looks up a file's checksum.
pub(super) fn find(list: &str, file_name: &str) -> Result<Checksum> {
    let lines: Vec<_> = signed_text(list).filter_map(parse_line).collect();
    let as_given = lines.iter().any(|(_, name)| plain(name) == plain(file_name));
    let mut found: Option<&Checksum> = None;
    for (checksum, name) in &lines {
        let named =
            if as_given { plain(name) == plain(file_name) } else { base_name(name) == base_name(file_name) };
        if !named {
            continue;
        }
        match found {
            Some(other) if other.algorithm() == checksum.algorithm() && other != checksum => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    "the checksum file names the source twice, with different digests",
                )
                .context("file", escape(file_name.as_bytes()))
                .hint("give the digest that is meant with --checksum"));
            }
            // Of several algorithms the strongest: the longest digest.
            Some(other) if other.hex().len() >= checksum.hex().len() => {}
            _ => found = Some(checksum),
        }
    }
    found.cloned().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "the checksum file does not name the source")
            .context("file", escape(file_name.as_bytes()))
            .hint("see whether it is that file's list, or give the digest with --checksum")
    })
}

/// The lines, without what a signature puts around and before them.
fn signed_text(list: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
    const END: &str = "-----BEGIN PGP SIGNATURE-----";
    let list = list.trim_start_matches('\u{feff}');
    let signed = list.lines().any(|line| line.trim_end() == BEGIN);
    let lines = list.lines().skip_while(move |line| signed && line.trim_end() != BEGIN);
    let lines = lines.take_while(move |line| !signed || line.trim_end() != END);
    lines.map(move |line| if signed { line.strip_prefix("- ").unwrap_or(line) } else { line })
}

fn plain(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn parse_line(line: &str) -> Option<(Checksum, Cow<'_, str>)> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    // A backslash before a line says that its name is escaped.
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let (checksum, name) = parse_tagged(line).or_else(|| parse_plain(line))?;
    Some((checksum, if escaped { unescaped(name)?.into() } else { name.into() }))
}

/// `SHA256 (name) = HEX`.
fn parse_tagged(line: &str) -> Option<(Checksum, &str)> {
    let (tag, rest) = line.split_once(" (")?;
    let algorithm = match tag {
        "SHA256" => Algorithm::Sha256,
        "SHA512" => Algorithm::Sha512,
        "MD5" => Algorithm::Md5,
        _ => return None,
    };
    let (name, hex) = rest.rsplit_once(") = ")?;
    Some((Checksum::new(algorithm, hex.trim()).ok()?, name))
}

/// `HEX  name`, or `HEX *name` of a file read as binary.
fn parse_plain(line: &str) -> Option<(Checksum, &str)> {
    let (hex, name) = line.split_once(' ')?;
    let name = name.strip_prefix([' ', '*']).unwrap_or(name);
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.hex_len() == hex.len())?;
    Some((Checksum::new(algorithm, hex).ok()?, name))
}

/// The name behind the escapes of GNU's tools: backslash, newline, carriage return.
fn unescaped(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn digit(list: &str, name: &str) -> Result<char, ErrorKind> {
        find(list, name).map(|found| found.hex().chars().next().unwrap()).map_err(|error| error.kind())
    }

    #[test]
    fn every_usual_form_is_read() {
        let (a, b, c, d, e) = (hex('a'), hex('b'), hex('c'), hex('d'), hex('e'));
        let list = format!(
            "# {a}  comment\n{a}  a.img\r\nSHA256 (dir/b (1).img) = {}\r\n{c} *c\n{d} d e\n\n\
             \\{e}  odd\\\\name\\n\n\\SHA256 (tag\\\\ged) = {e}\n{e}  plain\\name\nSHA1 (x) = {a}\n{a}\n",
            b.to_uppercase()
        );
        for (name, expected) in [
            ("a.img", 'a'),
            ("/tmp/a.img", 'a'),
            ("./a.img", 'a'),
            ("b (1).img", 'b'),
            ("dir/b (1).img", 'b'),
            ("c", 'c'),
            ("d e", 'd'),
            ("odd\\name\n", 'e'),
            ("tag\\ged", 'e'),
            ("plain\\name", 'e'),
        ] {
            assert_eq!(digit(&list, name), Ok(expected), "{name}");
        }
        for name in ["img", "comment", "x", "", "*c"] {
            assert_eq!(digit(&list, name), Err(ErrorKind::NotFound), "{name}");
        }
    }

    #[test]
    fn a_name_as_given_comes_before_the_same_name_elsewhere() {
        let (a, b) = (hex('a'), hex('b'));
        let list = format!("{a}  one/disk.img\n{b}  two/disk.img\n");
        assert_eq!(digit(&list, "two/disk.img"), Ok('b'));
        assert_eq!(digit(&list, "./one/disk.img"), Ok('a'));
        assert_eq!(digit(&list, "disk.img"), Err(ErrorKind::Usage));
        assert_eq!(digit(&list, "three/disk.img"), Err(ErrorKind::Usage));
        assert_eq!(digit(&format!("{list}{a}  disk.img\n"), "disk.img"), Ok('a'));
    }

    #[test]
    fn lines_that_disagree_are_refused_and_the_strongest_of_several_is_taken() {
        let (a, b) = (hex('a'), hex('b'));
        assert_eq!(digit(&format!("{a}  x\nSHA256 (x) = {b}\n"), "x"), Err(ErrorKind::Usage));
        assert_eq!(digit(&format!("{a}  x\n{}  x\n", a.to_uppercase()), "x"), Ok('a'));
        let several = format!("{a}  x\n{}  x\n{}  x\n", "c".repeat(128), "d".repeat(32));
        assert_eq!(find(&several, "x").unwrap().algorithm(), Algorithm::Sha512);
    }

    #[test]
    fn lines_of_a_signed_message_are_read_and_nothing_around_it() {
        let (a, b) = (hex('a'), hex('b'));
        let list = format!(
            "{b}  before\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n- {a}  dashed\r\n{a} *x\r\n\
             -----BEGIN PGP SIGNATURE-----\r\n\r\niQIz\r\n{b}  after\r\n-----END PGP SIGNATURE-----\r\n"
        );
        assert_eq!((digit(&list, "x"), digit(&list, "dashed")), (Ok('a'), Ok('a')));
        assert_eq!(
            (digit(&list, "before"), digit(&list, "after")),
            (Err(ErrorKind::NotFound), Err(ErrorKind::NotFound))
        );
    }
}
