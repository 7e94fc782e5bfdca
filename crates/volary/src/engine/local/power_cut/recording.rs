//! A file layer that knows what a power cut would leave, and a store rebuilt from that.

use crate::engine::local::files::{Files, ObjectFile, SystemFiles};
use crate::engine::local::root::Root;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

pub(super) const CELL: usize = 1 << 20;

/// A directory in memory where there is one: thousands of syncs that nobody needs take minutes on a disk.
pub(super) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

type Check = Box<dyn Fn(&Path) + Send + Sync>;

/// Works on real files, never syncs them, and remembers what would have been durable.
pub(super) struct Recording {
    me: Weak<Recording>,
    inner: SystemFiles,
    store: PathBuf,
    durable: Mutex<Durable>,
    check: Check,
}

#[derive(Default)]
struct Durable {
    /// Bytes, whether or not the name is durable.
    bytes: BTreeMap<PathBuf, Vec<u8>>,
    names: BTreeSet<PathBuf>,
    cuts: u64,
}

impl Recording {
    pub(super) fn new(root: Arc<Root>, check: Check) -> Arc<Self> {
        Arc::new_cyclic(|me| Recording {
            me: me.clone(),
            store: root.path().to_owned(),
            inner: SystemFiles(root.clone()),
            durable: Mutex::default(),
            check,
        })
    }

    pub(super) fn cuts(&self) -> u64 {
        self.durable.lock().unwrap().cuts
    }

    /// Rebuilds the store as it would be found if the power went now, and checks it.
    fn cut(&self, durable: &mut Durable) {
        durable.cuts += 1;
        if !self.store.join("store.db").exists() {
            return;
        }
        let dir = in_memory();
        for sub in ["objects", "locks", "locks/unclean"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        for first in 0..=u8::MAX {
            std::fs::create_dir(dir.path().join("objects").join(hex::encode([first]))).unwrap();
        }
        std::fs::write(dir.path().join("locks/unclean/cut"), "").unwrap();
        for path in &durable.names {
            // Bytes that were not synced may have reached the disk, or not, cell by cell.
            let mut bytes = durable.bytes.get(path).cloned().unwrap_or_default();
            let live = std::fs::read(path).unwrap();
            for (at, cell) in live.chunks(CELL).enumerate() {
                if (at as u64 + durable.cuts).is_multiple_of(3) {
                    let (from, to) = (at * CELL, at * CELL + cell.len());
                    bytes.resize(bytes.len().max(to), 0);
                    bytes[from..to].copy_from_slice(cell);
                }
            }
            std::fs::write(dir.path().join(path.strip_prefix(&self.store).unwrap()), bytes).unwrap();
        }
        let source = rusqlite::Connection::open(self.store.join("store.db")).unwrap();
        source.backup("main", dir.path().join("store.db"), None::<fn(rusqlite::backup::Progress)>).unwrap();
        std::fs::copy(self.store.join("identity"), dir.path().join("identity")).unwrap();
        (self.check)(dir.path());
    }

    fn recorded(&self, path: &Path, inner: Box<dyn ObjectFile>) -> Box<dyn ObjectFile> {
        Box::new(Recorded { of: self.me.upgrade().unwrap(), path: path.to_owned(), inner })
    }
}

impl Files for Recording {
    fn create(&self, path: &Path) -> io::Result<Box<dyn ObjectFile>> {
        Ok(self.recorded(path, self.inner.create(path)?))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn ObjectFile>> {
        Ok(self.recorded(path, self.inner.open(path, write)?))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        // At once, though it was not synced: the worse of the two for whoever still needs the object.
        let mut durable = self.durable.lock().unwrap();
        durable.bytes.remove(path);
        durable.names.remove(path);
        self.inner.unlink(path)?;
        self.cut(&mut durable);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut durable = self.durable.lock().unwrap();
        if path.parent() == Some(&self.store.join("objects")) {
            for entry in std::fs::read_dir(path)? {
                durable.names.insert(entry?.path());
            }
        }
        self.cut(&mut durable);
        Ok(())
    }

    fn committed(&self) -> io::Result<()> {
        self.cut(&mut self.durable.lock().unwrap());
        Ok(())
    }
}

struct Recorded {
    of: Arc<Recording>,
    path: PathBuf,
    inner: Box<dyn ObjectFile>,
}

impl ObjectFile for Recorded {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(data, offset)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.zero_at(offset, len)
    }

    fn cut_at(&self, length: u64) -> io::Result<()> {
        self.inner.cut_at(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut durable = self.of.durable.lock().unwrap();
        if let Ok(bytes) = std::fs::read(&self.path) {
            durable.bytes.insert(self.path.clone(), bytes);
        }
        self.of.cut(&mut durable);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.inner.allocated_bytes()
    }
}
