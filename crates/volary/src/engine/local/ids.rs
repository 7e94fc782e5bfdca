//! Random ids of stores, volumes and objects, and where an object's file is.

use crate::{Error, ErrorKind, Result};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use std::path::{Path, PathBuf};

/// The size of a block, and of the object that keeps it: that of the content digest, so that a block's leaf is its
/// object's checksum; what RBD uses, and large enough to be written at disk speed.
pub(super) const BLOCK_BYTES: u64 = crate::BLOCK_BYTES;

/// So many random bytes, as hex.
pub(super) fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    fill(&mut buffer)?;
    Ok(hex::encode(buffer))
}

fn fill(buffer: &mut [u8]) -> Result<()> {
    getrandom::fill(buffer).map_err(|e| Error::new(ErrorKind::Internal, "no random numbers").because(e))
}

/// An object's name: 128 random bits, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectId([u8; 16]);

impl ObjectId {
    pub(super) fn random() -> Result<Self> {
        let mut id = [0; 16];
        fill(&mut id)?;
        Ok(ObjectId(id))
    }

    /// The object whose file has this name, if it is an object's.
    pub(super) fn from_file_name(name: &[u8]) -> Option<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(name, &mut id).ok()?;
        Some(ObjectId(id))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Which of the 256 directories keeps it.
    pub(super) fn dir(self) -> u8 {
        self.0[0]
    }

    pub(super) fn path(self, objects: &Path) -> PathBuf {
        dir_path(objects, self.dir()).join(self.file_name())
    }

    /// The name of its file.
    pub(super) fn file_name(self) -> String {
        hex::encode(self.0)
    }
}

/// One of the 256 directories of objects.
pub(super) fn dir_path(objects: &Path, dir: u8) -> PathBuf {
    objects.join(hex::encode([dir]))
}

impl ToSql for ObjectId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for ObjectId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(ObjectId)
    }
}
