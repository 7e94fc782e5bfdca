//! The names of volumes: each change is one transaction.

use super::db::{Sql, int, uint};
use super::ids::random_hex;
use super::lockers::require_unlocked;
use super::pools::namespace_row;
use super::store::Store;
use super::trash::kept_until;
use crate::engine::{CreateOptions, Head, VolumeEntry};
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

/// The largest volume: what RBD can address with default objects is less.
pub(super) const MAX_VOLUME_BYTES: u64 = 1 << 56;

/// Microseconds since 1970, as the tables keep time.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// A time of the tables.
pub(super) fn time(microseconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(microseconds).unwrap_or(jiff::Timestamp::MAX)
}

pub(super) fn missing(what: &'static str, name: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, format!("no such {what}")).context(what, name)
}

pub(super) fn taken(what: &'static str, name: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("a {what} of this name is there already"))
        .context("name", name)
}

/// Names that are read can be any bytes; what is made here must at least be one, and end where it seems to.
pub(super) fn usable(name: &Name) -> Result<()> {
    if name.is_empty() || name.as_bytes().contains(&0) {
        return Err(Error::new(ErrorKind::Usage, "a name must not be empty or contain a NUL byte"));
    }
    Ok(())
}

pub(super) fn name_column(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Name> {
    Ok(Name::from_bytes(row.get::<_, Vec<u8>>(index)?))
}

/// An id column; the schema's ids are hex, anything else is damage.
pub(super) fn id_column(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<VolumeId> {
    VolumeId::new(row.get::<_, String>(index)?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, e.into()))
}

/// The volume that has a name, outside of trash.
pub(super) fn id_of_name(tx: &Transaction<'_>, namespace: i64, name: &Name) -> Sql<Option<VolumeId>> {
    Ok(tx
        .prepare_cached("SELECT id FROM volume WHERE namespace = ?1 AND name = ?2 AND trashed IS NULL")?
        .query_row((namespace, name.as_bytes()), |row| id_column(row, 0))
        .optional()?)
}

/// Fails unless the entry's name still stands for its id.
pub(super) fn require_entry(tx: &Transaction<'_>, namespace: i64, entry: &VolumeEntry) -> Sql<()> {
    if id_of_name(tx, namespace, &entry.name)?.as_ref() == Some(&entry.id) {
        return Ok(());
    }
    Err(missing("volume", &entry.name).context("id", &entry.id).into())
}

pub(super) fn require_free(tx: &Transaction<'_>, namespace: i64, name: &Name) -> Sql<()> {
    match id_of_name(tx, namespace, name)? {
        None => Ok(()),
        Some(id) => Err(taken("volume", name).context("id", id).into()),
    }
}

/// The id of a volume by name, or by id in trash too.
pub(super) fn resolve(tx: &Transaction<'_>, namespace: &Namespace, target: &Target) -> Sql<VolumeId> {
    let row = namespace_row(tx, namespace)?;
    let found = match target {
        Target::Name(name) => id_of_name(tx, row, name)?,
        Target::Id(id) => tx
            .query_row(
                "SELECT id FROM volume WHERE id = ?1 AND namespace = ?2",
                params![id.as_str(), row],
                |r| id_column(r, 0),
            )
            .optional()?,
    };
    Ok(found.ok_or_else(|| missing("volume", format_args!("{namespace}/{target}")))?)
}

/// A new volume over a layer of another, or over nothing.
pub(super) struct NewVolume<'a> {
    pub(super) namespace: i64,
    pub(super) name: &'a Name,
    pub(super) size: u64,
    /// The snapshot it is a clone of, and that snapshot's layer.
    pub(super) parent: Option<(i64, i64)>,
    /// How long trash is to keep it, if that is where it goes.
    pub(super) trash: Option<Duration>,
}

pub(super) fn insert_volume(tx: &Transaction<'_>, new: &NewVolume<'_>) -> Sql<VolumeId> {
    let id = VolumeId::new(random_hex(7)?)?;
    let now = now();
    let overlap = if new.parent.is_some() { new.size } else { 0 };
    tx.execute(
        "INSERT INTO layer(volume, parent, overlap) VALUES (?1, ?2, ?3)",
        params![id.as_str(), new.parent.map(|(_, layer)| layer), int(overlap)],
    )?;
    tx.execute(
        "INSERT INTO volume(id, namespace, name, head, size, parent, created, modified, trashed, until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)",
        params![
            id.as_str(),
            new.namespace,
            new.name.as_bytes(),
            tx.last_insert_rowid(),
            int(new.size),
            new.parent.map(|(snapshot, _)| snapshot),
            now,
            new.trash.map(|_| now),
            new.trash.map(|keep| kept_until(now, keep)),
        ],
    )?;
    Ok(id)
}

impl Store {
    /// Up to `limit` volumes whose names come after `after`, by name.
    pub(super) fn volumes_after(
        &self,
        namespace: &Namespace,
        after: Option<&Name>,
        limit: u32,
    ) -> Result<Vec<VolumeEntry>> {
        self.db.read(|tx| {
            let row = namespace_row(tx, namespace)?;
            let mut rows = tx.prepare_cached(
                "SELECT name, id FROM volume WHERE namespace = ?1 AND trashed IS NULL AND name > ?2
                 ORDER BY name LIMIT ?3",
            )?;
            let after = after.map_or(&b""[..], Name::as_bytes);
            let entry = |row: &rusqlite::Row<'_>| {
                Ok(VolumeEntry { name: name_column(row, 0)?, id: id_column(row, 1)? })
            };
            Ok(rows.query_map((row, after, limit), entry)?.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn head(&self, namespace: &Namespace, target: &Target) -> Result<Option<Head>> {
        let Some(entry) = self.find(namespace, target)? else { return Ok(None) };
        self.db.read(|tx| {
            let found = tx.query_row(
                "SELECT size FROM volume WHERE id = ?1 AND trashed IS NULL",
                [entry.id.as_str()],
                |row| Ok(uint(row.get(0)?)),
            );
            let head = |size_bytes| Head { entry, size_bytes };
            Ok(found.optional()?.map(head))
        })
    }

    pub(super) fn find(&self, namespace: &Namespace, target: &Target) -> Result<Option<VolumeEntry>> {
        self.db.read(|tx| {
            let row = namespace_row(tx, namespace)?;
            match target {
                Target::Name(name) => {
                    Ok(id_of_name(tx, row, name)?.map(|id| VolumeEntry { name: name.clone(), id }))
                }
                Target::Id(id) => Ok(tx
                    .query_row(
                        "SELECT name FROM volume WHERE id = ?1 AND namespace = ?2 AND trashed IS NULL",
                        params![id.as_str(), row],
                        |row| name_column(row, 0),
                    )
                    .optional()?
                    .map(|name| VolumeEntry { name, id: id.clone() })),
            }
        })
    }

    pub(super) fn name_version(&self, namespace: &Namespace, volume: &VolumeEntry) -> Result<Option<u64>> {
        self.db.read(|tx| {
            let row = namespace_row(tx, namespace)?;
            let found = tx.query_row(
                "SELECT named FROM volume WHERE id = ?1 AND namespace = ?2 AND name = ?3 AND trashed IS NULL",
                params![volume.id.as_str(), row, volume.name.as_bytes()],
                |row| Ok(uint(row.get(0)?)),
            );
            Ok(found.optional()?)
        })
    }

    pub(super) fn snapshots_made(&self, namespace: &Namespace, id: &VolumeId) -> Result<Option<u64>> {
        self.db.read(|tx| {
            let row = namespace_row(tx, namespace)?;
            let found = tx.query_row(
                "SELECT snapshots FROM volume WHERE id = ?1 AND namespace = ?2",
                params![id.as_str(), row],
                |row| Ok(uint(row.get(0)?)),
            );
            Ok(found.optional()?)
        })
    }

    pub(super) fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
    ) -> Result<VolumeId> {
        usable(name)?;
        require_size(options.size_bytes)?;
        self.db.write(|tx| {
            let namespace = namespace_row(tx, namespace)?;
            if options.trash.is_none() {
                require_free(tx, namespace, name)?;
            }
            let new =
                NewVolume { namespace, name, size: options.size_bytes, parent: None, trash: options.trash };
            insert_volume(tx, &new)
        })
    }

    pub(super) fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name) -> Result<()> {
        usable(to)?;
        self.db.write(|tx| {
            let row = namespace_row(tx, namespace)?;
            require_entry(tx, row, volume)?;
            require_unlocked(tx, &volume.id)?;
            require_free(tx, row, to)?;
            tx.execute(
                "UPDATE volume SET name = ?2, named = named + 1 WHERE id = ?1",
                params![volume.id.as_str(), to.as_bytes()],
            )?;
            Ok(())
        })
    }
}

/// Refuses a size that no volume can have.
pub(super) fn require_size(bytes: u64) -> Result<()> {
    if bytes <= MAX_VOLUME_BYTES {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, "larger than a volume can be")
        .context("size_bytes", bytes)
        .context("max_bytes", MAX_VOLUME_BYTES))
}
