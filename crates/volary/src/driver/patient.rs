//! Reading a stream that may be silent: an operation that is cancelled does not wait for it.

use crate::{Ctl, Error};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read};

/// How often a silent stream is left to see whether the operation was cancelled.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A stream whose reads end when the operation is cancelled; it blocks, so read it on a thread.
pub(crate) struct Patient {
    stream: File,
    step: &'static str,
    ctl: Ctl,
}

impl Patient {
    /// Reads for an operation that is at `step`.
    pub(crate) fn new(stream: File, step: &'static str, ctl: &Ctl) -> Self {
        Patient { stream, step, ctl: ctl.clone() }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ctl.check(self.step).map_err(io::Error::other)?;
            let mut ready = [PollFd::new(&self.stream, PollFlags::IN)];
            match poll(&mut ready, Some(&PATIENCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

/// What an error of reading means: the operation's own end, or the stream's.
pub(crate) fn read_error(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ended) => ended,
        Err(error) => Error::io("reading the stream", error),
    }
}
