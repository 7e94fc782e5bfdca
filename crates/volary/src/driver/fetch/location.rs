//! URLs of sources: read strictly, followed by the rules of RFC 3986, shown without what may be a secret.

use crate::{Error, ErrorKind, Result, escape};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longer URLs are refused; browsers and servers agree on less.
const LONGEST_BYTES: usize = 8 << 10;

/// A host as a URL names it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A DNS name in lower case.
    Name(String),
    /// An address in its one canonical spelling.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// An `http` or `https` URL without user info. `Display` and `Debug` leave out its query, which may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) tls: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    path: String,
    query: Option<String>,
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, what)
}

impl Location {
    /// Whether an argument is meant as a URL: it begins with a scheme and `://`.
    pub(super) fn is_meant(argument: &[u8]) -> bool {
        let Some(end) = argument.windows(3).position(|three| three == b"://") else { return false };
        let scheme = &argument[..end];
        scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
    }

    /// Reads a URL; no error repeats it, since it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Location> {
        if text.len() > LONGEST_BYTES {
            return Err(bad("the URL is too long").context("most_bytes", LONGEST_BYTES));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("the URL has characters that no URL has")
                .hint("percent-encode its path, and write the host's name in its ASCII form (xn--…)"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("the URL has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => {
                return Err(Error::new(ErrorKind::Unsupported, "the URL is neither http nor https")
                    .context("scheme", escape(other.as_bytes()))
                    .hint("for a file of that name write ./ before it"));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad("the URL has a user or password in it").hint(
                "arguments are seen by others and logged: use a URL that needs none, or pipe the image in",
            ));
        }
        if text.contains('\\') {
            return Err(bad("the URL has a backslash in it").hint("write / or %5C"));
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => port,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Ok(Location { tls, host: parse_host(host)?, port, path, query })
    }

    /// Where a `Location` header of the answer leads.
    pub(super) fn follow(&self, reference: &str) -> Result<Location> {
        let scheme = if self.tls { "https" } else { "http" };
        let colon = reference.find(':').unwrap_or(usize::MAX);
        let has_scheme = colon < reference.find(['/', '?', '#']).unwrap_or(usize::MAX);
        let url = if has_scheme {
            reference.to_owned()
        } else if reference.starts_with("//") {
            format!("{scheme}:{reference}")
        } else {
            let reference = reference.split('#').next().unwrap_or_default();
            let (path, query) = match reference.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (reference, None),
            };
            let query = if path.is_empty() { query.or(self.query.as_deref()) } else { query };
            let merged = match path {
                "" => self.path.clone(),
                path if path.starts_with('/') => without_dots(path),
                path => {
                    without_dots(&format!("{}/{path}", self.path.rsplit_once('/').map_or("", |(dir, _)| dir)))
                }
            };
            format!(
                "{scheme}://{}{merged}{}{}",
                self.authority(),
                if query.is_some() { "?" } else { "" },
                query.unwrap_or_default()
            )
        };
        Location::parse(&url)
    }

    /// What the `Host` header says.
    pub(super) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// What is asked of the server: path and query.
    pub(super) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The last segment of the path, decoded; empty for a directory.
    pub(super) fn file_name(&self) -> String {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, query) =
            (if self.tls { "https" } else { "http" }, if self.query.is_some() { "?…" } else { "" });
        write!(f, "{scheme}://{}{}{query}", self.authority(), self.path)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>)> {
    let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[end..].find(':') else { return Ok((authority, None)) };
    let port = &authority[end + colon + 1..];
    let canonical = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    match port.parse() {
        Ok(port) if canonical => Ok((&authority[..end + colon], Some(port))),
        _ => Err(bad("the URL's port is no number from 1 to 65535")),
    }
}

/// Accepts one spelling of each host: what resolvers would also read as an address, such as `0x7f.1` or `2130706433`, is refused.
fn parse_host(text: &str) -> Result<Host> {
    let odd = |what: &'static str| {
        bad(what)
            .context("host", escape(text.as_bytes()))
            .hint("write a DNS name, or an address as 192.0.2.1 or [2001:db8::1]")
    };
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| Host::Address(address.into()))
            .ok_or_else(|| odd("the URL's host is no IPv6 address"));
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    let hex = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    if hex || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) {
        let address = text.parse::<Ipv4Addr>();
        return address
            .map(|address| Host::Address(address.into()))
            .map_err(|_| odd("the URL's host is an address in an unusual form"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.len() > 253 || !text.split('.').all(label) {
        return Err(odd("the URL's host is no DNS name"));
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling_of_its_host_and_no_user() {
        for (text, shown) in [
            ("http://images.example/a/b.qcow2", "http://images.example/a/b.qcow2"),
            ("HTTPS://Images.Example:443/x?token=s3cret#part", "https://images.example/x?…"),
            ("https://images.example:8443", "https://images.example:8443/"),
            ("http://192.0.2.1?x", "http://192.0.2.1/?…"),
            ("http://[2001:DB8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
            ("http://xn--bcher-kva.example/x", "http://xn--bcher-kva.example/x"),
        ] {
            let url = Location::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown), "{text}");
        }
        for text in [
            "http://user@host/x",
            "http://user:s3cret@host/x",
            "https://@host/",
            "http://host:0/",
            "http://host:/",
            "http://host:65536/",
            "http://host:+80/",
            "http://host:080/",
            "http://",
            "http:///x",
            "http://host./x",
            "http://127.0.0.1./",
            "http://127.1/",
            "http://127.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.01/",
            "http://1.2.3.4.5/",
            "http://a.0x1/",
            "http://[::1/",
            "http://::1/",
            "http://[fe80::1%25eth0]/",
            "http://[127.0.0.1]/",
            "http://a..b/",
            "http://-a/",
            "http://a-/",
            "http://a b/",
            "http://bücher.example/",
            "http://a/\u{7}",
            "http://a\\b/",
            "http://a/b\\c",
            "http://%31/",
            "http://a,b/",
            "http://[::1]x/",
            "host/x",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(!format!("{error:?} {}", error.report()).contains("s3cret"), "{text}");
        }
        for text in ["ftp://host/x", "file:///etc/passwd", "gopher://host/"] {
            assert_eq!(Location::parse(text).unwrap_err().kind(), ErrorKind::Unsupported, "{text}");
        }
    }

    #[test]
    fn references_are_followed_as_the_standard_says() {
        let base = Location::parse("https://a.example:8443/b/c/d.img?q").unwrap();
        for (reference, target) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d.img?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d.img?q"),
            ("g#s", "/b/c/g"),
            ("", "/b/c/d.img?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("https://a.example:8443/z", "/z"),
            ("//a.example:8443/z?1", "/z?1"),
        ] {
            let url = base.follow(reference).unwrap();
            assert_eq!(
                (url.target().as_str(), url.authority().as_str()),
                (target, "a.example:8443"),
                "{reference}"
            );
        }
        assert_eq!(base.follow("http://b.example/x").unwrap().to_string(), "http://b.example/x");
        for reference in
            ["javascript:x", "file:///etc/passwd", "https://u:p@a.example/", "//127.1/x", "https:x"]
        {
            assert!(base.follow(reference).is_err(), "{reference}");
        }
    }

    #[test]
    fn the_name_of_a_url_is_its_last_segment_decoded() {
        for (url, name) in [
            ("http://a/b/c%20d.img?x=/y", "c d.img"),
            ("http://a/b/", ""),
            ("http://a", ""),
            ("http://a/%C3%A4", "ä"),
        ] {
            assert_eq!(Location::parse(url).unwrap().file_name(), name);
        }
    }

    #[test]
    fn only_what_has_a_scheme_is_meant_as_a_url() {
        for (argument, meant) in [
            ("http://a", true),
            ("s3://b", true),
            ("./http://a", false),
            ("a/b://c", false),
            ("://", false),
            ("disk.img", false),
        ] {
            assert_eq!(Location::is_meant(argument.as_bytes()), meant, "{argument}");
        }
    }
}
