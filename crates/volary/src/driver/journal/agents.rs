//! The agents of a namespace: each keeps a record beside the journal and raises its beat, by which the others see it.

use super::owner::Owner;
use super::pages::record_of;
use super::random_hex;
use crate::engine::Record;
use crate::{Ctl, Error, ErrorKind, Namespace, Result, Store};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const AGENT_PREFIX: &str = "agent.";
/// Seldom, so that an idle store stays nearly idle: nobody needs to know at once.
const BEAT: Duration = Duration::from_secs(300);
/// A beat that stands still for longer is that of an agent that has ended without a word.
const LEASE: Duration = Duration::from_secs(1000);
/// So many others are counted at most: whoever may write the namespace can leave any number of records.
const MOST: usize = 100;
/// A record that is longer is no agent's.
const MAX_BYTES: usize = 4 << 10;

/// A record as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    owner: Owner,
    beat: u64,
}

/// This agent's own record.
struct Ours {
    key: String,
    says: Stored,
    /// What the store has of it, as far as is known.
    kept: Option<Vec<u8>>,
    raised: Option<Instant>,
}

/// Another agent's record as it was seen, and since when it has not changed.
struct Sighting {
    record: blake3::Hash,
    since: Instant,
}

/// An agent that stays, among those that work on the same namespace.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use volary::*; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
/// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
/// let mut one = Presence::new(store.clone(), Namespace::default());
/// let mut two = Presence::new(store, Namespace::default());
/// assert_eq!((one.is_due(), one.announce(ctl).await?, one.is_due()), (true, 0, false));
/// assert_eq!(two.announce(ctl).await?, 1);
/// one.withdraw(ctl).await
/// # }).unwrap();
/// ```
pub struct Presence {
    store: Store,
    namespace: Namespace,
    ours: Option<Ours>,
    others: HashMap<String, Sighting>,
}

impl Presence {
    /// An agent that nobody knows of yet.
    pub fn new(store: Store, namespace: Namespace) -> Presence {
        Presence { store, namespace, ours: None, others: HashMap::new() }
    }

    /// Whether five minutes have passed since [`announce`](Presence::announce) succeeded.
    pub fn is_due(&self) -> bool {
        self.ours.as_ref().and_then(|ours| ours.raised).is_none_or(|raised| raised.elapsed() >= BEAT)
    }

    /// Raises this agent's beat, and says how many others there are, a hundred at most.
    ///
    /// Another one counts until its process on this host is known to be gone, or its beat has been seen to stand still for a quarter of an hour; its
    /// record is removed then. No two clocks are compared. One that is taken for dead and lives makes its record anew.
    ///
    /// # Errors
    /// When the namespace's records cannot be read or written; `NoSpace` in a store that is full.
    pub async fn announce(&mut self, ctl: &Ctl) -> Result<usize> {
        if self.ours.is_none() {
            self.ours = Some(Ours::new()?);
        }
        self.count_others(ctl).await?;
        if let Some(ours) = &mut self.ours {
            ours.raise(&self.store, &self.namespace, ctl).await?;
        }
        Ok(self.others.len())
    }

    /// Removes this agent's record: the others count it no longer, once they look.
    ///
    /// # Errors
    /// When the record cannot be removed; the others count this agent for a quarter of an hour then.
    pub async fn withdraw(self, ctl: &Ctl) -> Result<()> {
        let Some(Ours { key, kept: Some(kept), .. }) = self.ours else { return Ok(()) };
        self.store.engine().swap_record(&self.namespace, &key, Some(&kept), None, ctl).await.map(drop)
    }

    async fn count_others(&mut self, ctl: &Ctl) -> Result<()> {
        let (engine, namespace) = (self.store.engine(), &self.namespace);
        let ours = self.ours.as_ref().map(|ours| ours.key.as_str());
        let page = engine.records(namespace, AGENT_PREFIX, b"", MOST, ctl).await?;
        let (now, mut seen) = (Instant::now(), HashMap::new());
        for record in page.records.into_iter().filter(|record| Some(record.key.as_str()) != ours) {
            let Some(owner) = owner_of(&record) else { continue };
            let hash = blake3::hash(&record.value);
            let since = match self.others.get(&record.key) {
                None => {
                    tracing::info!(%namespace, agent = owner.shown(), "another agent works here");
                    now
                }
                Some(sighting) if sighting.record == hash => sighting.since,
                Some(_) => now,
            };
            if owner.is_gone() || now.saturating_duration_since(since) >= LEASE {
                engine.swap_record(namespace, &record.key, Some(&record.value), None, ctl).await?;
            } else {
                seen.insert(record.key, Sighting { record: hash, since });
            }
        }
        self.others = seen;
        Ok(())
    }
}

impl Ours {
    fn new() -> Result<Ours> {
        let says = Stored { owner: Owner::this_process()?, beat: 0 };
        Ok(Ours { key: format!("{AGENT_PREFIX}{}", random_hex()?), says, kept: None, raised: None })
    }

    async fn raise(&mut self, store: &Store, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        self.says.beat = self.says.beat.wrapping_add(1);
        let new = serde_json::to_vec(&self.says)
            .map_err(|error| Error::new(ErrorKind::Internal, "writing an agent's record").because(error))?;
        let engine = store.engine();
        if !engine.swap_record(namespace, &self.key, self.kept.as_deref(), Some(&new), ctl).await? {
            // An answer was lost, or another agent took this one for dead.
            let found = record_of(engine, namespace, &self.key, ctl).await?.map(|record| record.value);
            engine.swap_record(namespace, &self.key, found.as_deref(), Some(&new), ctl).await?;
        }
        (self.kept, self.raised) = (Some(new), Some(Instant::now()));
        Ok(())
    }
}

/// Who a record is of, if it is an agent's.
fn owner_of(record: &Record) -> Option<Owner> {
    let value = Some(&record.value).filter(|value| value.len() <= MAX_BYTES)?;
    serde_json::from_slice::<Stored>(value).ok().map(|stored| stored.owner)
}
