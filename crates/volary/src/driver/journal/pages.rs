//! Reading the journal, a page at a time: whoever may write a namespace may fill its journal.

use super::record::{INTENT_PREFIX, IntentRecord, Unread};
use crate::engine::{Engine, Record};
use crate::{Ctl, Namespace, Result, Store, VolumeId};

/// How many records are read at a time, and looked at in one round.
pub(super) const PAGE: usize = 1000;
/// How many records are searched for what is about one volume.
const SEARCHED: usize = 10 * PAGE;

/// A record with what was read of it.
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) read: std::result::Result<IntentRecord, Unread>,
}

impl Found {
    /// The id as it is shown: of an invalid record it is whatever follows the prefix of its key.
    pub(super) fn shown_id(&self) -> String {
        let id = self.record.key.strip_prefix(INTENT_PREFIX).unwrap_or_default();
        crate::escape(id.as_bytes()).into_owned()
    }
}

/// A page of a namespace's journal.
pub(super) struct Page {
    pub(super) found: Vec<Found>,
    pub(super) next: Option<Vec<u8>>,
}

/// What a search of a journal brought.
pub(crate) struct Intents {
    pub(crate) found: Vec<IntentRecord>,
    /// Whether there are records that could not be read, or too many to read them all.
    pub(crate) unread: bool,
}

/// The record of a key, if there is one.
pub(super) async fn record_of(
    engine: &dyn Engine,
    namespace: &Namespace,
    key: &str,
    ctl: &Ctl,
) -> Result<Option<Record>> {
    // Of all keys that begin with it, it is the first itself.
    let page = engine.records(namespace, key, b"", 1, ctl).await?;
    Ok(page.records.into_iter().find(|record| record.key == key))
}

impl Store {
    /// A page of the intents of a namespace's journal, in the order of their ids.
    pub(super) async fn journal_page(&self, namespace: &Namespace, after: &[u8], ctl: &Ctl) -> Result<Page> {
        let page = self.engine().records(namespace, INTENT_PREFIX, after, PAGE, ctl).await?;
        let read = |record: Record| Found { read: IntentRecord::read(namespace, &record), record };
        Ok(Page { found: page.records.into_iter().map(read).collect(), next: page.next })
    }

    /// The intents of a namespace's journal that are wanted, as far as a journal of a sensible size goes.
    pub(crate) async fn intents(
        &self,
        namespace: &Namespace,
        wanted: impl Fn(&IntentRecord) -> bool,
        ctl: &Ctl,
    ) -> Result<Intents> {
        let mut intents = Intents { found: Vec::new(), unread: false };
        let (mut after, mut searched) = (Some(Vec::new()), 0);
        while let Some(start) = after {
            if searched >= SEARCHED {
                intents.unread = true;
                break;
            }
            let page = self.journal_page(namespace, &start, ctl).await?;
            searched += PAGE;
            for found in page.found {
                match found.read {
                    Ok(read) if wanted(&read) => intents.found.push(read),
                    Ok(_) => {}
                    Err(_) => intents.unread = true,
                }
            }
            after = page.next;
        }
        Ok(intents)
    }

    /// Whether the same work on a volume has been left in the journal already, for any reaper.
    pub(crate) async fn is_left(
        &self,
        namespace: &Namespace,
        volume: &VolumeId,
        work: &super::Work,
        ctl: &Ctl,
    ) -> Result<bool> {
        let left = self.intents(namespace, |intent| intent.is_left_for(volume, work), ctl).await?;
        Ok(!left.found.is_empty())
    }

    /// How many intents a namespace's journal has.
    pub(crate) async fn count_intents(&self, namespace: &Namespace, ctl: &Ctl) -> Result<u64> {
        let (mut after, mut count) = (Some(Vec::new()), 0_u64);
        while let Some(start) = after {
            let page = self.engine().records(namespace, INTENT_PREFIX, &start, PAGE, ctl).await?;
            count = count.saturating_add(page.records.len() as u64);
            after = page.next;
        }
        Ok(count)
    }
}
