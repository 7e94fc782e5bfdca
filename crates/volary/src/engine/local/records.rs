//! Small records and metadata: rows, each change one transaction.

use super::directory::missing;
use super::pools::namespace_row;
use super::store::Store;
use crate::engine::{Record, RecordPage};
use crate::{Error, ErrorKind, Namespace, Result, VolumeId, escape};
use rusqlite::{OptionalExtension, params};

const MAX_RECORD_KEY: usize = 256;
const MAX_METADATA_KEY: usize = 4 << 10;
const MAX_VALUE: usize = 64 << 10;

fn too_long(what: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{what} is empty, too long, or has bytes it must not have"))
}

impl Store {
    pub(super) fn records(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: &[u8],
        most: usize,
    ) -> Result<RecordPage> {
        let after = String::from_utf8_lossy(after);
        let most = most.max(1);
        self.db.read(|tx| {
            let row = namespace_row(tx, namespace)?;
            let mut rows = tx.prepare_cached(
                "SELECT key, value FROM record WHERE namespace = ?1 AND key >= ?2 AND key > ?3
                 AND substr(key, 1, length(?2)) = ?2 ORDER BY key LIMIT ?4",
            )?;
            let record = |row: &rusqlite::Row<'_>| Ok(Record { key: row.get(0)?, value: row.get(1)? });
            let limit = i64::try_from(most).unwrap_or(i64::MAX);
            let records: Vec<Record> = rows
                .query_map(params![row, prefix, after, limit], record)?
                .collect::<rusqlite::Result<_>>()?;
            let next = records.last().filter(|_| records.len() == most).map(|last| last.key.clone().into());
            Ok(RecordPage { records, next })
        })
    }

    pub(super) fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        if key.is_empty() || key.len() > MAX_RECORD_KEY || !key.is_ascii() || key.contains('\0') {
            return Err(too_long("the record's key"));
        }
        if new.is_some_and(|value| value.len() > MAX_VALUE) {
            return Err(too_long("the record's value"));
        }
        self.db.write(|tx| {
            let row = namespace_row(tx, namespace)?;
            let now: Option<Vec<u8>> = tx
                .query_row("SELECT value FROM record WHERE namespace = ?1 AND key = ?2", (row, key), |r| {
                    r.get(0)
                })
                .optional()?;
            if now.as_deref() != expected {
                return Ok(false);
            }
            match new {
                Some(value) => tx.execute(
                    "INSERT INTO record VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
                    (row, key, value),
                )?,
                None => tx.execute("DELETE FROM record WHERE namespace = ?1 AND key = ?2", (row, key))?,
            };
            Ok(true)
        })
    }

    pub(super) fn metadata(&self, id: &VolumeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.db.read(|tx| {
            let mut rows =
                tx.prepare_cached("SELECT key, value FROM metadata WHERE volume = ?1 ORDER BY key")?;
            let pairs = rows.query_map([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(pairs.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn set_metadata(&self, id: &VolumeId, key: &[u8], value: &[u8]) -> Result<()> {
        if key.is_empty() || key.len() > MAX_METADATA_KEY || key.contains(&0) {
            return Err(too_long("the metadata key"));
        }
        if value.len() > MAX_VALUE || value.contains(&0) {
            return Err(too_long("the metadata value"));
        }
        self.db.write(|tx| {
            tx.execute(
                "INSERT INTO metadata VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
                params![id.as_str(), key, value],
            )?;
            Ok(())
        })
    }

    pub(super) fn remove_metadata(&self, id: &VolumeId, key: &[u8]) -> Result<()> {
        self.db.write(|tx| {
            let removed =
                tx.execute("DELETE FROM metadata WHERE volume = ?1 AND key = ?2", params![id.as_str(), key])?;
            if removed == 0 { Err(missing("key", escape(key)).into()) } else { Ok(()) }
        })
    }
}
