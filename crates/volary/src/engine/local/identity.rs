//! Which database belongs in a store: the file `identity` beside the database says so, and both must agree.
//!
//! A *line* is the history of one database. It ends where a store goes back to a copy, and a new one begins; so a
//! database that was put in the place of another, or of a later state of itself, is told from the one that belongs here.

use super::root::Root;
use crate::{Error, ErrorKind, Result};
use rustix::fs::OFlags;
use std::io::{self, Read, Write};
use std::path::Path;

const NAME: &str = "identity";
const NEW: &str = "identity.new";
/// Longer than any that this code writes.
const MAX_BYTES: u64 = 4096;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The store's id.
    pub(super) id: String,
    /// The line of the store's database.
    pub(super) line: String,
    /// How many changes the database had seen when it was last copied; it never has fewer.
    pub(super) change: u64,
    /// When the last copy was begun, in microseconds since 1970; 0 if never.
    pub(super) copied: i64,
    /// How long making it took, in microseconds.
    pub(super) took: i64,
}

impl Identity {
    /// The store's identity, if the file is there.
    ///
    /// # Errors
    /// `Mismatch` when the file is not what was once written.
    pub(super) fn read(root: &Root) -> Result<Option<Identity>> {
        let failed = |e| Error::io("reading the store's identity", e).context("store", root.path().display());
        let file = match root.file(Path::new(NAME), OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
        let parsed = std::str::from_utf8(&text).ok().and_then(parse);
        parsed.map(Some).ok_or_else(|| refused(root, "the file that says which store this is, is not whole"))
    }

    /// Puts the file in place of the one before, durably, or leaves that as it is.
    pub(super) fn write(&self, root: &Root) -> Result<()> {
        let write = || -> io::Result<()> {
            root.unlink(Path::new(NEW))?;
            let mut file = root.file(Path::new(NEW), OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            root.rename(Path::new(NEW), Path::new(NAME))?;
            root.sync_dir(Path::new(""))
        };
        write()
            .map_err(|e| Error::io("writing the store's identity", e).context("store", root.path().display()))
    }

    fn text(&self) -> String {
        let Identity { id, line, change, copied, took } = self;
        let text = format!("volary store 1\nid {id}\nline {line}\nchange {change}\ncopied {copied} {took}\n");
        let sum = blake3::hash(text.as_bytes()).to_hex();
        format!("{text}sum {sum}\n")
    }
}

fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    let mut field = |key: &str| lines.next()?.strip_prefix(key);
    field("volary store 1")?;
    let (id, line) = (field("id ")?.to_owned(), field("line ")?.to_owned());
    let change = field("change ")?.parse().ok()?;
    let (copied, took) = field("copied ")?.split_once(' ')?;
    let identity = Identity { id, line, change, copied: copied.parse().ok()?, took: took.parse().ok()? };
    (identity.text() == text && is_id(&identity.id) && is_id(&identity.line)).then_some(identity)
}

/// Ids are part of paths.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The refusal of a store whose database cannot be relied on.
pub(super) fn refused(root: &Root, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Mismatch, why).context("store", root.path().display()).hint(REMEDY)
}

/// What settles it.
pub(super) const REMEDY: &str = "nothing was changed and no object is lost: put the missing or changed file back if you have \
     it, or run `volary check --repair`, which goes back to the store's copy of its database";
