//! What the text of a descriptor may look like (section "The Descriptor File"), and a descriptor in a file of its own.

use super::header::MAGIC;
use crate::metadata::read_failed;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::borrow::Cow;

/// Refuses what has no sparse header: a descriptor in a file of its own names other files as the disk.
pub(super) fn refuse_detached(source: &dyn ReadAt) -> Result<(), ImageError> {
    /// As much as QEMU reads.
    const MOST: u64 = 1 << 20;
    let mut bytes = vec![0; usize::try_from(source.len().min(MOST)).unwrap_or(0)];
    let start = bytes.len().min(MAGIC.len());
    source.read_exact_at(&mut bytes[..start], 0).map_err(read_failed)?;
    if bytes.starts_with(MAGIC) {
        return Ok(());
    }
    source.read_exact_at(&mut bytes, 0).map_err(read_failed)?;
    let text = String::from_utf8_lossy(&bytes);
    require(!text.lines().any(is_extent), Reason::DataFile, "vmdk.extents", || {
        "a text descriptor, whose disk is kept in other files".to_owned()
    })?;
    refuse_parent(&text)?;
    Err(refused(Reason::Malformed, "vmdk.header", "the file does not begin with a sparse header"))
}

/// Whether a line describes an extent, in any spelling.
pub(super) fn is_extent(line: &str) -> bool {
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    ["RW", "RDONLY", "NOACCESS"].iter().any(|access| first.eq_ignore_ascii_case(access))
}

/// Refuses a parent's name wherever it stands: some readers search the whole text for it, comments and all.
pub(super) fn refuse_parent(text: &str) -> Result<(), ImageError> {
    let found = text.to_ascii_lowercase().contains("parentfilenamehint");
    require(!found, Reason::BackingFile, "vmdk.parent", || "the descriptor names a parent".to_owned())
}

/// The text of an embedded descriptor: lines of printable text, then nothing but zero bytes. Beyond ASCII are names and comments, in
/// whatever encoding their writer had; what is no UTF-8 in them is replaced, since no name is ever used.
pub(super) fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, ImageError> {
    const CHECK: &str = "vmdk.descriptor";
    /// What the digits of a `CID` may differ by.
    const SHORTENED: usize = 7;
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    // QEMU writes a new CID without leading zeros; of a text that became shorter it leaves the last bytes behind the zero byte.
    let used = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let left = rest.get(1..used).unwrap_or_default();
    require(left.len() < SHORTENED && text.ends_with(left), Reason::Malformed, CHECK, || {
        format!("a zero byte at {end}, before its end")
    })?;
    // A carriage return belongs to a line's end: alone it would end the line for some readers only.
    let strange = (0..).zip(text).find(|&(at, &byte)| match byte {
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => !matches!(byte, b'\t' | b'\n' | b' '..=b'~' | 0x80..),
    });
    if let Some((at, byte)) = strange {
        return Err(refused(Reason::Malformed, CHECK, format!("the byte {byte:#04x} at {at} is not text")));
    }
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        require(is_plain_outside_quotes(line), Reason::Malformed, CHECK, || {
            format!("line {number} has other characters than ASCII outside of quotes")
        })?;
    }
    Ok(String::from_utf8_lossy(text))
}

/// Whether a line is a comment, or ASCII but for what stands in quotes.
fn is_plain_outside_quotes(line: &[u8]) -> bool {
    let comment = line.trim_ascii_start().first() == Some(&b'#');
    // What stands before the first quote, between the second and the third, and so on.
    comment || line.split(|&byte| byte == b'"').step_by(2).all(<[u8]>::is_ascii)
}

/// Whether a name can only be one of a file beside this one.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '"'])
}
