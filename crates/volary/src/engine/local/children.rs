//! Clones of snapshots, wherever they are.

use super::db::Sql;
use super::directory::{id_column, name_column};
use super::handle::Open;
use super::opening::snapshot_row;
use crate::engine::Child;
use crate::{Error, ErrorKind, Name, Namespace, Result};
use rusqlite::Transaction;

/// So many children are named in a refusal.
const NAMED: u32 = 3;

/// Up to `limit` clones of a snapshot.
pub(super) fn children_of(tx: &Transaction<'_>, snapshot: i64, limit: u32) -> Sql<Vec<Child>> {
    let mut rows = tx.prepare_cached(
        "SELECT pool.name, namespace.name, volume.name, volume.id, snapshot.name, volume.trashed IS NOT NULL
         FROM volume JOIN snapshot ON snapshot.id = volume.parent
         JOIN namespace ON namespace.id = volume.namespace JOIN pool ON pool.id = namespace.pool
         WHERE volume.parent = ?1 ORDER BY 1, 2, 3, 4 LIMIT ?2",
    )?;
    let child = |row: &rusqlite::Row<'_>| {
        Ok(Child {
            namespace: Namespace { pool: name_column(row, 0)?, name: name_column(row, 1)? },
            volume: name_column(row, 2)?,
            id: id_column(row, 3)?,
            snapshot: name_column(row, 4)?,
            trash: row.get(5)?,
        })
    };
    Ok(rows.query_map((snapshot, limit), child)?.collect::<rusqlite::Result<_>>()?)
}

/// Fails, naming some of them, if a snapshot has clones.
pub(super) fn refuse_children(tx: &Transaction<'_>, name: &Name, snapshot: i64) -> Sql<()> {
    let children = children_of(tx, snapshot, NAMED + 1)?;
    if children.is_empty() {
        return Ok(());
    }
    let mut named: Vec<String> = children
        .iter()
        .take(NAMED as usize)
        .map(|child| format!("{}/{}", child.namespace, child.volume))
        .collect();
    if children.len() > NAMED as usize {
        named.push("…".into());
    }
    Err(Error::new(ErrorKind::Blocked, "the snapshot has clones")
        .context("snapshot", name)
        .context("children", named.join(" "))
        .hint("flatten or remove its clones first: `volary children` shows them")
        .into())
}

impl Open {
    pub(super) fn children(&self, snapshot: Option<&Name>) -> Result<Vec<Child>> {
        self.usable()?;
        self.store.db.read(|tx| {
            let snapshots: Vec<i64> = match snapshot {
                Some(name) => vec![snapshot_row(tx, &self.id, name)?.id],
                None => tx
                    .prepare_cached("SELECT id FROM snapshot WHERE volume = ?1 ORDER BY id")?
                    .query_map([self.id.as_str()], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?,
            };
            let mut children = Vec::new();
            for snapshot in snapshots {
                children.extend(children_of(tx, snapshot, u32::MAX)?);
            }
            Ok(children)
        })
    }
}
