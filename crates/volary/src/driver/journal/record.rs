//! What an intent's record holds.

use super::owner::Owner;
use super::random_hex;
use crate::engine::{Record, TrashEntry};
use crate::{Error, ErrorKind, Result, VolumeId, VolumeSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The prefix of the records' keys.
pub(crate) const INTENT_PREFIX: &str = "intent.";
const FORMAT: u32 = 2;
/// Long enough to miss several beats while a store fails over, short enough that an operator need not wait.
const LEASE_SECONDS: u64 = 30;
/// A record that says more than this is not waited for longer.
const LONGEST_LEASE_SECONDS: u64 = 600;

/// What was begun, as far as another process must know it to finish or undo it. Names are escaped, snapshots by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// A volume is made under a staging name: undone, but from `publishing` on published.
    Make { staging: String },
    /// A volume is removed, or put into trash for so long.
    Remove { purge_snapshots: bool, flatten_children: bool, keep_seconds: Option<u64> },
    /// A volume is put into trash for so long, as it is.
    MoveToTrash { keep_seconds: u64 },
    /// A snapshot is removed.
    RemoveSnapshot { snapshot: u64, unprotect: bool, flatten_children: bool },
    /// A volume in trash is removed for good.
    RemoveTrashed,
    /// A volume in trash gets a name again.
    Restore { name: String },
    /// A clone is parted from its parent.
    Flatten,
    /// The head is set back to a snapshot.
    Rollback { snapshot: u64 },
    /// A snapshot was made and is to be protected.
    Protect { snapshot: String },
}

/// The record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentRecord {
    pub(crate) format: u32,
    pub(crate) id: String,
    /// What the user asked for: `import`, `remove` …
    pub(crate) operation: String,
    /// Who works on it; nobody, when it was left for whoever comes.
    pub(crate) owner: Option<Owner>,
    pub(crate) beat: u64,
    pub(crate) lease_seconds: u64,
    /// The volume's spec as it was called then.
    pub(crate) volume: String,
    /// Its id, once there is one.
    pub(crate) volume_id: Option<VolumeId>,
    pub(crate) work: Work,
    pub(crate) steps: Vec<String>,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    /// Before then no agent tries again.
    pub(crate) next_attempt: Option<Timestamp>,
    pub(crate) created: Timestamp,
}

impl IntentRecord {
    /// A record of this process, about to begin.
    pub(crate) fn new(
        operation: &str,
        volume: &VolumeSpec,
        volume_id: Option<VolumeId>,
        work: Work,
    ) -> Result<Self> {
        Ok(IntentRecord {
            format: FORMAT,
            id: random_hex()?,
            operation: operation.to_owned(),
            owner: Some(Owner::this_process()?),
            beat: 0,
            lease_seconds: LEASE_SECONDS,
            volume: volume.to_string(),
            volume_id,
            work,
            steps: Vec::new(),
            attempts: 1,
            last_error: None,
            next_attempt: None,
            created: Timestamp::now(),
        })
    }

    pub(crate) fn key(&self) -> String {
        format!("{INTENT_PREFIX}{}", self.id)
    }

    /// How long its beat must stand still before somebody else may take it over.
    pub(crate) fn lease(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.lease_seconds.min(LONGEST_LEASE_SECONDS))
    }

    /// The volume it is about.
    pub(crate) fn spec(&self) -> Result<VolumeSpec> {
        self.volume.parse()
    }

    /// Whether an entry of trash is what it makes, which may be there before the record tells its id.
    pub(crate) fn makes(&self, entry: &TrashEntry) -> bool {
        let Work::Make { staging } = &self.work else { return false };
        crate::unescape(staging).is_ok_and(|name| name == entry.name.as_bytes())
    }

    /// Whether it is about an entry of trash in any way.
    pub(crate) fn is_about(&self, entry: &TrashEntry) -> bool {
        self.makes(entry) || self.volume_id.as_ref() == Some(&entry.id)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "writing an intent").because(error))
    }

    /// Reads a record of the journal.
    ///
    /// # Errors
    /// `Unsupported` for one of another format: a newer Volary wrote it, which can settle it.
    pub(crate) fn decode(record: &Record) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(&record.value).map_err(|error| {
            Error::new(ErrorKind::Internal, "an intent cannot be read")
                .context("key", crate::escape(record.key.as_bytes()))
                .because(error)
        })?;
        let read = serde_json::from_slice::<IntentRecord>(&record.value);
        let read = read.ok().filter(|read| format == FORMAT && read.key() == record.key);
        read.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "an intent has a format that is not known here")
                .context("key", crate::escape(record.key.as_bytes()))
                .context("format", format)
                .hint("a Volary of another version wrote it: settle it with that one")
        })
    }
}
