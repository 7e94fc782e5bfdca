//! Staging: a new volume is made where no listing shows it, and published whole under its name in one step.

use super::calls::called;
use super::handle::closing;
use super::journal::{Intent, Work, random_hex};
use super::patience::patiently;
use super::store::Store;
use super::transfer::on_thread;
use crate::engine::{
    CloneOptions, CreateOptions, OpenOptions, SnapshotRef, TrashEntry, TrashOptions, TrashState, Volume,
    VolumeEntry,
};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use std::sync::Arc;
use std::time::Duration;

/// How staging volumes are called until they lie in trash.
pub(crate) const STAGING_PREFIX: &str = "volary-staging-";
/// The step from which on there is no way back: the volume may be seen under its name.
pub(crate) const PUBLISHING: &str = "publishing";
/// The step that takes the announcement back: the store refused for certain, and the volume is taken away.
const REFUSED: &str = "refused";
/// How long trash keeps a staging volume from being purged by others: longer than any transfer, yet not for good.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long undoing may take on a store that has just not answered.
const MOMENT: Duration = Duration::from_secs(2);

fn unanswered(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unreachable)
}

/// What a staging volume begins as.
pub(crate) enum Origin<'a> {
    /// So many bytes that read as zeros.
    Empty { size_bytes: u64 },
    /// A snapshot's content.
    Clone(&'a SnapshotRef),
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
    /// How long to wait for who holds it, when it is to be taken away: a dead process still watches for a while.
    wait: Duration,
}

impl Staging {
    /// Makes a staging volume for `spec`.
    ///
    /// # Errors
    /// As the engine; what had been begun is undone then.
    pub(crate) async fn begin(
        store: &Store,
        operation: &'static str,
        spec: &VolumeSpec,
        origin: Origin<'_>,
        ctl: &Ctl,
    ) -> Result<Staging> {
        let name = spec.new_name()?;
        let staging = Name::new(&format!("{STAGING_PREFIX}{}", random_hex()?))?;
        let namespace = spec.namespace.clone();
        let work = Work::Make { staging: staging.clone() };
        let intent = Intent::begin(store.shared_engine(), operation, spec, None, work, ctl).await?;
        let store = store.clone();
        let mut this =
            Staging { store, namespace, name, staging, id: None, volume: None, intent, wait: Duration::ZERO };
        match this.make(origin, ctl).await {
            Ok(()) => Ok(this),
            Err(error) => Err(this.undo(error, ctl).await),
        }
    }

    /// What another process had begun and this one has taken over.
    pub(crate) fn resume(
        store: &Store,
        spec: &VolumeSpec,
        staging: Name,
        id: Option<VolumeId>,
        intent: Intent,
        wait: Duration,
    ) -> Result<Staging> {
        let (store, namespace, name) = (store.clone(), spec.namespace.clone(), spec.new_name()?);
        Ok(Staging { store, namespace, name, staging, id, volume: None, intent, wait })
    }

    async fn make(&mut self, origin: Origin<'_>, ctl: &Ctl) -> Result<()> {
        let (engine, namespace, staging) = (self.store.shared_engine(), &self.namespace, &self.staging);
        let id = match origin {
            Origin::Empty { size_bytes } => {
                let options = CreateOptions::new(size_bytes).in_trash(KEEP);
                engine.create(namespace, staging, &options, ctl).await?
            }
            Origin::Clone(parent) => {
                let options = CloneOptions::default().in_trash(KEEP);
                engine.clone_volume(parent, namespace, staging, &options, ctl).await?
            }
        };
        self.id = Some(id.clone());
        self.intent.step("staged", Some(&id), ctl).await
    }

    /// Opens it to be filled.
    ///
    /// # Errors
    /// As the engine; everything is undone then.
    pub(crate) async fn opened(mut self, ctl: &Ctl) -> Result<(Staging, Arc<dyn Volume>)> {
        let opened = async {
            let target = Target::Id(self.id()?.clone());
            self.store.engine().open(&self.namespace, &target, &OpenOptions::write(), ctl).await
        };
        match opened.await {
            Ok(volume) => {
                self.volume = Some(volume.clone());
                Ok((self, volume))
            }
            Err(error) => Err(self.undo(error, ctl).await),
        }
    }

    /// The id the volume will have.
    pub(crate) fn id(&self) -> Result<&VolumeId> {
        self.id.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "a staging volume without id"))
    }

    /// Gives the volume its name; when another has it already, everything is undone.
    ///
    /// # Errors
    /// `AlreadyExists`; `Interrupted` if cancelled before; `Partial` when it is not known whether it was published.
    pub(crate) async fn publish(self, ctl: &Ctl) -> Result<VolumeId> {
        // What it holds is as it is to be; the log has that before the step by which the volume gets its name.
        crate::steps::end();
        let announced = match ctl.check("publish") {
            Ok(()) => self.intent.step(PUBLISHING, None, ctl).await,
            interrupted => interrupted,
        };
        match announced {
            Ok(()) => self.publish_announced(ctl).await,
            // It may have been written all the same, and whoever finds it publishes: it is taken back before anything else is.
            Err(error) if unanswered(&error) && !self.taken_back(ctl).await => {
                Err(self.left(error, "whether it is announced is unknown"))
            }
            Err(error) => Err(self.undo(error, ctl).await),
        }
    }

    /// Takes an announcement back that was not answered; no when the store does not answer in a moment.
    async fn taken_back(&self, ctl: &Ctl) -> bool {
        let ctl = &ctl.for_cleanup();
        let refused = tokio::time::timeout(MOMENT, self.intent.step(REFUSED, None, ctl)).await;
        matches!(refused, Ok(Ok(())))
    }

    /// From here on there is no way back but another's name: a cancel comes too late.
    pub(crate) async fn publish_announced(self, ctl: &Ctl) -> Result<VolumeId> {
        let ctl = &ctl.for_cleanup();
        let id = self.id()?.clone();
        let engine = self.store.shared_engine();
        let publish = || called("publish as", engine.trash_restore(&self.namespace, &id, &self.name, ctl));
        let mut restored = publish().await;
        if restored.as_ref().is_err_and(|error| !unanswered(error)) {
            // Repeating it finishes what was cut short, and resets an entry that lost its name to another.
            restored = publish().await;
        }
        match restored {
            Ok(()) => {
                let ((), finished) = futures::join!(self.close(ctl), self.intent.finish(ctl));
                if let Err(error) = finished {
                    tracing::warn!(error = error.report(), "the volume is published, its intent is left");
                }
                Ok(id)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(self.undo(error, ctl).await),
            Err(error) if unanswered(&error) => Err(self.left(error, "whether it was published is unknown")),
            Err(error) if error.kind() == ErrorKind::NoSpace && self.withdrawn(&id, ctl).await => {
                Err(self.undo(error, ctl).await)
            }
            Err(error) => {
                let error = self.pending("publishing is not finished", error, None);
                self.intent.leave(&error, ctl).await;
                Err(error)
            }
        }
    }

    /// Takes the announcement back, so that nobody publishes any more what is being taken away; no when it cannot be, or when
    /// the name was given all the same.
    async fn withdrawn(&self, id: &VolumeId, ctl: &Ctl) -> bool {
        let named = self.store.engine().find(&self.namespace, &Target::Name(self.name.clone()), ctl).await;
        named.is_ok_and(|found| found.is_none_or(|found| found.id != *id))
            && self.intent.step(REFUSED, None, ctl).await.is_ok()
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
                    let what = match error.kind() {
                        ErrorKind::Interrupted => "it was interrupted, and undoing it is not finished",
                        _ => "it failed, and undoing it is not finished",
                    };
                    let error = self.pending(what, error, Some(&rest));
                    // An interrupted process has no time for that either, and its own end shows that it is gone.
                    if !ctl.is_late() {
                        self.intent.leave(&error, ctl).await;
                    }
                    error
                }
            };
        }
        if self.id.is_none() {
            // What was not answered may still be done, and then has to be found.
            return self.left(error, "whether it was made is unknown");
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
        let error = error
            .context("intent", self.intent.id())
            .context("pending", format!("{rest}; {}", self.settles_it()));
        match &self.id {
            Some(id) => error.context("id", id),
            None => error,
        }
    }

    async fn take_away(&mut self, ctl: &Ctl) -> Result<()> {
        if let Some(volume) = self.volume.take() {
            // Dropped, not closed: what is not flushed is to be lost, and on a full disk only that makes the room
            // that removing needs.
            let doing = "letting go of a staging volume";
            let letting_go = on_thread(doing, move || {
                drop(volume);
                Ok(())
            });
            ctl.finish(doing, letting_go).await?;
        }
        match patiently(self.wait, ctl, || self.remove(ctl)).await {
            // An earlier removal that was given up has ended meanwhile: its entry in trash goes last.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    async fn remove(&self, ctl: &Ctl) -> Result<()> {
        let (engine, namespace) = (self.store.shared_engine(), &self.namespace);
        let trash = engine.trash(namespace, ctl).await?;
        // By its staging name, which nothing else has, it is found even if its creation was cut short before it told its id.
        let is_it = |found: &TrashEntry| match &self.id {
            Some(id) => found.id == *id,
            None => found.name == self.staging,
        };
        let Some(found) = trash.into_iter().find(is_it) else {
            // Or where the store has to make it before it puts it into trash.
            return match engine.find(namespace, &Target::Name(self.staging.clone()), ctl).await? {
                Some(entry) => engine.remove(namespace, &entry, ctl).await.map(drop),
                None => Ok(()),
            };
        };
        if found.state == TrashState::Moving {
            let entry = VolumeEntry { name: self.staging.clone(), id: found.id.clone() };
            engine.trash_move(namespace, &entry, &TrashOptions::keep(KEEP), ctl).await?;
        }
        self.remove_snapshots(&found.id, ctl).await?;
        engine.trash_remove(namespace, &found.id, true, ctl).await.map(drop)
    }

    /// Takes the snapshots away that were made before it failed.
    async fn remove_snapshots(&self, id: &VolumeId, ctl: &Ctl) -> Result<()> {
        let (engine, target) = (self.store.engine(), Target::Id(id.clone()));
        let volume = match engine.open(&self.namespace, &target, &OpenOptions::read(None), ctl).await {
            // Half removed already.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            volume => volume?,
        };
        let snapshots = volume.snapshots(ctl).await;
        let snapshots = closing(&volume, snapshots, ctl).await?;
        if snapshots.is_empty() {
            return Ok(());
        }
        // A handle of its own, as one that a failed flush has poisoned removes none.
        let volume = engine.open(&self.namespace, &target, &OpenOptions::write(), ctl).await?;
        let removed = async {
            for snapshot in snapshots {
                volume.unprotect_snapshot(&snapshot.name, ctl).await?;
                volume.remove_snapshot(&snapshot.name, ctl).await?;
            }
            Ok(())
        };
        closing(&volume, removed.await, ctl).await
    }

    /// Lets go of the published volume. A failed close loses nothing: it was flushed before.
    async fn close(&self, ctl: &Ctl) {
        if let Some(volume) = &self.volume
            && let Err(error) = volume.close(ctl).await
        {
            tracing::debug!(error = error.report(), "closing a staging volume");
        }
    }

    fn pending(&self, what: &str, error: Error, rest: Option<&Error>) -> Error {
        let mut pending = Error::new(ErrorKind::Partial, what).context("intent", self.intent.id());
        if let Some(rest) = rest {
            pending = pending.context("rest", rest.report());
        }
        pending.hint(self.settles_it()).because(error)
    }

    /// What helps where something is left.
    fn settles_it(&self) -> String {
        format!("`volary pending ls {0}` shows what is left, `volary reap {0}` settles it", self.namespace)
    }
}
