//! The store's directory: one descriptor, below which everything is opened without following a link, and the rule that
//! all of it belongs to this user alone (S14).

use super::ids::dir_path;
use crate::{Error, ErrorKind, Result, escape};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::process::Uid;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// SQLite's files: the database, its log, and the log's index.
const DATABASE: [&str; 3] = ["store.db", "store.db-wal", "store.db-shm"];
/// What else is in a store, when it is there: files, then directories; those of objects besides.
const FILES: [&str; 3] = ["store.db-journal", "store.copy", "identity"];
const DIRECTORIES: [&str; 5] = ["objects", "locks", "locks/unclean", "lost", "reserve"];
/// As many links as the kernel follows in one path.
const MAX_LINKS: usize = 40;
const OTHERS: u32 = 0o077;
const OTHERS_MAY_CHANGE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Device and inode of a file.
pub(super) type Place = (u64, u64);

/// The directory of a store. Paths below it are relative to it.
pub(super) struct Root {
    dir: OwnedFd,
    path: PathBuf,
    owner: Uid,
    read_only: bool,
    /// Whether it was reported that the store was open to other users.
    reported: AtomicBool,
}

impl Root {
    /// Opens the directory and makes it when it is not there yet, with the directories above it. Nothing in it is opened
    /// before everything that is known of a store was found to belong to this user.
    ///
    /// # Errors
    /// `Permission` when another user owns the directory or something of the store in it, or could put something else in
    /// its place; `Usage` when the path leads to something else than a directory.
    pub(super) fn open(path: &Path) -> Result<Root> {
        let owner = rustix::process::geteuid();
        let path = trusted(path, owner)?;
        let failed =
            |e: Errno| Error::io("opening the store's directory", e.into()).context("path", show(&path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&dir).map_err(failed)?;
        let mount = rustix::fs::fstatvfs(&dir).map_err(failed)?;
        let read_only = mount.f_flag.contains(StatVfsMountFlags::RDONLY);
        let root = Root { dir, path, owner, read_only, reported: AtomicBool::new(false) };
        root.require_owner(&stat, &root.path)?;
        if stat.st_mode & OTHERS != 0 {
            root.narrow_directory(&stat)?;
        }
        root.survey()?;
        Ok(root)
    }

    /// The absolute path, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its file system was mounted read-only when it was opened.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Fails on a file system that is mounted read-only.
    pub(super) fn require_writable(&self) -> Result<()> {
        if !self.read_only {
            return Ok(());
        }
        Err(mounted_read_only().context("store", show(&self.path)))
    }

    /// Opens a file, or makes it when the flags say so, readable by its owner alone.
    pub(super) fn file(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        // A pipe, which only somebody who could once write here can have left, must not hold the process up.
        let file = self.open_at(path, flags | OFlags::NONBLOCK, mode)?;
        let stat = rustix::fs::fstat(&file)?;
        self.require(&stat, FileType::RegularFile)?;
        if stat.st_mode & OTHERS != 0 && narrowable(&stat)? {
            match rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR) {
                Err(Errno::ROFS) => {}
                done => done?,
            }
            self.report(path);
        }
        Ok(file.into())
    }

    /// Makes a directory that only its owner may enter; one that is there already is no error.
    pub(super) fn make_dir(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Removes a file; one that is gone already is no error.
    pub(super) fn unlink(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Renames a file within the store; one that has the new name is replaced.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::renameat(from_dir, from, to_dir, to)?)
    }

    /// What a directory holds, name by name.
    pub(super) fn entries(&self, path: &Path) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let dir = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let names =
            Dir::new(dir)?.map(|entry| Ok(OsString::from_vec(entry?.file_name().to_bytes().to_vec())));
        Ok(names.filter(|name| !name.as_ref().is_ok_and(|name| name == "." || name == "..")))
    }

    /// Makes the names in a directory durable; the empty path is the store's own.
    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(rustix::fs::fsync(&self.dir)?);
        }
        let dir = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(rustix::fs::fsync(dir)?)
    }

    /// The state of a file or directory, of a link itself; none when it is not there.
    pub(super) fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let stat = self
            .parent(path)
            .and_then(|(parent, name)| Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match stat {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the database's files are. SQLite opens them by name, so this is compared before and after: a name that leads
    /// to another file than the one below the descriptor is refused.
    pub(super) fn database(&self) -> io::Result<[Option<Place>; 3]> {
        let mut places = [None; 3];
        for (place, name) in places.iter_mut().zip(DATABASE) {
            let Some(below) = self.stat(Path::new(name))? else { continue };
            self.require(&below, FileType::RegularFile)?;
            *place = Some((below.st_dev, below.st_ino));
            match rustix::fs::statat(CWD, self.path.join(name), AtFlags::SYMLINK_NOFOLLOW) {
                // The last process that closes the database removes its log; it may do so between the two looks.
                Err(Errno::NOENT) if name != DATABASE[0] => {}
                Ok(named) if Some((named.st_dev, named.st_ino)) != *place && name == DATABASE[0] => {
                    return Err(denied("the path of the store leads to another database"));
                }
                other => drop(other?),
            }
        }
        Ok(places)
    }

    /// A path relative to the store from one below its absolute path.
    pub(super) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.path).unwrap_or(path)
    }

    fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::LOOP | Errno::XDEV) => Err(denied("a link is in a store's way, and is not followed")),
            Err(Errno::NOSYS) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "a local store needs Linux 5.6 or newer"))
            }
            opened => Ok(opened?),
        }
    }

    /// The directory that something is in, and its name there.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => {
                self.open_at(dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?
            }
            _ => self.dir.try_clone()?,
        };
        Ok((dir, name))
    }

    /// Looks at everything that a store consists of but the single objects and locks, which are looked at when they are
    /// opened.
    fn survey(&self) -> Result<()> {
        let files =
            DATABASE.into_iter().chain(FILES).map(|name| (PathBuf::from(name), FileType::RegularFile));
        let directories = DIRECTORIES.into_iter().map(PathBuf::from);
        let objects = (0..=u8::MAX).map(|dir| dir_path(Path::new("objects"), dir));
        // A directory comes before what is in it: once it is narrowed nobody else changes that.
        let directories = directories.chain(objects).map(|path| (path, FileType::Directory));
        for (path, kind) in directories.chain(files) {
            self.survey_one(&path, kind).map_err(|e| self.refused(e, &self.path.join(&path)))?;
        }
        Ok(())
    }

    fn survey_one(&self, path: &Path, kind: FileType) -> io::Result<()> {
        let Some(stat) = self.stat(path)? else { return Ok(()) };
        self.require(&stat, kind)?;
        if stat.st_mode & OTHERS == 0 || !narrowable(&stat)? {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        // By name: opening and closing the database's file would give up the locks that SQLite has on it.
        match rustix::fs::chmodat(parent, name, Mode::from_raw_mode(stat.st_mode & 0o700), AtFlags::empty()) {
            Err(Errno::ROFS) => {}
            done => done?,
        }
        self.report(path);
        Ok(())
    }

    /// Narrows the store's own directory, unless it may be one that others need, such as `/tmp`.
    fn narrow_directory(&self, stat: &Stat) -> Result<()> {
        let failed = |e| self.refused(e, &self.path);
        let parts = [DATABASE[0], "identity", "store.copy"].map(|name| self.stat(Path::new(name)));
        let store = parts.into_iter().any(|part| part.is_ok_and(|part| part.is_some()));
        let mut entries = self.entries(Path::new(".")).map_err(failed)?;
        // What a new file system begins with.
        let empty = entries.all(|name| name.is_ok_and(|name| name == "lost+found"));
        if stat.st_mode & STICKY != 0 || !(store || empty) {
            // Another process that makes a store here has narrowed it before it put anything inside.
            let now = rustix::fs::fstat(&self.dir).map_err(|error| failed(error.into()))?;
            if now.st_mode & OTHERS == 0 {
                return Ok(());
            }
            return Err(Error::new(ErrorKind::Permission, "other users may enter the store's directory")
                .context("path", show(&self.path))
                .hint(format!(
                    "name a directory that holds nothing else, or run `chmod 700 {}` if nobody else needs it",
                    show(&self.path)
                )));
        }
        match rustix::fs::fchmod(&self.dir, Mode::RWXU) {
            Ok(()) => self.report(&self.path),
            Err(Errno::ROFS) => {}
            Err(error) => return Err(failed(error.into())),
        }
        Ok(())
    }

    fn require(&self, stat: &Stat, kind: FileType) -> io::Result<()> {
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return Err(denied(
                "it is neither a file nor a directory of the store's own, and is not followed",
            ));
        }
        if stat.st_uid != self.owner.as_raw() {
            return Err(denied(format!("it belongs to user {}", stat.st_uid)));
        }
        Ok(())
    }

    fn require_owner(&self, stat: &Stat, path: &Path) -> Result<()> {
        self.require(stat, FileType::Directory).map_err(|e| self.refused(e, path))
    }

    fn refused(&self, error: io::Error, path: &Path) -> Error {
        let refused = Error::io("the store is not its owner's alone", error).context("path", show(path));
        match refused.kind() {
            ErrorKind::Permission => refused.hint(format!(
                "run the command as the user who owns the store; what does not belong there must go: look at \
                 `find {} ! -user {} -o -type l`",
                show(&self.path),
                self.owner.as_raw(),
            )),
            _ => refused,
        }
    }

    /// Says once for an opened store that it was open to others.
    fn report(&self, path: &Path) {
        if !self.reported.swap(true, Relaxed) {
            let path = show(&self.path.join(path));
            tracing::warn!(
                path,
                "other users could open parts of the store; they are their owner's alone now"
            );
        }
    }
}

/// Whether something failed for want of space, of inodes or of quota.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The refusal of what would write where the kernel lets nobody write.
pub(super) fn mounted_read_only() -> Error {
    Error::new(ErrorKind::NoSpace, "the store's file system is mounted read-only")
        .hint("mount it writable (`mount -o remount,rw`), and try again; until then the store can be read")
}

fn denied(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.into())
}

fn show(path: &Path) -> String {
    escape(path.as_os_str().as_bytes()).into_owned()
}

/// Whether the mode may be changed; a file that has other names may be another's business.
fn narrowable(stat: &Stat) -> io::Result<bool> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink > 1 => {
            Err(denied("other users may open it, and it has a second name, perhaps outside of the store"))
        }
        _ => Ok(true),
    }
}

/// Follows a path to the store's directory, each directory on the way one that only root or this user can change, and
/// makes what is missing. What comes out has no links, and nobody else can make it lead to something else.
fn trusted(path: &Path, owner: Uid) -> Result<PathBuf> {
    let failed =
        |e: Errno, at: &Path| Error::io("following the store's path", e.into()).context("path", show(at));
    let start = std::path::absolute(path).map_err(|e| Error::io("following the store's path", e))?;
    let mut rest: VecDeque<OsString> = start.components().map(|part| part.as_os_str().to_owned()).collect();
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = rest.pop_front() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::Normal(_)) => {
                let directory = rustix::fs::stat(&at).map_err(|e| failed(e, &at))?;
                require_trusted(directory.st_uid, directory.st_mode, owner, &at)?;
                let next = at.join(&name);
                let stat = match rustix::fs::statat(CWD, &next, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {
                        match rustix::fs::mkdirat(CWD, &next, Mode::RWXU) {
                            Err(Errno::EXIST) => {}
                            made => made.map_err(|e| {
                                Error::io("making the store's directory", e.into())
                                    .context("path", show(&next))
                            })?,
                        }
                        rustix::fs::statat(CWD, &next, AtFlags::SYMLINK_NOFOLLOW)
                    }
                    stat => stat,
                };
                let stat = stat.map_err(|e| failed(e, &next))?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => at = next,
                    FileType::Symlink if links < MAX_LINKS => {
                        require_trusted(stat.st_uid, 0, owner, &next)?;
                        rustix::fs::stat(&next).map_err(|e| {
                            failed(e, &next)
                                .hint("make the directory that the link leads to, or remove the link")
                        })?;
                        links += 1;
                        let to =
                            rustix::fs::readlinkat(CWD, &next, Vec::new()).map_err(|e| failed(e, &next))?;
                        let to = PathBuf::from(OsString::from_vec(to.into_bytes()));
                        for part in to.components().rev() {
                            rest.push_front(part.as_os_str().to_owned());
                        }
                    }
                    FileType::Symlink => return Err(failed(Errno::LOOP, &next)),
                    _ => {
                        return Err(Error::new(ErrorKind::Usage, "the store's path is not a directory")
                            .context("path", show(&next))
                            .hint("name a directory, or one that is still to be made"));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(at)
}

/// Refuses a directory or link on the way to the store that others can change.
fn require_trusted(uid: u32, mode: u32, owner: Uid, path: &Path) -> Result<()> {
    let theirs = uid != owner.as_raw() && uid != 0;
    if !theirs && (mode & OTHERS_MAY_CHANGE == 0 || mode & STICKY != 0) {
        return Ok(());
    }
    let path = show(path);
    let error = Error::new(ErrorKind::Permission, "another user can change where the store's path leads")
        .context("path", &path);
    Err(match theirs {
        true => error.context("owner", uid).hint(
            "put the store below directories of root or of your own, or run the command as their owner",
        ),
        false => error.hint(format!("run `chmod go-w {path}`, or put the store somewhere else")),
    })
}
