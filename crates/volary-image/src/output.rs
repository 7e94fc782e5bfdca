//! Filling a caller's buffer from an image: neighbouring plain runs in one read, each compressed unit decoded once, the rest zeros.

use crate::metadata::read_failed;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use std::ops::Range;

/// A buffer for a window of the disk, filled from front to back.
pub(crate) struct Output<'a> {
    source: &'a dyn ReadAt,
    window: Range<u64>,
    buffer: &'a mut [u8],
    filled: usize,
    /// A plain run not read yet, since its neighbour may follow in the file too: disk offset, host offset, length.
    pending: Option<(u64, u64, u64)>,
    /// A unit decoded whole of which the window holds a part.
    partial: Vec<u8>,
}

impl<'a> Output<'a> {
    /// An empty buffer for the disk's bytes from `offset`; its runs come in rising order.
    pub(crate) fn new(source: &'a dyn ReadAt, offset: u64, buffer: &'a mut [u8]) -> Self {
        let window = offset..offset + buffer.len() as u64;
        Self { source, window, buffer, filled: 0, pending: None, partial: Vec::new() }
    }

    /// The part of the disk that is asked for.
    pub(crate) fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    fn position(&self, guest: u64) -> usize {
        usize::try_from(guest - self.window.start).unwrap_or(usize::MAX)
    }

    /// Hands out the part of the buffer for a range; what was skipped before it is zeros.
    fn part(&mut self, range: &Range<u64>) -> &mut [u8] {
        let (start, end) = (self.position(range.start), self.position(range.end));
        self.buffer[self.filled..start].fill(0);
        self.filled = end;
        &mut self.buffer[start..end]
    }

    /// Notes that the disk's `run`, inside the window, is in the file at `host` as it is.
    pub(crate) fn plain(&mut self, run: &Range<u64>, host: u64) -> Result<(), ImageError> {
        let more = run.end - run.start;
        match &mut self.pending {
            Some((guest, from, len)) if *guest + *len == run.start && *from + *len == host => *len += more,
            _ => {
                self.flush()?;
                self.pending = Some((run.start, host, more));
            }
        }
        Ok(())
    }

    /// Lets `decode` make the whole of `unit`, which the window touches, and keeps what the window asks for.
    pub(crate) fn decoded(
        &mut self,
        unit: &Range<u64>,
        decode: &mut dyn FnMut(&mut [u8]) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        self.flush()?;
        let wanted = unit.start.max(self.window.start)..unit.end.min(self.window.end);
        if wanted == *unit {
            return decode(self.part(&wanted));
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.resize(usize::try_from(unit.end - unit.start).unwrap_or(0), 0);
        decode(&mut whole)?;
        let skip = usize::try_from(wanted.start - unit.start).unwrap_or(0);
        let part = self.part(&wanted);
        part.copy_from_slice(&whole[skip..skip + part.len()]);
        self.partial = whole;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        let Some((guest, host, len)) = self.pending.take() else { return Ok(()) };
        let (source, file) = (self.source, self.source.len());
        let part = self.part(&(guest..guest + len));
        // A mapping may let the file's last unit be short; what it lacks is zeros.
        let there = usize::try_from(file.saturating_sub(host)).map_or(part.len(), |n| n.min(part.len()));
        part[there..].fill(0);
        source.read_exact_at(&mut part[..there], host).map_err(read_failed)
    }

    /// Reads what is pending and zeroes the rest.
    pub(crate) fn finish(mut self) -> Result<(), ImageError> {
        self.flush()?;
        let end = self.window.end;
        self.part(&(end..end));
        Ok(())
    }
}
