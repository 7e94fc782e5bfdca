//! How engines are to do what they are asked.

use crate::Name;
use std::time::Duration;

/// How to make a volume ([`Engine::create`](super::Engine::create)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateOptions {
    /// Its size; may be zero.
    pub size_bytes: u64,
    /// Into trash at once, to be kept there for so long, the name being the last it had: no listing of volumes shows it. Ended
    /// halfway, it is in trash, whole or with nothing to open, or nowhere.
    ///
    /// Where the store has to make it under its name first, as on Ceph when the pool is configured with anything of its own, it
    /// is listed for a moment, may be left there, and the name must not be in use; elsewhere it may.
    pub trash: Option<Duration>,
}

impl CreateOptions {
    /// A volume of so many bytes, everything else as the store does by default.
    pub fn new(size_bytes: u64) -> Self {
        CreateOptions { size_bytes, trash: None }
    }

    /// Into trash at once.
    pub fn in_trash(self, keep: Duration) -> Self {
        CreateOptions { trash: Some(keep), ..self }
    }
}

/// How to make a clone ([`Engine::clone_volume`](super::Engine::clone_volume)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloneOptions {
    /// Into trash at once, as [`CreateOptions::trash`].
    pub trash: Option<Duration>,
}

impl CloneOptions {
    /// Into trash at once.
    pub fn in_trash(self, keep: Duration) -> Self {
        CloneOptions { trash: Some(keep) }
    }
}

/// How to put a volume into trash ([`Engine::trash_move`](super::Engine::trash_move)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrashOptions {
    /// How long it is kept.
    pub keep: Duration,
    /// Whether the caller knows that nobody has it open, so that a store where looking takes time need not look again.
    pub looked: bool,
}

impl TrashOptions {
    /// Looks whether somebody has it open.
    pub fn keep(keep: Duration) -> Self {
        TrashOptions { keep, looked: false }
    }

    /// For a caller who has looked, or made the volume, just before: who opens it between would not be seen either way.
    pub fn looked(self) -> Self {
        TrashOptions { looked: true, ..self }
    }
}

/// How to open a volume ([`Engine::open`](super::Engine::open)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The snapshot to open, or the head.
    pub snapshot: Option<Name>,
    /// Whether to become the volume's one writer.
    pub write: bool,
    /// Whether to go beside another client that writes, where the store lets snapshots be changed then.
    pub beside: bool,
    /// Whether to read bytes that do not match what the store knows of them, as they are, and to count them
    /// ([`Volume::confirm`](super::Volume::confirm)); otherwise they are an error of kind `Mismatch`.
    pub accept_mismatch: bool,
}

impl OpenOptions {
    /// Opens to read, the head or a snapshot.
    pub fn read(snapshot: Option<Name>) -> Self {
        OpenOptions { snapshot, ..OpenOptions::default() }
    }

    /// Reads also what does not match, if so told.
    pub fn accepting_mismatch(self, accept: bool) -> Self {
        OpenOptions { accept_mismatch: accept, ..self }
    }

    /// Opens the head to write, and to change snapshots, size and metadata.
    pub fn write() -> Self {
        OpenOptions { write: true, ..OpenOptions::default() }
    }

    /// Opens the head to change its snapshots alone, also while a client elsewhere writes, where the store allows it.
    pub fn change_snapshots() -> Self {
        OpenOptions { beside: true, ..OpenOptions::write() }
    }
}
