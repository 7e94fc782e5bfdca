//! Buffers of a block's length that are used again: a fresh one costs a page fault for every 4 KiB, and allocators
//! keep what threads gave back, so that memory would follow the number of threads.

use crate::BLOCK_BYTES;
use crate::direct::ALIGN_BYTES;
use bytes::Bytes;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// As many as are in use at once in a transfer; more are given back to the allocator.
const KEPT: usize = 8;

/// Only ever tried: in a process forked while another thread held it, nobody will let it go.
static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer whose bytes are whatever was there before: fill all of it. It begins where a page does, so that it can be written past
/// the page cache.
pub(crate) struct Buffer {
    block: Vec<u8>,
    start: usize,
    len: usize,
}

/// What a block and a page's start before it take.
const WITH_START: usize = BLOCK_BYTES as usize + ALIGN_BYTES;

impl Buffer {
    /// A buffer of `len` bytes; longer ones than a block are not kept.
    pub(crate) fn take(len: usize) -> Buffer {
        if len as u64 > BLOCK_BYTES {
            return Buffer { block: vec![0; len], start: 0, len };
        }
        let free = FREE.try_lock().ok().and_then(|mut free| free.pop());
        let block = free.unwrap_or_else(|| vec![0; WITH_START]);
        let start = block.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        Buffer { block, start, len }
    }

    /// The filled buffer; it can be used again when the last part of it has gone.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.block[self.start..self.start + self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.block[self.start..self.start + self.len]
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        if let Ok(mut free) = FREE.try_lock()
            && block.len() == WITH_START
            && free.len() < KEPT
        {
            free.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s12_a_buffer_is_used_again_only_when_its_last_part_has_gone() {
        let mut buffer = Buffer::take(16);
        buffer.fill(7);
        let bytes = buffer.into_bytes();
        let part = bytes.slice(3..5);
        drop(bytes);
        let mut others: Vec<Buffer> = (0..2 * KEPT).map(|_| Buffer::take(16)).collect();
        others.iter_mut().for_each(|other| other.fill(9));
        assert_eq!(part, [7, 7][..]);
        drop(others);
        assert!(FREE.lock().unwrap().len() <= KEPT);
        assert_eq!(Buffer::take(BLOCK_BYTES as usize + 1).len() as u64, BLOCK_BYTES + 1);
    }
}
