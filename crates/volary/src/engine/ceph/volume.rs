//! An open image.

use super::connection::Connection;
use super::directory::check_size;
use super::expected::Expected;
use super::extents::{Ahead, Changing};
use super::lost::Objects;
use super::reading::Below;
use super::writers::Claim;
use super::{NO_LIMIT, extents, header, holders, snapshots};
use crate::buffer::Buffer;
use crate::engine::{
    Caveat, Child, Extent, Holder, Locker, MAX_EXTENTS_WINDOW_BYTES, OpenOptions, Parent, SnapshotInfo, Stat,
    Volume,
};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, VolumeId};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use jiff::Timestamp;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::OnceCell;

/// How much one write carries at most, half an object of the default size: an OSD takes memory for a message in one piece, and
/// for larger ones the kernel has to find and clear it anew each time (a sixth of the time of a whole import).
const WRITE_BYTES: usize = 2 << 20;

pub(super) struct Handle {
    pub(super) on: Arc<Connection>,
    pub(super) pool: rbd::Pool,
    pub(super) namespace: Namespace,
    pub(super) id: VolumeId,
    pub(super) image: Arc<rbd::Image>,
    pub(super) snapshot: Option<Name>,
    pub(super) snapshot_id: Option<u64>,
    /// The right to write, of a handle that may.
    claim: Mutex<Option<Claim>>,
    pub(super) write: bool,
    pub(super) object_bytes: u64,
    /// As last seen: what lies within it needs no asking.
    pub(super) size: AtomicU64,
    poisoned: AtomicBool,
    pub(super) ahead: Ahead,
    pub(super) expected: Expected,
    /// What is read from below the image, as of the first read.
    pub(super) below: OnceCell<Vec<Below>>,
    /// The data objects, once one of them had to be looked for.
    pub(super) objects: OnceCell<Option<Objects>>,
    pub(super) accept_mismatch: bool,
    pub(super) mismatched_bytes: AtomicU64,
}

pub(super) fn timestamp(from: Option<SystemTime>) -> Option<Timestamp> {
    from.and_then(|time| Timestamp::try_from(time).ok())
}

pub(super) fn namespace_of(image: &rbd::Child) -> Namespace {
    Namespace { pool: Name::from_bytes(image.pool.clone()), name: Name::from_bytes(image.namespace.clone()) }
}

/// Tells the watcher how far a call is, in steps of `unit` bytes, and ends it when cancelled.
pub(super) fn progress(ctl: &Ctl, unit: u64) -> rbd::Progress {
    let (ctl, told) = (ctl.clone(), AtomicU64::new(0));
    rbd::Progress::new(move |done, _total| {
        let before = told.fetch_max(done, Ordering::Relaxed);
        match done.saturating_sub(before).saturating_mul(unit) {
            0 => ctl.touch(),
            bytes => ctl.advance(bytes),
        }
        if ctl.cancel_token().is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

fn usage(message: &'static str) -> Error {
    Error::new(ErrorKind::Usage, message)
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.id)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let claim = self.claim.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(claim), Ok(runtime)) = (claim, tokio::runtime::Handle::try_current()) {
            claim.closing();
            let image = Arc::clone(&self.image);
            runtime.spawn(async move {
                if let Err(error) = image.close(NO_LIMIT).await {
                    tracing::warn!(%error, "closing a volume that was dropped");
                }
                drop(claim);
            });
        }
    }
}

impl Handle {
    pub(super) async fn new(
        on: Arc<Connection>,
        (pool, namespace): (rbd::Pool, Namespace),
        id: VolumeId,
        image: rbd::Image,
        options: &OpenOptions,
        claim: Option<Claim>,
    ) -> Result<Self> {
        let stat = image.stat(NO_LIMIT).await?;
        let snapshot_id = match &options.snapshot {
            None => None,
            Some(name) => Some(snapshots::find(&image, name).await?.id),
        };
        Ok(Handle {
            on,
            pool,
            namespace,
            id,
            image: Arc::new(image),
            snapshot: options.snapshot.clone(),
            snapshot_id,
            write: claim.is_some(),
            claim: Mutex::new(claim),
            object_bytes: stat.object_bytes,
            size: AtomicU64::new(stat.size_bytes),
            poisoned: AtomicBool::new(false),
            ahead: Ahead::default(),
            expected: Expected::default(),
            below: OnceCell::new(),
            objects: OnceCell::new(),
            accept_mismatch: options.accept_mismatch,
            mismatched_bytes: AtomicU64::new(0),
        })
    }

    /// The image once more, to read, at a snapshot.
    pub(super) async fn reopen(&self, snapshot: Option<&[u8]>) -> rbd::Result<rbd::Image> {
        self.pool.open_by_id_read_only(self.id.as_str().as_bytes(), snapshot, NO_LIMIT).await
    }

    /// Before anything is changed; what changes content keeps the answer until it is done.
    fn changes(&self) -> Result<Changing<'_>> {
        if self.write { Ok(Changing(&self.ahead)) } else { Err(usage("the volume is open to read only")) }
    }

    fn sound(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Internal, "an earlier flush failed, what was written may be lost")
            .hint("open the volume again and write anew"))
    }

    async fn resized(&self) -> Result<u64> {
        let size = self.image.size(NO_LIMIT).await?;
        self.size.store(size, Ordering::SeqCst);
        Ok(size)
    }

    async fn within(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len);
        let is_in = |size: u64| end.is_some_and(|end| end <= size);
        if is_in(self.size.load(Ordering::SeqCst)) || is_in(self.resized().await?) {
            return Ok(());
        }
        Err(usage("beyond the end of the volume").context("offset", offset).context("length", len))
    }
}

#[async_trait]
impl Volume for Handle {
    async fn stat(&self, ctl: &Ctl) -> Result<Stat> {
        self.on
            .call(ctl, "stat a volume", async {
                let shape = self.image.stat(NO_LIMIT).await?;
                let mut stat = Stat::new(self.id.clone(), self.resized().await?, shape.object_bytes);
                let features = self.image.features(NO_LIMIT).await?;
                stat.features = features.names().into_iter().map(str::to_owned).collect();
                if let Some(parent) = self.image.parent(NO_LIMIT).await? {
                    stat.parent = Some(Parent {
                        namespace: namespace_of(&parent.image),
                        volume: Name::from_bytes(parent.image.name),
                        id: id_of(&parent.image.id)?,
                        snapshot: Name::from_bytes(parent.snapshot),
                        overlap_bytes: self.image.overlap(NO_LIMIT).await?,
                        trash: parent.image.trash,
                    });
                }
                stat.created = timestamp(self.image.created(NO_LIMIT).await?);
                stat.modified = timestamp(self.image.modified(NO_LIMIT).await?);
                if let Some(name) = &self.snapshot {
                    stat.snapshot = Some(snapshots::find(&self.image, name).await?);
                }
                Ok(stat)
            })
            .await
    }

    async fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        self.on
            .transfer(ctl, "read", async {
                self.within(offset, len as u64).await?;
                self.note_below().await?;
                let (buffer, read) = self.image.read_into(offset, Buffer::take(len)).await?;
                ctl.touch();
                if read != len {
                    return Err(usage("beyond the end of the volume"));
                }
                self.find_lost(offset, &buffer).await?;
                Ok(buffer.into_bytes())
            })
            .await
    }

    async fn write(&self, offset: u64, data: Bytes, ctl: &Ctl) -> Result<()> {
        let _changing = self.changes()?;
        self.on
            .transfer(
                ctl,
                "write",
                self.change_content(async {
                    self.sound()?;
                    self.within(offset, data.len() as u64).await?;
                    let writes = (0..data.len()).step_by(WRITE_BYTES).map(|at| {
                        let end = data.len().min(at + WRITE_BYTES);
                        self.image.write(offset + at as u64, data.slice(at..end))
                    });
                    // Each is awaited, also after another has failed.
                    for written in join_all(writes).await {
                        written?;
                    }
                    ctl.touch();
                    self.wrote(offset, data.len() as u64).await
                }),
            )
            .await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()> {
        let _changing = self.changes()?;
        self.on
            .transfer(
                ctl,
                "write zeros",
                self.change_content(async {
                    self.sound()?;
                    self.within(offset, len).await?;
                    let (mut at, end) = (offset, offset.saturating_add(len));
                    while at < end {
                        // One request touches a bounded number of objects.
                        let step = MAX_EXTENTS_WINDOW_BYTES.min(end - at);
                        self.image.write_zeroes(at, usize::try_from(step).unwrap_or(usize::MAX)).await?;
                        ctl.touch();
                        at += step;
                    }
                    Ok(())
                }),
            )
            .await
    }

    async fn expect_writes(&self, ranges: &[Range<u64>], ctl: &Ctl) -> Result<()> {
        let _changing = self.changes()?;
        self.on
            .transfer(ctl, "expect writes", async {
                if let Some(last) = ranges.last() {
                    self.within(last.start, last.end - last.start).await?;
                }
                if ranges.is_empty() { self.unmark().await } else { self.mark(ranges).await }
            })
            .await
    }

    async fn flush(&self, ctl: &Ctl) -> Result<()> {
        self.changes()?;
        self.on
            .transfer(
                ctl,
                "flush",
                self.change_content(async {
                    self.sound()?;
                    self.image.flush().await.inspect_err(|error| {
                        let closed = matches!(error, rbd::Error::Closed);
                        self.poisoned.fetch_or(!closed, Ordering::SeqCst);
                    })?;
                    Ok(())
                }),
            )
            .await
    }

    async fn record_leaves(&self, _leaves: &[(u64, [u8; 32])], _ctl: &Ctl) -> Result<()> {
        // The OSDs keep checksums of their own.
        Ok(())
    }

    async fn extents(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<Vec<Extent>> {
        if len > MAX_EXTENTS_WINDOW_BYTES {
            return Err(usage("a window of more than 1 GiB").context("length", len));
        }
        self.on
            .call(ctl, "find data", async {
                self.within(offset, len).await?;
                self.note_below().await?;
                self.ahead.window(self, offset, len).await
            })
            .await
    }

    async fn confirm(&self, size_bytes: u64, ctl: &Ctl) -> Result<u64> {
        self.on.call(ctl, "confirm what was read", self.confirm_read(size_bytes)).await
    }

    async fn used_bytes(&self, ctl: &Ctl) -> Result<u64> {
        self.on
            .call(ctl, "count data", async {
                self.require_data().await?;
                extents::used_bytes(&self.image, self.resized().await?).await
            })
            .await
    }

    async fn resize(&self, size_bytes: u64, ctl: &Ctl) -> Result<()> {
        let _changing = self.changes()?;
        check_size(size_bytes)?;
        self.on
            .transfer(
                ctl,
                "resize",
                self.change_content(async {
                    self.image.resize(size_bytes, true, &progress(ctl, 0), NO_LIMIT).await?;
                    self.resized().await.map(drop)
                }),
            )
            .await
    }

    async fn flatten(&self, ctl: &Ctl) -> Result<()> {
        let _changing = self.changes()?;
        self.on.transfer(ctl, "flatten", self.change_content(self.flatten_all(ctl))).await
    }

    async fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let _changing = self.changes()?;
        self.on
            .transfer(
                ctl,
                "roll back",
                self.change_content(async {
                    self.image.rollback(snapshot.as_bytes(), &progress(ctl, 0), NO_LIMIT).await?;
                    self.resized().await.map(drop)
                }),
            )
            .await
    }

    async fn snapshots(&self, ctl: &Ctl) -> Result<Vec<SnapshotInfo>> {
        self.on.call(ctl, "list snapshots", snapshots::list(&self.image)).await
    }

    async fn create_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.changes()?;
        let create = async { Ok(self.image.create_snapshot(snapshot.as_bytes(), NO_LIMIT).await?) };
        self.on.call(ctl, "create a snapshot", self.change(create)).await
    }

    async fn rename_snapshot(&self, snapshot: &Name, to: &Name, ctl: &Ctl) -> Result<()> {
        self.changes()?;
        let rename =
            async { Ok(self.image.rename_snapshot(snapshot.as_bytes(), to.as_bytes(), NO_LIMIT).await?) };
        self.on.call(ctl, "rename a snapshot", self.change(rename)).await
    }

    async fn remove_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.changes()?;
        let progress = progress(ctl, 0);
        self.on.transfer(ctl, "remove a snapshot", self.change(self.remove_one(snapshot, &progress))).await
    }

    async fn protect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.changes()?;
        self.on.call(ctl, "protect a snapshot", self.change(self.protect_one(snapshot))).await
    }

    async fn unprotect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        self.changes()?;
        self.on.call(ctl, "unprotect a snapshot", self.change(self.unprotect_one(snapshot))).await
    }

    async fn children(&self, snapshot: Option<&Name>, ctl: &Ctl) -> Result<Vec<Child>> {
        self.on.call(ctl, "list clones", self.children_of(snapshot)).await
    }

    async fn metadata(&self, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.on
            .call(ctl, "read metadata", async {
                let mut all = self.image.metadata(NO_LIMIT).await?;
                all.sort();
                Ok(all)
            })
            .await
    }

    async fn set_metadata(&self, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()> {
        self.changes()?;
        if key.is_empty()
            || key.len() > 4 << 10
            || value.len() > 64 << 10
            || key.contains(&0)
            || value.contains(&0)
        {
            return Err(usage("a key or value of metadata is empty, too long, or holds a NUL byte"));
        }
        let set = async {
            // Fails on a handle that is closed.
            self.image.size(NO_LIMIT).await?;
            header::set_metadata(&self.pool, &self.id, [(key, value)]).await
        };
        self.on.call(ctl, "set metadata", set).await
    }

    async fn remove_metadata(&self, key: &[u8], ctl: &Ctl) -> Result<()> {
        self.changes()?;
        let remove = async { Ok(self.image.remove_metadata(key, NO_LIMIT).await?) };
        self.on.call(ctl, "remove metadata", self.change(remove)).await
    }

    async fn lockers(&self, ctl: &Ctl) -> Result<Vec<Locker>> {
        self.on.call(ctl, "list locks", self.lockers_now()).await
    }

    async fn add_lock(&self, cookie: &Name, tag: Option<&Name>, ctl: &Ctl) -> Result<Locker> {
        self.on.call(ctl, "take a lock", self.add_lock_now(cookie, tag)).await
    }

    async fn break_lock(&self, cookie: &Name, client: &Name, ctl: &Ctl) -> Result<()> {
        self.on.call(ctl, "break a lock", self.break_lock_now(cookie, client)).await
    }

    async fn holders(&self, ctl: &Ctl) -> Result<Vec<Holder>> {
        let own = self.write.then_some(self.on.client);
        let list = async {
            let mut all = holders::list(self, own).await?;
            all.extend(self.cache_holder().await?);
            Ok(all)
        };
        self.on.call(ctl, "list holders", list).await
    }

    async fn caveats(&self, ctl: &Ctl) -> Result<Vec<Caveat>> {
        self.on.call(ctl, "list caveats", self.caveats_now()).await
    }

    async fn close(&self, ctl: &Ctl) -> Result<()> {
        if self.on.silent() {
            return Err(Error::new(ErrorKind::Deadline, "the volume is left to close by itself")
                .hint("the store did not answer; see whether it is well"));
        }
        self.on.call(ctl, "close a volume", async { Ok(self.image.close(NO_LIMIT).await?) }).await?;
        drop(self.claim.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.sound()
    }
}

/// An id that Ceph told: letters and digits, always.
pub(super) fn id_of(bytes: &[u8]) -> Result<VolumeId> {
    VolumeId::new(String::from_utf8_lossy(bytes))
}
