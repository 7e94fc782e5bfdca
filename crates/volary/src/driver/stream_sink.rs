//! A descriptor that takes an export: every byte is counted, and the last one waited for.

use super::block::Block;
use super::checksum::{Algorithm, Checksum, FileHasher};
use super::transfer::{BlockSink, on_thread};
use crate::{Ctl, Error, Result};
use async_trait::async_trait;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind as Io, Write};
use std::os::unix::fs::FileTypeExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks come in order, and holes are written as zeros.
pub(super) struct StreamSink(Arc<Mutex<Streamed>>);

struct Streamed {
    stream: File,
    size_bytes: u64,
    /// How many bytes the descriptor has taken.
    taken: u64,
    hasher: Option<FileHasher>,
    /// The operation's own, so that a cancel also ends a long run of zeros and a wait for a silent reader.
    ctl: Ctl,
}

impl StreamSink {
    /// A sink for `size_bytes` bytes.
    pub(super) fn new(stream: File, size_bytes: u64, digest: Option<Algorithm>, ctl: &Ctl) -> Self {
        let hasher = digest.map(FileHasher::new);
        StreamSink(Arc::new(Mutex::new(Streamed { stream, size_bytes, taken: 0, hasher, ctl: ctl.clone() })))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Streamed) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let streamed = self.0.clone();
        on_thread("writing the stream", move || {
            let mut streamed = streamed.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut streamed).map_err(|error| streamed.failed(error))
        })
        .await
    }

    /// Writes the zeros at the end, and waits until a pipe's reader has read all of it.
    ///
    /// # Errors
    /// As writing. What was taken is in the context `taken_bytes`.
    pub(super) async fn finish(&self) -> Result<Option<Checksum>> {
        self.with(move |streamed| {
            streamed.zeros_until(streamed.size_bytes)?;
            streamed.wait_for_reader()?;
            Ok(streamed.hasher.take().map(FileHasher::finish))
        })
        .await
    }
}

impl Streamed {
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(Io::WriteZero.into()),
                Ok(taken) => {
                    self.taken += taken as u64;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    self.ctl.touch();
                }
                Err(error) if error.kind() == Io::Interrupted => {}
                // Whoever shares the descriptor may have set it so.
                Err(error) if error.kind() == Io::WouldBlock => self.wait(PollFlags::OUT)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn zeros_until(&mut self, end: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        while self.taken < end {
            self.check()?;
            self.put(&zeros[..(end - self.taken).min(1 << 20) as usize])?;
        }
        Ok(())
    }

    /// A pipe takes up to a MiB that its reader may never read: only what was read counts.
    fn wait_for_reader(&mut self) -> io::Result<()> {
        let kind = self.stream.metadata()?.file_type();
        if !kind.is_fifo() && !kind.is_socket() {
            return self.stream.flush();
        }
        let mut before = None;
        loop {
            // A socket does not say what its other end has not read, but it does say when that has gone with something unread.
            let unread = if kind.is_fifo() { rustix::io::ioctl_fionread(&self.stream)? } else { 0 };
            let gone = self.state(PollFlags::empty(), 0)?.contains(PollFlags::ERR);
            if gone && (unread > 0 || kind.is_socket()) {
                self.taken = self.taken.saturating_sub(unread);
                return Err(Io::BrokenPipe.into());
            }
            if unread == 0 {
                return Ok(());
            }
            if before != Some(unread) {
                self.ctl.touch();
            }
            before = Some(unread);
            self.wait(PollFlags::empty())?;
        }
    }

    /// Waits a moment, or until the descriptor is in the state asked for or broken.
    fn wait(&self, wanted: PollFlags) -> io::Result<()> {
        self.check()?;
        self.state(wanted, 10_000_000).map(drop)
    }

    fn state(&self, wanted: PollFlags, nanoseconds: i64) -> io::Result<PollFlags> {
        let mut seen = [PollFd::new(&self.stream, wanted)];
        let limit = Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        match poll(&mut seen, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(seen[0].revents()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.ctl.cancel_token().is_cancelled() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }

    /// What is wrong with the descriptor, and how much it has taken.
    fn failed(&self, error: io::Error) -> Error {
        if let Err(stopped) = self.ctl.check("export") {
            return stopped.context("taken_bytes", self.taken).context("size_bytes", self.size_bytes);
        }
        let gone = matches!(error.kind(), Io::BrokenPipe | Io::ConnectionReset);
        let what = if gone { "the reader has gone before it took everything" } else { "writing the stream" };
        let error =
            Error::io(what, error).context("taken_bytes", self.taken).context("size_bytes", self.size_bytes);
        if gone {
            error.hint("what it took is not the whole volume: see why it ended, and export again")
        } else {
            error
        }
    }
}

#[async_trait]
impl BlockSink for StreamSink {
    async fn write(&self, start: u64, block: Block, _ctl: &Ctl) -> Result<()> {
        self.with(move |streamed| {
            streamed.zeros_until(start)?;
            streamed.put(&block.bytes)
        })
        .await
    }

    async fn flush(&self, _ctl: &Ctl) -> Result<()> {
        Ok(())
    }
}
