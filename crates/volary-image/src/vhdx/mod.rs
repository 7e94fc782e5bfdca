//! Hyper-V disk, fixed and dynamic, by \[MS-VHDX\] (Virtual Hard Disk v2 File Format).
//!
//! A differencing image is refused, as is one with a log to replay, a region or item that is required but not known, and every
//! structure that breaks the specification. The file type identifier is what the format is detected by; who wrote the file (its creator
//! field) is not read. All parts of the file are whole MiB, so that one bit for each tells what is taken.

mod bat;
mod crc32c;
mod header;
mod parameters;
mod regions;

use crate::claimed::Claimed;
use crate::image::{Mapped, Opened, Runs};
use crate::inspect::Report;
use crate::limits::Limits;
use crate::output::Output;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;
use bat::Bat;
use std::ops::Range;

const MIB: u64 = 1 << 20;
const CHECK: &str = "vhdx.mapping";

/// The file and which parts of it are taken.
struct Space<'a> {
    source: &'a dyn ReadAt,
    claimed: Claimed,
}

impl Space<'_> {
    /// Claims a region or the log: whole MiB behind the headers, inside the file.
    fn claim(
        &mut self,
        at: u64,
        bytes: u64,
        what: &str,
        check: &'static str,
    ) -> Result<Range<u64>, ImageError> {
        let placed = [at, bytes].iter().all(|&n| n >= MIB && n.is_multiple_of(MIB));
        require(placed, Reason::Malformed, check, || {
            format!("the {what} of {bytes} bytes at {at:#x} is not whole MiB behind the headers")
        })?;
        let end = at.checked_add(bytes).filter(|&end| end <= self.source.len());
        require(end.is_some(), Reason::Truncated, check, || {
            format!("the {what} of {bytes} bytes at {at:#x} leaves the file")
        })?;
        self.claimed.claim(at, bytes, what)?;
        Ok(at..at + bytes)
    }
}

/// Checks headers, regions, metadata and the whole mapping.
pub(crate) fn open(source: &dyn ReadAt, limits: &Limits, report: &mut Report) -> Result<Opened, ImageError> {
    let (file, most) = (source.len(), limits.max_container_bytes);
    require(file <= most, Reason::Limit, "vhdx.file_bytes", || {
        format!("a file of {file} bytes, at most {most} are accepted")
    })?;
    let mut space = Space { source, claimed: Claimed::new(file, MIB.ilog2(), CHECK) };
    space.claimed.claim(0, 1, "header section")?;
    header::check(&mut space, report)?;
    let regions = regions::read(&mut space, report)?;
    let bat = Bat::new(&regions.bat, parameters::read(source, &regions.metadata, limits, report)?)?;

    let (size, mut data) = (bat.parameters.size, 0);
    bat.blocks(source, &(0..size), &mut |guest, host| {
        data += guest.end - guest.start;
        space.claimed.claim(host, bat.block_bytes().min(file - host), "block")
    })?;
    report.pass(bat::CHECK, "entries of known states, blocks inside the file");
    report.pass(CHECK, format_args!("{data} bytes of data, nothing overlaps"));
    Ok(Opened { size, data, mapped: Box::new(bat) })
}

impl Mapped for Bat {
    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError> {
        self.blocks(source, &(runs.at..runs.end), &mut |guest, _| {
            runs.data(guest.start, guest.end);
            Ok(())
        })
    }

    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let mut output = Output::new(source, offset, buffer);
        let window = output.window();
        self.blocks(source, &window, &mut |guest, host| {
            let run = window.start.max(guest.start)..window.end.min(guest.end);
            output.plain(&run, host + (run.start - guest.start))
        })?;
        output.finish()
    }
}

/// An identifier as it is in the file.
type Guid = [u8; 16];

/// An identifier from its text: the first three groups are little endian in the file.
const fn guid(first: u32, second: u16, third: u16, rest: u64) -> Guid {
    let (a, b, c, d) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes(), rest.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The bytes from `at`; zeros where there are none, though every caller has them.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

fn guid_at(bytes: &[u8]) -> Guid {
    bytes_at(bytes, 0)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}
