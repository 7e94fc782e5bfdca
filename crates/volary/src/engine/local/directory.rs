//! Pools, namespaces and the names of volumes: each change is one transaction.

use super::db::{Sql, int, uint};
use super::ids::{BLOCK_BYTES, random_hex};
use super::store::Store;
use crate::engine::{CreateOptions, PoolInfo, VolumeEntry};
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId};
use rusqlite::{OptionalExtension, Transaction, params};

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
        .context(what, name)
}

/// Names that are read can be any bytes; what is made here must at least be one, and end where it seems to.
pub(super) fn usable(name: &Name) -> Result<()> {
    if name.is_empty() || name.as_bytes().contains(&0) {
        return Err(Error::new(ErrorKind::Usage, "a name must not be empty or contain a NUL byte"));
    }
    Ok(())
}

pub(super) fn insert_pool(tx: &Transaction<'_>, name: &[u8]) -> Sql<()> {
    tx.execute("INSERT INTO pool(name) VALUES (?1)", [name])?;
    tx.execute("INSERT INTO namespace(pool, name) VALUES (?1, x'')", [tx.last_insert_rowid()])?;
    Ok(())
}

fn pool_row(tx: &Transaction<'_>, pool: &Name) -> Sql<i64> {
    let row =
        tx.query_row("SELECT id FROM pool WHERE name = ?1", [pool.as_bytes()], |r| r.get(0)).optional()?;
    Ok(row.ok_or_else(|| missing("pool", pool).hint("`volary pool ls` shows the pools there are"))?)
}

/// The row of a namespace.
pub(super) fn namespace_row(tx: &Transaction<'_>, namespace: &Namespace) -> Sql<i64> {
    let pool = pool_row(tx, &namespace.pool)?;
    let row = tx
        .prepare_cached("SELECT id FROM namespace WHERE pool = ?1 AND name = ?2")?
        .query_row((pool, namespace.name.as_bytes()), |row| row.get(0))
        .optional()?;
    Ok(row.ok_or_else(|| missing("namespace", namespace))?)
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
}

pub(super) fn insert_volume(tx: &Transaction<'_>, new: &NewVolume<'_>) -> Sql<VolumeId> {
    let id = VolumeId::new(random_hex(7)?)?;
    let overlap = if new.parent.is_some() { new.size } else { 0 };
    tx.execute(
        "INSERT INTO layer(volume, parent, overlap) VALUES (?1, ?2, ?3)",
        params![id.as_str(), new.parent.map(|(_, layer)| layer), int(overlap)],
    )?;
    tx.execute(
        "INSERT INTO volume(id, namespace, name, head, size, parent, created, modified)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        params![
            id.as_str(),
            new.namespace,
            new.name.as_bytes(),
            tx.last_insert_rowid(),
            int(new.size),
            new.parent.map(|(snapshot, _)| snapshot),
            now()
        ],
    )?;
    Ok(id)
}

impl Store {
    pub(super) fn pools(&self) -> Result<Vec<Name>> {
        self.db.read(|tx| {
            let mut rows = tx.prepare("SELECT name FROM pool ORDER BY name")?;
            Ok(rows.query_map([], |row| name_column(row, 0))?.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn create_pool(&self, pool: &Name) -> Result<()> {
        usable(pool)?;
        self.db.write(|tx| match pool_row(tx, pool) {
            Ok(_) => Err(taken("pool", pool).into()),
            Err(_) => insert_pool(tx, pool.as_bytes()),
        })
    }

    pub(super) fn pool_info(&self, pool: &Name) -> Result<PoolInfo> {
        let objects: i64 = self.db.read(|tx| {
            let row = pool_row(tx, pool)?;
            Ok(tx.query_row(
                "SELECT count(object) FROM block JOIN layer ON layer.id = block.layer
                 JOIN volume ON volume.id = layer.volume JOIN namespace ON namespace.id = volume.namespace
                 WHERE namespace.pool = ?1",
                [row],
                |row| row.get(0),
            )?)
        })?;
        let stat = rustix::fs::statvfs(&self.path).map_err(|e| {
            Error::io("asking for free space", e.into())
                .context("path", crate::escape(self.path.as_os_str().as_encoded_bytes()))
        })?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let taken = total.saturating_sub(stat.f_bfree.saturating_mul(stat.f_frsize));
        Ok(PoolInfo {
            pool: pool.clone(),
            total_bytes: total,
            // Objects are sparse: what they could take, but never more than is taken at all.
            used_bytes: uint(objects).saturating_mul(BLOCK_BYTES).min(taken),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    pub(super) fn namespaces(&self, pool: &Name) -> Result<Vec<Name>> {
        self.db.read(|tx| {
            let pool = pool_row(tx, pool)?;
            let mut rows =
                tx.prepare("SELECT name FROM namespace WHERE pool = ?1 AND name != x'' ORDER BY name")?;
            Ok(rows.query_map([pool], |row| name_column(row, 0))?.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn create_namespace(&self, namespace: &Namespace) -> Result<()> {
        usable(&namespace.name)?;
        self.db.write(|tx| {
            let pool = pool_row(tx, &namespace.pool)?;
            if namespace_row(tx, namespace).is_ok() {
                return Err(taken("namespace", namespace).into());
            }
            tx.execute(
                "INSERT INTO namespace(pool, name) VALUES (?1, ?2)",
                (pool, namespace.name.as_bytes()),
            )?;
            Ok(())
        })
    }

    pub(super) fn remove_namespace(&self, namespace: &Namespace) -> Result<()> {
        if namespace.name.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the default namespace cannot be removed"));
        }
        self.db.write(|tx| {
            let row = namespace_row(tx, namespace)?;
            let volumes: i64 =
                tx.query_row("SELECT count(*) FROM volume WHERE namespace = ?1", [row], |r| r.get(0))?;
            if volumes > 0 {
                return Err(Error::new(ErrorKind::Blocked, "the namespace holds volumes")
                    .context("namespace", namespace)
                    .context("volumes", volumes)
                    .hint("remove its volumes first, those in trash too")
                    .into());
            }
            tx.execute("DELETE FROM record WHERE namespace = ?1", [row])?;
            tx.execute("DELETE FROM namespace WHERE id = ?1", [row])?;
            Ok(())
        })
    }

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
            require_free(tx, namespace, name)?;
            insert_volume(tx, &NewVolume { namespace, name, size: options.size_bytes, parent: None })
        })
    }

    pub(super) fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name) -> Result<()> {
        usable(to)?;
        self.db.write(|tx| {
            let row = namespace_row(tx, namespace)?;
            require_entry(tx, row, volume)?;
            require_free(tx, row, to)?;
            tx.execute(
                "UPDATE volume SET name = ?2 WHERE id = ?1",
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
