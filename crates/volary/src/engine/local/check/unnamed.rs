//! Objects that no row names, and those that were moved aside.

use super::super::ids::{ObjectId, dir_path};
use super::super::locks::Mode;
use super::super::store::Store;
use crate::engine::{Finding, FindingKind, Repair};
use crate::{Ctl, Error, ErrorKind, Result, escape};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

fn failed(error: std::io::Error) -> Error {
    Error::io("looking through the objects", error)
}

impl Store {
    /// Objects that no row names, while nobody writes; and files that are no objects.
    pub(super) fn unnamed_objects(&self, ctl: &Ctl) -> Result<Vec<Finding>> {
        let (mut found, mut unnamed) = (Vec::new(), Vec::new());
        for dir in 0..=u8::MAX {
            ctl.check("check")?;
            ctl.touch();
            let path = dir_path(Path::new("objects"), dir);
            for name in self.root.entries(&path).map_err(failed)? {
                let name = name.map_err(failed)?;
                match ObjectId::from_file_name(name.as_bytes()) {
                    Some(object) if object.dir() == dir && !self.is_named(object)? => unnamed.push(object),
                    Some(object) if object.dir() == dir => {}
                    _ => {
                        let file = path.join(&name);
                        let file = escape(file.as_os_str().as_bytes()).into_owned();
                        let detail = format!("the file {file} is no object of the store");
                        let remedy = "move it somewhere else, if nothing of yours keeps it there";
                        found.push(Finding::new(FindingKind::FileForeign, file, detail, remedy));
                    }
                }
            }
        }
        if unnamed.is_empty() {
            return Ok(found);
        }
        // The newest objects of a writer have no rows yet.
        let Ok(_alone) = self.locks.acquire_within("writers", Mode::Exclusive, Duration::ZERO) else {
            return Ok(found);
        };
        for object in unnamed {
            if self.is_named(object)?
                || self.root.stat(&object.path(Path::new("objects"))).map_err(failed)?.is_none()
            {
                continue;
            }
            let name = object.file_name();
            let detail = format!("no row names the object {name}");
            let finding =
                Finding::new(FindingKind::ObjectUnnamed, name.clone(), detail, "volary check --repair");
            found.push(finding.repaired_by(Repair::MoveAside(name)));
        }
        Ok(found)
    }

    /// What lies in `lost/`.
    pub(super) fn lost_objects(&self) -> Result<Vec<Finding>> {
        let found = self.lost()?.into_iter().map(|lost| {
            let path = escape(lost.path.as_os_str().as_bytes()).into_owned();
            let detail = format!("no row names the object {path} of {} bytes", lost.bytes);
            let remedy = match lost.passing {
                true => {
                    "nothing to do: it is removed once a later copy of the database has no row for it either"
                }
                false => "delete the file when no volume lacks data",
            };
            Finding::new(FindingKind::ObjectLost, path, detail, remedy)
        });
        Ok(found.collect())
    }

    /// Moves an object to `lost/`, unless a row names it.
    pub(super) fn move_aside(&self, object: &str) -> Result<bool> {
        let Some(object) = ObjectId::from_file_name(object.as_bytes()) else {
            return Err(Error::new(ErrorKind::Usage, "this is no object's name"));
        };
        let _alone = self.locks.acquire_within("writers", Mode::Exclusive, Duration::ZERO)?;
        let place = object.path(Path::new("objects"));
        if self.root.stat(&place).map_err(failed)?.is_none() {
            return Ok(false);
        }
        self.move_orphan(&place, object, &self.line_dir())
    }
}
