//! Cloning: an empty layer on a snapshot's, in one transaction.

use super::directory::{NewVolume, insert_volume, require_free, resolve, usable};
use super::opening::snapshot_row;
use super::pools::namespace_row;
use super::store::Store;
use crate::engine::{CloneOptions, SnapshotRef};
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use rusqlite::params;

impl Store {
    pub(super) fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
    ) -> Result<VolumeId> {
        usable(name)?;
        self.db.write(|tx| {
            let of = resolve(tx, &parent.namespace, &Target::Id(parent.volume.clone()))?;
            let snapshot = snapshot_row(tx, &of, &parent.snapshot)?;
            let namespace = namespace_row(tx, namespace)?;
            if options.trash.is_none() {
                require_free(tx, namespace, name)?;
            }
            if !snapshot.protected {
                return Err(Error::new(ErrorKind::Blocked, "the snapshot is not protected")
                    .context("snapshot", &parent.snapshot)
                    .into());
            }
            let layer = Some((snapshot.id, snapshot.layer));
            let (size, trash) = (snapshot.size, options.trash);
            let id = insert_volume(tx, &NewVolume { namespace, name, size, parent: layer, trash })?;
            tx.execute(
                "INSERT INTO metadata SELECT ?2, key, value FROM metadata WHERE volume = ?1",
                params![of.as_str(), id.as_str()],
            )?;
            Ok(id)
        })
    }
}
