//! Objects that no row names. They go to `lost/`, by the line of the database that had no row for them, and are unlinked
//! from there only after a whole copy of a later state of the same line was made and has no row for them either.

use super::ids::{ObjectId, dir_path};
use super::store::Store;
use crate::{Error, Result};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const LOST: &str = "lost";

/// An object in `lost/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// Where its file is.
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Whether it goes by itself when the next copy of the database is made. One that was left behind when the store went
    /// back to a copy stays until somebody removes it.
    pub(super) passing: bool,
}

fn failed(e: io::Error) -> Error {
    Error::io("looking for objects that no row names", e)
}

impl Store {
    /// The objects that no row of the database names, as far as they were found. Repairing leaves them where they are.
    pub(super) fn lost(&self) -> Result<Vec<Lost>> {
        let mut found = Vec::new();
        let current = self.line_dir();
        for dir in self.lost_lines()? {
            for object in self.lost_of(&dir)? {
                let path = dir.join(object.file_name());
                let stat = self.root.stat(&path).map_err(failed)?;
                // It may just have been unlinked.
                let Some(stat) = stat else { continue };
                found.push(Lost {
                    path: self.path().join(&path),
                    bytes: u64::try_from(stat.st_size).unwrap_or_default(),
                    passing: dir == current,
                });
            }
        }
        Ok(found)
    }

    /// Moves every object that no row names to `lost/`, and says how many. Nobody may be writing.
    pub(super) fn move_orphans(&self, lost: &Path) -> Result<u64> {
        let mut moved = 0;
        for dir in 0..=u8::MAX {
            let dir = dir_path(Path::new("objects"), dir);
            for name in self.root.entries(&dir).map_err(failed)? {
                let name = name.map_err(failed)?;
                let Some(object) = ObjectId::from_file_name(name.as_bytes()) else { continue };
                moved += u64::from(self.move_orphan(&dir.join(&name), object, lost)?);
            }
        }
        Ok(moved)
    }

    /// Moves the file of an object to `lost/` unless a row names the object, and says whether it did. Nobody may be writing.
    pub(super) fn move_orphan(&self, file: &Path, object: ObjectId, lost: &Path) -> Result<bool> {
        if self.is_named(object)? {
            return Ok(false);
        }
        let made = self.root.make_dir(Path::new(LOST)).and_then(|()| self.root.make_dir(lost));
        made.map_err(failed)?;
        self.root.rename(file, &lost.join(object.file_name())).map_err(failed)?;
        Ok(true)
    }

    /// Whether a row names an object, also as one that is still to be unlinked.
    pub(super) fn is_named(&self, object: ObjectId) -> Result<bool> {
        Ok(self.has_row(object)? || self.is_garbage(object)?)
    }

    /// The directory below `lost/` of the database's line.
    pub(super) fn line_dir(&self) -> PathBuf {
        line_dir(&self.identity().line)
    }

    /// The objects of one directory of `lost/`.
    pub(super) fn lost_of(&self, dir: &Path) -> Result<Vec<ObjectId>> {
        let names = match self.root.entries(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(failed)?,
        };
        let objects = names.map(|name| Ok(ObjectId::from_file_name(name?.as_bytes())));
        objects.filter_map(Result::transpose).collect::<io::Result<_>>().map_err(failed)
    }

    /// Unlinks those of these objects that still no row names; the others go back to where their rows look for them.
    pub(super) fn settle_lost(&self, dir: &Path, objects: &[ObjectId]) -> Result<()> {
        for object in objects {
            let path = dir.join(object.file_name());
            if self.has_row(*object)? {
                self.bring_back(dir, *object)?;
            } else {
                self.root.unlink(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Puts each object in `lost/` that a row names back in its place, and says how many.
    pub(super) fn bring_back_lost(&self) -> Result<u64> {
        let mut back = 0;
        for dir in self.lost_lines()? {
            for object in self.lost_of(&dir)? {
                if self.has_row(object)? {
                    self.bring_back(&dir, object)?;
                    back += 1;
                }
            }
        }
        Ok(back)
    }

    fn bring_back(&self, lost: &Path, object: ObjectId) -> Result<()> {
        let place = object.path(Path::new("objects"));
        if self.root.stat(&place).map_err(failed)?.is_none() {
            self.root.rename(&lost.join(object.file_name()), &place).map_err(failed)?;
        }
        Ok(())
    }

    fn lost_lines(&self) -> Result<Vec<PathBuf>> {
        match self.root.entries(Path::new(LOST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => {
                let dirs = names.map_err(failed)?.map(|name| Ok(Path::new(LOST).join(name?)));
                dirs.collect::<io::Result<_>>().map_err(failed)
            }
        }
    }

    /// Whether it is still to be unlinked for a change that stands.
    fn is_garbage(&self, object: ObjectId) -> Result<bool> {
        self.db
            .read(|tx| Ok(tx.prepare_cached("SELECT 1 FROM garbage WHERE object = ?1")?.exists([object])?))
    }

    fn has_row(&self, object: ObjectId) -> Result<bool> {
        self.db
            .read(|tx| Ok(tx.prepare_cached("SELECT 1 FROM blocks WHERE object = ?1")?.exists([object])?))
    }
}

/// The directory below `lost/` of a line.
pub(super) fn line_dir(line: &str) -> PathBuf {
    Path::new(LOST).join(line)
}

/// A new directory below `lost/` for something that is not an object.
pub(super) fn aside(name: &str) -> PathBuf {
    Path::new(LOST).join(name)
}
