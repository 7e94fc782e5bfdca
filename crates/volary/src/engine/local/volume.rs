//! [`Volume`] over an open head or snapshot: each method does its work on a thread, bounded by its `Ctl`.

use super::blocking;
use super::handle::Open;
use crate::engine::{Caveat, Child, Extent, Holder, Locker, SnapshotInfo, Stat, Volume};
use crate::{Ctl, Name, Result};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub(super) struct Handle(pub(super) Arc<Open>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.0.id)
            .field("snapshot", &self.0.snapshot)
            .finish_non_exhaustive()
    }
}

impl Handle {
    async fn call<T: Send + 'static>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl Fn(&Open) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (open, removes) = (self.0.clone(), ctl.removes());
        let call = move || if removes { open.store.in_reserve(|| work(&open)) } else { work(&open) };
        ctl.call(step, blocking(call)).await
    }

    async fn transfer<T: Send + 'static>(
        &self,
        ctl: &Ctl,
        step: &'static str,
        work: impl FnOnce(&Open, &Ctl) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (open, inner) = (self.0.clone(), ctl.clone());
        ctl.transfer(step, blocking(move || work(&open, &inner))).await
    }
}

#[async_trait]
impl Volume for Handle {
    async fn stat(&self, ctl: &Ctl) -> Result<Stat> {
        self.call(ctl, "stat a volume", Open::stat).await
    }

    async fn read(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<Bytes> {
        self.transfer(ctl, "read", move |open, ctl| open.read(offset, len, ctl)).await
    }

    async fn read_block(&self, offset: u64, len: usize, ctl: &Ctl) -> Result<(Bytes, Option<[u8; 32]>)> {
        self.transfer(ctl, "read", move |open, ctl| open.read_block(offset, len, ctl)).await
    }

    async fn write(&self, offset: u64, data: Bytes, ctl: &Ctl) -> Result<()> {
        self.transfer(ctl, "write", move |open, ctl| open.write(offset, &data, ctl)).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<()> {
        self.transfer(ctl, "write zeros", move |open, ctl| open.write_zeroes(offset, len, ctl)).await
    }

    async fn expect_writes(&self, _ranges: &[Range<u64>], _ctl: &Ctl) -> Result<()> {
        // Where data is is known from what is written.
        Ok(())
    }

    async fn flush(&self, ctl: &Ctl) -> Result<()> {
        self.transfer(ctl, "flush", Open::flush).await
    }

    async fn record_leaves(&self, leaves: &[(u64, [u8; 32])], ctl: &Ctl) -> Result<()> {
        let leaves = leaves.to_vec();
        self.transfer(ctl, "record checksums", move |open, ctl| open.record_leaves(&leaves, ctl)).await
    }

    async fn extents(&self, offset: u64, len: u64, ctl: &Ctl) -> Result<Vec<Extent>> {
        self.call(ctl, "list extents", move |open| open.extents(offset, len)).await
    }

    async fn confirm(&self, size_bytes: u64, ctl: &Ctl) -> Result<u64> {
        self.call(ctl, "confirm what was read", move |open| open.confirm(size_bytes)).await
    }

    async fn used_bytes(&self, ctl: &Ctl) -> Result<u64> {
        self.transfer(ctl, "count used bytes", Open::used_bytes).await
    }

    async fn resize(&self, size_bytes: u64, ctl: &Ctl) -> Result<()> {
        self.transfer(ctl, "resize", move |open, ctl| open.resize(size_bytes, ctl)).await
    }

    async fn flatten(&self, ctl: &Ctl) -> Result<()> {
        self.transfer(ctl, "flatten", Open::flatten).await
    }

    async fn rollback(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let snapshot = snapshot.clone();
        self.transfer(ctl, "roll back", move |open, ctl| open.rollback(&snapshot, ctl)).await
    }

    async fn snapshots(&self, ctl: &Ctl) -> Result<Vec<SnapshotInfo>> {
        self.call(ctl, "list snapshots", Open::snapshots).await
    }

    async fn create_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let snapshot = snapshot.clone();
        self.transfer(ctl, "create a snapshot", move |open, ctl| open.create_snapshot(&snapshot, ctl)).await
    }

    async fn rename_snapshot(&self, snapshot: &Name, to: &Name, ctl: &Ctl) -> Result<()> {
        let (snapshot, to) = (snapshot.clone(), to.clone());
        self.call(ctl, "rename a snapshot", move |open| open.rename_snapshot(&snapshot, &to)).await
    }

    async fn remove_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let snapshot = snapshot.clone();
        let remove =
            move |open: &Open, ctl: &Ctl| open.store.in_reserve(|| open.remove_snapshot(&snapshot, ctl));
        self.transfer(ctl, "remove a snapshot", remove).await
    }

    async fn protect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let snapshot = snapshot.clone();
        self.call(ctl, "protect a snapshot", move |open| open.protect_snapshot(&snapshot, true)).await
    }

    async fn unprotect_snapshot(&self, snapshot: &Name, ctl: &Ctl) -> Result<()> {
        let snapshot = snapshot.clone();
        self.call(ctl, "unprotect a snapshot", move |open| open.protect_snapshot(&snapshot, false)).await
    }

    async fn children(&self, snapshot: Option<&Name>, ctl: &Ctl) -> Result<Vec<Child>> {
        let snapshot = snapshot.cloned();
        self.call(ctl, "list children", move |open| open.children(snapshot.as_ref())).await
    }

    async fn metadata(&self, ctl: &Ctl) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.call(ctl, "list metadata", |open| {
            open.usable()?;
            open.store.metadata(&open.id)
        })
        .await
    }

    async fn set_metadata(&self, key: &[u8], value: &[u8], ctl: &Ctl) -> Result<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.call(ctl, "set metadata", move |open| {
            open.writer()?;
            open.store.set_metadata(&open.id, &key, &value)
        })
        .await
    }

    async fn remove_metadata(&self, key: &[u8], ctl: &Ctl) -> Result<()> {
        let key = key.to_vec();
        self.call(ctl, "remove metadata", move |open| {
            open.writer()?;
            open.store.remove_metadata(&open.id, &key)
        })
        .await
    }

    async fn lockers(&self, ctl: &Ctl) -> Result<Vec<Locker>> {
        self.call(ctl, "list locks", Open::lockers).await
    }

    async fn add_lock(&self, cookie: &Name, tag: Option<&Name>, ctl: &Ctl) -> Result<Locker> {
        let (cookie, tag) = (cookie.clone(), tag.cloned());
        self.call(ctl, "take a lock", move |open| open.add_lock(&cookie, tag.as_ref())).await
    }

    async fn break_lock(&self, cookie: &Name, client: &Name, ctl: &Ctl) -> Result<()> {
        let (cookie, client) = (cookie.clone(), client.clone());
        self.call(ctl, "break a lock", move |open| open.break_lock(&cookie, &client)).await
    }

    async fn holders(&self, ctl: &Ctl) -> Result<Vec<Holder>> {
        self.call(ctl, "list holders", Open::holders).await
    }

    async fn caveats(&self, ctl: &Ctl) -> Result<Vec<Caveat>> {
        // What was written is in the content, and the store does nothing that nobody waits for.
        self.call(ctl, "list caveats", |open| open.usable().map(|()| Vec::new())).await
    }

    async fn close(&self, ctl: &Ctl) -> Result<()> {
        self.transfer(ctl, "close a volume", Open::close).await
    }
}
