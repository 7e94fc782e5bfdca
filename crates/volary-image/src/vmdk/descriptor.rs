//! The embedded descriptor (section "The Descriptor File"): known keys, each once, no parent, one extent that is this file.

use super::SECTOR;
use super::header::Header;
use super::text::{is_extent, is_plain_name, refuse_parent, text_of};
use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const CHECK: &str = "vmdk.descriptor";
const EXTENTS: &str = "vmdk.extents";
const PARENT: &str = "vmdk.parent";
const REQUIRED: [&str; 4] = ["version", "cid", "parentcid", "createtype"];
const MAX_KEYS: usize = 256;

/// Checks the descriptor; returns the size that it gives the disk.
pub(super) fn check(source: &dyn ReadAt, header: &Header, report: &mut Report) -> Result<u64, ImageError> {
    let mut bytes = vec![0; usize::try_from(header.descriptor_bytes).unwrap_or(0)];
    read_meta(source, &mut bytes, SECTOR, CHECK)?;
    let text = text_of(&bytes)?;
    let text = &*text;
    // QEMU's split disks have room for a descriptor in every extent, and text in none.
    require(!text.is_empty(), Reason::DataFile, CHECK, || {
        "no descriptor: one extent of a disk of several files".to_owned()
    })?;
    refuse_parent(text)?;
    let (mut keys, mut extents, mut size) = (Vec::new(), 0, header.size);
    // Only what ASCII calls a space: other readers know no other.
    let trimmed = |line| str::trim_matches(line, |c: char| c.is_ascii_whitespace());
    for line in text.lines().map(trimmed).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if is_extent(line) {
            extents += 1;
            require(extents == 1, Reason::DataFile, EXTENTS, || "more than one extent".to_owned())?;
            size = check_extent(line, header)?;
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| malformed("not a key and its value", line))?;
        // Whoever looks a key up without regard to case must find no other.
        let (key, value) = (key.trim_end().to_ascii_lowercase(), unquoted(value.trim_start(), line)?);
        require(!keys.contains(&key), Reason::Malformed, CHECK, || format!("{key:.80} comes twice"))?;
        require(keys.len() < MAX_KEYS, Reason::Limit, CHECK, || format!("more than {MAX_KEYS} keys"))?;
        check_key(&key, value, header, report)?;
        keys.push(key);
    }
    let missing = REQUIRED.iter().find(|&&required| !keys.iter().any(|key| key == required));
    require(missing.is_none(), Reason::Malformed, CHECK, || format!("no {}", missing.unwrap_or(&"key")))?;
    require(extents == 1, Reason::Malformed, EXTENTS, || "no extent".to_owned())?;
    report.pass(CHECK, format_args!("{} keys", keys.len()));
    report.pass(PARENT, "none");
    report.pass(EXTENTS, "this file");
    Ok(size)
}

fn malformed(what: &str, line: &str) -> ImageError {
    refused(Reason::Malformed, CHECK, format!("{what}: {line:.80}"))
}

/// A value without its quotes, of which it has two or none.
fn unquoted<'a>(value: &'a str, line: &str) -> Result<&'a str, ImageError> {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if inner.contains('"') { Err(malformed("unbalanced quotes", line)) } else { Ok(inner) }
}

/// `RW <sectors> SPARSE "<name>"`, of which the name is never opened; a stream may say `RDONLY`. Returns the size of the disk: VirtualBox
/// rounds the header's up to a whole grain, and means the descriptor's.
fn check_extent(line: &str, header: &Header) -> Result<u64, ImageError> {
    let (head, rest) = line.split_once('"').unwrap_or((line, ""));
    let (name, tail) = rest.split_once('"').unwrap_or((rest, ""));
    let mut words = head.split_ascii_whitespace();
    let (access, sectors, kind) = (words.next(), words.next(), words.next());
    require(kind == Some("SPARSE"), Reason::DataFile, EXTENTS, || {
        format!("an extent that is not in this file: {line:.80}")
    })?;
    require(is_plain_name(name), Reason::DataFile, EXTENTS, || {
        format!("an extent that is not named plainly: {line:.80}")
    })?;
    let writable = access == Some("RW") || access == Some("RDONLY") && header.compressed;
    let size = sectors.and_then(|n| n.parse::<u64>().ok()).and_then(|sectors| sectors.checked_mul(SECTOR));
    let whole = |size: u64| {
        size == header.size || size > 0 && size.checked_next_multiple_of(header.grain) == Some(header.size)
    };
    let ends = words.next().is_none() && tail.is_empty() && rest.ends_with('"');
    size.filter(|size| writable && whole(*size) && ends).ok_or_else(|| {
        let sectors = header.size / SECTOR;
        refused(
            Reason::Malformed,
            EXTENTS,
            format!("an extent that is not the whole disk of {sectors} sectors: {line:.80}"),
        )
    })
}

fn check_key(key: &str, value: &str, header: &Header, report: &mut Report) -> Result<(), ImageError> {
    let wrong = |reason, check| Err(refused(reason, check, format!("{key:.80} is {value:.80}")));
    let is_id = || u32::from_str_radix(value, 16).is_ok() && !value.starts_with('+');
    match key {
        "version" if !matches!(value, "1" | "2" | "3") => wrong(Reason::UnknownFeature, CHECK),
        "cid" if !is_id() => wrong(Reason::Malformed, CHECK),
        "parentcid" if !value.eq_ignore_ascii_case("ffffffff") => wrong(Reason::BackingFile, PARENT),
        "createtype" => check_type(value, header),
        // A snapshot that the storage keeps as a difference.
        "isnativesnapshot" if value != "no" => wrong(Reason::BackingFile, PARENT),
        "changetrackpath" if !is_plain_name(value) => wrong(Reason::DataFile, EXTENTS),
        "changetrackpath" => {
            report.note("vmdk.change_tracking", "a file of changed areas is named, which is not needed");
            Ok(())
        }
        "version" | "cid" | "parentcid" | "isnativesnapshot" | "encoding" => Ok(()),
        _ if key.starts_with("encryption") => wrong(Reason::Encrypted, "vmdk.encryption"),
        _ => match key.strip_prefix("ddb.") {
            Some(name) => check_database(name, value),
            None => Err(refused(Reason::UnknownFeature, CHECK, format!("unknown key {key:.80}"))),
        },
    }
}

/// The two types that are one file, each with its kind of grains.
fn check_type(value: &str, header: &Header) -> Result<(), ImageError> {
    const CHECK: &str = "vmdk.create_type";
    let compressed = match value {
        "monolithicSparse" => false,
        "streamOptimized" => true,
        _ => return Err(refused(Reason::DataFile, CHECK, format!("{value:.80} is no type of one file"))),
    };
    require(compressed == header.compressed, Reason::Malformed, CHECK, || {
        format!("{value} and the header's flags disagree")
    })
}

/// An entry of the disk database says what the hardware looked like; none is needed, but some tell of a parent or of a key.
fn check_database(name: &str, value: &str) -> Result<(), ImageError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    require(!name.is_empty() && name.chars().all(plain), Reason::Malformed, CHECK, || {
        format!("the key ddb.{name:.80} has other characters than letters, digits and .-_")
    })?;
    // VirtualBox writes a parent of all zeros.
    let nobody = value.chars().all(|c| matches!(c, '0' | '-'));
    require(!name.contains("parent") || nobody, Reason::BackingFile, PARENT, || {
        format!("ddb.{name:.80} is {value:.80}")
    })?;
    let crypt = name.contains("crypt") || name == "iofilters" && value.contains("crypt");
    require(!crypt, Reason::Encrypted, "vmdk.encryption", || format!("ddb.{name:.80} is {value:.80}"))
}
