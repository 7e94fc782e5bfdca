//! Reading a range of the disk: neighbouring plain clusters in one go, each compressed one once.

use super::compressed::Decoder;
use super::header::Header;
use super::mapping::{Cluster, Mapping};
use super::read_failed;
use crate::refusal::ImageError;
use crate::source::ReadAt;
use std::ops::Range;

/// The caller's buffer and how far it is filled.
struct Output<'a> {
    source: &'a dyn ReadAt,
    /// The disk offset of the buffer's first byte.
    base: u64,
    buffer: &'a mut [u8],
    filled: usize,
    /// A plain run not read yet, since its neighbour may follow in the file too: disk offset, host offset, length.
    pending: Option<(u64, u64, u64)>,
}

impl Output<'_> {
    fn position(&self, guest: u64) -> usize {
        usize::try_from(guest - self.base).unwrap_or(usize::MAX)
    }

    /// Hands out the part of the buffer for a range; what was skipped before it is zeros.
    fn part(&mut self, range: &Range<u64>) -> &mut [u8] {
        let (start, end) = (self.position(range.start), self.position(range.end));
        self.buffer[self.filled..start].fill(0);
        self.filled = end;
        &mut self.buffer[start..end]
    }

    fn plain(&mut self, run: &Range<u64>, host: u64) -> Result<(), ImageError> {
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

    fn flush(&mut self) -> Result<(), ImageError> {
        let Some((guest, host, len)) = self.pending.take() else { return Ok(()) };
        let (source, file) = (self.source, self.source.len());
        let part = self.part(&(guest..guest + len));
        // The mapping lets only the file's last cluster be short; what it lacks is zeros.
        let there = usize::try_from(file.saturating_sub(host)).map_or(part.len(), |n| n.min(part.len()));
        part[there..].fill(0);
        source.read_exact_at(&mut part[..there], host).map_err(read_failed)
    }
}

pub(super) fn read(
    header: &Header,
    source: &dyn ReadAt,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), ImageError> {
    let (cluster, window) = (header.cluster_size(), offset..offset + buffer.len() as u64);
    let mut output = Output { source, base: offset, buffer, filled: 0, pending: None };
    let mut decoder = Decoder::default();
    let (mut stream, mut partial) = (Vec::new(), Vec::new());
    Mapping { header, source }.clusters(window.clone(), &mut |guest, found| match found {
        Cluster::Plain { .. } => {
            found.plain_runs(guest, cluster, &window, &mut |run, host| output.plain(&run, host))
        }
        Cluster::Compressed { host, len } => {
            output.flush()?;
            stream.resize(usize::try_from(len).unwrap_or(0), 0);
            source.read_exact_at(&mut stream, host).map_err(read_failed)?;
            let wanted = guest.max(window.start)..(guest + cluster).min(window.end);
            let part = output.part(&wanted);
            if part.len() as u64 == cluster {
                return decoder.decode(header.compression, &stream, part);
            }
            partial.resize(1 << header.cluster_bits, 0);
            decoder.decode(header.compression, &stream, &mut partial)?;
            let skip = usize::try_from(wanted.start - guest).unwrap_or(0);
            part.copy_from_slice(&partial[skip..skip + part.len()]);
            Ok(())
        }
    })?;
    output.flush()?;
    output.part(&(window.end..window.end));
    Ok(())
}
