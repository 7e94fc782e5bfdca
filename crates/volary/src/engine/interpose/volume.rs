//! The calls of a volume that was opened by an engine before which somebody stands.

use super::{Interpose, MadeCall, answer};
use crate::engine::*;
use crate::{Ctl, Name, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::OnceLock;

#[derive(Debug)]
pub(super) struct InterposedVolume<I: Interpose> {
    pub(super) open: I::Open,
    pub(super) by: I,
}

/// Makes a call of the volume: the method with its arguments, what words its answer, then what it is about.
macro_rules! volume {
    ($self:ident, $method:ident($($argument:expr),*) $(=> $words:ident)? $(, $($about:tt)+)?) => {{
        let (about, answer) = (|| -> String { volume!(@about $($($about)+)?) }, OnceLock::new());
        let on = Some(&$self.open);
        let call = MadeCall { method: stringify!($method), on, about: &about, answer: &answer };
        let volume = $self.by.volume(&$self.open)?;
        let made = async {
            let answered = volume.$method($($argument),*).await;
            $(if let Ok(answered) = &answered {
                let _ = answer.set(answer::$words(answered));
            })?
            answered
        };
        $self.by.call(call, made).await
    }};
    (@about) => { String::new() };
    (@about $($about:tt)+) => { format!($($about)+) };
}

#[async_trait]
impl<I: Interpose> Volume for InterposedVolume<I> {
    async fn stat(&self, ctl: &Ctl) -> Result<Stat> {
        volume!(self, stat(ctl))
    }

    async fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        volume!(self, read(offset, len, ctl), "{len} bytes at {offset}")
    }

    async fn read_block(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<(Bytes, Option<[u8; 32]>)> {
        volume!(self, read_block(offset, len, ctl), "{len} bytes at {offset}")
    }

    async fn write(&self, offset: u64, data: Bytes, ctl: &Ctl) -> Result<()> {
        let len = data.len();
        volume!(self, write(offset, data, ctl), "{len} bytes at {offset}")
    }

    async fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()> {
        volume!(self, write_zeroes(offset, len, ctl), "{len} bytes at {offset}")
    }

    async fn expect_writes(&self, ranges: &[Range<u64>], ctl: &Ctl) -> Result<()> {
        volume!(self, expect_writes(ranges, ctl), "{} ranges", ranges.len())
    }

    async fn flush(&self, ctl: &Ctl) -> Result<()> {
        volume!(self, flush(ctl))
    }

    async fn record_leaves(&self, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()> {
        volume!(self, record_leaves(leaves, ctl), "{} blocks", leaves.len())
    }

    async fn extents(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<Vec<Extent>> {
        volume!(self, extents(offset, len, ctl) => count, "{len} bytes at {offset}")
    }

    async fn confirm(&self, size_bytes: u64, ctl: &Ctl) -> Result<u64> {
        volume!(self, confirm(size_bytes, ctl), "{}", crate::show_size(size_bytes))
    }

    async fn used_bytes(&self, ctl: &Ctl) -> Result<u64> {
        volume!(self, used_bytes(ctl) => bytes)
    }

    async fn resize(&self, size_bytes: u64, ctl: &Ctl) -> Result<()> {
        volume!(self, resize(size_bytes, ctl), "to {}", crate::show_size(size_bytes))
    }

    async fn flatten(&self, ctl: &Ctl) -> Result<()> {
        volume!(self, flatten(ctl))
    }

    async fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, rollback(snapshot, ctl), "to {snapshot}")
    }

    async fn snapshots(&self, ctl: &Ctl) -> Result<Vec<SnapshotInfo>> {
        volume!(self, snapshots(ctl) => count)
    }

    async fn create_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, create_snapshot(snapshot, ctl), "{snapshot}")
    }

    async fn rename_snapshot(&self, snapshot: &Name, to: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, rename_snapshot(snapshot, to, ctl), "{snapshot} to {to}")
    }

    async fn remove_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, remove_snapshot(snapshot, ctl), "{snapshot}")
    }

    async fn protect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, protect_snapshot(snapshot, ctl), "{snapshot}")
    }

    async fn unprotect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, unprotect_snapshot(snapshot, ctl), "{snapshot}")
    }

    async fn children(&self, snapshot: Option<&Name>, ctl: &Ctl) -> Result<Vec<Child>> {
        volume!(
            self,
            children(snapshot, ctl) => count,
            "{}",
            snapshot.map_or_else(|| "of all snapshots".to_owned(), Name::to_string)
        )
    }

    async fn metadata(&self, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        volume!(self, metadata(ctl) => count)
    }

    async fn set_metadata(&self, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()> {
        volume!(self, set_metadata(key, value, ctl), "{}", key.escape_ascii())
    }

    async fn remove_metadata(&self, key: &[u8], ctl: &Ctl) -> Result<()> {
        volume!(self, remove_metadata(key, ctl), "{}", key.escape_ascii())
    }

    async fn lockers(&self, ctl: &Ctl) -> Result<Vec<Locker>> {
        volume!(self, lockers(ctl) => count)
    }

    async fn add_lock(&self, cookie: &Name, tag: Option<&Name>, ctl: &Ctl) -> Result<Locker> {
        volume!(self, add_lock(cookie, tag, ctl), "{cookie}")
    }

    async fn break_lock(&self, cookie: &Name, client: &Name, ctl: &Ctl) -> Result<()> {
        volume!(self, break_lock(cookie, client, ctl), "{cookie} of {client}")
    }

    async fn holders(&self, ctl: &Ctl) -> Result<Vec<Holder>> {
        volume!(self, holders(ctl) => count)
    }

    async fn caveats(&self, ctl: &Ctl) -> Result<Vec<Caveat>> {
        volume!(self, caveats(ctl) => count)
    }

    async fn close(&self, ctl: &Ctl) -> Result<()> {
        // Where there is nothing any more to make calls on, there is nothing to close.
        let Ok(volume) = self.by.volume(&self.open) else { return Ok(()) };
        let (on, answer) = (Some(&self.open), OnceLock::new());
        let call = MadeCall { method: "close", on, about: &String::new, answer: &answer };
        self.by.call(call, volume.close(ctl)).await
    }
}
