//! The objects that a volume's rows name.

use super::super::blocks::{self, Object};
use super::super::db::{Fault, Sql, int, uint};
use super::super::ids::BLOCK_BYTES;
use super::super::store::Store;
use super::{Listed, RESTORE};
use crate::engine::{Checked, Finding, FindingKind};
use crate::{Ctl, Error, ErrorKind, Namespace, Result, VolumeId};
use rusqlite::Transaction;
use rustix::fs::FileType;
use std::path::Path;

/// How many rows are read at a time.
const PAGE: u32 = 4096;

/// Where a row is: its layer and index.
type Place = (i64, u64);

/// A block of a volume's own layers that is kept in an object.
struct Row {
    layer: i64,
    index: u64,
    /// What the row says of it, unless the row is damaged.
    object: std::result::Result<Object, Error>,
}

impl Store {
    /// Looks at every object of a volume's own layers; with `read` also at the bytes of those that have a checksum.
    pub(super) fn check_volume(
        &self,
        namespace: &Namespace,
        volume: &Listed,
        read: bool,
        ctl: &Ctl,
    ) -> Result<Vec<Checked>> {
        let id = &volume.entry.id;
        let spec = match volume.trashed {
            true => namespace.volume_by_id(id.clone()),
            false => namespace.volume(volume.entry.name.clone()),
        };
        let (mut found, mut objects, mut after) = (Vec::new(), 0_u64, (i64::MIN, 0));
        loop {
            let (page, next) = self.db.read(|tx| rows_after(tx, id, after))?;
            for row in page {
                ctl.check("check")?;
                objects += 1;
                ctl.touch();
                let finding = match row.object {
                    Ok(object) => self.check_object(id, row.index, object, read, ctl)?,
                    Err(error) => {
                        let subject = format!("block {} of layer {}", row.index, row.layer);
                        Some(Finding::new(FindingKind::RowMismatch, subject, error.report(), RESTORE))
                    }
                };
                let finding = finding.map(|of| of.about(spec.clone(), id.clone()));
                found.extend(finding.map(|of| Checked::Finding(Box::new(of))));
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        let name = (!volume.trashed).then(|| volume.entry.name.clone());
        Ok([Checked::Volume { name, objects }].into_iter().chain(found).collect())
    }

    /// What is wrong with an object, as long as a row says so of it.
    fn check_object(
        &self,
        id: &VolumeId,
        index: u64,
        object: Object,
        read: bool,
        ctl: &Ctl,
    ) -> Result<Option<Finding>> {
        // What is missing or short may be replaced, or cut, by now.
        for last in [false, true] {
            let name = object.id.file_name();
            let (kind, what) = match self.length_of(&object)? {
                None => (FindingKind::ObjectMissing, "is missing".to_owned()),
                Some(length) if length < object.length => {
                    (FindingKind::ObjectShort, format!("has {length} bytes and had {}", object.length))
                }
                Some(length) => {
                    if !(read && object.leaf.is_some()) {
                        return Ok(None);
                    }
                    let compared = self.read_whole(id, index, &object, BLOCK_BYTES);
                    ctl.advance(length);
                    match compared {
                        Ok(_) => return Ok(None),
                        Err(error) if error.kind() != ErrorKind::Mismatch => return Err(error),
                        Err(_) => (
                            FindingKind::ObjectMismatch,
                            "does not have the bytes that were written".to_owned(),
                        ),
                    }
                }
            };
            if last {
                let detail = format!("the object {name} of block {index} {what}");
                let remedy = "put the file back from a backup of the store, or restore the volume";
                return Ok(Some(Finding::new(kind, name, detail, remedy)));
            }
            if !self.still_has(&object)? {
                break;
            }
        }
        Ok(None)
    }

    /// How long an object's file is, if there is one.
    fn length_of(&self, object: &Object) -> Result<Option<u64>> {
        let path = object.id.path(Path::new("objects"));
        let stat = self
            .root
            .stat(&path)
            .map_err(|error| Error::io("looking at an object", error).context("object", path.display()))?;
        let file = stat.filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
        Ok(file.map(|stat| uint(stat.st_size)))
    }
}

/// A page of the rows of a volume's own layers, from a place on, and the place where the next page begins.
fn rows_after(tx: &Transaction<'_>, id: &VolumeId, (layer, index): Place) -> Sql<(Vec<Row>, Option<Place>)> {
    // A row of zeros may be one that had an object.
    let sql = format!(
        "SELECT {}, b.layer FROM layer AS l JOIN blocks AS b ON b.layer = l.id
         WHERE l.volume = ?1 AND (b.layer, b.idx) >= (?2, ?3) ORDER BY b.layer, b.idx LIMIT ?4",
        blocks::COLUMNS
    );
    let mut select = tx.prepare_cached(&sql)?;
    let mut rows = select.query((id.as_str(), layer, int(index), PAGE))?;
    let (mut found, mut count, mut next) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let (layer, index) = (row.get(5)?, uint(row.get(0)?));
        count += 1;
        next = Some((layer, index + 1));
        let object = match blocks::parse(row, layer) {
            Ok((_, Some(object))) => Ok(object),
            Ok((_, None)) => continue,
            Err(Fault::Ours(error)) => Err(error),
            Err(fault) => return Err(fault),
        };
        found.push(Row { layer, index, object });
    }
    Ok((found, next.filter(|_| count == PAGE)))
}
