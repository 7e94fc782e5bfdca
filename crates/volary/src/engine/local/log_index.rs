//! The index of the database's log, `store.db-shm`, which SQLite maps into memory. Where a block of it is not allocated and the
//! disk is full, touching it would end the process (SIGBUS), so it is allocated as a whole while there is room.

use super::root::{Place, Root};
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const NAME: &str = "store.db-shm";

/// The files that this process has open, and how many use each: closing one while SQLite has it open would give up SQLite's
/// locks on it, as the kernel keeps those by process.
static OPEN: Mutex<BTreeMap<Place, (File, usize)>> = Mutex::new(BTreeMap::new());

fn open() -> MutexGuard<'static, BTreeMap<Place, (File, usize)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The index of one store's log. It outlives the connections that use it.
pub(super) struct LogIndex(Place);

impl LogIndex {
    /// The index as it is now, made where that is possible; taken before SQLite opens it. `None` where it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened, or made.
    pub(super) fn of(root: &Root) -> io::Result<Option<LogIndex>> {
        // From here on nobody else in this process opens it.
        let mut open = open();
        let known = root.stat(Path::new(NAME))?.map(|stat| (stat.st_dev, stat.st_ino));
        if let Some((place, (_, users))) = known.and_then(|place| Some((place, open.get_mut(&place)?))) {
            *users += 1;
            return Ok(Some(LogIndex(place)));
        }
        let file = match root.is_read_only() {
            true if known.is_none() => return Ok(None),
            true => root.file(Path::new(NAME), OFlags::RDONLY)?,
            false => root.file(Path::new(NAME), OFlags::RDWR | OFlags::CREATE)?,
        };
        let opened = file.metadata()?;
        let place = (opened.dev(), opened.ino());
        open.insert(place, (file, 1));
        Ok(Some(LogIndex(place)))
    }

    pub(super) fn place(&self) -> Place {
        self.0
    }

    /// Allocates all of it, without changing a byte.
    pub(super) fn allocate(&self) -> io::Result<()> {
        let open = open();
        let Some((file, _)) = open.get(&self.0) else { return Ok(()) };
        let bytes = file.metadata()?.size();
        if bytes == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => Ok(done?),
        }
    }
}

impl Drop for LogIndex {
    fn drop(&mut self) {
        let mut open = open();
        let left = open.get_mut(&self.0).map_or(0, |(_, users)| {
            *users = users.saturating_sub(1);
            *users
        });
        if left == 0 {
            open.remove(&self.0);
        }
    }
}
