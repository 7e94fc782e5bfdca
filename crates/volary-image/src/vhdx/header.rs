//! The two headers and where the log is (\[MS-VHDX\] 2.2.2).
//!
//! Of the headers whose signature and checksum hold, the one with the higher sequence number counts. The same number in two that
//! differ leaves open which one does. A log to replay would have to be applied before anything else in the file means what it says, so
//! it refuses the image: whoever wrote it can close it cleanly.

use super::{Space, crc32c, u16_at, u32_at, u64_at};
use crate::inspect::Report;
use crate::metadata::read_meta;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;

const CHECK: &str = "vhdx.header";
const LOG: &str = "vhdx.log";
const PLACES: [u64; 2] = [64 << 10, 128 << 10];

type Bytes = [u8; 4096];

/// Chooses the current header, and claims the log it names.
pub(super) fn check(space: &mut Space<'_>, report: &mut Report) -> Result<(), ImageError> {
    let header = current(space.source, report)?;
    let version = u16_at(&header, 66);
    require(version == 1, Reason::UnknownFeature, "vhdx.version", || {
        format!("version {version}; 1 is known")
    })?;
    report.pass("vhdx.version", version);
    let log_guid = &header[48..64];
    require(log_guid.iter().all(|&byte| byte == 0), Reason::UnknownFeature, LOG, || {
        "the image was not closed cleanly: it has a log to replay".to_owned()
    })?;
    let log_version = u16_at(&header, 64);
    require(log_version == 0, Reason::UnknownFeature, LOG, || {
        format!("log version {log_version}; 0 is known")
    })?;
    space.claim(u64_at(&header, 72), u64::from(u32_at(&header, 68)), "log", LOG)?;
    report.pass(LOG, "nothing to replay");
    Ok(())
}

fn current(source: &dyn ReadAt, report: &mut Report) -> Result<Bytes, ImageError> {
    let [first, second] = PLACES;
    let (first, second) = (read(source, first)?, read(source, second)?);
    let sequence = |header: &Bytes| u64_at(header, 8);
    let header = match (first, second) {
        (Some(one), Some(other)) => {
            require(sequence(&one) != sequence(&other) || one == other, Reason::Malformed, CHECK, || {
                format!("two headers of sequence number {} differ", sequence(&one))
            })?;
            if sequence(&one) > sequence(&other) { one } else { other }
        }
        (Some(only), None) | (None, Some(only)) => {
            report.note("vhdx.headers", "one of the two headers is not valid");
            only
        }
        (None, None) => return Err(refused(Reason::Malformed, CHECK, "neither header is valid")),
    };
    report.pass(CHECK, format_args!("sequence number {}", sequence(&header)));
    Ok(header)
}

/// One header, if its signature and checksum hold.
fn read(source: &dyn ReadAt, at: u64) -> Result<Option<Bytes>, ImageError> {
    let mut bytes = [0; 4096];
    read_meta(source, &mut bytes, at, CHECK)?;
    Ok((bytes.starts_with(b"head") && crc32c::holds(&bytes)).then_some(bytes))
}
