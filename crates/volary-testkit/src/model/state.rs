//! The model: volumes as bytes, and which calls must fail how.

use std::sync::Arc;
use volary::ErrorKind::{self, AlreadyExists, Blocked, NotFound, Usage};

/// How a call may fail; empty when it must succeed. Where two reasons meet, either will do.
pub(super) type Due = Vec<ErrorKind>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Named,
    Trash { deferred: bool },
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Snap {
    pub(super) name: u8,
    /// Told from others also when renamed.
    pub(super) serial: usize,
    pub(super) content: Arc<Vec<u8>>,
    pub(super) protected: bool,
}

#[derive(Debug)]
pub(super) struct Vol {
    pub(super) name: u8,
    pub(super) place: Place,
    pub(super) head: Arc<Vec<u8>>,
    pub(super) snaps: Vec<Snap>,
    /// The parent's number and the snapshot's serial.
    pub(super) parent: Option<(usize, usize)>,
}

impl Vol {
    pub(super) fn snap(&mut self, name: u8) -> Option<&mut Snap> {
        self.snaps.iter_mut().find(|snap| snap.name == name)
    }
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) vols: Vec<Vol>,
    pub(super) serials: usize,
}

/// Fails with the kind when the condition holds.
pub(super) fn due(reasons: &[(bool, ErrorKind)]) -> Due {
    reasons.iter().filter(|(holds, _)| *holds).map(|(_, kind)| *kind).collect()
}

impl Model {
    pub(super) fn named(&self, name: u8) -> Option<usize> {
        self.vols.iter().position(|vol| vol.place == Place::Named && vol.name == name)
    }

    pub(super) fn children(&self, parent: usize, serial: usize) -> Vec<usize> {
        let of_it = |vol: &Vol| vol.place != Place::Gone && vol.parent == Some((parent, serial));
        (0..self.vols.len()).filter(|&index| of_it(&self.vols[index])).collect()
    }

    pub(super) fn create(&mut self, name: u8, size: u64) -> Due {
        let due = due(&[(self.named(name).is_some(), AlreadyExists)]);
        if due.is_empty() {
            self.push(name, Arc::new(vec![0; usize::try_from(size).unwrap()]), None);
        }
        due
    }

    fn push(&mut self, name: u8, head: Arc<Vec<u8>>, parent: Option<(usize, usize)>) {
        self.vols.push(Vol { name, place: Place::Named, head, snaps: Vec::new(), parent });
    }

    pub(super) fn write(&mut self, index: usize, offset: u64, len: u64, byte: u8) -> Due {
        let head = &mut self.vols[index].head;
        let (start, end) = (usize::try_from(offset).unwrap(), usize::try_from(offset + len).unwrap());
        if end > head.len() {
            return vec![Usage];
        }
        Arc::make_mut(head)[start..end].fill(byte);
        vec![]
    }

    pub(super) fn resize(&mut self, index: usize, size: u64) -> Due {
        Arc::make_mut(&mut self.vols[index].head).resize(usize::try_from(size).unwrap(), 0);
        vec![]
    }

    pub(super) fn snapshot(&mut self, index: usize, name: u8) -> Due {
        let vol = &mut self.vols[index];
        if vol.snap(name).is_some() {
            return vec![AlreadyExists];
        }
        self.serials += 1;
        let snap = Snap { name, serial: self.serials, content: Arc::clone(&vol.head), protected: false };
        vol.snaps.push(snap);
        vec![]
    }

    pub(super) fn protect(&mut self, index: usize, name: u8) -> Due {
        self.vols[index].snap(name).map_or_else(
            || vec![NotFound],
            |snap| {
                snap.protected = true;
                vec![]
            },
        )
    }

    pub(super) fn unprotect(&mut self, index: usize, name: u8) -> Due {
        let Some(serial) = self.vols[index].snap(name).map(|snap| snap.serial) else { return vec![NotFound] };
        let due = due(&[(!self.children(index, serial).is_empty(), Blocked)]);
        if let (true, Some(snap)) = (due.is_empty(), self.vols[index].snap(name)) {
            snap.protected = false;
        }
        due
    }

    pub(super) fn remove_snapshot(&mut self, index: usize, name: u8) -> Due {
        let Some(snap) = self.vols[index].snap(name).cloned() else { return vec![NotFound] };
        let due = due(&[(snap.protected || !self.children(index, snap.serial).is_empty(), Blocked)]);
        if due.is_empty() {
            self.vols[index].snaps.retain(|other| other.serial != snap.serial);
        }
        due
    }

    pub(super) fn rename_snapshot(&mut self, index: usize, name: u8, to: u8) -> Due {
        let vol = &mut self.vols[index];
        let due = due(&[(vol.snap(name).is_none(), NotFound), (vol.snap(to).is_some(), AlreadyExists)]);
        if let (true, Some(snap)) = (due.is_empty(), vol.snap(name)) {
            snap.name = to;
        }
        due
    }

    pub(super) fn rollback(&mut self, index: usize, name: u8) -> Due {
        let vol = &mut self.vols[index];
        let Some(content) = vol.snap(name).map(|snap| Arc::clone(&snap.content)) else {
            return vec![NotFound];
        };
        vol.head = content;
        vec![]
    }

    pub(super) fn clone_volume(&mut self, index: usize, snapshot: u8, name: u8) -> Due {
        let taken = self.named(name).is_some();
        let vol = &mut self.vols[index];
        let snap = if vol.place == Place::Gone { None } else { vol.snap(snapshot).cloned() };
        let Some(snap) = snap else { return due(&[(true, NotFound), (taken, AlreadyExists)]) };
        let due = due(&[(!snap.protected, Blocked), (taken, AlreadyExists)]);
        if due.is_empty() {
            self.push(name, snap.content, Some((index, snap.serial)));
        }
        due
    }

    pub(super) fn flatten(&mut self, index: usize) -> Due {
        due(&[(self.vols[index].parent.take().is_none(), Usage)])
    }

    pub(super) fn rename(&mut self, index: usize, name: u8) -> Due {
        let taken = self.named(name).is_some();
        let vol = &mut self.vols[index];
        let due = due(&[(vol.place != Place::Named, NotFound), (taken, AlreadyExists)]);
        if due.is_empty() {
            vol.name = name;
        }
        due
    }

    pub(super) fn remove(&mut self, index: usize, open: bool) -> Due {
        let vol = &mut self.vols[index];
        let due = due(&[(vol.place != Place::Named, NotFound), (open || !vol.snaps.is_empty(), Blocked)]);
        if due.is_empty() {
            vol.place = Place::Gone;
        }
        due
    }

    pub(super) fn trash_move(&mut self, index: usize, deferred: bool, open: bool) -> Due {
        let vol = &mut self.vols[index];
        let due = due(&[(vol.place != Place::Named, NotFound), (open, Blocked)]);
        if due.is_empty() {
            vol.place = Place::Trash { deferred };
        }
        due
    }

    pub(super) fn trash_restore(&mut self, index: usize, name: u8) -> Due {
        let taken = self.named(name).is_some_and(|other| other != index);
        let vol = &mut self.vols[index];
        let due = due(&[(vol.place == Place::Gone, NotFound), (taken, AlreadyExists)]);
        if due.is_empty() {
            (vol.place, vol.name) = (Place::Named, name);
        }
        due
    }

    pub(super) fn trash_remove(&mut self, index: usize, force: bool, open: bool) -> Due {
        let vol = &mut self.vols[index];
        let deferred = vol.place == Place::Trash { deferred: true } && !force;
        let there = matches!(vol.place, Place::Trash { .. });
        let due = due(&[(!there, NotFound), (open || deferred || !vol.snaps.is_empty(), Blocked)]);
        if due.is_empty() {
            vol.place = Place::Gone;
        }
        due
    }
}
