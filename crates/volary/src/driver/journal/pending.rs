//! What is pending: the intents in a namespace's journal, shown and forgotten.

use super::owner::Owner;
use super::pages::{Found, record_of};
use super::record::{INTENT_PREFIX, IntentRecord, Unread, is_due};
use crate::driver::audit::audited;
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Store, VolumeId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// What is said of a record that could not be read.
pub(super) const UNKNOWN: &str = "unknown";

/// An operation that has begun and is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingListing {
    /// The intent's id.
    pub id: String,
    /// The pool and namespace in whose journal it lies.
    pub namespace: Namespace,
    /// What was asked for.
    pub operation: String,
    /// The volume, as it was called then.
    pub volume: String,
    /// The volume's id, if it has one yet.
    pub volume_id: Option<VolumeId>,
    /// The last step that was begun.
    pub step: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// The host and process that works on it; nobody, when it was left.
    pub owner: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Before then no agent tries again.
    pub next_attempt: Option<Timestamp>,
    /// How long ago it was asked for, by this host's clock.
    pub age_seconds: u64,
    /// Why nothing of it is carried out, if it is invalid: Volary did not write it for this namespace.
    pub invalid: Option<String>,
    /// What has become of the volume since the order was given: it waits until somebody confirms it (`ReapOptions::confirm`).
    pub unconfirmed: Option<String>,
    /// The command that settles it, or confirms it if it waits for that, and the one that drops it; of an invalid one only the latter.
    pub remedy: String,
}

/// A page of what is pending in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingPage {
    /// The operations, in the order of their ids.
    pub intents: Vec<PendingListing>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Vec<u8>>,
}

/// Everything that the journal has of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingRecord {
    /// The intent's id.
    pub id: String,
    /// The pool and namespace in whose journal it lies.
    pub namespace: Namespace,
    /// Why nothing of it is carried out, if it is invalid: Volary did not write it for this namespace.
    pub invalid: Option<String>,
    /// The record as it is kept. Of an invalid one all texts are escaped; it is a text itself when it is no JSON.
    pub record: Value,
}

impl PendingListing {
    pub(super) fn of(namespace: &Namespace, found: &Found) -> PendingListing {
        let unread = match &found.read {
            Ok(of) => {
                let (id, drops) = (&of.id, remedy(&of.id, namespace));
                let remedy = match of.unconfirmed {
                    Some(_) => format!(
                        "`volary pending retry --confirm {id} {namespace}` carries it out all the same, {drops}"
                    ),
                    None => format!("`volary pending retry {id} {namespace}` settles it, {drops}"),
                };
                return PendingListing {
                    remedy,
                    unconfirmed: of.unconfirmed.clone(),
                    id: of.id.clone(),
                    namespace: namespace.clone(),
                    operation: of.operation.clone(),
                    volume: of.spec().to_string(),
                    volume_id: of.volume_id.clone(),
                    step: of.steps.last().cloned(),
                    attempts: of.attempts,
                    owner: of.owner.as_ref().map(Owner::shown),
                    last_error: of.last_error.clone(),
                    next_attempt: of.next_attempt,
                    age_seconds: u64::try_from(Timestamp::now().duration_since(of.created).as_secs())
                        .unwrap_or(0),
                    invalid: None,
                };
            }
            Err(unread) => unread,
        };
        let id = found.shown_id();
        let last_error = match unread {
            Unread::Invalid(_) => None,
            Unread::Format(_) => Some(unread.error(namespace, &id).report()),
        };
        PendingListing {
            remedy: remedy(&id, namespace),
            unconfirmed: None,
            id,
            namespace: namespace.clone(),
            operation: UNKNOWN.to_owned(),
            volume: String::new(),
            volume_id: None,
            step: None,
            attempts: 0,
            owner: None,
            last_error,
            next_attempt: None,
            age_seconds: 0,
            invalid: unread.invalid().map(str::to_owned),
        }
    }

    /// Whether an agent may try it now: nobody else paused it, it does not wait to be confirmed, and is not invalid.
    pub fn is_due(&self) -> bool {
        self.invalid.is_none() && self.unconfirmed.is_none() && is_due(self.next_attempt)
    }
}

impl Store {
    /// The operations in a namespace's journal that have begun and are not finished, those at work included.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// let place = Namespace::default();
    /// assert!(store.pending(&place, ctl).await?.is_empty());
    /// assert!(store.reap(&[place], &ReapOptions::default(), ctl).await?.is_empty());
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace.
    pub async fn pending(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<PendingListing>> {
        let (mut all, mut after) = (Vec::new(), Some(Vec::new()));
        while let Some(start) = after {
            ctl.check("pending")?;
            let page = self.pending_page(namespace, &start, ctl).await?;
            all.extend(page.intents);
            after = page.next;
        }
        Ok(all)
    }

    /// The same of one volume.
    ///
    /// # Errors
    /// As [`pending`](Store::pending).
    pub(crate) async fn pending_of(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        ctl: &Ctl,
    ) -> Result<Vec<PendingListing>> {
        let mut pending = self.pending(namespace, ctl).await?;
        pending.retain(|of| of.volume_id.as_ref() == Some(id));
        Ok(pending)
    }

    /// A page of [`pending`](Store::pending), for journals that are too long to be read at once: what comes after
    /// [`PendingPage::next`] of the page before, or the first for an empty `after`.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace.
    pub async fn pending_page(&self, namespace: &Namespace, after: &[u8], ctl: &Ctl) -> Result<PendingPage> {
        let page = self.journal_page(namespace, after, ctl).await?;
        let intents = page.found.iter().map(|found| PendingListing::of(namespace, found)).collect();
        Ok(PendingPage { intents, next: page.next })
    }

    /// An intent's record, whole, as it is kept, and whether it is invalid; `None` when the journal of the namespace has
    /// none of that id.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace.
    pub async fn pending_record(
        &self,
        namespace: &Namespace,
        id: &str,
        ctl: &Ctl,
    ) -> Result<Option<PendingRecord>> {
        let Some(found) = self.found(namespace, id, ctl).await? else { return Ok(None) };
        let text = || Value::String(crate::escape(&found.record.value).into_owned());
        let whole = serde_json::from_slice(&found.record.value).ok();
        let invalid = found.read.as_ref().err().and_then(Unread::invalid).map(str::to_owned);
        let record = match (&found.read, whole) {
            (Ok(_), Some(whole)) => whole,
            (Err(_), Some(whole)) => escaped(whole),
            (_, None) => text(),
        };
        Ok(Some(PendingRecord { id: found.shown_id(), namespace: namespace.clone(), invalid, record }))
    }

    /// Takes an intent out of the journal without settling it: what it had begun stays as it is. `false` when the
    /// journal of the namespace has none of that id.
    ///
    /// # Errors
    /// `Blocked` while its owner may be at work, unless `force`d.
    pub async fn forget(&self, namespace: &Namespace, id: &str, force: bool, ctl: &Ctl) -> Result<bool> {
        audited(
            "pending_forget",
            namespace,
            json!({"intent": id, "force": force}),
            async {
                let ctl = &ctl.for_removal();
                let Some(Found { record, read }) = self.found(namespace, id, ctl).await? else {
                    return Ok(false);
                };
                let owner = read.ok().and_then(|read| read.owner);
                if let Some(owner) = owner.filter(|owner| !owner.is_gone() && !force) {
                    return Err(Error::new(ErrorKind::Blocked, "its owner may be at work on it")
                        .context("intent", id)
                        .context("owner", owner.shown())
                        .hint(format!(
                            "`volary reap {namespace}` settles it if the owner is dead; --force forgets it all the same"
                        )));
                }
                let gone =
                    self.engine().swap_record(namespace, &record.key, Some(&record.value), None, ctl).await?;
                if gone {
                    return Ok(true);
                }
                Err(Error::new(ErrorKind::Blocked, "somebody has changed it meanwhile")
                    .context("intent", id)
                    .hint(format!("`volary pending ls {namespace}` shows how it stands")))
            },
            |forgotten| (if *forgotten { "forgotten" } else { "absent" }, json!({})),
        )
        .await
    }

    async fn found(&self, namespace: &Namespace, id: &str, ctl: &Ctl) -> Result<Option<Found>> {
        // The key of an invalid record can hold what is shown escaped.
        let id = crate::unescape(id).ok().and_then(|id| String::from_utf8(id).ok());
        let Some(id) = id else { return Ok(None) };
        let key = format!("{INTENT_PREFIX}{id}");
        let record = record_of(self.engine(), namespace, &key, ctl).await?;
        Ok(record.map(|record| Found { read: IntentRecord::read(namespace, &record), record }))
    }
}

fn remedy(id: &str, namespace: &Namespace) -> String {
    format!("`volary pending forget {id} {namespace}` drops it")
}

/// The same with every text in it escaped.
fn escaped(value: Value) -> Value {
    let text = |text: &str| crate::escape(text.as_bytes()).into_owned();
    match value {
        Value::String(of) => Value::String(text(&of)),
        Value::Array(of) => Value::Array(of.into_iter().map(escaped).collect()),
        Value::Object(of) => of.into_iter().map(|(key, value)| (text(&key), escaped(value))).collect(),
        plain => plain,
    }
}
