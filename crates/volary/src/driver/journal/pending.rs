//! What is pending: the intents in a namespace's journal, shown and forgotten.

use super::record::{INTENT_PREFIX, IntentRecord, Work};
use crate::engine::Record;
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Store, VolumeId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// An operation that has begun and is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingListing {
    /// The intent's id.
    pub id: String,
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
}

impl PendingListing {
    pub(super) fn of(record: &Record) -> PendingListing {
        match IntentRecord::decode(record) {
            Ok(of) => PendingListing {
                id: of.id,
                operation: of.operation,
                volume: of.volume,
                volume_id: of.volume_id,
                step: of.steps.last().cloned(),
                attempts: of.attempts,
                owner: of.owner.map(|owner| owner.shown()),
                last_error: of.last_error,
                next_attempt: of.next_attempt,
                age_seconds: u64::try_from(Timestamp::now().duration_since(of.created).as_secs())
                    .unwrap_or(0),
            },
            Err(error) => PendingListing {
                id: crate::escape(record.key.trim_start_matches(INTENT_PREFIX).as_bytes()).into_owned(),
                operation: "unknown".to_owned(),
                volume: String::new(),
                volume_id: None,
                step: None,
                attempts: 0,
                owner: None,
                last_error: Some(error.report()),
                next_attempt: None,
                age_seconds: 0,
            },
        }
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
        let records = self.engine().records(namespace, INTENT_PREFIX, ctl).await?;
        Ok(records.iter().map(PendingListing::of).collect())
    }

    /// The intents of a namespace's journal; one that a newer Volary wrote is the error of reading it.
    pub(crate) async fn intents(
        &self,
        namespace: &Namespace,
        ctl: &Ctl,
    ) -> Result<Vec<Result<IntentRecord>>> {
        let records = self.engine().records(namespace, INTENT_PREFIX, ctl).await?;
        Ok(records.iter().map(IntentRecord::decode).collect())
    }

    /// An intent's record, whole, as it is kept; `None` when the journal of the namespace has none of that id.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace.
    pub async fn pending_record(&self, namespace: &Namespace, id: &str, ctl: &Ctl) -> Result<Option<Value>> {
        let Some(record) = self.record_of(namespace, id, ctl).await? else { return Ok(None) };
        let whole = serde_json::from_slice(&record.value);
        Ok(Some(whole.unwrap_or_else(|_| Value::String(crate::escape(&record.value).into_owned()))))
    }

    /// Takes an intent out of the journal without settling it: what it had begun stays as it is. `false` when the
    /// journal of the namespace has none of that id.
    ///
    /// # Errors
    /// `Blocked` while its owner may be at work, unless `force`d.
    #[tracing::instrument(name = "pending_forget", skip_all, fields(intent = id, force))]
    pub async fn forget(&self, namespace: &Namespace, id: &str, force: bool, ctl: &Ctl) -> Result<bool> {
        let Some(record) = self.record_of(namespace, id, ctl).await? else { return Ok(false) };
        let owner = IntentRecord::decode(&record).ok().and_then(|record| record.owner);
        if let Some(owner) = owner.filter(|owner| !owner.is_gone() && !force) {
            return Err(Error::new(ErrorKind::Blocked, "its owner may be at work on it")
                .context("intent", id)
                .context("owner", owner.shown())
                .hint("`volary reap` settles it if the owner is dead; --force forgets it all the same"));
        }
        let gone = self.engine().swap_record(namespace, &record.key, Some(&record.value), None, ctl).await?;
        if gone {
            return Ok(true);
        }
        Err(Error::new(ErrorKind::Blocked, "somebody has changed it meanwhile")
            .context("intent", id)
            .hint("`volary pending` shows how it stands"))
    }

    /// Whether the same work on a volume has been left in the journal already, for whoever comes.
    pub(crate) async fn is_left(
        &self,
        namespace: &Namespace,
        volume: &VolumeId,
        work: &Work,
        ctl: &Ctl,
    ) -> Result<bool> {
        let records = self.engine().records(namespace, INTENT_PREFIX, ctl).await?;
        let mut left = records.iter().filter_map(|record| IntentRecord::decode(record).ok());
        Ok(left.any(|of| of.owner.is_none() && of.volume_id.as_ref() == Some(volume) && of.work == *work))
    }

    async fn record_of(&self, namespace: &Namespace, id: &str, ctl: &Ctl) -> Result<Option<Record>> {
        let key = format!("{INTENT_PREFIX}{id}");
        Ok(self.engine().records(namespace, &key, ctl).await?.into_iter().find(|record| record.key == key))
    }
}
