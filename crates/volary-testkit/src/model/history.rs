//! Living a history on an engine and in the model at once.

use super::op::Op;
use super::state::{Due, Model, Place};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use volary::engine::{
    CloneOptions, CreateOptions, Engine, OpenOptions, SnapshotRef, TrashOptions, Volume, VolumeEntry,
};
use volary::{Ctl, Name, Namespace, Result, Target, VolumeId};

/// An engine under test beside the model.
pub(super) struct Pair {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) ns: Namespace,
    pub(super) ctl: Ctl,
    pub(super) model: Model,
    /// The ids of the model's volumes, in its order.
    pub(super) ids: Vec<VolumeId>,
    /// The writers that are open.
    writers: BTreeMap<usize, Arc<dyn Volume>>,
}

pub(super) fn volume_name(name: u8) -> Name {
    Name::from_bytes(format!("v{name}"))
}

pub(super) fn snapshot_name(name: u8) -> Name {
    Name::from_bytes(format!("s{name}"))
}

/// Lives a history; `open` opens the store, again after each [`Op::Reopen`].
///
/// # Panics
/// Where engine and model part.
pub async fn live<Opening>(open: impl Fn() -> Opening, ns: &Namespace, ops: &[Op])
where
    Opening: Future<Output = Arc<dyn Engine>>,
{
    let (engine, ns) = (open().await, ns.clone());
    let mut pair = Pair {
        engine,
        ns,
        ctl: Ctl::new(),
        model: Model::default(),
        ids: Vec::new(),
        writers: BTreeMap::new(),
    };
    for (step, op) in ops.iter().chain(&[Op::Reopen]).enumerate() {
        if matches!(op, Op::Reopen) {
            pair.flush_all().await;
            pair.compare(&format!("step {step}, still open")).await;
            pair.close_all().await;
            pair.engine.shutdown().await.unwrap();
            pair.engine = open().await;
            pair.compare(&format!("step {step}, opened again")).await;
        } else {
            pair.step(op, step).await;
        }
    }
}

impl Pair {
    fn entry(&self, index: usize) -> VolumeEntry {
        VolumeEntry { name: volume_name(self.model.vols[index].name), id: self.ids[index].clone() }
    }

    async fn flush_all(&self) {
        for writer in self.writers.values() {
            writer.flush(&self.ctl).await.unwrap();
        }
    }

    async fn close_all(&mut self) {
        for writer in std::mem::take(&mut self.writers).into_values() {
            writer.close(&self.ctl).await.unwrap();
        }
    }

    /// The volume's writer, opened when it is not yet.
    async fn writer(&mut self, index: usize) -> Result<Arc<dyn Volume>> {
        if let Some(writer) = self.writers.get(&index) {
            return Ok(Arc::clone(writer));
        }
        let target = Target::Id(self.ids[index].clone());
        let writer = self.engine.open(&self.ns, &target, &OpenOptions::write(), &self.ctl).await?;
        self.writers.insert(index, Arc::clone(&writer));
        Ok(writer)
    }

    /// Whether the volume's writer stays open for a call that this blocks.
    async fn is_open(&mut self, index: usize, close: bool) -> bool {
        if close && let Some(writer) = self.writers.remove(&index) {
            writer.close(&self.ctl).await.unwrap();
        }
        self.writers.contains_key(&index)
    }

    async fn step(&mut self, op: &Op, step: usize) {
        let pick = |volume: &u8| usize::from(*volume) % self.model.vols.len().max(1);
        let (due, result) = match op {
            Op::Create { name, size } => {
                let options = CreateOptions::new(*size);
                let made = self.engine.create(&self.ns, &volume_name(*name), &options, &self.ctl).await;
                (self.model.create(*name, *size), made.map(|id| self.ids.push(id)))
            }
            Op::Clone { volume, snapshot, name } => {
                let index = pick(volume);
                // A store that clones nothing in trash says so: a difference with a case of its own.
                if matches!(self.model.vols[index].place, Place::Trash { .. })
                    && !self.engine.describe(&self.ctl).await.unwrap().clones_from_trash
                {
                    return;
                }
                let from = SnapshotRef {
                    namespace: self.ns.clone(),
                    volume: self.ids[index].clone(),
                    snapshot: snapshot_name(*snapshot),
                };
                let options = CloneOptions::default();
                let made =
                    self.engine.clone_volume(&from, &self.ns, &volume_name(*name), &options, &self.ctl).await;
                (self.model.clone_volume(index, *snapshot, *name), made.map(|id| self.ids.push(id)))
            }
            Op::Rename { volume, name } => {
                let index = pick(volume);
                let entry = self.entry(index);
                // To its own name: Ceph and POSIX disagree, and nobody needs it.
                if self.model.named(*name) == Some(index) {
                    return;
                }
                let result = self.engine.rename(&self.ns, &entry, &volume_name(*name), &self.ctl).await;
                (self.model.rename(index, *name), result)
            }
            Op::Remove { volume, close } => {
                let index = pick(volume);
                let (open, entry) = (self.is_open(index, *close).await, self.entry(index));
                let removed = self.engine.remove(&self.ns, &entry, &self.ctl).await;
                (self.model.remove(index, open), removed.map(drop))
            }
            Op::TrashMove { volume, keep, close } => {
                let index = pick(volume);
                let (open, entry) = (self.is_open(index, *close).await, self.entry(index));
                let time = Duration::from_secs(if *keep { 3600 } else { 0 });
                let result =
                    self.engine.trash_move(&self.ns, &entry, &TrashOptions::keep(time), &self.ctl).await;
                (self.model.trash_move(index, *keep, open), result)
            }
            Op::TrashRestore { volume, name } => {
                let index = pick(volume);
                let vol = &self.model.vols[index];
                // What is out of trash under another name is no restore that anybody would repeat.
                if vol.place == Place::Named && vol.name != *name {
                    return;
                }
                let result = self
                    .engine
                    .trash_restore(&self.ns, &self.ids[index], &volume_name(*name), &self.ctl)
                    .await;
                (self.model.trash_restore(index, *name), result)
            }
            Op::TrashRemove { volume, force, close } => {
                let index = pick(volume);
                let open = self.is_open(index, *close).await;
                let result = self.engine.trash_remove(&self.ns, &self.ids[index], *force, &self.ctl).await;
                (self.model.trash_remove(index, *force, open), result.map(drop))
            }
            Op::Close { volume } => {
                self.is_open(pick(volume), true).await;
                return;
            }
            Op::Reopen => return,
            Op::Write { volume, .. }
            | Op::Zero { volume, .. }
            | Op::Read { volume, .. }
            | Op::Flush { volume }
            | Op::Resize { volume, .. }
            | Op::Snapshot { volume, .. }
            | Op::Protect { volume, .. }
            | Op::Unprotect { volume, .. }
            | Op::RemoveSnapshot { volume, .. }
            | Op::RenameSnapshot { volume, .. }
            | Op::Rollback { volume, .. }
            | Op::Flatten { volume } => {
                let index = pick(volume);
                let opened = self.writer(index).await;
                if self.model.vols[index].place == Place::Gone {
                    (vec![volary::ErrorKind::NotFound], opened.map(drop))
                } else {
                    self.inside(op, index, &opened.unwrap()).await
                }
            }
        };
        let got = result.as_ref().err().map(volary::Error::kind);
        let fits = got.map_or(due.is_empty(), |kind| due.contains(&kind));
        assert!(fits, "step {step}, {op:?}: due {due:?}, got {got:?} {:?}", result.err().map(|e| e.report()));
    }

    /// A step on an open volume.
    async fn inside(&mut self, op: &Op, index: usize, writer: &Arc<dyn Volume>) -> (Due, Result<()>) {
        let (model, ctl) = (&mut self.model, &self.ctl);
        let size = model.vols[index].head.len() as u64;
        match op {
            Op::Write { at, len, byte, .. } => {
                let (offset, len) = range(*at, *len, size);
                let data = Bytes::from(vec![*byte; usize::try_from(len).unwrap()]);
                (model.write(index, offset, len, *byte), writer.write(offset, data, ctl).await)
            }
            Op::Zero { at, len, .. } => {
                let (offset, len) = range(*at, *len, size);
                (model.write(index, offset, len, 0), writer.write_zeroes(offset, len, ctl).await)
            }
            Op::Read { at, len, .. } => {
                let (offset, len) = range(*at, *len, size);
                let (start, count) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
                let got = writer.read(offset, count, ctl).await;
                let head = &model.vols[index].head;
                if offset + len > size {
                    return (vec![volary::ErrorKind::Usage], got.map(drop));
                }
                let same =
                    got.map(|bytes| assert!(bytes == head[start..start + count], "{op:?} reads otherwise"));
                (vec![], same)
            }
            Op::Flush { .. } => (vec![], writer.flush(ctl).await),
            Op::Resize { size, .. } => (model.resize(index, *size), writer.resize(*size, ctl).await),
            Op::Snapshot { snapshot, .. } => {
                let result = writer.create_snapshot(&snapshot_name(*snapshot), ctl).await;
                (model.snapshot(index, *snapshot), result)
            }
            Op::Protect { snapshot, .. } => {
                let result = writer.protect_snapshot(&snapshot_name(*snapshot), ctl).await;
                (model.protect(index, *snapshot), result)
            }
            Op::Unprotect { snapshot, .. } => {
                let result = writer.unprotect_snapshot(&snapshot_name(*snapshot), ctl).await;
                (model.unprotect(index, *snapshot), result)
            }
            Op::RemoveSnapshot { snapshot, .. } => {
                let result = writer.remove_snapshot(&snapshot_name(*snapshot), ctl).await;
                (model.remove_snapshot(index, *snapshot), result)
            }
            Op::RenameSnapshot { snapshot, to, .. } if snapshot != to => {
                let (from, into) = (snapshot_name(*snapshot), snapshot_name(*to));
                let result = writer.rename_snapshot(&from, &into, ctl).await;
                (model.rename_snapshot(index, *snapshot, *to), result)
            }
            Op::Rollback { snapshot, .. } => {
                let result = writer.rollback(&snapshot_name(*snapshot), ctl).await;
                (model.rollback(index, *snapshot), result)
            }
            Op::Flatten { .. } => (model.flatten(index), writer.flatten(ctl).await),
            _ => (vec![], Ok(())),
        }
    }
}

/// Turns a drawn place into a range: at a fraction of the size, at a block boundary, or near the end; one time in
/// sixteen it may reach beyond the end.
fn range(at: u32, len: u64, size: u64) -> (u64, u64) {
    let offset = match at % 4 {
        0 => (4 << 20) * u64::from(at >> 2) % size.next_multiple_of(4 << 20),
        1 => size.saturating_sub(u64::from(at >> 2) % 1000),
        _ => (u64::from(at >> 2) * size) >> 30,
    };
    let offset = offset.min(size);
    if at >> 28 == 15 { (offset, len) } else { (offset, len.min(size - offset)) }
}
