//! The database: what SQLite finds of its pages and indexes, and what rows must say of each other.

use super::super::db::Sql;
use super::super::store::Store;
use super::RESTORE;
use crate::engine::{Finding, FindingKind};
use crate::{Ctl, ErrorKind, Result, escape};
use rusqlite::Transaction;

/// How many findings of each kind are reported at most; more would add nothing.
const MOST: usize = 100;

/// What must not be, and the rows that are so.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "the layer belongs to no volume",
        "SELECT 'layer ' || l.id FROM layer AS l LEFT JOIN volume AS v ON v.id = l.volume WHERE v.id IS NULL",
    ),
    ("the layer stands on itself or on a younger one", "SELECT 'layer ' || id FROM layer WHERE parent >= id"),
    (
        "the volume's head is a layer of another volume",
        "SELECT 'volume ' || v.id FROM volume AS v JOIN layer AS l ON l.id = v.head WHERE l.volume <> v.id",
    ),
    (
        "the snapshot's layer belongs to another volume",
        "SELECT 'snapshot ' || s.id FROM snapshot AS s JOIN layer AS l ON l.id = s.layer WHERE l.volume <> s.volume",
    ),
    (
        "another layer stands on the layer of the head, which is written",
        "SELECT 'volume ' || v.id FROM volume AS v WHERE EXISTS (SELECT 1 FROM layer WHERE parent = v.head)",
    ),
    (
        "the object of a block is also noted as one to unlink",
        "SELECT 'object ' || lower(hex(g.object)) FROM garbage AS g JOIN blocks AS b ON b.object = g.object",
    ),
];

/// What settles a database that is damaged.
const GO_BACK: &str =
    "volary check --repair, while nobody else uses the store: it goes back to the copy of the database";

/// Rows that name a row of another table that is not there.
const FOREIGN: &str = "SELECT 'row ' || coalesce(rowid, '?') || ' of ' || \"table\" || ', whose ' || parent
                       FROM pragma_foreign_key_check";

impl Store {
    /// Checks the database; thoroughly also whether indexes have exactly what tables have.
    pub(super) fn check_database(&self, thorough: bool, ctl: &Ctl) -> Result<Vec<Finding>> {
        let damage = self.damage(thorough)?.into_iter().map(|line| {
            let detail = format!("SQLite: {}", escape(line.as_bytes()));
            Finding::new(FindingKind::DatabaseDamaged, line, detail, GO_BACK)
        });
        let mut found: Vec<_> = damage.collect();
        ctl.touch();
        if !found.is_empty() {
            // What follows would be told by indexes that may be wrong.
            return Ok(found);
        }
        for subject in self.db.read(|tx| strings(tx, FOREIGN))? {
            let detail = format!("{subject} is not there");
            found.push(Finding::new(FindingKind::RowMismatch, subject, detail, RESTORE));
        }
        for (what, select) in CONTRADICTIONS {
            ctl.touch();
            for subject in self.db.read(|tx| strings(tx, select))? {
                let detail = format!("{subject}: {what}");
                found.push(Finding::new(
                    FindingKind::RowMismatch,
                    format!("{subject}: {what}"),
                    detail,
                    RESTORE,
                ));
            }
        }
        Ok(found)
    }

    /// What SQLite finds, a line for each finding; where it cannot read the database at all, its error is the line.
    fn damage(&self, thorough: bool) -> Result<Vec<String>> {
        let pragma = if thorough { "PRAGMA integrity_check(100)" } else { "PRAGMA quick_check(100)" };
        match self.db.read(|tx| strings(tx, pragma)) {
            Ok(lines) => Ok(lines.into_iter().filter(|line| line != "ok").collect()),
            Err(error) if error.kind() == ErrorKind::Mismatch => Ok(vec![error.report()]),
            Err(error) => Err(error),
        }
    }
}

fn strings(tx: &Transaction<'_>, select: &str) -> Sql<Vec<String>> {
    let mut rows = tx.prepare(select)?;
    let all = rows.query_map([], |row| row.get(0))?;
    Ok(all.take(MOST).collect::<rusqlite::Result<_>>()?)
}
