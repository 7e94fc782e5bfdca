//! A file as web servers serve it, and how they may misbehave.

use super::{Asked, Reply};

/// How a server serves a file.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The entity tag, quotes included; none is sent when empty.
    pub tag: &'static str,
    /// Whether it honours `Range`.
    pub ranges: bool,
    /// After so many bytes of a body the connection breaks.
    pub cut: usize,
    /// So many requests are answered with a broken body; later ones wholly.
    pub cuts: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { tag: "\"v1\"", ranges: true, cut: usize::MAX, cuts: 0 }
    }
}

/// The answer to the request of that number for the file.
pub fn serve(file: &[u8], behaviour: &Behaviour, number: usize, asked: &Asked) -> Reply {
    let range = asked.from().filter(|from| behaviour.ranges && *from < file.len());
    // Another object than the one that was begun is sent whole.
    let range = range.filter(|_| asked.header("if-range").is_none_or(|tag| tag == behaviour.tag));
    let body = &file[range.unwrap_or(0)..];
    let len = body.len().to_string();
    let mut headers = vec![("Content-Length", len.as_str())];
    if !behaviour.tag.is_empty() {
        headers.push(("ETag", behaviour.tag));
    }
    let part = range.map(|from| format!("bytes {from}-{}/{}", file.len() - 1, file.len()));
    if let Some(part) = &part {
        headers.push(("Content-Range", part));
    }
    let sent = if number < behaviour.cuts { &body[..body.len().min(behaviour.cut)] } else { body };
    Reply::new(if part.is_some() { "206 Partial Content" } else { "200 OK" }, &headers, sent)
}
