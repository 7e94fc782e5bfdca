//! What an answer's head says: which object it is, how long, and which part of it follows.

use super::request::Answer;
use super::{Trouble, refused};
use crate::{Error, ErrorKind, Result};
use hyper::StatusCode;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    LAST_MODIFIED, TRANSFER_ENCODING,
};

/// What tells one state of an object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Validator {
    /// A strong entity tag.
    Tag(String),
    /// The time of its last change.
    Modified(String),
}

impl Validator {
    fn of(headers: &HeaderMap) -> Option<Validator> {
        // A weak tag says that two objects mean the same, not that they have the same bytes.
        let tag = text(headers, ETAG).filter(|tag| tag.starts_with('"'));
        tag.map(Validator::Tag).or_else(|| text(headers, LAST_MODIFIED).map(Validator::Modified))
    }

    pub(super) fn as_header(&self) -> &str {
        match self {
            Validator::Tag(text) | Validator::Modified(text) => text,
        }
    }
}

/// The object as the first answer described it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) validator: Option<Validator>,
    pub(super) total: Option<u64>,
}

/// What follows the head of an answer to a request for the rest of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole object, from its first byte.
    Whole,
    /// The rest, from the byte that was asked for up to this one.
    Rest(u64),
    /// Nothing that proves to be of the same object.
    Unproven,
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|text| text.trim().to_owned())
}

fn changed(what: &'static str) -> Error {
    Error::new(ErrorKind::SourceChanged, what).hint("import it again when the server has settled")
}

impl Object {
    /// What a whole answer describes.
    pub(super) fn of(headers: &HeaderMap) -> Result<Object> {
        require_plain(headers)?;
        let total = text(headers, CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let chunked = text(headers, TRANSFER_ENCODING).is_some();
        if total.is_none() && !chunked {
            return Err(refused("length", "the server does not say where the file ends")
                .hint("nothing would tell all of it from a part: fetch it with another program, check it, and import the file"));
        }
        Ok(Object { validator: Validator::of(headers), total: total.filter(|_| !chunked) })
    }

    /// Fails if a whole answer describes another object.
    pub(super) fn require_same(&self, other: &Object) -> Result<()> {
        let totals = self.total.zip(other.total);
        if self.validator != other.validator || totals.is_some_and(|(one, other)| one != other) {
            return Err(changed("the file on the server changed while it was fetched"));
        }
        Ok(())
    }

    /// Reads the head of the answer when the bytes from `from` on were asked for.
    pub(super) fn part(&mut self, answer: &Answer, from: u64) -> Result<Part, Trouble> {
        self.part_of(answer.head.status, &answer.head.headers, from)
    }

    fn part_of(&mut self, status: StatusCode, headers: &HeaderMap, from: u64) -> Result<Part, Trouble> {
        let range = text(headers, CONTENT_RANGE).and_then(|text| ContentRange::parse(&text));
        let total = range.as_ref().and_then(|range| range.total);
        let other_total = |total: Option<u64>| self.total.zip(total).is_some_and(|(one, other)| one != other);
        match status {
            StatusCode::OK => {
                self.require_same(&Object::of(headers)?)?;
                Ok(Part::Whole)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if total == Some(from) && other_total(total) => {
                Err(refused("length", "the server has less than it said").context("bytes", from).into())
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(changed("the server has no longer what follows the bytes that came").into())
            }
            _ => {
                require_plain(headers)?;
                let bad = || refused("range", "the server sends another part than was asked for");
                let range = range.ok_or_else(bad)?;
                let (first, last) = range.bytes.ok_or_else(bad)?;
                let said = text(headers, CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
                let len = last.checked_sub(first).and_then(|len| len.checked_add(1)).ok_or_else(bad)?;
                let beyond = self.total.or(total).is_some_and(|total| last >= total);
                if first != from || beyond || said.is_some_and(|said| said != len) {
                    return Err(bad().into());
                }
                let proof = match &self.validator {
                    Some(Validator::Tag(tag)) => text(headers, ETAG).map(|other| other == *tag),
                    // Such an answer need not repeat the date; that it is a part says that the date is the same.
                    Some(Validator::Modified(date)) => {
                        Some(text(headers, LAST_MODIFIED).is_none_or(|other| other == *date))
                    }
                    None => None,
                };
                if other_total(total) || proof == Some(false) {
                    return Err(changed("the file on the server changed while it was fetched").into());
                }
                if proof.is_none() {
                    return Ok(Part::Unproven);
                }
                self.total = self.total.or(total);
                Ok(Part::Rest(last))
            }
        }
    }
}

/// Fails where bytes of another form than the file's own would come.
fn require_plain(headers: &HeaderMap) -> Result<()> {
    let coding = text(headers, CONTENT_ENCODING)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    match coding {
        Some(coding) => Err(refused(
            "encoding",
            "the server sends the file in another encoding than its own",
        )
        .context("encoding", crate::escape(coding.as_bytes()))
        .hint("none was asked for: its server's settings may take a compressed file for a page to compress")),
        None => Ok(()),
    }
}

/// Fails where the server itself says that what comes is a page, JSON or XML: the way to log in, or an error, with a status that says
/// all is well.
pub(super) fn require_no_page(headers: &HeaderMap) -> Result<()> {
    const PAGES: [&str; 6] = [
        "text/html",
        "application/xhtml+xml",
        "application/json",
        "text/json",
        "application/xml",
        "text/xml",
    ];
    let said = text(headers, CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let kind = said.split(';').next().unwrap_or_default().trim();
    if !PAGES.contains(&kind) && !kind.ends_with("+json") && !kind.ends_with("+xml") {
        return Ok(());
    }
    Err(refused("content_type", "the server sends a page or structured text, not a disk image")
        .context("content_type", crate::escape(kind.as_bytes()))
        .hint("look at what it sends: a login, a portal, an error; `-f FORMAT` takes it for a disk all the same"))
}

#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    bytes: Option<(u64, u64)>,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<ContentRange> {
        let (bytes, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
        let bytes = match bytes {
            "*" => None,
            bytes => {
                let (first, last) = bytes.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            }
        };
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        Some(ContentRange { bytes, total })
    }
}

/// What an answer means that is neither the file nor a redirect.
pub(super) fn unfit(answer: &Answer) -> Error {
    let status = answer.head.status;
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            ErrorKind::Permission
        }
        status if is_passing(status) => ErrorKind::Unreachable,
        _ => ErrorKind::Refused,
    };
    let error = Error::new(kind, "the server does not give the file")
        .context("status", status)
        .context("server", answer.location.authority());
    if kind == ErrorKind::Refused { error.context("reason", "status") } else { error }
}

/// Whether the same request may get another answer soon.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_object_is_known_by_a_strong_tag_or_its_date() {
        let of = |lines: &[(&'static str, &str)]| {
            Object::of(&headers(&[&[("content-length", "9")], lines].concat())).unwrap()
        };
        assert_eq!(
            of(&[("etag", "\"a\""), ("last-modified", "then")]).validator,
            Some(Validator::Tag("\"a\"".into()))
        );
        assert_eq!(
            of(&[("etag", "W/\"a\""), ("last-modified", "then")]).validator,
            Some(Validator::Modified("then".into()))
        );
        assert_eq!(of(&[("etag", "W/\"a\"")]), Object { validator: None, total: Some(9) });
        for bad in [&[][..], &[("content-length", "9"), ("content-encoding", "gzip")]] {
            assert_eq!(Object::of(&headers(bad)).unwrap_err().kind(), ErrorKind::Refused);
        }
    }

    #[test]
    fn a_part_is_taken_only_when_it_fits_what_came_before() {
        let part = |status: u16, lines: &[(&'static str, &str)]| {
            let mut object = Object { validator: Some(Validator::Tag("\"a\"".into())), total: Some(100) };
            match object.part_of(StatusCode::from_u16(status).unwrap(), &headers(lines), 40) {
                Ok(part) => Ok(part),
                Err(Trouble::Broken(error) | Trouble::Final(error)) => Err(error.kind()),
            }
        };
        let tag = ("etag", "\"a\"");
        assert_eq!(
            part(206, &[tag, ("content-range", "bytes 40-99/100"), ("content-length", "60")]),
            Ok(Part::Rest(99))
        );
        assert_eq!(part(206, &[tag, ("content-range", "bytes 40-59/*")]), Ok(Part::Rest(59)));
        assert_eq!(part(206, &[("content-range", "bytes 40-99/100")]), Ok(Part::Unproven));
        assert_eq!(part(200, &[tag, ("content-length", "100")]), Ok(Part::Whole));
        for range in [
            "bytes 41-99/100",
            "bytes 0-99/100",
            "bytes 40-100/100",
            "bytes 40-39/100",
            "bytes */100",
            "40-99/100",
            "bytes 40-18446744073709551615/*",
        ] {
            assert_eq!(part(206, &[tag, ("content-range", range)]), Err(ErrorKind::Refused), "{range}");
        }
        assert_eq!(part(206, &[tag]), Err(ErrorKind::Refused));
        assert_eq!(
            part(206, &[tag, ("content-range", "bytes 40-99/100"), ("content-length", "59")]),
            Err(ErrorKind::Refused)
        );
        for other in [("etag", "\"b\""), ("etag", "W/\"a\"")] {
            assert_eq!(
                part(206, &[other, ("content-range", "bytes 40-99/100")]),
                Err(ErrorKind::SourceChanged)
            );
            assert_eq!(part(200, &[other, ("content-length", "100")]), Err(ErrorKind::SourceChanged));
        }
        assert_eq!(part(206, &[tag, ("content-range", "bytes 40-98/99")]), Err(ErrorKind::SourceChanged));
        assert_eq!(part(200, &[tag, ("content-length", "99")]), Err(ErrorKind::SourceChanged));
        assert_eq!(part(416, &[("content-range", "bytes */40")]), Err(ErrorKind::Refused));
        assert_eq!(part(416, &[("content-range", "bytes */30")]), Err(ErrorKind::SourceChanged));
    }
}
