//! What a handle knows of its volume.

use super::db::Sql;
use super::directory::{id_column, missing, name_column, time};
use super::handle::Open;
use super::ids::BLOCK_BYTES;
use super::layers::{chain, parent_overlap};
use super::snapshots::{INFO, info};
use crate::engine::{Parent, Stat};
use crate::{Namespace, Result};
use rusqlite::{OptionalExtension, Transaction};

impl Open {
    pub(super) fn stat(&self) -> Result<Stat> {
        self.usable()?;
        let _gate = self.share();
        self.store.db.read(|tx| {
            let (layer, size) = self.top(tx)?;
            let (created, modified): (i64, i64) = tx
                .query_row("SELECT created, modified FROM volume WHERE id = ?1", [self.id.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?
                .ok_or_else(|| missing("volume", &self.id))?;
            let mut stat = Stat::new(self.id.clone(), size, BLOCK_BYTES);
            stat.features = vec!["layering".into(), "deep-flatten".into()];
            stat.parent = self.parent(tx, layer)?;
            (stat.created, stat.modified) = (Some(time(created)), Some(time(modified)));
            stat.modified_is_exact = true;
            if let Some(snapshot) = self.snapshot {
                let found =
                    tx.query_row(&format!("SELECT {INFO} FROM snapshot WHERE id = ?1"), [snapshot], info);
                stat.snapshot = found.optional()?;
            }
            Ok(stat)
        })
    }

    fn parent(&self, tx: &Transaction<'_>, layer: i64) -> Sql<Option<Parent>> {
        let overlap_bytes = parent_overlap(&chain(tx, layer)?);
        let parent = |row: &rusqlite::Row<'_>| {
            Ok(Parent {
                namespace: Namespace { pool: name_column(row, 0)?, name: name_column(row, 1)? },
                volume: name_column(row, 2)?,
                id: id_column(row, 3)?,
                snapshot: name_column(row, 4)?,
                overlap_bytes,
                trash: row.get(5)?,
            })
        };
        Ok(tx
            .query_row(
                "SELECT pool.name, namespace.name, parent.name, parent.id, snapshot.name, parent.trashed IS NOT NULL
                 FROM volume AS child JOIN snapshot ON snapshot.id = child.parent
                 JOIN volume AS parent ON parent.id = snapshot.volume
                 JOIN namespace ON namespace.id = parent.namespace JOIN pool ON pool.id = namespace.pool
                 WHERE child.id = ?1",
                [self.id.as_str()],
                parent,
            )
            .optional()?)
    }
}
