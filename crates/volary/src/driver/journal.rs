//! Intents: records in the store that name what an operation has begun, so that nothing it leaves is forgotten.
//!
//! A record is written before the first side effect, changed before each step, and removed after the last, always by
//! compare-and-swap: who finds it changed by somebody else has lost it, and stops.

use crate::engine::Engine;
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The prefix of the records' keys.
pub(crate) const INTENT_PREFIX: &str = "intent.";
const FORMAT_VERSION: u32 = 1;
const BEAT: Duration = Duration::from_secs(5);
/// Long enough to miss several beats while a store fails over, short enough that an operator need not wait.
const LEASE_SECONDS: u64 = 30;

/// The process that an intent belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) host: String,
    pub(crate) boot_id: String,
    pub(crate) pid: u32,
    /// When the process started, in clock ticks since boot: a process id is used again, the pair is not.
    pub(crate) pid_start: u64,
    /// Random: tells apart two operations of one process.
    pub(crate) instance: String,
}

/// What an operation works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentTarget {
    /// The name it is for, escaped.
    pub(crate) volume: String,
    /// The name it is made under, before it lies in trash.
    pub(crate) staging: String,
    /// The id, once there is one.
    pub(crate) id: Option<VolumeId>,
}

/// The record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentRecord {
    pub(crate) format: u32,
    pub(crate) id: String,
    pub(crate) operation: String,
    pub(crate) owner: Owner,
    pub(crate) beat: u64,
    pub(crate) lease_seconds: u64,
    pub(crate) target: IntentTarget,
    pub(crate) steps: Vec<String>,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) next_attempt: Option<Timestamp>,
    pub(crate) created: Timestamp,
}

struct Held {
    record: IntentRecord,
    stored: Vec<u8>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    namespace: Namespace,
    key: String,
    held: Mutex<Held>,
}

/// An intent that this process owns. Dropped without [`finish`](Intent::finish) it stays pending.
pub(crate) struct Intent {
    id: String,
    shared: Arc<Shared>,
    _beating: DropGuard,
}

impl Intent {
    /// Records what is about to begin; from here on the record's beat is raised while the value lives.
    pub(crate) async fn begin(
        engine: Arc<dyn Engine>,
        namespace: &Namespace,
        operation: &str,
        name: &Name,
        staging: &Name,
        ctl: &Ctl,
    ) -> Result<Intent> {
        let id = random_hex()?;
        let record = IntentRecord {
            format: FORMAT_VERSION,
            id: id.clone(),
            operation: operation.to_owned(),
            owner: Owner::this_process()?,
            beat: 0,
            lease_seconds: LEASE_SECONDS,
            target: IntentTarget { volume: name.to_string(), staging: staging.to_string(), id: None },
            steps: Vec::new(),
            attempts: 1,
            last_error: None,
            next_attempt: None,
            created: Timestamp::now(),
        };
        let stored = encode(&record)?;
        let key = format!("{INTENT_PREFIX}{id}");
        if !engine.swap_record(namespace, &key, None, Some(&stored), ctl).await? {
            return Err(Error::new(ErrorKind::Internal, "a random id is in use").context("intent", id));
        }
        let held = Mutex::new(Held { record, stored });
        let shared = Arc::new(Shared { engine, namespace: namespace.clone(), key, held });
        let stop = CancellationToken::new();
        tokio::spawn(beat(shared.clone(), stop.clone()));
        Ok(Intent { id, shared, _beating: stop.drop_guard() })
    }

    /// The record's id, as `pending` shows it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Records that `step` begins, and what is known of the target since.
    ///
    /// # Errors
    /// `Blocked` when the record is no longer this process's: it must stop then, and undo nothing.
    pub(crate) async fn step(&self, step: &str, id: Option<&VolumeId>, ctl: &Ctl) -> Result<()> {
        let mut held = self.shared.held.lock().await;
        let mut record = held.record.clone();
        record.steps.push(step.to_owned());
        if let Some(id) = id {
            record.target.id = Some(id.clone());
        }
        self.shared.replace(&mut held, record, ctl).await
    }

    /// Checks, by reading only, that the record is still this process's; a full store can still be read.
    ///
    /// # Errors
    /// `Blocked` when it is not.
    pub(crate) async fn check(&self, ctl: &Ctl) -> Result<()> {
        let held = self.shared.held.lock().await;
        let found = self.shared.engine.records(&self.shared.namespace, &self.shared.key, ctl).await?;
        let ours = found.iter().any(|found| found.key == self.shared.key && found.value == held.stored);
        if ours { Ok(()) } else { Err(lost(&self.id)) }
    }

    /// Leaves the record for a reaper, with the reason.
    pub(crate) async fn leave(self, error: &Error, ctl: &Ctl) {
        let mut held = self.shared.held.lock().await;
        let mut record = held.record.clone();
        record.last_error = Some(error.report().chars().take(1024).collect());
        if let Err(error) = self.shared.replace(&mut held, record, ctl).await {
            tracing::warn!(intent = self.id, error = error.report(), "the reason could not be recorded");
        }
    }

    /// Removes the record: everything is done, or undone.
    pub(crate) async fn finish(&self, ctl: &Ctl) -> Result<()> {
        let held = self.shared.held.lock().await;
        let (engine, namespace, key) = (&self.shared.engine, &self.shared.namespace, &self.shared.key);
        if engine.swap_record(namespace, key, Some(&held.stored), None, ctl).await? {
            return Ok(());
        }
        Err(lost(&self.id))
    }
}

impl Shared {
    async fn replace(&self, held: &mut Held, record: IntentRecord, ctl: &Ctl) -> Result<()> {
        let new = encode(&record)?;
        let ours =
            self.engine.swap_record(&self.namespace, &self.key, Some(&held.stored), Some(&new), ctl).await?;
        if !ours {
            return Err(lost(&record.id));
        }
        *held = Held { record, stored: new };
        Ok(())
    }
}

/// Raises the beat until stopped. A beat that fails is left out: the lease outlasts several.
async fn beat(shared: Arc<Shared>, stop: CancellationToken) {
    let ctl = Ctl::new().timeout(BEAT);
    while tokio::time::timeout(BEAT, stop.cancelled()).await.is_err() {
        let mut held = shared.held.lock().await;
        if stop.is_cancelled() {
            return;
        }
        let mut record = held.record.clone();
        record.beat += 1;
        if let Err(error) = shared.replace(&mut held, record, &ctl).await {
            tracing::warn!(record = shared.key, error = error.report(), "a heartbeat of the journal failed");
        }
    }
}

fn encode(record: &IntentRecord) -> Result<Vec<u8>> {
    serde_json::to_vec(record)
        .map_err(|error| Error::new(ErrorKind::Internal, "writing an intent").because(error))
}

fn lost(id: &str) -> Error {
    Error::new(ErrorKind::Blocked, "somebody else has taken this operation over")
        .context("intent", id)
        .hint("it slept longer than its lease, and another goes on with it")
}

impl Owner {
    fn this_process() -> Result<Owner> {
        let read = |path: &'static str| {
            std::fs::read_to_string(path)
                .map_err(|error| Error::io("learning who I am", error).context("path", path))
        };
        let stat = read("/proc/self/stat")?;
        // The second field is the program's name in brackets, and may hold anything; the start is field 22.
        let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
        let malformed =
            || Error::new(ErrorKind::Internal, "learning who I am").context("path", "/proc/self/stat");
        Ok(Owner {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            pid: std::process::id(),
            pid_start: start.and_then(|ticks| ticks.parse().ok()).ok_or_else(malformed)?,
            instance: random_hex()?,
        })
    }
}

/// 128 random bits.
pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, "asking for random bits").because(error))?;
    Ok(hex::encode(bytes))
}
