//! Pools and their namespaces: each change is one transaction.

use super::db::{Sql, uint};
use super::directory::{missing, name_column, taken, usable};
use super::ids::BLOCK_BYTES;
use super::store::Store;
use crate::engine::PoolInfo;
use crate::{Error, ErrorKind, Name, Namespace, Result};
use rusqlite::{OptionalExtension, Transaction};

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
                "SELECT count(object) FROM blocks JOIN layer ON layer.id = blocks.layer
                 JOIN volume ON volume.id = layer.volume JOIN namespace ON namespace.id = volume.namespace
                 WHERE namespace.pool = ?1",
                [row],
                |row| row.get(0),
            )?)
        })?;
        let stat = rustix::fs::statvfs(self.path()).map_err(|e| {
            Error::io("asking for free space", e.into())
                .context("path", crate::escape(self.path().as_os_str().as_encoded_bytes()))
        })?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let taken = total.saturating_sub(stat.f_bfree.saturating_mul(stat.f_frsize));
        Ok(PoolInfo {
            pool: pool.clone(),
            total_bytes: total,
            // Objects are sparse: what they could take, but never more than is taken at all.
            used_bytes: uint(objects).saturating_mul(BLOCK_BYTES).min(taken),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            quota_bytes: None,
            quota_objects: None,
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
}
