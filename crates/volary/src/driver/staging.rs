//! Staging: a new volume is filled where no listing shows it, and published whole under its name in one step.

use super::journal::{Intent, random_hex};
use super::store::Store;
use super::transfer::on_thread;
use crate::engine::{CreateOptions, OpenOptions, Volume, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use std::sync::Arc;
use std::time::Duration;

/// How staging volumes are called until they lie in trash.
pub(crate) const STAGING_PREFIX: &str = "volary-staging-";
/// How long trash keeps a staging volume from being purged by others: longer than any transfer, yet not for good.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long undoing may take on a store that has just not answered.
const MOMENT: Duration = Duration::from_secs(2);

const LEFT: &str = "`volary trash ls` shows what is left, `volary trash rm` removes it";

fn unanswered(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unreachable)
}

/// A volume on its way; it ends in [`publish`](Staging::publish) or [`undo`](Staging::undo).
pub(crate) struct Staging {
    store: Store,
    namespace: Namespace,
    name: Name,
    staging: Name,
    id: Option<VolumeId>,
    volume: Option<Arc<dyn Volume>>,
    intent: Intent,
}

impl Staging {
    /// Makes a staging volume for `spec`, of which `size_bytes` read as zeros.
    ///
    /// # Errors
    /// As the engine; what had been begun is undone then.
    pub(crate) async fn begin(
        store: &Store,
        operation: &'static str,
        spec: &VolumeSpec,
        size_bytes: u64,
        ctl: &Ctl,
    ) -> Result<(Staging, Arc<dyn Volume>)> {
        let name = spec.new_name()?;
        let staging = Name::new(&format!("{STAGING_PREFIX}{}", random_hex()?))?;
        let namespace = spec.namespace.clone();
        let intent =
            Intent::begin(store.shared_engine(), &namespace, operation, &name, &staging, ctl).await?;
        let store = store.clone();
        let mut this = Staging { store, namespace, name, staging, id: None, volume: None, intent };
        match this.make(size_bytes, ctl).await {
            Ok(volume) => Ok((this, volume)),
            Err(error) => Err(this.undo(error, ctl).await),
        }
    }

    async fn make(&mut self, size_bytes: u64, ctl: &Ctl) -> Result<Arc<dyn Volume>> {
        let (engine, namespace) = (self.store.shared_engine(), &self.namespace);
        let id = engine.create(namespace, &self.staging, &CreateOptions::new(size_bytes), ctl).await?;
        self.id = Some(id.clone());
        self.intent.step("staged", Some(&id), ctl).await?;
        let entry = VolumeEntry { name: self.staging.clone(), id: id.clone() };
        engine.trash_move(namespace, &entry, KEEP, ctl).await?;
        let volume = engine.open(namespace, &Target::Id(id), &OpenOptions::write(), ctl).await?;
        self.volume = Some(volume.clone());
        Ok(volume)
    }

    /// The id the volume will have.
    pub(crate) fn id(&self) -> Result<&VolumeId> {
        self.id.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "a staging volume without id"))
    }

    /// Records the next step of the operation.
    pub(crate) async fn step(&self, step: &'static str, ctl: &Ctl) -> Result<()> {
        self.intent.step(step, None, ctl).await
    }

    /// Gives the volume its name; when another has it already, everything is undone.
    ///
    /// # Errors
    /// `AlreadyExists`; `Interrupted` if cancelled before; `Partial` when it is not known whether it was published.
    pub(crate) async fn publish(self, ctl: &Ctl) -> Result<VolumeId> {
        let announced = match ctl.check("publish") {
            Ok(()) => self.step("publishing", ctl).await,
            interrupted => interrupted,
        };
        if let Err(error) = announced {
            return Err(self.undo(error, ctl).await);
        }
        // From here on there is no way back but another's name: a cancel comes too late.
        let ctl = &ctl.for_cleanup();
        let id = self.id()?.clone();
        let engine = self.store.shared_engine();
        let mut restored = engine.trash_restore(&self.namespace, &id, &self.name, ctl).await;
        if restored.as_ref().is_err_and(|error| !unanswered(error)) {
            // Repeating it finishes what was cut short, and resets an entry that lost its name to another.
            restored = engine.trash_restore(&self.namespace, &id, &self.name, ctl).await;
        }
        match restored {
            Ok(()) => {
                self.close().await;
                if let Err(error) = self.intent.finish(ctl).await {
                    tracing::warn!(error = error.report(), "the volume is published, its intent is left");
                }
                Ok(id)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(self.undo(error, ctl).await),
            Err(error) if unanswered(&error) => Err(self.left(error, "whether it was published is unknown")),
            Err(error) => {
                let error = self.pending("publishing is not finished", error, None);
                self.intent.leave(&error, ctl).await;
                Err(error)
            }
        }
    }

    /// Takes everything away again and returns `error`; when that fails too, the rest stays pending and the error
    /// says so.
    ///
    /// A store that did not answer before is given a moment only, and what it cannot do in it is left: the caller has
    /// waited long enough, and the kind of the error stays what it was.
    pub(crate) async fn undo(mut self, error: Error, ctl: &Ctl) -> Error {
        let ctl = &ctl.for_cleanup();
        if !unanswered(&error) {
            return match self.try_undo(ctl).await {
                Ok(()) => error,
                Err(rest) => {
                    let error = self.pending("it failed, and undoing it is not finished", error, Some(&rest));
                    self.intent.leave(&error, ctl).await;
                    error
                }
            };
        }
        let rest = match tokio::time::timeout(MOMENT, self.try_undo(ctl)).await {
            Ok(Ok(())) => return error,
            Ok(Err(rest)) => rest.report(),
            Err(_) => "the store does not answer".to_owned(),
        };
        self.left(error, &rest)
    }

    async fn try_undo(&mut self, ctl: &Ctl) -> Result<()> {
        // Whoever took the operation over undoes it, or is publishing it.
        self.intent.check(ctl).await?;
        self.take_away(ctl).await?;
        self.intent.finish(ctl).await
    }

    /// What is left of it when the store does not answer.
    fn left(&self, error: Error, rest: &str) -> Error {
        let error = error.context("intent", self.intent.id()).context("pending", format!("{rest}; {LEFT}"));
        match &self.id {
            Some(id) => error.context("id", id),
            None => error,
        }
    }

    async fn take_away(&mut self, ctl: &Ctl) -> Result<()> {
        let (engine, namespace) = (self.store.shared_engine(), &self.namespace);
        if let Some(volume) = self.volume.take() {
            let snapshots = volume.snapshots(ctl).await?;
            // Dropped, not closed: what is not flushed is to be lost, and on a full disk only that makes the room
            // that removing needs.
            on_thread("letting go of a staging volume", move || {
                drop(volume);
                Ok(())
            })
            .await?;
            // Opened anew, as a handle that a failed flush has poisoned removes none.
            if let (false, Some(id)) = (snapshots.is_empty(), self.id.clone()) {
                let options = OpenOptions::write();
                let volume = engine.open(namespace, &Target::Id(id), &options, ctl).await?;
                for snapshot in snapshots {
                    volume.unprotect_snapshot(&snapshot.name, ctl).await?;
                    volume.remove_snapshot(&snapshot.name, ctl).await?;
                }
                volume.close(ctl).await?;
            }
        }
        // Under its staging name it is found even if its creation was cut short before it told its id.
        if let Some(entry) = engine.find(namespace, &Target::Name(self.staging.clone()), ctl).await? {
            return engine.remove(namespace, &entry, ctl).await;
        }
        match &self.id {
            None => Ok(()),
            Some(id) => match engine.trash_remove(namespace, id, true, ctl).await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        }
    }

    /// Lets go of the published volume. A failed close loses nothing: it was flushed before.
    async fn close(&self) {
        if let Some(volume) = &self.volume
            && let Err(error) = volume.close(&Ctl::new()).await
        {
            tracing::debug!(error = error.report(), "closing a staging volume");
        }
    }

    fn pending(&self, what: &str, error: Error, rest: Option<&Error>) -> Error {
        let mut pending = Error::new(ErrorKind::Partial, what).context("intent", self.intent.id());
        if let Some(rest) = rest {
            pending = pending.context("rest", rest.report());
        }
        pending.hint(LEFT).because(error)
    }
}
