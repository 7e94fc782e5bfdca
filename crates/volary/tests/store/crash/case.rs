//! The operations of many steps: what each needs to be there, and the operation itself.

use super::yard::{BLOCK, Yard};
use std::time::Duration;
use volary::engine::OpenOptions;
use volary::{CopyOptions, Outcome, RemoveOptions, RemoveReport, Result, SnapshotRemoveOptions, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Import,
    Copy,
    Clone,
    Flatten,
    Rollback,
    Protect,
    RemoveSnapshot,
    TrashMove,
    Restore,
    RemoveTrashed,
    Remove,
    Purge,
    Defer,
}

/// Success only of what is gone, as its report says.
fn gone(report: RemoveReport) -> Result<()> {
    match report.error() {
        Some(error) => Err(error),
        None => {
            assert!(matches!(report.outcome, Outcome::Removed | Outcome::Deferred), "{report:?}");
            Ok(())
        }
    }
}

impl Yard {
    pub(crate) async fn prepare(&self, operation: Operation) {
        let (store, ctl) = (&self.store, &self.ctl);
        if matches!(operation, Operation::Create | Operation::Import) {
            return;
        }
        self.import(store, "base").await.unwrap();
        match operation {
            Operation::Flatten | Operation::RemoveSnapshot | Operation::Purge => {
                store.clone_volume(&self.spec("base@golden"), &self.spec("child"), ctl).await.unwrap();
            }
            Operation::Rollback => {
                let spec = self.spec("base");
                let options = OpenOptions::write();
                let volume = store.engine().open(&spec.namespace, &spec.volume, &options, ctl).await.unwrap();
                volume.write(BLOCK, vec![9; 32 << 10].into(), ctl).await.unwrap();
                volume.close(ctl).await.unwrap();
            }
            Operation::Remove | Operation::RemoveTrashed => {
                let force = SnapshotRemoveOptions { force: true, ..Default::default() };
                store.remove_snapshot(&self.spec("base@golden"), force, ctl).await.unwrap();
            }
            _ => {}
        }
        if matches!(operation, Operation::Restore | Operation::RemoveTrashed) {
            store.trash_move(&self.spec("base"), Duration::ZERO, ctl).await.unwrap();
        }
    }

    pub(crate) async fn run(&self, store: &Store, operation: Operation) -> Result<()> {
        let ctl = &self.ctl;
        let (base, golden, new) = (self.spec("base"), self.spec("base@golden"), self.spec("new"));
        // What a lost answer had opened is let go in a moment.
        let remove = RemoveOptions { wait: Duration::from_secs(60), ..RemoveOptions::default() };
        match operation {
            Operation::Create => store.create(&new, 3 * BLOCK, ctl).await.map(drop),
            Operation::Import => self.import(store, "new").await,
            Operation::Copy => store.copy(&base, &new, CopyOptions::default(), ctl).await.map(drop),
            Operation::Clone => store.clone_volume(&golden, &new, ctl).await.map(drop),
            Operation::Flatten => store.flatten(&self.spec("child"), ctl).await.map(drop),
            Operation::Rollback => store.rollback(&golden, ctl).await.map(drop),
            Operation::Protect => store.create_snapshot(&self.spec("base@v2"), true, ctl).await.map(drop),
            Operation::RemoveSnapshot => {
                let options = SnapshotRemoveOptions { force: true, flatten_children: true };
                let outcome = store.remove_snapshot(&golden, options, ctl).await?;
                outcome.error().map_or(Ok(()), Err)
            }
            Operation::TrashMove => store.trash_move(&base, Duration::from_secs(60), ctl).await.map(drop),
            Operation::Restore => {
                let id = self.in_trash("base").await;
                store.trash_restore(&id, None, ctl).await.map(drop)
            }
            Operation::RemoveTrashed => {
                let id = self.in_trash("base").await;
                gone(store.trash_remove(&id, true, ctl).await?)
            }
            Operation::Remove => gone(store.remove(&base, &remove, ctl).await?),
            Operation::Purge => {
                let all = RemoveOptions { purge_snapshots: true, flatten_children: true, ..remove };
                gone(store.remove(&base, &all, ctl).await?)
            }
            Operation::Defer => {
                let defer = Some(Duration::from_secs(60));
                let options =
                    RemoveOptions { purge_snapshots: true, flatten_children: true, defer, ..remove };
                gone(store.remove(&base, &options, ctl).await?)
            }
        }
    }
}
