//! What an intent's record says, once it has been checked.

mod as_given;
mod stored;

pub(crate) use as_given::AsGiven;

use super::owner::Owner;
use super::random_hex;
use crate::engine::Record;
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use jiff::Timestamp;
use std::time::Duration;

/// The prefix of the records' keys.
pub(crate) const INTENT_PREFIX: &str = "intent.";
/// Long enough to miss several beats while a store fails over, short enough that an operator need not wait.
const LEASE_SECONDS: u64 = 30;
/// A record that says more than this is not waited for longer.
const LONGEST_LEASE_SECONDS: u64 = 600;
/// No agent pauses longer than an hour: a later time comes from another clock, or from somebody who wants no attempt at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 3600);
/// How many of its latest steps a record keeps, so that it never outgrows what a store takes.
const STEPS: usize = 64;

/// What was begun, as far as another process must know it to finish or undo it. Snapshots are named by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// A volume is made under a staging name: undone, but from `publishing` on published.
    Make { staging: Name },
    /// A volume is removed, or put into trash for so long.
    Remove { purge_snapshots: bool, flatten_children: bool, keep: Option<Duration> },
    /// A volume is put into trash for so long, as it is.
    MoveToTrash { keep: Duration },
    /// A snapshot is removed.
    RemoveSnapshot { snapshot: u64, unprotect: bool, flatten_children: bool },
    /// A volume in trash is removed for good.
    RemoveTrashed,
    /// A volume in trash gets a name again.
    Restore { name: Name },
    /// A clone is parted from its parent.
    Flatten,
    /// The head is set back to a snapshot.
    Rollback { snapshot: u64 },
    /// A snapshot was made and is to be protected.
    Protect { snapshot: Name },
}

/// A record of the journal of a namespace, about a volume of that namespace.
///
/// It is made by [`new`](IntentRecord::new), or read by [`read`](IntentRecord::read), which checks all that a store keeps. Nothing
/// else can make one, since one field is private: what settles work takes this type, so nothing unchecked gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntentRecord {
    namespace: Namespace,
    pub(super) id: String,
    /// What the user asked for: `import`, `remove` …
    pub(super) operation: String,
    /// Who works on it; nobody, when it was left for any reaper.
    pub(super) owner: Option<Owner>,
    pub(super) beat: u64,
    pub(super) lease_seconds: u64,
    /// The volume as it was called then.
    pub(super) volume: Target,
    /// Its id; only work that makes a volume can be without one.
    pub(super) volume_id: Option<VolumeId>,
    pub(super) work: Work,
    /// The steps that were begun, the last ones of many.
    pub(super) steps: Vec<String>,
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
    /// Before then no agent tries again.
    pub(super) next_attempt: Option<Timestamp>,
    pub(super) created: Timestamp,
    /// What the volume was like, of an order that takes something away.
    pub(super) as_given: Option<AsGiven>,
    /// What has become of the volume since: the order waits until somebody confirms it.
    pub(super) unconfirmed: Option<String>,
}

/// Why a record is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Volary did not write it for this namespace: the reason.
    Invalid(String),
    /// Another version of Volary wrote it, in this format.
    Format(u32),
}

impl Unread {
    /// The reason, of an invalid one.
    pub(super) fn invalid(&self) -> Option<&str> {
        match self {
            Unread::Invalid(reason) => Some(reason),
            Unread::Format(_) => None,
        }
    }

    /// The error of what needed the record.
    pub(super) fn error(&self, namespace: &Namespace, id: &str) -> Error {
        let error = match self {
            Unread::Invalid(reason) => Error::new(ErrorKind::Refused, "the record is invalid")
                .context("reason", reason)
                .hint(format!(
                    "nothing of it is carried out; `volary pending forget {id} {namespace}` removes it"
                )),
            Unread::Format(format) => {
                Error::new(ErrorKind::Unsupported, "the record's format is not known here")
                    .context("format", format)
                    .hint("a Volary of another version wrote it: settle it with that one")
            }
        };
        error.context("intent", id)
    }
}

impl IntentRecord {
    /// A record of this process, about to begin.
    pub(super) fn new(
        operation: &str,
        volume: &VolumeSpec,
        volume_id: Option<VolumeId>,
        work: Work,
    ) -> Result<Self> {
        Ok(IntentRecord {
            namespace: volume.namespace.clone(),
            id: random_hex()?,
            operation: operation.to_owned(),
            owner: Some(Owner::this_process()?),
            beat: 0,
            lease_seconds: LEASE_SECONDS,
            volume: volume.volume.clone(),
            volume_id,
            work,
            steps: Vec::new(),
            attempts: 1,
            last_error: None,
            next_attempt: None,
            created: Timestamp::now(),
            as_given: None,
            unconfirmed: None,
        })
    }

    /// The same of an order that takes something away, with what the volume is like now.
    pub(super) fn with_as_given(self, as_given: Option<AsGiven>) -> Self {
        IntentRecord { as_given, ..self }
    }

    /// Reads a record that lies in the journal of `namespace`.
    pub(crate) fn read(namespace: &Namespace, record: &Record) -> std::result::Result<Self, Unread> {
        stored::read(namespace, record)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        stored::write(self)
    }

    pub(super) fn key(&self) -> String {
        format!("{INTENT_PREFIX}{}", self.id)
    }

    /// The namespace in whose journal it lies.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The volume it is about, by the name it had.
    pub(super) fn spec(&self) -> VolumeSpec {
        VolumeSpec { namespace: self.namespace.clone(), volume: self.volume.clone(), snapshot: None }
    }

    /// How long its beat must stand still before another process may take it over.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.min(LONGEST_LEASE_SECONDS))
    }

    /// Whether an agent may try again now.
    pub(super) fn is_due(&self) -> bool {
        self.unconfirmed.is_none() && is_due(self.next_attempt)
    }

    /// The error of an order that waits until somebody confirms it, because of what has become of the volume since.
    pub(crate) fn unconfirmed(&self, why: &str) -> Error {
        Error::new(ErrorKind::Blocked, "the order waits to be confirmed: the volume is not as it was when it was given")
            .context("volume", self.spec())
            .context("since", why)
            .hint(format!(
                "`volary pending retry --confirm {0} {1}` carries it out on the volume as it is now, `volary pending forget {0} {1}` drops it",
                self.id, self.namespace
            ))
    }

    /// Whether a step of that name was begun, as far as the record goes back.
    pub(super) fn has_begun(&self, step: &str) -> bool {
        self.steps.iter().any(|begun| begun == step)
    }

    /// Adds a step, and drops the oldest of many.
    pub(super) fn push_step(&mut self, step: String) {
        self.steps.push(step);
        let older = self.steps.len().saturating_sub(STEPS);
        self.steps.drain(..older);
    }

    /// The name, in trash, of the volume it makes, which may be there before the record tells its id.
    pub(crate) fn staging(&self) -> Option<&Name> {
        match &self.work {
            Work::Make { staging } => Some(staging),
            _ => None,
        }
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// What the volume was like, of an order that takes something away.
    pub(crate) fn as_given(&self) -> Option<&AsGiven> {
        self.as_given.as_ref()
    }

    /// The id of the volume it is about; work that makes one can be without.
    pub(crate) fn volume_id(&self) -> Option<&VolumeId> {
        self.volume_id.as_ref()
    }

    /// Whether it is an order that nobody works on, for the same work on a volume.
    pub(super) fn is_left_for(&self, volume: &VolumeId, work: &Work) -> bool {
        self.owner.is_none() && self.volume_id.as_ref() == Some(volume) && self.work == *work
    }
}

/// Whether the time of a next attempt has come, or is one that no agent can have set.
pub(super) fn is_due(next_attempt: Option<Timestamp>) -> bool {
    let now = Timestamp::now();
    let latest = now.saturating_add(LONGEST_PAUSE).unwrap_or(now);
    next_attempt.is_none_or(|at| at <= now || at > latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s14_a_lease_of_centuries_is_ten_minutes() {
        let spec = "web".parse().unwrap();
        let id = VolumeId::new("10ab").unwrap();
        let record = IntentRecord::new("flatten", &spec, Some(id), Work::Flatten).unwrap();
        let long = IntentRecord { lease_seconds: u64::MAX, ..record };
        let (key, value) = (long.key(), long.encode().unwrap());
        let read = IntentRecord::read(&spec.namespace, &Record { key, value }).unwrap();
        assert_eq!((read.lease(), read.lease_seconds), (Duration::from_secs(600), u64::MAX));
    }

    #[test]
    fn a_record_keeps_its_latest_steps_and_fits_however_often_it_is_tried() {
        let spec = "web".parse().unwrap();
        let work = Work::Remove { purge_snapshots: true, flatten_children: true, keep: None };
        let mut record = IntentRecord::new("remove", &spec, VolumeId::new("10ab").ok(), work).unwrap();
        for number in 0..100_000 {
            record.push_step(if number == 99_999 { "last" } else { "remove_snapshot" }.to_owned());
        }
        record.last_error = Some("e".repeat(1024));
        assert_eq!((record.steps.len(), record.steps.last().unwrap().as_str()), (STEPS, "last"));
        assert!(record.encode().unwrap().len() < 8 << 10);
    }
}
