//! What validating one image may cost.

use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, refused, require};
use crate::source::ReadAt;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CHECK: &str = "image.budget";

/// A source that counts the structures read from it and the time they take, and fails once either is spent. Every parser reads
/// through one, so none can forget it.
pub(crate) struct Budget<'a> {
    source: &'a dyn ReadAt,
    metadata_left: AtomicU64,
    since: Instant,
    longest: Duration,
}

#[derive(Debug)]
struct Spent(String);

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Spent {}

impl<'a> Budget<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt, limits: &Limits) -> Self {
        Self {
            source,
            metadata_left: AtomicU64::new(limits.max_metadata_bytes),
            since: Instant::now(),
            longest: limits.max_validation,
        }
    }

    fn spend(&self, bytes: u64) -> io::Result<()> {
        let spent = |why: &str| Err(io::Error::other(Spent(why.to_owned())));
        let left = |left: u64| left.checked_sub(bytes);
        if self.metadata_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
            return spent("the image's tables are larger than is accepted");
        }
        if self.since.elapsed() >= self.longest {
            return spent("validating the image takes longer than is accepted");
        }
        Ok(())
    }
}

impl ReadAt for Budget<'_> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.spend(buffer.len() as u64)?;
        self.source.read_exact_at(buffer, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.spend(0)?;
        self.source.next_data(offset)
    }
}

/// The refusal, when reading failed because a budget was spent.
pub(crate) fn spent(error: &io::Error) -> Option<ImageError> {
    let spent = error.get_ref()?.downcast_ref::<Spent>()?;
    Some(refused(Reason::Limit, CHECK, spent))
}

/// Refuses an image whose mapped bytes are out of all proportion to its file.
pub(crate) fn check_output(data: u64, file: u64, limits: &Limits) -> Result<(), ImageError> {
    /// A small disk is no bomb, however well it packs.
    const FREE: u64 = 1 << 30;
    let most = file.saturating_mul(limits.max_expansion).max(FREE);
    require(data <= most, Reason::Bomb, CHECK, || {
        format!("{data} bytes of data in a file of {file}, at most {most} are accepted")
    })
}
