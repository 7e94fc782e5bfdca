//! A volume that is open.

use super::{Caveat, Child, Extent, Holder, Locker, SnapshotInfo, Stat};
use crate::{Ctl, Name, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// The longest window [`Volume::extents`] answers for.
pub const MAX_EXTENTS_WINDOW_BYTES: u64 = 1 << 30;

/// An open head or snapshot of a volume.
///
/// Methods that change something need a handle opened with `write`; on another they are `Usage`. Handles are shared
/// by tasks: reads and writes may run side by side, each on its own range.
///
/// Dropping a handle without [`close`](Volume::close) releases it, and loses what was not flushed.
#[async_trait]
pub trait Volume: Send + Sync + fmt::Debug {
    /// Id, size, parent and dates as they are now (`rbd_stat`, `rbd_get_parent`).
    async fn stat(&self, ctl: &Ctl) -> Result<Stat>;

    /// Reads exactly `len` bytes (`rbd_aio_read`); what was never written reads as zeros.
    ///
    /// # Errors
    /// `Usage` for a range beyond the end. `Mismatch` when whole blocks or objects of it are not what the store knows them to be:
    /// lost, or other bytes than their checksum tells; never with [`OpenOptions::accept_mismatch`](super::OpenOptions::accept_mismatch).
    async fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes>;

    /// Reads a block of the content digest, or as much of one from its start as it has, as [`read`](Volume::read) does; with the
    /// leaf of what was read, where the engine has compared that with one that it keeps, so that nobody needs to hash it again.
    ///
    /// # Errors
    /// As [`read`](Volume::read).
    async fn read_block(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<(Bytes, Option<[u8; 32]>)> {
        Ok((self.read(offset, len, ctl).await?, None))
    }

    /// Writes (`rbd_aio_write`); durable after [`flush`](Volume::flush).
    ///
    /// # Errors
    /// `Usage` for a range beyond the end. After any error the range may hold old or new bytes, mixed.
    async fn write(&self, offset: u64, data: Bytes, ctl: &Ctl) -> Result<()>;

    /// Makes a range read as zeros, over a parent too, and frees what it can (`rbd_aio_write_zeroes`).
    ///
    /// # Errors
    /// `Usage` for a range beyond the end.
    async fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()>;

    /// Tells which ranges, in order, are about to be written to a volume that nobody has written yet, before the first write: what
    /// an engine keeps of them it can then note at once. Told again with no range when all is written, so that what was not
    /// written after all is not counted as data; without that only counts and extents are wrong, never content.
    ///
    /// The ranges are inside the volume.
    async fn expect_writes(&self, ranges: &[Range<u64>], ctl: &Ctl) -> Result<()>;

    /// Makes every write that has returned durable (`rbd_aio_flush`).
    ///
    /// # Errors
    /// After a failed flush the handle is poisoned: every later write and flush fails.
    async fn flush(&self, ctl: &Ctl) -> Result<()>;

    /// Hands over the leaves of the content digest of blocks (their index, and the leaf), which the caller computed of what it
    /// wrote or read: the engine keeps those it can as the blocks' checksums, and compares them whenever a whole block is read.
    /// Nothing that can be seen changes; leaves of the blocks that are known already stay. Any handle will do; of a head that is open
    /// to be read the engine keeps none, since others may write it. Ceph has checksums of its own, and does nothing.
    ///
    /// The caller must know that the bytes were flushed, and that this handle has not written the blocks since it computed the leaves.
    /// A block of zeros has no leaf.
    async fn record_leaves(&self, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()>;

    /// Where a range may hold data, its own or a parent's, in order, without gaps, neighbours merged
    /// (`rbd_diff_iterate2`).
    ///
    /// # Errors
    /// `Usage` for a range beyond the end or longer than [`MAX_EXTENTS_WINDOW_BYTES`].
    async fn extents(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<Vec<Extent>>;

    /// Confirms, after the last read, that the first `size_bytes` of the head or snapshot are still there, with every snapshot of a
    /// parent that they were read from: what a store loses while it is read may read as zeros. A volume in trash is still there; one
    /// whose removal has begun is not.
    ///
    /// Returns how many bytes were read although they did not match, because the handle was opened to accept that.
    ///
    /// # Errors
    /// `NotFound` for a volume or snapshot that was removed; `Mismatch` for a head that was shrunk.
    async fn confirm(&self, size_bytes: u64, ctl: &Ctl) -> Result<u64>;

    /// Bytes that the volume itself takes up at the open head or snapshot, without what it shares with others.
    async fn used_bytes(&self, ctl: &Ctl) -> Result<u64>;

    /// Grows or shrinks the head (`rbd_resize2`). What is cut off is gone, and reads as zeros when grown again;
    /// the overlap with a parent shrinks along and does not grow back. Snapshots keep their size.
    ///
    /// # Errors
    /// `Usage` for more than the store's largest volume.
    async fn resize(&self, size_bytes: u64, ctl: &Ctl) -> Result<()>;

    /// Copies in what is still read from the parent, snapshots included, and parts with it
    /// (`rbd_flatten_with_progress`).
    ///
    /// # Errors
    /// `Usage` for a volume without parent.
    async fn flatten(&self, ctl: &Ctl) -> Result<()>;

    /// Sets the head's content and size back to a snapshot's (`rbd_snap_rollback_with_progress`).
    ///
    /// # Errors
    /// `NotFound` for the snapshot.
    async fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()>;

    /// The snapshots, oldest first (`rbd_snap_list`).
    async fn snapshots(&self, ctl: &Ctl) -> Result<Vec<SnapshotInfo>>;

    /// Keeps the head as it is now, unflushed writes included (`rbd_snap_create`).
    ///
    /// # Errors
    /// `AlreadyExists`.
    async fn create_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()>;

    /// Gives a snapshot another name (`rbd_snap_rename`).
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`.
    async fn rename_snapshot(&self, snapshot: &Name, to: &Name, ctl: &Ctl) -> Result<()>;

    /// Removes a snapshot (`rbd_snap_remove2`).
    ///
    /// # Errors
    /// `NotFound`; `Blocked` while it is protected or has children, or somebody has it open where
    /// [`StoreDescription::readers_hold`](super::StoreDescription::readers_hold) says so.
    async fn remove_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()>;

    /// Protects a snapshot from removal (`rbd_snap_protect`); one that is protected stays so, without error.
    ///
    /// # Errors
    /// `NotFound`; `Blocked` while its protection is being taken away, or that was left half-way.
    async fn protect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()>;

    /// Ends a snapshot's protection (`rbd_snap_unprotect`); one that is not protected stays so, without error.
    ///
    /// # Errors
    /// `NotFound`; `Blocked` while it has children.
    async fn unprotect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()>;

    /// The clones of all snapshots, or of one, in every pool and in trash (`rbd_list_children3`).
    ///
    /// # Errors
    /// `NotFound` for the snapshot; `Mismatch` where the list has an entry of a clone that is not there any more.
    async fn children(&self, snapshot: Option<&Name>, ctl: &Ctl) -> Result<Vec<Child>>;

    /// All metadata, by key (`rbd_metadata_list`). Keys and values are any bytes.
    async fn metadata(&self, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// Sets one key (`rbd_metadata_set`); what it held is replaced.
    ///
    /// # Errors
    /// `Usage` for an empty key, one over 4 KiB, a value over 64 KiB, or a NUL byte in either.
    async fn set_metadata(&self, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()>;

    /// Removes one key (`rbd_metadata_remove`).
    ///
    /// # Errors
    /// `NotFound`.
    async fn remove_metadata(&self, key: &[u8], ctl: &Ctl) -> Result<()>;

    /// Who holds an advisory lock on the volume, in no order (`rbd_list_lockers`).
    ///
    /// What an image's exclusive-lock feature takes by itself is none: who has that is a holder.
    async fn lockers(&self, ctl: &Ctl) -> Result<Vec<Locker>>;

    /// Takes an advisory lock for this client: alone, or shared with all who give the same tag (`rbd_lock_exclusive`,
    /// `rbd_lock_shared`). Any handle will do.
    ///
    /// Until it is broken nobody can open the volume to write, rename it, remove it or put it into trash. It outlives the handle
    /// and the process.
    ///
    /// # Errors
    /// `Blocked` while somebody holds it alone or by another tag, or has the volume open to write; `AlreadyExists`
    /// when this client has a lock of this cookie; `Usage` for a cookie that is empty or starts with `auto `, or a NUL byte.
    async fn add_lock(&self, cookie: &Name, tag: Option<&Name>, ctl: &Ctl) -> Result<Locker>;

    /// Takes an advisory lock from whoever holds it (`rbd_unlock`, `rbd_break_lock`). On Ceph another client that had
    /// it is blocklisted: what it still writes, to any volume, fails.
    ///
    /// # Errors
    /// `NotFound`.
    async fn break_lock(&self, cookie: &Name, client: &Name, ctl: &Ctl) -> Result<()>;

    /// Who else holds the volume, as far as only the engine can see: watchers, groups, mirroring
    /// (`rbd_watchers_list`, `rbd_get_group`). This handle is not listed, nor are advisory locks.
    async fn holders(&self, ctl: &Ctl) -> Result<Vec<Holder>>;

    /// What whoever reads, changes or removes the volume should know, and that keeps nobody from it: writes that are not in the head's
    /// content, in a journal that is not replayed or in a client's cache, and what the store was told to do with the volume. Of a
    /// snapshot only the latter is told, for it has all that was written before it. On a local store there is none.
    async fn caveats(&self, ctl: &Ctl) -> Result<Vec<Caveat>>;

    /// Flushes, lets go, and returns what dropping would swallow. Later calls on the handle are `Usage`;
    /// closing again does nothing.
    async fn close(&self, ctl: &Ctl) -> Result<()>;
}
