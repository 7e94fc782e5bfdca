//! How a record is kept, and how one is checked when it is read.
//!
//! Whoever may write a namespace may write anything into its journal, and a more privileged process reads it: so every
//! value has bounds, and a record cannot name a pool or namespace. Records of format 2 name both; they count only where they
//! name those that they lie in. Records before format 4 do not say what the volume was like when an order was given, and those of
//! format 4 not whether a snapshot was made since that is gone again.

use super::as_given::StoredAsGiven;
use super::{INTENT_PREFIX, IntentRecord, STEPS, Unread, Work};
use crate::driver::journal::owner::Owner;
use crate::driver::staging::STAGING_PREFIX;
use crate::driver::trash::LONGEST_KEEP;
use crate::engine::Record;
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FORMAT: u32 = 5;
/// The last format whose records name pool and namespace.
const WITH_NAMESPACE: u32 = 2;
/// What a store takes ([`swap_record`](crate::engine::Engine::swap_record)).
const MAX_BYTES: usize = 64 << 10;
/// More than any store lets a name have.
const MAX_NAME_BYTES: usize = 1024;
/// The longest word: an operation or a step.
const MAX_WORD_BYTES: usize = 64;
const MAX_OWNER_BYTES: usize = 256;
const MAX_ERROR_CHARS: usize = 1024;
const MAX_REASON_CHARS: usize = 240;

pub(super) type Checked<T> = std::result::Result<T, String>;

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A record as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    id: String,
    operation: String,
    owner: Option<Owner>,
    beat: u64,
    lease_seconds: u64,
    volume: String,
    volume_id: Option<String>,
    work: StoredWork,
    steps: Vec<String>,
    attempts: u32,
    last_error: Option<String>,
    next_attempt: Option<Timestamp>,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    as_given: Option<StoredAsGiven>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unconfirmed: Option<String>,
}

/// Work as it is kept; names are escaped.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredWork {
    Make { staging: String },
    Remove { purge_snapshots: bool, flatten_children: bool, keep_seconds: Option<u64> },
    MoveToTrash { keep_seconds: u64 },
    RemoveSnapshot { snapshot: u64, unprotect: bool, flatten_children: bool },
    RemoveTrashed,
    Restore { name: String },
    Flatten,
    Rollback { snapshot: u64 },
    Protect { snapshot: String },
}

impl From<&Work> for StoredWork {
    fn from(work: &Work) -> Self {
        match work {
            Work::Make { staging } => Self::Make { staging: staging.to_string() },
            Work::Remove { purge_snapshots, flatten_children, keep } => Self::Remove {
                purge_snapshots: *purge_snapshots,
                flatten_children: *flatten_children,
                keep_seconds: keep.map(|keep| keep.as_secs()),
            },
            Work::MoveToTrash { keep } => Self::MoveToTrash { keep_seconds: keep.as_secs() },
            Work::RemoveSnapshot { snapshot, unprotect, flatten_children } => Self::RemoveSnapshot {
                snapshot: *snapshot,
                unprotect: *unprotect,
                flatten_children: *flatten_children,
            },
            Work::RemoveTrashed => Self::RemoveTrashed,
            Work::Restore { name } => Self::Restore { name: name.to_string() },
            Work::Flatten => Self::Flatten,
            Work::Rollback { snapshot } => Self::Rollback { snapshot: *snapshot },
            Work::Protect { snapshot } => Self::Protect { snapshot: snapshot.to_string() },
        }
    }
}

impl StoredWork {
    fn checked(self) -> Checked<Work> {
        Ok(match self {
            Self::Make { staging } => {
                let name = name("the staging name", &staging)?;
                let random = staging.strip_prefix(STAGING_PREFIX).unwrap_or_default();
                if !is_random(random) {
                    return Err(format!("`{staging}` is not the name of a staging volume"));
                }
                Work::Make { staging: name }
            }
            Self::Remove { purge_snapshots, flatten_children, keep_seconds } => {
                Work::Remove { purge_snapshots, flatten_children, keep: keep_seconds.map(keep).transpose()? }
            }
            Self::MoveToTrash { keep_seconds } => Work::MoveToTrash { keep: keep(keep_seconds)? },
            Self::RemoveSnapshot { snapshot, unprotect, flatten_children } => {
                Work::RemoveSnapshot { snapshot, unprotect, flatten_children }
            }
            Self::RemoveTrashed => Work::RemoveTrashed,
            Self::Restore { name: new } => Work::Restore { name: name("the new name", &new)? },
            Self::Flatten => Work::Flatten,
            Self::Rollback { snapshot } => Work::Rollback { snapshot },
            Self::Protect { snapshot } => Work::Protect { snapshot: name("the snapshot's name", &snapshot)? },
        })
    }
}

pub(super) fn write(of: &IntentRecord) -> Result<Vec<u8>> {
    let stored = Stored {
        format: FORMAT,
        id: of.id.clone(),
        operation: of.operation.clone(),
        owner: of.owner.clone(),
        beat: of.beat,
        lease_seconds: of.lease_seconds,
        volume: of.volume.to_string(),
        volume_id: of.volume_id.as_ref().map(|id| id.as_str().to_owned()),
        work: (&of.work).into(),
        steps: of.steps.clone(),
        attempts: of.attempts,
        last_error: of.last_error.clone(),
        next_attempt: of.next_attempt,
        created: of.created,
        as_given: of.as_given.as_ref().map(Into::into),
        unconfirmed: of.unconfirmed.clone(),
    };
    serde_json::to_vec(&stored)
        .map_err(|error| Error::new(ErrorKind::Internal, "writing an intent").because(error))
}

pub(super) fn read(namespace: &Namespace, record: &Record) -> std::result::Result<IntentRecord, Unread> {
    let invalid = |reason: String| Unread::Invalid(printable(&reason, MAX_REASON_CHARS));
    if record.value.len() > MAX_BYTES {
        return Err(invalid(format!(
            "it has {} bytes, and no more than {MAX_BYTES} are written",
            record.value.len()
        )));
    }
    let malformed = |error: serde_json::Error| invalid(format!("it is not a record: {error}"));
    let Format { format } = serde_json::from_slice(&record.value).map_err(malformed)?;
    if !(WITH_NAMESPACE..=FORMAT).contains(&format) {
        return Err(Unread::Format(format));
    }
    let stored = serde_json::from_slice::<Stored>(&record.value).map_err(malformed)?;
    stored.checked(namespace, &record.key).map_err(invalid)
}

impl Stored {
    fn checked(self, namespace: &Namespace, key: &str) -> Checked<IntentRecord> {
        if !is_random(&self.id) || key.strip_prefix(INTENT_PREFIX) != Some(&self.id) {
            return Err(format!("its id `{}` is not that of its key", self.id));
        }
        let volume = match self.format {
            WITH_NAMESPACE => target_in(namespace, &self.volume)?,
            _ => target(&self.volume)?,
        };
        let volume_id = self
            .volume_id
            .map(|id| VolumeId::new(id).map_err(|error| error.message().to_owned()))
            .transpose()?;
        let work = self.work.checked()?;
        match &work {
            Work::Make { .. } => {
                let Target::Name(name) = &volume else {
                    return Err("it is to make a volume, and names it by an id".to_owned());
                };
                name.clone().checked_for_creation().map_err(|error| error.message().to_owned())?;
            }
            _ if volume_id.is_none() => return Err("it has no id of its volume".to_owned()),
            _ => {}
        }
        if let Some(owner) = self.owner.as_ref().filter(|owner| owner.longest() > MAX_OWNER_BYTES) {
            return Err(format!("a field of its owner has {} bytes", owner.longest()));
        }
        let older = self.steps.len().saturating_sub(STEPS);
        let steps: Vec<String> = self.steps.into_iter().skip(older).map(word).collect::<Checked<_>>()?;
        Ok(IntentRecord {
            namespace: namespace.clone(),
            id: self.id,
            operation: word(self.operation)?,
            owner: self.owner,
            beat: self.beat,
            lease_seconds: self.lease_seconds,
            volume,
            volume_id,
            work,
            steps,
            attempts: self.attempts,
            last_error: self.last_error.map(|error| printable(&error, MAX_ERROR_CHARS)),
            next_attempt: self.next_attempt,
            created: self.created,
            as_given: self.as_given.map(StoredAsGiven::checked).transpose()?,
            unconfirmed: self.unconfirmed.map(|why| printable(&why, MAX_ERROR_CHARS)),
        })
    }
}

/// Whether a text is what [`random_hex`](crate::driver::journal::random_hex) makes.
fn is_random(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn word(text: String) -> Checked<String> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if (1..=MAX_WORD_BYTES).contains(&text.len()) && text.bytes().all(is_word) {
        return Ok(text);
    }
    Err(format!("`{text}` is neither an operation nor a step"))
}

fn keep(seconds: u64) -> Checked<Duration> {
    let keep = Duration::from_secs(seconds);
    if keep <= LONGEST_KEEP {
        return Ok(keep);
    }
    Err(format!("it is to be kept for {seconds} seconds, and {} are the most", LONGEST_KEEP.as_secs()))
}

/// A name as it is shown: one with `/` or `@` would be of something else.
fn name(what: &str, text: &str) -> Checked<Name> {
    let stray = |c: char| "/@".contains(c) || !(c.is_alphanumeric() || c.is_ascii_graphic());
    let bytes = match crate::unescape(text) {
        Ok(bytes) if !text.contains(stray) => bytes,
        _ => return Err(format!("{what} `{text}` is not a name")),
    };
    if (1..=MAX_NAME_BYTES).contains(&bytes.len()) {
        return Ok(Name::from_bytes(bytes));
    }
    Err(format!("{what} has {} bytes", bytes.len()))
}

fn target(text: &str) -> Checked<Target> {
    match text.strip_prefix("id:") {
        Some(id) => VolumeId::new(id).map(Target::Id).map_err(|error| error.message().to_owned()),
        None => name("the volume's name", text).map(Target::Name),
    }
}

/// The volume of a record that names its pool and namespace, which must be those it lies in.
fn target_in(namespace: &Namespace, text: &str) -> Checked<Target> {
    let spec: VolumeSpec = text.parse().map_err(|error: Error| error.message().to_owned())?;
    if spec.namespace != *namespace || spec.snapshot.is_some() {
        return Err(format!("it is about `{text}`, and lies in {namespace}"));
    }
    target(text.rsplit('/').next().unwrap_or_default())
}

/// A text from outside on one line, cut short.
fn printable(text: &str, most_chars: usize) -> String {
    let plain = |c: char| c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
    let mut out = String::new();
    for c in text.chars().take(most_chars) {
        if plain(c) {
            out.push(c);
        } else {
            out.push_str(&crate::escape(c.encode_utf8(&mut [0; 4]).as_bytes()));
        }
    }
    out
}
