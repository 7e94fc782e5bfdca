//! The objects that a volume's rows name.

use super::super::db::{Sql, int, uint};
use super::super::ids::ObjectId;
use super::super::store::Store;
use super::Listed;
use crate::engine::{Checked, Finding, FindingKind};
use crate::{Ctl, Error, Namespace, Result, VolumeId};
use rusqlite::Transaction;
use rustix::fs::FileType;
use std::path::Path;

/// How many rows are read at a time.
const PAGE: u32 = 4096;

/// A block of a volume's own layers that is kept in an object.
#[derive(Debug, Clone, Copy)]
struct Row {
    layer: i64,
    index: u64,
    object: ObjectId,
}

impl Store {
    /// Looks at every object of a volume's own layers.
    pub(super) fn check_volume(
        &self,
        namespace: &Namespace,
        volume: &Listed,
        ctl: &Ctl,
    ) -> Result<Vec<Checked>> {
        let id = &volume.entry.id;
        let spec = match volume.trashed {
            true => namespace.volume_by_id(id.clone()),
            false => namespace.volume(volume.entry.name.clone()),
        };
        let (mut found, mut objects, mut after) = (Vec::new(), 0_u64, (i64::MIN, 0));
        loop {
            ctl.check("check")?;
            let page = self.db.read(|tx| rows_after(tx, id, after))?;
            for row in &page {
                objects += 1;
                ctl.touch();
                let Some(finding) = self.check_object(*row)? else { continue };
                found.push(Checked::Finding(Box::new(finding.about(spec.clone(), id.clone()))));
            }
            match page.last() {
                Some(row) if page.len() == PAGE as usize => after = (row.layer, row.index + 1),
                _ => break,
            }
        }
        let name = (!volume.trashed).then(|| volume.entry.name.clone());
        Ok([Checked::Volume { name, objects }].into_iter().chain(found).collect())
    }

    /// What is wrong with an object, as long as its row names it.
    fn check_object(&self, row: Row) -> Result<Option<Finding>> {
        let path = row.object.path(Path::new("objects"));
        if self.is_file(&path)? || !self.db.read(|tx| still_names(tx, row))? || self.is_file(&path)? {
            return Ok(None);
        }
        let object = row.object.file_name();
        let detail = format!("the object {object} of block {} is missing", row.index);
        let remedy = "put the file back from a backup of the store, or restore the volume";
        Ok(Some(Finding::new(FindingKind::ObjectMissing, object, detail, remedy)))
    }

    fn is_file(&self, path: &Path) -> Result<bool> {
        let stat = self
            .root
            .stat(path)
            .map_err(|error| Error::io("looking at an object", error).context("object", path.display()))?;
        Ok(stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file()))
    }
}

fn rows_after(tx: &Transaction<'_>, id: &VolumeId, (layer, index): (i64, u64)) -> Sql<Vec<Row>> {
    let mut select = tx.prepare_cached(
        "SELECT b.layer, b.idx, b.object FROM layer AS l JOIN block AS b ON b.layer = l.id
         WHERE l.volume = ?1 AND b.object IS NOT NULL AND (b.layer, b.idx) >= (?2, ?3)
         ORDER BY b.layer, b.idx LIMIT ?4",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row { layer: row.get(0)?, index: uint(row.get(1)?), object: row.get(2)? })
    };
    let rows = select.query_map((id.as_str(), layer, int(index), PAGE), row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn still_names(tx: &Transaction<'_>, row: Row) -> Sql<bool> {
    let mut select = tx.prepare_cached("SELECT 1 FROM block WHERE object = ?1")?;
    Ok(select.exists([row.object])?)
}
