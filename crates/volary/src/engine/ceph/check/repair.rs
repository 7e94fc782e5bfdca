//! What can be done about a finding: completing what was broken off, and making anew what follows from the rest.

use super::super::NO_LIMIT;
use super::super::class::method;
use super::super::connection::Ceph;
use super::super::directory::{DIRECTORY, both, id_key, name_key, put_string};
use super::super::volume::{Handle, progress};
use super::super::{children, trash, trash_move};
use crate::engine::{CheckScope, Finding, OpenOptions, Repair, TrashEntry, TrashState, Volume, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Target, VolumeId};
use rbd::{Errno, Swap};

impl Ceph {
    pub(in super::super) async fn repair_finding(
        &self,
        scope: &CheckScope,
        finding: &Finding,
        ctl: &Ctl,
    ) -> Result<bool> {
        let none = || Error::new(ErrorKind::Usage, "nothing repairs this finding");
        let (CheckScope::Namespace(namespace), Some(id), Some(repair)) =
            (scope, &finding.id, &finding.repair)
        else {
            return Err(none());
        };
        match repair {
            Repair::RebuildObjectMap(snapshot) => self.rebuild(namespace, id, *snapshot, ctl).await,
            Repair::FinishSnapshotRemoval(_) => {
                // Opening to write finishes it.
                let volume = self.open_head(namespace, id, ctl).await?;
                volume.close(&ctl.for_cleanup()).await.map(|()| true)
            }
            Repair::FinishMove => {
                let Some(entry) = self.trash_entry(namespace, id, TrashState::Moving, ctl).await? else {
                    return Ok(false);
                };
                let finish = async { trash_move::finish(&self.0.enter(namespace).await?, &entry).await };
                if self.0.call(ctl, "finish a move into trash", finish).await? {
                    return Ok(true);
                }
                Err(Error::new(ErrorKind::Blocked, "the volume has another name now")
                    .context("id", id)
                    .hint(format!("`volary info {}` shows it", namespace.volume_by_id(id.clone()))))
            }
            Repair::FinishRestore(name) => {
                if self.trash_entry(namespace, id, TrashState::Restoring, ctl).await?.is_none() {
                    return Ok(false);
                }
                let finish =
                    async { trash::restore(&self.0.enter(namespace).await?, namespace, id, name).await };
                self.0.call(ctl, "finish a restore from trash", finish).await.map(|()| true)
            }
            Repair::ListAgain | Repair::MakeIdObject => {
                let Some(Target::Name(name)) = finding.volume.as_ref().map(|spec| &spec.volume) else {
                    return Err(none());
                };
                let entry = VolumeEntry { name: name.clone(), id: id.clone() };
                let again = *repair == Repair::ListAgain;
                let work = async {
                    let pool = self.0.enter(namespace).await?;
                    if again { list_again(&pool, &entry).await } else { make_id_object(&pool, &entry).await }
                };
                self.0.call(ctl, "repair the directory", work).await
            }
            Repair::ForgetClone(entry) => {
                let forget =
                    async { children::forget(&self.0, &self.0.enter(namespace).await?, id, entry).await };
                self.0.call(ctl, "take the entry of a clone away", forget).await
            }
            Repair::EnterClone => {
                // Nobody flattens it while it is open here.
                let clone = self.open_head(namespace, id, ctl).await?;
                let entered = self.0.call(ctl, "enter a clone", children::enter(&clone.pool, id)).await;
                let closed = clone.close(&ctl.for_cleanup()).await;
                closed.and(entered)
            }
            _ => Err(none()),
        }
    }

    async fn open_head(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Handle> {
        let (target, options) = (Target::Id(id.clone()), OpenOptions::write());
        self.0.call(ctl, "open a volume", self.open_volume(namespace, &target, &options)).await
    }

    /// Makes an object map anew, while nobody else has the volume open.
    async fn rebuild(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        snapshot: Option<u64>,
        ctl: &Ctl,
    ) -> Result<bool> {
        let head = self.open_head(namespace, id, ctl).await?;
        let rebuild = async {
            let Some(number) = snapshot else {
                return head.rebuild_map(ctl).await.map(|()| true);
            };
            // Opened there at once it fails without a map; set to it afterwards it does not.
            let at = head.pool.open_by_id(id.as_str().as_bytes(), None, NO_LIMIT).await?;
            let rebuilt = match at.set_snapshot(number, NO_LIMIT).await {
                Ok(()) => at.rebuild_object_map(&progress(ctl, 0), NO_LIMIT).await,
                set => set,
            };
            at.close(NO_LIMIT).await?;
            match rebuilt {
                // The snapshot was removed meanwhile.
                Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
                rebuilt => Ok(rebuilt.map(|()| true)?),
            }
        };
        let rebuilt = self.0.transfer(ctl, "rebuild an object map", rebuild).await;
        let closed = head.close(&ctl.for_cleanup()).await;
        closed.and(rebuilt)
    }

    async fn trash_entry(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        state: TrashState,
        ctl: &Ctl,
    ) -> Result<Option<TrashEntry>> {
        let read = async { trash::entry(&self.0.enter(namespace).await?, id).await };
        let entry = self.0.call(ctl, "read trash", read).await?;
        Ok(entry.filter(|entry| entry.state == state))
    }
}

/// Adds the one of a volume's two entries that is missing, while the other is as it was.
async fn list_again(pool: &rbd::Pool, entry: &VolumeEntry) -> Result<bool> {
    let (id, name) = (entry.id.as_str().as_bytes(), entry.name.as_bytes());
    let now = both(pool, entry).await?;
    let (forward, backward) = match (now.forward.as_deref(), now.backward.as_deref()) {
        (Some(there), None) if there == id => (Some(put_string(id)), None),
        (None, Some(there)) if there == name => (None, Some(put_string(name))),
        _ => return Ok(false),
    };
    let swaps = vec![
        Swap { key: name_key(name), expected: forward, new: Some(put_string(id)) },
        Swap { key: id_key(&entry.id), expected: backward, new: Some(put_string(name)) },
    ];
    Ok(pool.omap_swap(DIRECTORY, swaps, NO_LIMIT).await?)
}

/// Makes the object that leads from the name to the id, while the directory does and there is none.
async fn make_id_object(pool: &rbd::Pool, entry: &VolumeEntry) -> Result<bool> {
    let id = entry.id.as_str().as_bytes();
    if both(pool, entry).await?.forward.as_deref() != Some(id) {
        return Ok(false);
    }
    let object = [b"rbd_id.", entry.name.as_bytes()].concat();
    let set_id = method(c"set_id", [put_string(id)]);
    match pool.object_change(&object, true, vec![set_id], NO_LIMIT).await {
        Err(error) if error.errno() == Some(Errno::EEXIST) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}
