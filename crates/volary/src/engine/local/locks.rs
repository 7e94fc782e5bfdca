//! Who has what open, across processes: `flock`s on files in `locks/`, which the kernel lets go with the process.
//!
//! `ID.w` is held exclusively by a volume's one writer and bears its process id; `ID.r` is shared by the readers of
//! a volume, `ID.sN` by the readers of one snapshot. Who removes takes them exclusively, with no wait. Every handle
//! has its own descriptor, so two handles of one process exclude each other too. `writers` is shared by all
//! writers; the sweep takes it exclusively, to know that nobody has objects without rows.

use super::root::{Place, Root};
use crate::{Error, ErrorKind, Result, escape};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Others hold a lock for as short as one transaction when they only check; a refusal before that would be spurious.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// How long a sweep of the store may keep writers waiting.
pub(super) const SWEEP_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Shared,
    Exclusive,
}

/// How many locks of this process are on which file, by device and inode: of its own it knows better than the kernel
/// tells.
static OWN: Mutex<BTreeMap<Place, usize>> = Mutex::new(BTreeMap::new());

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File, Place);

/// Where the lock files are.
pub(super) struct Locks(Arc<Root>);

/// A lock's file, relative to the store.
fn path(name: &str) -> PathBuf {
    Path::new("locks").join(name)
}

impl Locks {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Locks(root)
    }

    /// Takes a lock, or says who holds it.
    pub(super) fn acquire(&self, name: &str, mode: Mode) -> Result<Lock> {
        self.acquire_within(name, mode, PATIENCE)
    }

    pub(super) fn acquire_within(&self, name: &str, mode: Mode, patience: Duration) -> Result<Lock> {
        let failed = |e| Error::io("locking", e).context("lock", self.0.path().join(path(name)).display());
        if mode == Mode::Exclusive {
            self.0.require_writable()?;
        }
        let flags = if self.0.is_read_only() { OFlags::RDONLY } else { OFlags::RDWR | OFlags::CREATE };
        let file = self.0.file(&path(name), flags).map_err(failed)?;
        let place = place(&file).map_err(failed)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let limit = Instant::now() + patience;
        loop {
            match flock(&file, operation) {
                Ok(()) => {
                    *own().entry(place).or_default() += 1;
                    return Ok(Lock(file, place));
                }
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < limit => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(self.held(&file)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    /// Takes a share to read with; none when its file is not there and cannot be made, on a full disk or a read-only one.
    /// What is then removed meanwhile ends the reading with an error.
    pub(super) fn acquire_to_read(&self, name: &str, patience: Duration) -> Result<Option<Lock>> {
        match self.acquire_within(name, Mode::Shared, patience) {
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound && self.0.is_read_only() => Ok(None),
            lock => lock.map(Some),
        }
    }

    fn held(&self, file: &File) -> Error {
        let error = Error::new(ErrorKind::Blocked, "somebody has it open");
        let pid = holding(file).into_iter().next().or_else(|| written(file));
        match pid {
            Some(pid) => error.context("holder", show_process(pid)).hint(remedy(pid)),
            None => error
                .context("holder", "an unknown process")
                .hint("wait for the process that has the store's volume open, or end it"),
        }
    }

    /// The processes that hold a lock, once for each handle.
    pub(super) fn holders(&self, name: &str) -> Vec<u32> {
        let Ok(file) = self.0.file(&path(name), OFlags::RDONLY) else { return Vec::new() };
        let own = place(&file).ok().and_then(|place| own().get(&place).copied()).unwrap_or_default();
        let me = std::process::id();
        // The kernel hands its table out in pieces, and what changes in between makes entries be missed or seen
        // twice: an answer counts when it is given twice in a row.
        let others = || holding(&file).into_iter().filter(|pid| *pid != me).collect::<Vec<_>>();
        let mut last = others();
        for _ in 0..8 {
            let now = others();
            if now == last {
                break;
            }
            last = now;
        }
        last.extend(std::iter::repeat_n(me, own));
        last
    }

    /// Forgets the lock files of a volume that is gone; ids are never used again, so nobody can want them.
    pub(super) fn forget(&self, volume: &str) {
        self.forget_one(&format!("{volume}.w"));
        self.forget_one(&format!("{volume}.r"));
    }

    /// Forgets one lock file that nobody can want any more.
    pub(super) fn forget_one(&self, name: &str) {
        let _ = self.0.unlink(&path(name));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut own = own();
        let left = own.get(&self.1).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => own.remove(&self.1),
            _ => own.insert(self.1, left),
        };
        drop(own);
        // Closing alone is not enough: a child that this process has just forked for another program has the
        // descriptor too, until it starts that program, and would hold the lock for so long.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Leaves this process's id in the lock file, for those it keeps out.
    pub(super) fn sign(&mut self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        write!(self.0, "{}", std::process::id())
    }
}

fn own() -> std::sync::MutexGuard<'static, BTreeMap<(u64, u64), usize>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(file: &File) -> io::Result<Place> {
    file.metadata().map(|meta| (meta.dev(), meta.ino()))
}

/// What the holder wrote into the file.
fn written(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What the kernel tells about the locks on a file.
fn holding(file: &File) -> Vec<u32> {
    let (Ok(meta), Ok(table)) = (file.metadata(), std::fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let id = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let of_line = |line: &str| {
        // `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&id.as_str()))
            .then(|| fields[4].parse().ok().filter(|pid| *pid != 0))?
    };
    table.lines().filter_map(of_line).collect()
}

/// `process 1234 (qemu)`.
pub(super) fn show_process(pid: u32) -> String {
    match std::fs::read(format!("/proc/{pid}/comm")) {
        Ok(comm) => format!("process {pid} ({})", escape(comm.trim_ascii_end())),
        Err(_) => format!("process {pid}"),
    }
}

/// What makes a process let go.
pub(super) fn remedy(pid: u32) -> String {
    format!("wait for process {pid} or end it")
}

/// The file systems whose locks or syncs cannot be relied on between hosts, by the number `statfs` gives them.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x00c3_6400, "CephFS"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x6573_5546, "FUSE"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x2003_0528, "OrangeFS"),
];

/// Refuses a network file system.
pub(super) fn refuse_network(path: &Path) -> Result<()> {
    let stat =
        rustix::fs::statfs(path).map_err(|e| Error::io("asking for the store's file system", e.into()))?;
    let magic = stat.f_type as u64 & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        None => Ok(()),
        Some((_, name)) => {
            Err(Error::new(ErrorKind::Unsupported, "a local store cannot be on a network file system")
                .context("file_system", name)
                .hint("put the store on a disk of this host, or use a Ceph store"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_when_it_is_dropped_though_a_forked_child_has_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        root.make_dir(Path::new("locks")).unwrap();
        let locks = Locks::new(root);
        let lock = locks.acquire("a", Mode::Exclusive).unwrap();
        // What a fork leaves: the same open file under another descriptor.
        let child = lock.0.try_clone().unwrap();
        drop(lock);
        locks.acquire_within("a", Mode::Exclusive, Duration::ZERO).unwrap();
        drop(child);
    }
}
