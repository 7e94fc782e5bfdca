//! Raw content from a stream, written as it comes: nothing is kept of it but the blocks in flight, its first bytes and its last.

use super::block::Block;
use super::checksum::{Checksum, FileHasher};
use super::image_error::image_error_with;
use super::import::{ImportRequest, other_length};
use super::patient::{Patient, read_error};
use super::sectors::SECTOR_BYTES;
use super::transfer::{BlockSource, on_thread};
use super::ways;
use crate::buffer::Buffer;
use crate::digest::BLOCK_BYTES;
use crate::engine::Volume;
use crate::{Ctl, Error, ErrorKind, Result, escape};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use volary_image::{Format, Image, Limits, ReadAt};

/// What is kept of the start: all magics, the descriptors of an ISO and the header of a partition table are in it.
const HEAD_BYTES: usize = 128 << 10;
/// What is kept of the end: the longest trailer of a format, and a partition table's second copy.
const TAIL_BYTES: usize = 32 << 10;
/// Streams whose size is not told may have so much: of what is longer too many leaves would have to be kept.
pub(super) const MAX_UNTOLD_BYTES: u64 = 4 << 40;

/// A stream that fills a volume, which grows with it.
pub(super) struct RawStream {
    stream: Mutex<Reading>,
    /// Blocks that were read, and are about to be written.
    pending: Mutex<HashMap<u64, Bytes>>,
    volume: Arc<dyn Volume>,
    /// The volume's size now.
    room: AtomicU64,
    /// The most the stream may have.
    limit: u64,
    /// What it must have, where that was told.
    expected_bytes: Option<u64>,
    came: AtomicU64,
    ended: AtomicBool,
    /// Ends a read that waits for a silent stream.
    stop: CancellationToken,
}

/// A stream whose start has been looked at.
pub(super) struct Begun {
    stream: Box<dyn Read + Send>,
    stop: CancellationToken,
}

struct Reading {
    stream: Box<dyn Read + Send>,
    hashers: Vec<FileHasher>,
    ends: Ends,
}

/// The two ends of a stream, as a source to be judged by: zeros between them.
#[derive(Clone, Default)]
struct Ends {
    len: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fills the buffer, unless the stream ends first; returns how much came.
fn read_full(stream: &mut dyn Read, buffer: &mut [u8], ctl: &Ctl) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
        ctl.touch();
    }
    Ok(filled)
}

/// Reads the start of a stream, and refuses one that is something else than raw content; the stream is given back whole.
pub(super) async fn begin(stream: &File, ctl: &Ctl) -> Result<Begun> {
    let stream = stream.try_clone().map_err(|error| Error::io("taking over the stream", error))?;
    let stop = ctl.cancel_token().child_token();
    let stoppable = ctl.clone().cancelled_by(stop.clone());
    let (mut stream, touched) = (Patient::new(stream, "read the stream", &stoppable), ctl.clone());
    let head = on_thread("reading the stream", move || {
        let mut head = vec![0; HEAD_BYTES];
        let len = read_full(&mut stream, &mut head, &touched).map_err(read_error)?;
        head.truncate(len);
        // As long as can be: nothing that lies further on is missed yet.
        Ends { len: i64::MAX as u64, head: head.clone(), tail: Vec::new() }.judge(u64::MAX)?;
        Ok(io::Cursor::new(head).chain(stream))
    });
    let stream = Box::new(ctl.transfer("read the stream", head).await?);
    Ok(Begun { stream, stop })
}

impl RawStream {
    /// Fills `volume`, of `room` bytes, by at most `limit` bytes of a stream.
    pub(super) fn new(
        begun: Begun,
        volume: Arc<dyn Volume>,
        room: u64,
        limit: u64,
        request: &ImportRequest,
    ) -> Self {
        let hashers = request.algorithms(true).into_iter().map(FileHasher::new).collect();
        RawStream {
            stream: Mutex::new(Reading { stream: begun.stream, hashers, ends: Ends::default() }),
            pending: Mutex::default(),
            volume,
            room: room.into(),
            limit,
            expected_bytes: request.expected_bytes,
            came: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            stop: begun.stop,
        }
    }

    /// What the whole of it was, once it has ended: refused when its end says that it was no raw content.
    pub(super) fn finish(&self) -> Result<(Format, Vec<String>, Vec<Checksum>, u64)> {
        let mut reading = locked(&self.stream);
        let hashers = std::mem::take(&mut reading.hashers);
        let image = reading.ends.judge(Limits::default().max_virtual_bytes)?;
        let notes = image.notes().iter().map(|note| escape(note.detail.as_bytes()).into_owned()).collect();
        Ok((image.format(), notes, hashers.into_iter().map(FileHasher::finish).collect(), reading.ends.len))
    }

    /// The next block, whole unless the stream ends in it.
    fn next(&self, len: usize, ctl: &Ctl) -> Result<Bytes> {
        let mut reading = locked(&self.stream);
        let reading = &mut *reading;
        let mut buffer = Buffer::take(len);
        let came = read_full(&mut *reading.stream, &mut buffer, ctl).map_err(read_error)?;
        reading.hashers.iter_mut().for_each(|hasher| hasher.update(&buffer[..came]));
        reading.ends.add(&buffer[..came]);
        if let Some(expected) = self.expected_bytes.filter(|expected| reading.ends.len > *expected) {
            return Err(other_length(expected, reading.ends.len));
        }
        if reading.ends.len == self.limit
            && read_full(&mut *reading.stream, &mut [0], ctl).map_err(read_error)? > 0
        {
            return Err(Error::new(ErrorKind::Usage, "the stream is longer than the volume may be")
                .context("most", self.limit)
                .hint("tell its size by --size, or import it from a file"));
        }
        // Zeros fill up the last sector.
        let padded = came.next_multiple_of(SECTOR_BYTES as usize).min(len);
        buffer[came..padded].fill(0);
        self.came.store(reading.ends.len + (padded - came) as u64, Ordering::SeqCst);
        if came < len {
            self.ended.store(true, Ordering::SeqCst);
        }
        Ok(buffer.into_bytes().slice(..padded))
    }

    /// Makes the volume large enough; one that is too small is doubled, so that growing costs little.
    async fn grow_to(&self, bytes: u64, ctl: &Ctl) -> Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        if bytes > room {
            let larger = room.saturating_mul(2).max(bytes).min(self.limit);
            self.volume.resize(larger, ctl).await?;
            self.room.store(larger, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Gives the volume its size in the end.
    pub(super) async fn fit(&self, size_bytes: u64, ctl: &Ctl) -> Result<()> {
        if self.room.load(Ordering::SeqCst) == size_bytes {
            return Ok(());
        }
        self.volume.resize(size_bytes, ctl).await
    }
}

#[async_trait]
impl BlockSource for Arc<RawStream> {
    fn size_bytes(&self) -> u64 {
        if self.ended() { self.came.load(Ordering::SeqCst) } else { self.limit }
    }

    fn window_bytes(&self) -> u64 {
        BLOCK_BYTES
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    async fn data(&self, window: Range<u64>, ctl: &Ctl) -> Result<Vec<Range<u64>>> {
        let (this, reading) = (self.clone(), ctl.clone());
        let len = (window.end - window.start) as usize;
        let read = on_thread("reading the stream", move || this.next(len, &reading));
        tokio::pin!(read);
        let bytes = tokio::select! {
            bytes = &mut read => bytes?,
            () = ctl.cancel_token().cancelled() => {
                self.stop.cancel();
                read.await?
            }
        };
        if window.end == self.limit {
            self.ended.store(true, Ordering::SeqCst);
        }
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let range = window.start..window.start + bytes.len() as u64;
        self.grow_to(range.end, ctl).await?;
        locked(&self.pending).insert(range.start, bytes);
        Ok(vec![range])
    }

    async fn read(&self, start: u64, _data: Vec<Range<u64>>, _ctl: &Ctl) -> Result<Block> {
        let bytes = locked(&self.pending).remove(&start);
        let bytes =
            bytes.ok_or_else(|| Error::new(ErrorKind::Internal, "a block of the stream is missing"))?;
        on_thread("examining a block", move || Ok(Block::examine(bytes))).await
    }
}

impl Ends {
    fn add(&mut self, bytes: &[u8]) {
        let more = bytes.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&bytes[..more]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        self.len += bytes.len() as u64;
    }

    fn judge(&self, most: u64) -> Result<Image> {
        let limits = Limits::default().with_max_virtual_bytes(most);
        Image::open(Arc::new(self.clone()), Some(Format::Raw), &limits).map_err(|error| {
            image_error_with(error, |refusal| ways::way(refusal.reason, refusal.check, self, "-", false))
        })
    }
}

impl ReadAt for Ends {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.fill(0);
        for (start, bytes) in [(0, &self.head), (self.len.saturating_sub(self.tail.len() as u64), &self.tail)]
        {
            let (from, to) = (offset.max(start), end.min(start + bytes.len() as u64));
            if from < to {
                buffer[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
            }
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.len).then_some(offset..self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_those_of_the_whole_however_it_comes() {
        let whole: Vec<u8> = (0..HEAD_BYTES + 3 * TAIL_BYTES).map(|n| (n / 7) as u8).collect();
        for piece in [1000, TAIL_BYTES - 1, TAIL_BYTES + 1, HEAD_BYTES + 5, whole.len()] {
            let mut ends = Ends::default();
            whole.chunks(piece).for_each(|bytes| ends.add(bytes));
            let mut read = vec![1; whole.len()];
            ends.read_exact_at(&mut read, 0).unwrap();
            let (head, tail) = (HEAD_BYTES, whole.len() - TAIL_BYTES);
            assert!(read[..head] == whole[..head] && read[tail..] == whole[tail..], "{piece}");
            assert!(read[head..tail].iter().all(|byte| *byte == 0));
            assert!(ends.read_exact_at(&mut [0; 2], whole.len() as u64 - 1).is_err());
        }
    }
}
