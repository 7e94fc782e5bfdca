//! Room that is kept for a full disk. A removal writes before it frees: to the log of the database, and to lock files. When
//! there is no room for that, what is kept here is given up, and is taken again as soon as the disk has it.

use super::root::{Root, is_no_space};
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

const DIR: &str = "reserve";
const ROOM: &str = "reserve/room";
/// As much as SQLite's log takes until it is written back; besides, twice the database: no removal changes more of it.
const LOG_BYTES: u64 = 4 << 20;
/// How many inodes are kept for a disk without a free one: for lock files, and a writer's marker.
const INODES: u8 = 16;
/// A disk with less is full: what SQLite needs to begin, and something for those who write meanwhile.
const FULL_BYTES: u64 = 256 << 10;
/// The room is allocated in this many parts, so that a disk with less room gives what it has.
const PARTS: u64 = 64;
/// A database that grows must not make each command take a little more.
const ROUNDED: u64 = 1 << 20;

fn inode(number: u8) -> PathBuf {
    Path::new(DIR).join(format!("inode-{number:02}"))
}

fn length(root: &Root, path: &str) -> io::Result<u64> {
    Ok(root.stat(Path::new(path))?.map_or(0, |stat| stat.st_size.unsigned_abs()))
}

/// Takes what of the room is not taken yet, as far as the disk has it, and says whether all of it is.
pub(super) fn keep(root: &Root) -> bool {
    match try_keep(root) {
        Ok(()) => true,
        Err(error) => {
            let store = root.path().display();
            tracing::debug!(%store, %error, "the room that is kept for a full disk is not all there");
            false
        }
    }
}

fn try_keep(root: &Root) -> io::Result<()> {
    let database = length(root, "store.db")?;
    let wanted = LOG_BYTES.saturating_add(database.saturating_mul(2)).next_multiple_of(ROUNDED);
    let taken = length(root, ROOM)?;
    // Made last: where it is, the others are.
    if root.stat(&inode(INODES - 1))?.is_none() {
        root.make_dir(Path::new(DIR))?;
        for number in 0..INODES {
            root.file(&inode(number), OFlags::WRONLY | OFlags::CREATE)?;
        }
    }
    if taken < wanted { take(root, taken, wanted) } else { Ok(()) }
}

fn take(root: &Root, taken: u64, wanted: u64) -> io::Result<()> {
    let file = root.file(Path::new(ROOM), OFlags::WRONLY | OFlags::CREATE)?;
    let part = (wanted / PARTS).next_multiple_of(4096).max(4096);
    let mut at = taken;
    while at < wanted {
        let bytes = part.min(wanted - at);
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), at, bytes) {
            // Such a file system cannot promise room.
            Err(Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => {
                let _ = file.set_len(at);
                return Err(error.into());
            }
            Ok(()) => at += bytes,
        }
    }
    Ok(())
}

/// Gives the room up, and says whether there was some.
pub(super) fn release(root: &Root) -> bool {
    let names = (0..INODES).map(inode).chain([PathBuf::from(ROOM)]);
    let mut had = false;
    for name in names {
        had |= root.stat(&name).is_ok_and(|stat| stat.is_some()) && root.unlink(&name).is_ok();
    }
    had
}

/// Whether the disk is full: a small file cannot be made for want of space, of inodes or of quota.
pub(super) fn is_full(root: &Root) -> bool {
    let probe = PathBuf::from("probe");
    let made = || -> io::Result<()> {
        let file = root.file(&probe, OFlags::WRONLY | OFlags::CREATE)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, FULL_BYTES) {
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => Ok(done?),
        }
    };
    let made = made();
    let _ = root.unlink(&probe);
    made.is_err_and(|error| is_no_space(&error))
}
