//! Writing past the page cache: what is written once, in long runs, and synced soon after, only costs a copy and pages there.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// What the kernel wants memory, place and length to be multiples of, on any disk.
pub(crate) const ALIGN_BYTES: usize = 4096;
/// Shorter runs are left to the kernel, which writes many of them in one go where a disk has to seek.
const LONG_BYTES: usize = 256 << 10;

/// A file of which long runs are written past the page cache (`O_DIRECT`), where file system and memory allow it. Reading it in
/// any way sees all of them; syncing it makes all of them durable.
pub(crate) struct DirectFile {
    file: Arc<File>,
    /// The same file opened a second time, at the first long run; none when that cannot be.
    direct: OnceLock<Option<File>>,
    /// Set when the file system took the flag and not the writing.
    refused: AtomicBool,
}

impl DirectFile {
    pub(crate) fn new(file: Arc<File>) -> Self {
        DirectFile { file, direct: OnceLock::new(), refused: AtomicBool::new(false) }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of `bytes`; what is at the start of a [`Buffer`](crate::buffer::Buffer), or whole granules after it, can go
    /// past the page cache.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let straight = self.write_direct(bytes, offset)?;
        self.file.write_all_at(&bytes[straight..], offset + straight as u64)
    }

    /// Writes as much from the start as goes past the page cache, and says how much that was.
    fn write_direct(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let end = bytes.len() / ALIGN_BYTES * ALIGN_BYTES;
        let aligned = bytes.as_ptr().align_offset(ALIGN_BYTES) == 0
            && offset.is_multiple_of(ALIGN_BYTES as u64)
            && end >= LONG_BYTES
            && !self.refused.load(Relaxed);
        let Some(direct) =
            aligned.then(|| self.direct.get_or_init(|| open_again(&self.file))).and_then(Option::as_ref)
        else {
            return Ok(0);
        };
        let mut done = 0;
        while done < end && done.is_multiple_of(ALIGN_BYTES) {
            match direct.write_at(&bytes[done..end], offset + done as u64) {
                Ok(0) => break,
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    self.refused.store(true, Relaxed);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// By its descriptor, for a file on its way has no name; and never to write what was opened to be read.
fn open_again(file: &File) -> Option<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = rustix::fs::fcntl_getfl(file).and_then(|flags| match flags & OFlags::RWMODE {
        OFlags::RDWR | OFlags::WRONLY => {
            rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
        }
        _ => Err(Errno::BADF),
    });
    match opened {
        Ok(file) => Some(file.into()),
        Err(errno) => {
            tracing::trace!(error = %errno, "the file is written through the page cache");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;

    #[test]
    fn long_runs_go_past_the_page_cache_and_every_byte_arrives() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let direct = DirectFile::new(file.clone());
        let mut buffer = Buffer::take(3 * LONG_BYTES + 100);
        buffer.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 7) as u8 | 1);
        let bytes = buffer.into_bytes();
        file.set_len(1 << 24).unwrap();
        // Aligned with a tail; at no page's start; from no page's start; short.
        let writes = [
            (1 << 20, 0..bytes.len()),
            (5 << 20 | 3, 0..bytes.len()),
            (7 << 20, 1..bytes.len()),
            (9 << 20, 0..4096),
        ];
        for (offset, range) in writes {
            direct.write_all_at(&bytes[range.clone()], offset).unwrap();
            let mut back = vec![0; range.len() + 2];
            file.read_exact_at(&mut back, offset - 1).unwrap();
            assert_eq!((back[0], back[range.len() + 1]), (0, 0), "beside {offset}");
            assert!(back[1..=range.len()] == bytes[range], "at {offset}");
        }
        assert_eq!(direct.write_direct(&bytes, 3 << 20).unwrap() > 0, open_again(&file).is_some());
        assert_eq!(direct.write_direct(&bytes[1..], 3 << 20).unwrap(), 0);
        assert_eq!(direct.write_direct(&bytes[..4096], 3 << 20).unwrap(), 0);
    }

    #[test]
    fn a_file_that_only_reads_fails_and_says_so() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let direct = DirectFile::new(Arc::new(File::open(named.path()).unwrap()));
        let mut buffer = Buffer::take(LONG_BYTES);
        buffer.fill(1);
        assert!(direct.write_all_at(&buffer, 0).is_err());
    }
}
