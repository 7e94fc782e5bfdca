//! An intent that this process owns, with its heartbeat.

use super::owner::Owner;
use super::pages::record_of;
use super::record::{AsGiven, IntentRecord, Work};
use crate::driver::patience::retry_pause;
use crate::driver::plan::Subject;
use crate::engine::{Engine, Record};
use crate::{Ctl, Error, ErrorKind, Namespace, Result, VolumeId, VolumeSpec};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

const BEAT: Duration = Duration::from_secs(5);
const ERROR_CHARS: usize = 1024;

type Edit = Box<dyn FnOnce(&mut IntentRecord) + Send>;

/// What the keeper is asked for.
enum Ask {
    Change(Edit),
    Check,
    Remove,
}

struct Asked {
    ask: Ask,
    ctl: Ctl,
    done: oneshot::Sender<Result<()>>,
}

/// The one task that writes the record: it raises the beat between the changes it is asked for.
struct Keeper {
    engine: Arc<dyn Engine>,
    record: IntentRecord,
    stored: Vec<u8>,
}

/// An intent that this process owns. Dropped without [`finish`](Intent::finish) it stays pending.
pub(crate) struct Intent {
    id: String,
    namespace: Namespace,
    keeper: mpsc::Sender<Asked>,
}

impl Intent {
    /// Records what is about to begin; from here on the record's beat is raised while the value lives.
    ///
    /// # Errors
    /// As the engine: what cannot be recorded must not begin.
    pub(crate) async fn begin(
        engine: Arc<dyn Engine>,
        operation: &str,
        volume: &VolumeSpec,
        volume_id: Option<VolumeId>,
        work: Work,
        ctl: &Ctl,
    ) -> Result<Intent> {
        Intent::record(engine, IntentRecord::new(operation, volume, volume_id, work)?, ctl).await
    }

    /// The same of an order that takes something away, with what the volume is like now.
    ///
    /// # Errors
    /// As [`begin`](Intent::begin).
    pub(crate) async fn begin_order(
        engine: Arc<dyn Engine>,
        operation: &str,
        subject: &Subject,
        work: Work,
        as_given: Option<AsGiven>,
        ctl: &Ctl,
    ) -> Result<Intent> {
        let record = IntentRecord::new(operation, &subject.shown, Some(subject.id.clone()), work)?;
        Intent::record(engine, record.with_as_given(as_given), ctl).await
    }

    async fn record(engine: Arc<dyn Engine>, record: IntentRecord, ctl: &Ctl) -> Result<Intent> {
        let stored = record.encode()?;
        if !engine.swap_record(record.namespace(), &record.key(), None, Some(&stored), ctl).await? {
            return Err(Error::new(ErrorKind::Internal, "a random id is in use").context("intent", record.id));
        }
        Ok(Intent::kept(Keeper { engine, record, stored }))
    }

    /// Makes a record that was found this process's own; `None` when somebody else was quicker.
    pub(crate) async fn take_over(
        engine: Arc<dyn Engine>,
        found: &Record,
        mut record: IntentRecord,
        ctl: &Ctl,
    ) -> Result<Option<Intent>> {
        record.owner = Some(Owner::this_process()?);
        record.beat = record.beat.wrapping_add(1);
        record.attempts = record.attempts.saturating_add(1);
        record.next_attempt = None;
        let stored = record.encode()?;
        let ours = engine
            .swap_record(record.namespace(), &found.key, Some(&found.value), Some(&stored), ctl)
            .await?;
        let keeper = Keeper { engine, record, stored };
        Ok(ours.then(|| Intent::kept(keeper)))
    }

    fn kept(keeper: Keeper) -> Intent {
        let (id, namespace) = (keeper.record.id.clone(), keeper.record.namespace().clone());
        let (sender, asked) = mpsc::channel(1);
        // What it has the engine do is the operation's.
        tokio::spawn(keeper.run(asked).in_current_span());
        Intent { id, namespace, keeper: sender }
    }

    /// The record's id, as `pending` shows it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Records that `step` begins, and what is known of the volume since.
    ///
    /// # Errors
    /// `Partial` when the record is no longer this process's: it must stop then, and undo nothing.
    pub(crate) async fn step(&self, step: &str, id: Option<&VolumeId>, ctl: &Ctl) -> Result<()> {
        let (step, id) = (step.to_owned(), id.cloned());
        let edit = move |record: &mut IntentRecord| {
            record.push_step(step);
            record.volume_id = id.or(record.volume_id.take());
        };
        self.ask(Ask::Change(Box::new(edit)), ctl).await
    }

    /// Checks, by reading only, that the record is still this process's; a full store can still be read.
    ///
    /// # Errors
    /// `Partial` when it is not.
    pub(crate) async fn check(&self, ctl: &Ctl) -> Result<()> {
        self.ask(Ask::Check, ctl).await
    }

    /// Leaves the record to whoever comes, with the reason; agents pause the longer the more often it was tried.
    pub(crate) async fn leave(self, error: &Error, ctl: &Ctl) {
        let hint = error.remedy().map(|hint| format!("; {hint}")).unwrap_or_default();
        let why: String = format!("{}{hint}", error.report()).chars().take(ERROR_CHARS).collect();
        let edit = move |record: &mut IntentRecord| {
            record.last_error = Some(why);
            record.owner = None;
            record.next_attempt = Timestamp::now().saturating_add(retry_pause(record.attempts)).ok();
        };
        if let Err(error) = self.ask(Ask::Change(Box::new(edit)), ctl).await {
            tracing::warn!(intent = self.id, error = error.report(), "the reason could not be recorded");
        }
    }

    /// Records that the order waits for `unconfirmed`, what has become of its volume, to be confirmed; or that it was, and what the
    /// volume is like now.
    ///
    /// # Errors
    /// As [`step`](Intent::step).
    pub(crate) async fn reconsider(
        &self,
        unconfirmed: Option<String>,
        as_given: Option<AsGiven>,
        ctl: &Ctl,
    ) -> Result<()> {
        let edit = move |record: &mut IntentRecord| {
            record.unconfirmed = unconfirmed;
            record.as_given = as_given.or(record.as_given.take());
        };
        self.ask(Ask::Change(Box::new(edit)), ctl).await
    }

    /// Removes the record: everything is done, or undone.
    ///
    /// # Errors
    /// `Partial` when it is no longer this process's.
    pub(crate) async fn finish(&self, ctl: &Ctl) -> Result<()> {
        self.ask(Ask::Remove, ctl).await
    }

    /// Ends the intent of an operation of one step as the step ended.
    ///
    /// An engine that refused, or was told to stop, has left a whole volume; after any other failure nobody knows how
    /// far it came, and the record stays so that it is repeated.
    pub(crate) async fn conclude<T>(self, result: Result<T>, ctl: &Ctl) -> Result<T> {
        let ctl = &ctl.for_cleanup();
        match result {
            Err(error) if is_uncertain(error.kind()) => {
                let (id, namespace) = (self.id.clone(), self.namespace.clone());
                self.leave(&error, ctl).await;
                Err(error.context("pending", id).hint(format!("`volary reap {namespace}` finishes it")))
            }
            result => {
                if let Err(error) = self.finish(ctl).await {
                    tracing::warn!(error = error.report(), "it is done, its intent is left");
                }
                result
            }
        }
    }

    async fn ask(&self, ask: Ask, ctl: &Ctl) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Internal, "the journal's task has ended");
        self.keeper.send(Asked { ask, ctl: ctl.clone(), done }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Whether an engine that failed so may have done part of what it was asked for.
pub(crate) fn is_uncertain(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Deadline | ErrorKind::Unreachable | ErrorKind::Internal | ErrorKind::Partial)
}

impl Keeper {
    async fn run(mut self, mut asked: mpsc::Receiver<Asked>) {
        let ctl = Ctl::new().timeout(BEAT);
        loop {
            match tokio::time::timeout(BEAT, asked.recv()).await {
                Ok(None) => return,
                Ok(Some(Asked { ask, ctl, done })) => {
                    let answer = match ask {
                        Ask::Change(edit) => self.replace(edit, &ctl).await,
                        Ask::Check => self.check(&ctl).await,
                        Ask::Remove => self.swap(None, &ctl).await,
                    };
                    // Who asked may have given up; the record is as it was asked for.
                    let _ = done.send(answer);
                }
                Err(_) => {
                    // A beat that fails is left out: the lease outlasts several.
                    if let Err(error) = self.replace(|_| {}, &ctl).await {
                        let record = &self.record.id;
                        tracing::warn!(record, error = error.report(), "a heartbeat of the journal failed");
                    }
                }
            }
        }
    }

    async fn replace(&mut self, edit: impl FnOnce(&mut IntentRecord), ctl: &Ctl) -> Result<()> {
        let mut record = self.record.clone();
        record.beat = record.beat.wrapping_add(1);
        edit(&mut record);
        let new = record.encode()?;
        self.swap(Some(&new), ctl).await?;
        (self.record, self.stored) = (record, new);
        Ok(())
    }

    /// What the store has of the record, if it is still this process's.
    async fn found(&self, ctl: &Ctl) -> Result<Option<Record>> {
        let key = self.record.key();
        let found = record_of(&*self.engine, self.record.namespace(), &key, ctl).await?;
        let ours = |found: &Record| {
            let read = IntentRecord::read(self.record.namespace(), found).ok();
            read.is_some_and(|read| read.owner == self.record.owner)
        };
        match found {
            Some(found) if !ours(&found) => Err(self.lost()),
            found => Ok(found),
        }
    }

    async fn check(&self, ctl: &Ctl) -> Result<()> {
        self.found(ctl).await?.map(drop).ok_or_else(|| self.lost())
    }

    async fn swap(&mut self, new: Option<&[u8]>, ctl: &Ctl) -> Result<()> {
        let key = self.record.key();
        if self.engine.swap_record(self.record.namespace(), &key, Some(&self.stored), new, ctl).await? {
            return Ok(());
        }
        // An earlier change that seemed to fail may have been made after all.
        match self.found(ctl).await? {
            None if new.is_none() => return Ok(()),
            None => {}
            Some(found) => {
                let old = Some(found.value.as_slice());
                if self.engine.swap_record(self.record.namespace(), &key, old, new, ctl).await? {
                    return Ok(());
                }
            }
        }
        Err(self.lost())
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Partial, "somebody else has taken this operation over")
            .context("intent", &self.record.id)
            .hint("it slept longer than its lease, and another goes on with it")
    }
}
