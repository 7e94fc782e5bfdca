//! What Volary notes at a volume that it puts into trash, so that a purge knows what is its own.

use super::handle::closing;
use super::plan::Subject;
use crate::engine::{OpenOptions, TrashEntry};
use crate::{Ctl, Error, ErrorKind, Result, Store, VolumeId, VolumeSpec};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The metadata key under which Volary notes that it was the one to put a volume into trash.
pub(crate) const NOTE_KEY: &[u8] = b"volary.trash";

/// What Volary notes at a volume that it puts into trash.
///
/// Clones inherit metadata, and a note may outlive its purpose: it counts only for the id it names, and only for a
/// move that happened just after it was written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    id: VolumeId,
    pub(crate) at: Timestamp,
    pub(crate) purge_snapshots: bool,
}

impl Note {
    /// The note on a move that is about to happen.
    pub(crate) fn now(id: VolumeId, purge_snapshots: bool) -> Note {
        Note { id, at: Timestamp::now(), purge_snapshots }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "writing the trash note").because(error))
    }

    fn holds_for(&self, entry: &TrashEntry) -> bool {
        // Both times come from the clock of the host that made the move.
        let after = entry.deleted.duration_since(self.at);
        self.id == entry.id
            && (SignedDuration::from_secs(-60)..=SignedDuration::from_mins(10)).contains(&after)
    }
}

impl Store {
    /// Takes the note away again; left behind it does no harm, since it holds for one move only.
    pub(crate) async fn forget_note(&self, subject: &Subject, ctl: &Ctl) {
        let forget = async {
            let volume = self.open_subject(subject, &OpenOptions::write(), ctl).await?;
            let removed = volume.remove_metadata(NOTE_KEY, ctl).await;
            closing(&volume, removed, ctl).await
        };
        match forget.await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(id = %subject.id, error = error.report(), "the trash note stays behind");
            }
            _ => {}
        }
    }

    /// Volary's note at a volume in trash, if it is of this very move.
    pub(crate) async fn note_of(
        &self,
        spec: &VolumeSpec,
        entry: &TrashEntry,
        ctl: &Ctl,
    ) -> Result<Option<Note>> {
        match self.read_note(spec, entry, ctl).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            note => note,
        }
    }

    /// The same; `NotFound` where the volume cannot be opened for want of itself.
    pub(crate) async fn read_note(
        &self,
        spec: &VolumeSpec,
        entry: &TrashEntry,
        ctl: &Ctl,
    ) -> Result<Option<Note>> {
        let note = self.metadata(spec, ctl).await?.into_iter().find(|(key, _)| key == NOTE_KEY);
        let note = note.and_then(|(_, value)| serde_json::from_slice::<Note>(&value).ok());
        Ok(note.filter(|note| note.holds_for(entry)))
    }
}
